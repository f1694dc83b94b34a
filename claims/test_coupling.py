"""x and y are learned together although their increments differ (Section 3, Fig. 5)."""

import math

from bumplab.verdicts.claim import Claim, Part, Region
from bumplab.verdicts.intervals import Interval, Undefined, fieller

LEVEL = 0.5


def runs_for(profile, seed):
    """The strongest imbalance of the profile and, beside it, balanced runs of both its increments."""
    dense, sparse = profile.imbalances[0]
    return {
        "imbalanced": profile.run(seed, dx=dense, dy=sparse),
        "dense": profile.run(seed, dx=dense),
        "sparse": profile.run(seed, dx=sparse),
    }


def delays(labels):
    """(t_y - t_x in the imbalanced run, t_sparse - t_dense between balanced runs), in steps, within one seed."""

    def effect(runs):
        times = {
            "t_x": runs["imbalanced"].crossing(runs["imbalanced"].corrected(labels, "_x"), LEVEL),
            "t_y": runs["imbalanced"].crossing(runs["imbalanced"].corrected(labels, "_y"), LEVEL),
            "t_dense": runs["dense"].crossing(runs["dense"].corrected(labels, "_x"), LEVEL),
            "t_sparse": runs["sparse"].crossing(runs["sparse"].corrected(labels, "_y"), LEVEL),
        }
        for name, (low, high) in times.items():
            if math.isinf(high):
                raise Undefined(f"{name} is not reached in {low:g} steps")
        return times["t_y"][0] - times["t_x"][0], times["t_sparse"][0] - times["t_dense"][0]

    return effect


def kappa(pairs, alpha):
    """kappa = 1 - (t_y - t_x) / (t_sparse - t_dense): Fieller's limits, mirrored."""
    try:
        ratio = fieller(pairs, alpha)
    except Undefined as undefined:
        raise Undefined(f"kappa is undefined: t_sparse - t_dense in steps: {undefined}") from undefined
    return Interval(1 - ratio.estimate, 1 - ratio.high, 1 - ratio.low)


def r2_gap(runs):
    """The mean distance between the R^2 curves of x and y, before label injection."""
    run = runs["imbalanced"]
    gap = float(abs(run["up1-features.umap_r2_x"] - run["up1-features.umap_r2_y"]).mean())
    return gap, gap


def y_ahead(runs):
    """How much more accurate the sparse y is than the dense x, over training, each relative to its ceiling."""
    run = runs["imbalanced"]
    ahead = float((run.corrected("on_grid", "_y") - run.corrected("on_grid", "_x")).mean())
    return ahead, ahead


CLAIM = Claim(
    id="coupling",
    statement="Even under imbalanced datasets the learning of x and y is coupled rather than factorized: R^2 of x and "
    "y move together, and the sparse y is generated at least as accurately as the dense x.",
    source="Section 3, Fig. 5",
    prediction="In a run with dense x and sparse y, y is learned with x and not as late as in a balanced sparse run. "
    "If learning were factorized, each coordinate would take the time of its own increment (kappa = 0).",
    runs=runs_for,
    parts=(
        Part(
            "kappa",
            "(1 coupled, 0 factorized)",
            Region(low=0.5),
            "Nearer to coupled than to factorized.",
            delays("on_grid"),
            interval=kappa,
        ),
        Part(
            "R^2 together",
            "mean gap in R^2",
            Region(high=0.2),
            "A fifth of the scale: in Fig. 5 the two curves are nearer than that throughout.",
            r2_gap,
        ),
        Part(
            "y as accurate as x",
            "accuracy / ceiling",
            Region(low=-0.05),
            "Not below by more than one image in twenty, about what 500 images resolve.",
            y_ahead,
        ),
        Part(
            "kappa off-grid",
            "(1 coupled, 0 factorized)",
            Region(low=0.5),
            "Shown and not judged: the paper samples training labels only.",
            delays("off_grid"),
            interval=kappa,
            judges=False,
        ),
    ),
    curves={
        "on_grid.corrected_x": "x: accuracy / ceiling",
        "on_grid.corrected_y": "y: accuracy / ceiling",
        "up1-features.umap_r2_x": "x: R^2 (UMAP)",
        "up1-features.umap_r2_y": "y: R^2 (UMAP)",
    },
)


def test_coupling(experiment):
    experiment.judge(CLAIM)
