"""x and y are learned together although their increments differ (Section 3, Fig. 5)."""

import math

import numpy as np

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.effects import LEVEL, stretched
from bumplab.verdicts.intervals import Interval, Undefined, fieller
from bumplab.verdicts.worlds import AXES, EARLY, EVERY, learning, r2, ramp, run


def runs_for(profile, seed):
    """The strongest imbalance of the profile, and balanced runs at both of its increments."""
    dense, sparse = profile.imbalances[0]
    return {
        "imbalanced": profile.run(seed, dx=dense, dy=sparse),
        "dense": profile.run(seed, dx=dense),
        "sparse": profile.run(seed, dx=sparse),
    }


def learned(curves, labels, axis):
    """Accuracy on one axis, scaled from the untrained network's (0) to the ceiling (1): ``[checkpoints]``.

    Chance differs between the axes: with few labels in y, a blank image is often right in y.
    """
    accuracy = curves.corrected(labels, axis)
    return (accuracy - accuracy[0]) / (1 - accuracy[0])


def half_learned(curves, labels, axis, name):
    """The step at which half of an axis is learned. ``name`` is the name of that step in a message."""
    low, high = curves.crossing(learned(curves, labels, axis), LEVEL)
    if math.isinf(high):
        raise Undefined(f"{name} is not reached in {curves.steps[-1]:g} steps")
    return (low + high) / 2


def delays(labels):
    """(t_y - t_x in the imbalanced run, t_sparse - t_dense between the balanced runs), in steps, within one seed."""

    def effect(runs):
        t_x = half_learned(runs["imbalanced"], labels, "_x", "t_x")
        t_y = half_learned(runs["imbalanced"], labels, "_y", "t_y")
        t_dense = half_learned(runs["dense"], labels, "_x", "t_dense")
        t_sparse = half_learned(runs["sparse"], labels, "_y", "t_sparse")
        return t_y - t_x, t_sparse - t_dense

    return effect


def kappa(pairs, alpha):
    """Limits for kappa = 1 - (t_y - t_x) / (t_sparse - t_dense), from Fieller's limits for the ratio."""
    try:
        ratio = fieller(pairs, alpha)
    except Undefined as undefined:
        raise type(undefined)(f"kappa is undefined: t_sparse - t_dense in steps: {undefined}") from undefined
    return Interval(1 - ratio.estimate, 1 - ratio.high, 1 - ratio.low)


def r2_gap(measure):
    """The distance between the R^2 of x and of y, before label injection, when the first of the two is half learned."""

    def effect(runs):
        imbalanced = runs["imbalanced"]
        first = min(half_learned(imbalanced, "on_grid", axis, f"t{axis}") for axis in ("_x", "_y"))
        x, y = (imbalanced[f"layer4.{measure}_{axis}"] for axis in "xy")
        return float(np.interp(first, imbalanced.steps, abs(x - y)))

    return effect


def y_ahead(runs):
    """The learned share of the sparse y minus that of the dense x, when x is half learned."""
    imbalanced = runs["imbalanced"]
    t_x = half_learned(imbalanced, "on_grid", "_x", "t_x")
    return float(np.interp(t_x, imbalanced.steps, learned(imbalanced, "on_grid", "_y"))) - LEVEL


def drawn(random, effect, spread):
    """One seed's two delays in a world where kappa is ``effect``, in units of t_sparse - t_dense."""
    return float(random.normal(1 - effect, spread)), float(random.normal(1, spread))


def factorized(profile, seed):
    runs = runs_for(profile, seed)
    return {**runs, "imbalanced": profile.factorized(runs["imbalanced"])}


def composed(runs):
    """kappa is 0: the imbalanced run gets the x curves of the dense run and the y curves of the sparse run."""
    imbalanced = runs["imbalanced"]
    by_axis = {"_x": runs["dense"], "_y": runs["sparse"]}
    names = [name for name in imbalanced.rows[0] if name[-2:] in by_axis]
    return {**runs, "imbalanced": imbalanced.replaced({name: by_axis[name[-2:]][name] for name in names})}


def coupled(runs):
    """kappa is 1: y's curves equal x's in the imbalanced run, and the sparse run is slowed down fourfold."""
    imbalanced = runs["imbalanced"]
    names = [name for name in imbalanced.rows[0] if name.endswith("_x")]
    together = imbalanced.replaced({f"{name[:-1]}y": imbalanced[name] for name in names})
    return {**runs, "imbalanced": together, "sparse": stretched(runs["sparse"], 4.0)}


