"""What each part of each claim reads of its runs: which numbers, of which label set and tap, in which conditions.

The designed worlds give both measures of R^2 the same values, and a part that is only shown decides nothing: no verdict
tells whether it reads what it says. The table is written by hand from the claims' words; `overlap` has no runs to read.
"""

import math

import pytest

from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import seed_effect
from bumplab.verdicts.error_rate import CERTAIN, CLAIMS
from bumplab.verdicts.worlds import AXES, CEILING, STEPS, level, ramp, run

RANDOM = [name for name in CLAIMS if name not in CERTAIN]
INCREMENTS, SIGMAS = ("d=0.1", "d=1", "d=4"), ("sigma=0.5", "sigma=0.7", "sigma=1")
SMALL, LARGE = "3.5 % hole", "10 % hole"
STEP, R2, R2_PCA = {"step"}, {"up1-features.umap_r2"}, {"up1-features.pca_r2"}


def learned(labels, axis):
    """Accuracy and the ceiling it is compared with."""
    return {f"{labels}.accuracy{axis}", f"{labels}.ceiling{axis}"}


LEARNED, X, Y = (learned("on_grid", axis) for axis in AXES)
LEARNED_OFF, X_OFF, Y_OFF = (learned("off_grid", axis) for axis in AXES)
PHASES = {"on_grid.single-wrong", "on_grid.correct"} | LEARNED
IN_AND_AROUND = {"in_hole.correct", "in_hole.ceiling", "off_grid.correct", "off_grid.ceiling"}
READS = {
    "phases: order": {"dense": PHASES | STEP},
    "phases: failure in B": {"dense": PHASES | STEP},
    "phases: dimension": {"dense": PHASES | {"up1-features.dimension"}},
    "phases: ordered manifold": {"dense": PHASES | R2},
    "representation: over training": dict.fromkeys(INCREMENTS, LEARNED | R2),
    "representation: at fixed steps": dict.fromkeys(INCREMENTS, LEARNED | R2),
    "representation: over training, without UMAP": dict.fromkeys(INCREMENTS, LEARNED | R2_PCA),
    "representation: at fixed steps, without UMAP": dict.fromkeys(INCREMENTS, LEARNED | R2_PCA),
    "density: ceiling-corrected": dict.fromkeys(INCREMENTS, LEARNED | STEP),
    "density: off-grid": dict.fromkeys(INCREMENTS, LEARNED_OFF | STEP),
    "density: ceiling-corrected, increments up to 1": dict.fromkeys(("d=0.1", "d=1"), LEARNED | STEP),
    "density: raw accuracy (as in the paper)": dict.fromkeys(INCREMENTS, {"on_grid.accuracy"} | STEP),
    "coupling: kappa": {"imbalanced": X | Y | STEP, "dense": X | STEP, "sparse": Y | STEP},
    "coupling: R^2 together": {"imbalanced": X | Y | STEP | {"up1-features.umap_r2_x", "up1-features.umap_r2_y"}},
    "coupling: y as accurate as x": {"imbalanced": X | Y | STEP},
    "coupling: R^2 together, without UMAP": {
        "imbalanced": X | Y | STEP | {"up1-features.pca_r2_x", "up1-features.pca_r2_y"}
    },
    "coupling: kappa off-grid": {"imbalanced": X_OFF | Y_OFF | STEP, "dense": X_OFF | STEP, "sparse": Y_OFF | STEP},
    "hole: 3.5 %": {SMALL: IN_AND_AROUND},
    "hole: 10 %": {LARGE: IN_AND_AROUND},
    "hole: 10 % against 3.5 %": {SMALL: IN_AND_AROUND, LARGE: IN_AND_AROUND},
    "sigma: rate": dict.fromkeys(SIGMAS, LEARNED | STEP),
    "sigma: performance": dict.fromkeys(SIGMAS, LEARNED),
    "sigma: rank correlation": dict.fromkeys(SIGMAS, LEARNED | STEP),
    "bottleneck: less readable": {"dense": LEARNED | R2 | {"bottleneck.umap_r2"}},
    "bottleneck: less signal": {"dense": LEARNED | {"up1-features.signal", "bottleneck.signal"}},
    "bottleneck: less readable, without UMAP": {"dense": LEARNED | R2_PCA | {"bottleneck.pca_r2"}},
    "seeds: no manifold": dict.fromkeys(INCREMENTS, R2),
    "seeds: no manifold, without UMAP": dict.fromkeys(INCREMENTS, R2_PCA),
    "seeds: no right bumps": dict.fromkeys(INCREMENTS, LEARNED),
}
"""The numbers that each condition gives to a part: to its effect, or to whether that is defined."""


