"""Claims and runs made of bare numbers, for the tests of the rule."""

from bumplab.profiles import QUICK
from bumplab.verdicts.claim import Claim, Compared, Part, Region
from bumplab.verdicts.curves import Curves, Undefined
from bumplab.verdicts.looks import Looks

SPEC = QUICK.run(10)
ABOVE = Region(low=0.0)
LOOKS = Looks(3, 14, needed=180.0)
IN, OUT = 1.0, -1.0
"""Effects inside and outside of the region above 0."""


def part(name="v", region=ABOVE, effect=None, **more):
    return Part(
        name=name,
        reads="the paper's words",
        holds=f"{name} is so",
        unit="units",
        region=region,
        why="because",
        effect=effect or read(name),
        **more,
    )


def read(name):
    """The number or the bounds planted under this name. A text is the reason of an undefined effect."""

    def effect(runs):
        planted = runs["a"].rows[-1][name]
        if isinstance(planted, str):
            raise Undefined(planted)
        return planted

    return effect


def compared(name="c", weights=(0.0, 1.0, 2.0), region=ABOVE, **more):
    effect = Compared(lambda runs: [run.last(name) for run in runs.values()], lambda conditions: weights)
    return part(name, region, effect, **more)


def claim(*parts, **more):
    return Claim(
        id="density",
        statement="s",
        source="Fig. 0",
        prediction="p",
        runs=lambda profile, seed: {"a": profile.run(seed)},
        parts=parts or (part(),),
        curves={},
        **more,
    )


def seed(failed=None, **values):
    """One seed's runs with one condition: these numbers in its only row."""
    return {"a": Curves([{"step": 0.0, **values}], SPEC, failed)}


def scores(*values, name="c"):
    """One seed's runs: one condition for each score."""
    return {f"d={i}": Curves([{"step": 0.0, name: value}], SPEC) for i, value in enumerate(values)}


def first(seeds):
    """Runs of every part: the first of these seeds."""
    return lambda part, count: seeds[:count]