def plant(seed, conditions, delays, gap, ahead):
    """Runs with these delays, in units of ``4 * EVERY`` steps, this gap of R^2 and this lead of y.

    A gap is at least 0, so its absolute value is planted. A y that is behind at t_x cannot have an earlier t_y, nor a y
    that is ahead a later one. Where the numbers conflict, a negative ``ahead`` sets the sign of the delay, and a
    positive delay makes ``ahead`` negative.
    """
    unit, dense, least = 4 * EVERY, EVERY + 10, 0.01
    delay, between = delays
    if ahead < 0:
        delay = max(abs(delay), least)
    elif delay > 0:
        ahead = -least / 10
    else:
        delay, ahead = min(delay, -least), max(ahead, least / 10)
    x, y = planted_axes(delay, EARLY + unit * abs(delay), ahead)
    imbalanced = {
        **on_axis(x, "_x"),
        **on_axis(y, "_y"),
        **r2(0.1 + 0.8 * ramp(EARLY), "_x"),
        **r2(0.1 + 0.8 * ramp(EARLY) - abs(gap), "_y"),
    }
    balanced = {"dense": ramp(dense), "sparse": ramp(dense + unit * between)}
    runs = {"imbalanced": run(seed, imbalanced)}
    for condition, curve in balanced.items():
        runs[condition] = run(seed, learning("on_grid", curve, AXES) | learning("off_grid", curve, AXES))
    return runs


def planted_axes(delay, later, ahead):
    """Learned shares of x and y: the first is half learned at `EARLY`, the other at ``later``.

    At t_x the share of y is 0.5 + ``ahead``.
    """
    x, y = ramp(EARLY), ramp(EARLY)
    first = int(EARLY / EVERY)
    if delay > 0:  # x is first, so y must have its share at the step EARLY
        y = ramp(later)
        y[:first] = np.minimum(y[:first], 0.5 + ahead)
        y[first] = 0.5 + ahead
        if later < EARLY + EVERY:
            y[first + 1] = 0.5 - ahead * (EARLY + EVERY - later) / (later - EARLY)
    else:  # y is first, and keeps its share until x is half learned
        x = ramp(later)
        until = math.ceil(later / EVERY)
        y[first + 1 : until + 1] = 0.5 + ahead * max(1.0, EVERY / (later - EARLY))
    return x, y


def on_axis(curve, axis):
    """The accuracies of both label sets on one axis."""
    return learning("on_grid", curve, (axis,)) | learning("off_grid", curve, (axis,))


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
            name="kappa",
            unit="(1 coupled, 0 factorized)",
            region=Region(low=0.5),
            why="Nearer to coupled than to factorized.",
            effect=delays("on_grid"),
            interval=kappa,
            datum="t_y - t_x, t_sparse - t_dense in steps",
            datum_form="pair",
            design=Design(
                effect=1.0,
                spread=0.2,
                source="Fig. 5: no delay of y; both delays spread by a fifth of t_sparse - t_dense",
                draw=drawn,
            ),
        ),
        Part(
            name="R^2 together",
            unit="gap in R^2",
            region=Region(high=0.2),
            why="A fifth of the scale: in Fig. 5 the two curves are nearer than that throughout. Looked at when the "
            "first coordinate is half learned, where factorized learning shows and the length of training does not.",
            effect=r2_gap("umap_r2"),
            design=Design(0.05, 0.05, "Fig. 5: the two curves of R^2 all but coincide"),
        ),
        Part(
            name="y as accurate as x",
            unit="share learned, y minus x",
            region=Region(low=-0.1),
            why="Not behind by more than a tenth when x is half learned; one not yet begun would be a half behind.",
            effect=y_ahead,
            design=Design(0.05, 0.05, "Fig. 5: y is at least as accurate as x throughout"),
        ),
        Part(
            name="R^2 together, without UMAP",
            unit="gap in R^2",
            region=Region(high=0.2),
            why="Shown and not judged: UMAP may tear rows of labels 4 pixels apart into islands and place them "
            "anywhere; cross-validated R^2 on principal components cannot.",
            effect=r2_gap("pca_r2"),
            judges=False,
        ),
        Part(
            name="kappa off-grid",
            unit="(1 coupled, 0 factorized)",
            region=Region(low=0.5),
            why="Shown and not judged: the paper samples training labels only.",
            effect=delays("off_grid"),
            interval=kappa,
            datum="t_y - t_x, t_sparse - t_dense in steps",
            datum_form="pair",
            judges=False,
        ),
    ),
    curves={
        "on_grid.corrected_x": "x: accuracy / ceiling",
        "on_grid.corrected_y": "y: accuracy / ceiling",
        "layer4.umap_r2_x": "x: R^2 (UMAP)",
        "layer4.umap_r2_y": "y: R^2 (UMAP)",
    },
    plant=plant,
    controls=(
        Control(
            "factorized generator",
            "The imbalanced run by two networks that each see one coordinate; the product of their images is the bump "
            "(Fig. 1a). The balanced runs stay as they are: they only measure the distance between the two paces.",
            runs=factorized,
        ),
        Control(
            "each coordinate at its own pace",
            "The claim's own runs, with the x curves of the dense run and the y curves of the sparse run in the "
            "imbalanced one. Where kappa is defined, it is 0 by construction.",
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