def noticed(part, runs, names):
    """Whether the part says anything else where these numbers of each condition are unknown, far smaller or larger."""

    def scaled(run, names, factor):
        return Curves([row | {n: factor * row[n] for n in names & set(row)} for row in run.rows], seed=run.seed)

    as_it_is = seed_effect(part, runs)
    assert as_it_is[0], as_it_is
    return any(
        seed_effect(part, runs | {c: scaled(runs[c], changed, factor) for c, changed in names.items()}) != as_it_is
        for factor in (math.nan, 0.25, 4.0)
    )


def alone(part, runs, names):
    """Those of each condition's numbers that the part notices one at a time."""
    return {c: {name for name in of if noticed(part, runs, {c: {name}})} for c, of in names.items()}


@pytest.mark.parametrize("name", RANDOM)
def test_each_part_reads_what_it_says_and_nothing_else(load, true_world, name):
    runs = {condition: made[0] for condition, made in true_world(name, 1).items()}
    for part in load(name).parts:
        said = READS[f"{name}: {part.name}"]
        others = {condition: set(run.rows[-1]) - said.get(condition, set()) for condition, run in runs.items()}
        assert alone(part, runs, said) == said, part.name
        assert not noticed(part, runs, others), f"{part.name} also reads {alone(part, runs, others)}"
        assert set(part.rates) <= set().union(*said.values()), "noise is told of what is not read"


def half_at(step, labels="on_grid", axis=""):
    return {f"{labels}.accuracy{axis}": CEILING * ramp(step)}


def axes_at(x, y, labels="off_grid"):
    return half_at(x, labels, "_x") | half_at(y, labels, "_y")


def both(accuracy, r2):
    return {"on_grid.accuracy": accuracy, "up1-features.pca_r2": r2}


UP = STEPS / STEPS[-1]
R2_APART = {"up1-features.pca_r2_x": level(0.0), "up1-features.pca_r2_y": UP}
SHOWN = {
    "representation: over training, without UMAP": ({"d=1": both(UP, -UP)}, [-1, -1]),
    "representation: at fixed steps, without UMAP": ({"d=1": both(UP, UP), "d=4": both(UP / 2, 2 * UP)}, [-1, -1]),
    "density: ceiling-corrected, increments up to 1": (
        {"d=0.25": half_at(100), "d=1": half_at(200), "d=4": half_at(100)},
        [0.5, 0.5],
    ),
    "density: raw accuracy (as in the paper)": (
        {f"d={d}": {"on_grid.accuracy": ramp(100 * d)} for d in (1, 4)},
        [1, 1],
    ),
    "coupling: R^2 together, without UMAP": ({"imbalanced": axes_at(300, 200, "on_grid") | R2_APART}, [0.2, 0.2]),
    "coupling: kappa off-grid": (
        {"imbalanced": axes_at(100, 150), "dense": axes_at(200, 250), "sparse": axes_at(400, 500)},
        [50, 300],
    ),
    "sigma: rank correlation": ({f"sigma={s}": half_at(t) for s, t in ((0.5, 200), (0.7, 100), (1, 300))}, [0.5, 0.5]),
    "bottleneck: less readable, without UMAP": ({"dense": both(UP, level(0.7))}, [0.5, 0.5]),  # its own is 0.2
    "seeds: no right bumps": ({"d=0.5": half_at(100), "d=1": {}, "d=4": half_at(100)}, [-1, 0, 2, 0, 1, 0]),
}
"""Of each part that decides nothing, whose sign no verdict would miss: curves by condition, and its datum."""


def test_the_parts_that_decide_nothing_are_computed_as_they_say(load):
    parts = {f"{name}: {part.name}": part for name in RANDOM for part in load(name).parts}
    assert set(parts) == set(READS)
    assert {name for name, part in parts.items() if not part.judges} == set(SHOWN)
    for name, (curves, datum) in SHOWN.items():
        assert parts[name].effect({c: run(0, made) for c, made in curves.items()}) == pytest.approx(datum), name
