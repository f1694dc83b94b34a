"""Claims and runs made of bare numbers, for the tests of the rule."""

from hypothesis import strategies as st

from bumplab.profiles import QUICK
from bumplab.verdicts.claim import Claim, Compared, Part, Premise, Region
from bumplab.verdicts.curves import Curves, Undefined
from bumplab.verdicts.judging import judge
from bumplab.verdicts.looks import Looks

SPEC = QUICK.run(10)
ABOVE = Region(low=0.0)
LOOKS = Looks(3, 14, needed=180.0)
IN, OUT = 1.0, -1.0
"""Effects inside and outside of the region above 0."""
NEITHER = "not reached"
"""The reason of an undefined effect."""
EFFECTS = st.sampled_from([IN, OUT, NEITHER])
FOURTEEN = st.lists(EFFECTS, min_size=14, max_size=14)


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


def seeds_of(effects):
    """One seed's runs for each effect of the part ``v``."""
    return [seed(v=effect) for effect in effects]


def judged(effects, looks=LOOKS, parts=1):
    """The verdict on the part ``v`` of a claim with so many judged parts."""
    return judge(part(), seeds_of(effects), looks, parts)


def premise():
    """A premise that holds where the number ``p`` lies above 0. Without a number it is undefined."""

    def effect(runs):
        if runs["a"].rows[-1]["p"] is None:
            raise Undefined("no number")
        return runs["a"].last("p")

    return Premise("contrast", "the conditions must differ", "units", ABOVE, effect)
