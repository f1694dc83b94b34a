"""Smaller increments are learned faster (Section 3, Fig. 4)."""

from bumplab.report.paper_figures import phase_diagram
from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.effects import levels_of, log_time_slope, paced
from bumplab.verdicts.intervals import Undefined
from bumplab.verdicts.worlds import learning, ramp, run, steps_by_level

on_grid = log_time_slope(lambda run: run.corrected("on_grid"))
LEAST_SLOPE = 0.1
WHY = (
    "0.1 doublings of training for each doubling of the increment make a quarter more steps over the paper's range of "
    "0.1 to 1.0. Fig. 4 would not show less."
)
DESIGN = Design(
    effect=0.35,
    spread=0.1,
    source="Fig. 4: from d = 0.1 to 1.0 a given accuracy comes two to three times as late",
)


def in_the_papers_range(runs):
    """The slope over increments up to 1 pixel."""
    increments = dict(zip(runs, levels_of(runs), strict=True))
    kept = {condition: runs[condition] for condition, d in increments.items() if d <= 1}
    if len(kept) < 2:
        raise Undefined("fewer than two increments up to 1 pixel")
    return on_grid(kept)


def plant(seed, conditions, on_grid, off_grid):
    """Runs whose steps to half the ceiling follow these two slopes."""
    half_learned = zip(steps_by_level(conditions, on_grid), steps_by_level(conditions, off_grid), strict=True)
    return {
        condition: run(seed, learning("on_grid", ramp(on)) | learning("off_grid", ramp(off)))
        for condition, (on, off) in zip(conditions, half_learned, strict=True)
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
            name="ceiling-corrected",
            unit="log2 steps / log2 increment",
            region=Region(low=LEAST_SLOPE),
            why=WHY,
            effect=on_grid,
            design=DESIGN,
            rates=("on_grid.accuracy",),
        ),
        Part(
            name="off-grid",
            unit="log2 steps / log2 increment",
            region=Region(low=LEAST_SLOPE),
            why=WHY
            + " Off-grid, increments above 2 pixels also test generalisation. A copy of the nearest training label "
            "is too far off there, however long the network is trained. Accuracy may then level off near a half.",
            effect=log_time_slope(lambda run: run.corrected("off_grid")),
            design=DESIGN,
            rates=("off_grid.accuracy",),
        ),
        Part(
            name="ceiling-corrected, increments up to 1",
            unit="log2 steps / log2 increment",
            region=Region(low=LEAST_SLOPE),
            why="Shown and not judged: the paper's own range. Few labels far apart make the task easier, as it is "
            "enough to tell which label was asked for.",
            effect=in_the_papers_range,
            judges=False,
        ),
        Part(
            name="raw accuracy (as in the paper)",
            unit="log2 steps / log2 increment",
            region=Region(low=LEAST_SLOPE),
            why="Shown and not judged: the border cuts bumps off, more of them at larger increments. That lowers the "
            "raw accuracy even of perfect images.",
            effect=log_time_slope(lambda run: run["on_grid.accuracy"]),
            judges=False,
        ),
    ),
    curves={
        "on_grid.corrected": "accuracy / ceiling",
        "off_grid.corrected": "off-grid accuracy / ceiling",
        "on_grid.accuracy": "raw accuracy",
    },
    plant=plant,
    figure=phase_diagram("Fig. 4"),
    page_section="artefacts",
    controls=(
        Control(
            "same increment, two names",
            "Two runs at the smallest increment, one of them named after the largest. They do not differ.",
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
