"""Smaller increments are learned faster (Section 3, Fig. 4)."""

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.effects import levels_of, log_time_slope, paced
from bumplab.verdicts.intervals import Undefined

on_grid = log_time_slope(lambda run: run.corrected("on_grid"))
LEAST_SLOPE = 0.1
WHY = (
    "0.1 doublings of training a doubling of the increment are a quarter more steps over the paper's range of 0.1 to "
    "1.0: less would not be seen in Fig. 4."
)
DESIGN = Design(
    effect=0.35,
    spread=0.1,
    source="Fig. 4: from d = 0.1 to 1.0 a given accuracy comes two to three times as late",
)


def in_the_papers_range(runs):
    """The slope over increments up to 1 pixel."""
    kept = {c: run for (c, run), d in zip(runs.items(), levels_of(runs), strict=True) if d <= 1}
    if len(kept) < 2:
        raise Undefined("fewer than two increments up to 1 pixel")
    return on_grid(kept)


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
            on_grid,
            design=DESIGN,
            rates=("on_grid.accuracy",),
        ),
        Part(
            "off-grid",
            "log2 steps / log2 increment",
            Region(low=LEAST_SLOPE),
            WHY + " Off-grid, increments above 2 pixels also test generalisation: a copy of the nearest training label "
            "is too far off there, however long it is trained, and accuracy may level off near the half looked for.",
            log_time_slope(lambda run: run.corrected("off_grid")),
            design=DESIGN,
            rates=("off_grid.accuracy",),
        ),
        Part(
            "ceiling-corrected, increments up to 1",
            "log2 steps / log2 increment",
            Region(low=LEAST_SLOPE),
            "Shown and not judged: the paper's own range. With few labels far apart the task is an easier one: to be "
            "right it is enough to tell which label is asked for.",
            in_the_papers_range,
            judges=False,
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
    page_section="artefacts",
    controls=(
        Control(
            "same increment, two names",
            "Two runs at the smallest increment, one of them named after the largest: no difference to be found.",
            runs=lambda profile, seed: {
                f"d={profile.increments[0]:g}": profile.run(seed),
                f"d={profile.increments[-1]:g}": profile.replicate(seed),
            },
        ),
        Control(
            "pace planted",
            "The run at the smallest increment under every name, slowed down by the square root of the increment.",
            change=paced(min, 0.5),
            positive=True,
        ),
    ),
)


def test_density(experiment):
    experiment.judge(CLAIM)
