"""x and y are learned together although their increments differ (Section 3, Fig. 5)."""

import math

import numpy as np

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.effects import LEVEL, stretched
from bumplab.verdicts.intervals import Interval, Undefined, fieller


def runs_for(profile, seed):
    """The strongest imbalance of the profile and, beside it, balanced runs of both its increments."""
    dense, sparse = profile.imbalances[0]
    return {
        "imbalanced": profile.run(seed, dx=dense, dy=sparse),
        "dense": profile.run(seed, dx=dense),
        "sparse": profile.run(seed, dx=sparse),
    }


def learned(run, labels, axis):
    """Accuracy on one axis between that of the untrained network (0) and the ceiling (1).

    Chance differs between the axes: with few labels a blank image is often "right" in y.
    """
    accuracy = run.corrected(labels, axis)
    return (accuracy - accuracy[0]) / (1 - accuracy[0])


def half_learned(run, labels, axis, name):
    low, high = run.crossing(learned(run, labels, axis), LEVEL)
    if math.isinf(high):
        raise Undefined(f"{name} is not reached in {run.steps[-1]:g} steps")
    return (low + high) / 2


def delays(labels):
    """(t_y - t_x in the imbalanced run, t_sparse - t_dense between balanced runs), in steps, within one seed."""

    def effect(runs):
        t_x = half_learned(runs["imbalanced"], labels, "_x", "t_x")
        t_y = half_learned(runs["imbalanced"], labels, "_y", "t_y")
        t_dense = half_learned(runs["dense"], labels, "_x", "t_dense")
        t_sparse = half_learned(runs["sparse"], labels, "_y", "t_sparse")
        return t_y - t_x, t_sparse - t_dense

    return effect


def kappa(pairs, alpha):
    """kappa = 1 - (t_y - t_x) / (t_sparse - t_dense): Fieller's limits, mirrored."""
    try:
        ratio = fieller(pairs, alpha)
    except Undefined as undefined:
        raise type(undefined)(f"kappa is undefined: t_sparse - t_dense in steps: {undefined}") from undefined
    return Interval(1 - ratio.estimate, 1 - ratio.high, 1 - ratio.low)


def r2_gap(measure):
    """The distance between the R^2 of x and of y, before label injection, when the first of the two is half learned."""

    def effect(runs):
        run = runs["imbalanced"]
        first = min(half_learned(run, "on_grid", axis, f"t{axis}") for axis in ("_x", "_y"))
        x, y = (run[f"up1-features.{measure}_{axis}"] for axis in "xy")
        gap = float(np.interp(first, run.steps, abs(x - y)))
        return gap, gap

    return effect


def y_ahead(runs):
    """How much more of the sparse y than of the dense x is learned when x is half learned."""
    run = runs["imbalanced"]
    t_x = half_learned(run, "on_grid", "_x", "t_x")
    ahead = float(np.interp(t_x, run.steps, learned(run, "on_grid", "_y"))) - LEVEL
    return ahead, ahead


def drawn(random, effect, spread):
    """One seed's two delays, in units of t_sparse - t_dense, in a world where kappa is ``effect``."""
    return float(random.normal(1 - effect, spread)), float(random.normal(1, spread))


def factorized(profile, seed):
    runs = runs_for(profile, seed)
    return {**runs, "imbalanced": profile.factorized(runs["imbalanced"])}


def composed(runs):
    """The same runs, the imbalanced one with x learned as in the dense run and y as in the sparse run: kappa is 0."""
    run = runs["imbalanced"]
    by_axis = {"_x": runs["dense"], "_y": runs["sparse"]}
    names = [name for name in run.rows[0] if name[-2:] in by_axis]
    return {**runs, "imbalanced": run.replaced({name: by_axis[name[-2:]][name] for name in names})}


def coupled(runs):
    """The same runs with y's curves equal to x's in the imbalanced one, and the sparse run slowed down fourfold."""
    run = runs["imbalanced"]
    names = [name for name in run.rows[0] if name.endswith("_x")]
    together = run.replaced({f"{name[:-1]}y": run[name] for name in names})
    return {**runs, "imbalanced": together, "sparse": stretched(runs["sparse"], 4.0)}


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
            datum="t_y - t_x, t_sparse - t_dense in steps",
            datum_form="pair",
            design=Design(
                1.0, 0.2, "Fig. 5: no delay of y; both delays spread by a fifth of t_sparse - t_dense", drawn
            ),
        ),
        Part(
            "R^2 together",
            "gap in R^2",
            Region(high=0.2),
            "A fifth of the scale: in Fig. 5 the two curves are nearer than that throughout. Looked at when the first "
            "coordinate is half learned, where factorized learning shows and the length of training does not.",
            r2_gap("umap_r2"),
            design=Design(0.05, 0.05, "Fig. 5: the two curves of R^2 all but coincide"),
        ),
        Part(
            "y as accurate as x",
            "share learned, y minus x",
            Region(low=-0.1),
            "Not behind by more than a tenth when x is half learned; one not yet begun would be a half behind.",
            y_ahead,
            design=Design(0.05, 0.05, "Fig. 5: y is at least as accurate as x throughout"),
        ),
        Part(
            "R^2 together, without UMAP",
            "gap in R^2",
            Region(high=0.2),
            "Shown and not judged: UMAP may tear rows of labels 4 pixels apart into islands and place them anywhere; "
            "cross-validated R^2 on principal components cannot.",
            r2_gap("pca_r2"),
            judges=False,
        ),
        Part(
            "kappa off-grid",
            "(1 coupled, 0 factorized)",
            Region(low=0.5),
            "Shown and not judged: the paper samples training labels only.",
            delays("off_grid"),
            interval=kappa,
            datum="t_y - t_x, t_sparse - t_dense in steps",
            datum_form="pair",
            judges=False,
        ),
    ),
    curves={
        "on_grid.corrected_x": "x: accuracy / ceiling",
        "on_grid.corrected_y": "y: accuracy / ceiling",
        "up1-features.umap_r2_x": "x: R^2 (UMAP)",
        "up1-features.umap_r2_y": "y: R^2 (UMAP)",
    },
    controls=(
        Control(
            "factorized generator",
            "The imbalanced run by two networks that each see one coordinate; the product of their images is the bump "
            "(Fig. 1a). The balanced runs stay as they are: they only say how far apart the two paces are.",
            runs=factorized,
        ),
        Control(
            "each coordinate at its own pace",
            "The claim's own runs, the imbalanced one with x learned as in the dense run and y as in the sparse one: "
            "where it is defined, kappa is 0 by construction.",
            change=composed,
        ),
        Control(
            "coupling planted",
            "The claim's own runs with y learned exactly as x, and the sparse run slowed down fourfold: kappa is 1.",
            change=coupled,
            positive=True,
        ),
    ),
)


def test_coupling(experiment):
    experiment.judge(CLAIM)
