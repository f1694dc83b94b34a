"""Smaller increments are learned faster (Section 3, Fig. 4)."""

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.effects import levels_of, log_time_slope, stretched

LEAST_SLOPE = 0.1
WHY = (
    "0.1 doublings of training a doubling of the increment are a quarter more steps over the paper's range of 0.1 to "
    "1.0: less would not be seen in Fig. 4."
)
DESIGN = Design(
    effect=0.35,
    spread=0.1,
    source="Fig. 4: from d = 0.1 to 1.0 a given accuracy comes about twice as late (0.3 a doubling)",
)


def planted(runs):
    """The same runs, each slowed down by (d / least d) ** 0.5."""
    least = min(levels_of(runs))
    return {
        condition: stretched(run, (d / least) ** 0.5)
        for (condition, run), d in zip(runs.items(), levels_of(runs), strict=True)
    }


CLAIM = Claim(
    id="density",
    statement="In general, datasets with smaller increments lead to faster learning of the desired representation.",
    source="Section 3, Fig. 4",
    prediction="The steps to half of the reachable accuracy grow with the increment. If it were false, curves of all "
    "increments would coincide once each is compared with its own ceiling.",
    runs=lambda profile, seed: {f"d={d:g}": profile.run(seed, dx=d) for d in profile.increments},
    parts=(
        Part(
            "ceiling-corrected",
            "log2 steps / log2 increment",
            Region(low=LEAST_SLOPE),
            WHY,
            log_time_slope(lambda run: run.corrected("on_grid")),
            design=DESIGN,
            rates=("on_grid.accuracy",),
        ),
        Part(
            "off-grid",
            "log2 steps / log2 increment",
            Region(low=LEAST_SLOPE),
            WHY + " Off-grid, increments above 2 pixels also test generalisation: a copy of the nearest training label "
            "is too far off there, however long it is trained. So this part never decides alone.",
            log_time_slope(lambda run: run.corrected("off_grid")),
            design=DESIGN,
            rates=("off_grid.accuracy",),
        ),
        Part(
            "raw accuracy (as in the paper)",
            "log2 steps / log2 increment",
            Region(low=LEAST_SLOPE),
            "Shown and not judged: bumps cut off at the border, more of them at larger increments, lower raw accuracy "
            "even of perfect images.",
            log_time_slope(lambda run: run["on_grid.accuracy"]),
            judges=False,
        ),
    ),
    curves={
        "on_grid.corrected": "accuracy / ceiling",
        "off_grid.corrected": "off-grid accuracy / ceiling",
        "on_grid.accuracy": "raw accuracy",
    },
    controls=(
        Control(
            "same increment, two names",
            "Two runs at the smallest increment, one of them named after the largest: no difference to be found.",
            runs=lambda profile, seed: {
                f"d={profile.increments[0]:g}": profile.run(seed),
                f"d={profile.increments[-1]:g}": profile.run(seed + 1000),
            },
        ),
        Control(
            "pace planted",
            "The claim's own runs, each slowed down by the square root of its increment: the effect is there.",
            change=planted,
            positive=True,
        ),
    ),
)


def test_density(experiment):
    experiment.judge(CLAIM)
