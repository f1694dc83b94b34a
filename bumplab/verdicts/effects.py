"""What several claims read from their runs: steps to a level, areas, and planted changes of measured runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from bumplab.config import RunSpec
from bumplab.verdicts.claim import Change, SeedRuns, levels
from bumplab.verdicts.curves import Bounds, Curve, Curves, Undefined

Read = TypeVar("Read")
RIGHT, WRONG, TOLD, FLATNESS = "probe.correct", "probe.single-wrong", "layer4.told", "layer4.told_flatness"
"""Names of the curves that most claims read: right bumps, wrong bumps, and order O and flatness F of one reading.

The reading is the first sampling step, where the network is told the label and there is no image. At the last step F
cannot tell learning from its control: trained on shuffled labels, the layer is flat too, because it sees its own image
(`docs/measures.md`).
"""
HALF = 0.5
"""A run has learned to draw when this share of its images shows one bump at the right place."""
ENOUGH = 1.5
"""A run has been trained long enough after this many times its own time to half of right bumps.

Exploring runs of spread 1 and more at increments of up to 3 end with 0.96 to 1.0 of right bumps after 1.5 to 3.3 times.
One of spread 0.7 ends with 0.89 after 1.3 times. Their rate has fallen to 0 by then.
"""
APART = 2 / 3
"""Neighbours that overlap less are apart. At spread 1 exploring runs learn more slowly at an increment of 3 pixels,
where the overlap is 0.57, and not at 2 pixels, where it is 0.78."""
ORDERED = 0.5
"""A manifold is in order when O is at least this."""
FLAT = 0.05
"""A manifold is flat when F is at most this. Noise has 0.16 to 0.19, a sheet 0.001 to 0.005."""
PASSED_THROUGH = 0.9
"""Where O is above this before training, the tap holds the label itself, and O says nothing of learning."""


def one_bump(run: Curves) -> Curve:
    """The share of images with exactly one bump: ``[checkpoints]``."""
    return run[RIGHT] + run[WRONG]


def step_at(run: Curves, curve: Curve, level: float, what: str) -> float:
    """The step where the curve crosses the level for good. Raises `Undefined` where it does not: ``what`` names it."""
    low, high = run.crossing(curve, level)
    if math.isinf(high):
        raise Undefined(f"{what} is not reached in {run.steps[-1]:g} steps")
    if low <= 0:
        raise Undefined(f"{what} is reached before training")
    return low


def log2_ratio(later: Bounds, earlier: Bounds) -> Bounds:
    """Doublings of steps from ``earlier`` to ``later``, each given by its bounds (`Curves.crossing`).

    A step that was not reached leaves a bound infinite. Raises `Undefined` where both were not reached, or one was
    before training.
    """
    if min(later[0], earlier[0]) <= 0:
        raise Undefined("a level is reached before training")
    if math.isinf(later[1]) and math.isinf(earlier[1]):
        raise Undefined("neither level is reached")
    low = -math.inf if math.isinf(earlier[1]) else math.log2(later[0] / earlier[1])
    high = math.inf if math.isinf(later[1]) else math.log2(later[1] / earlier[0])
    return low, high


def area_of(name: str) -> Callable[[SeedRuns], Sequence[float]]:
    """Scores of conditions: the area under the curve of this name over the logarithm of the steps."""
    return lambda runs: [run.area(name) for run in runs.values()]


def last_of(name: str) -> Callable[[SeedRuns], Sequence[float]]:
    """Scores of conditions: the last value of this name."""
    return lambda runs: [run.last(name) for run in runs.values()]


def require_not_told(run: Curves, role: str = "layer4") -> None:
    """Raises `Undefined` where the role holds the label before training: its order then tells nothing of learning."""
    before = float(run[f"{role}.told"][0])
    if before > PASSED_THROUGH:
        raise Undefined(f"{role} holds the label before training (O {before:.2f}): its order is not learned")


def require_learned(run: Curves, which: str) -> None:
    """Raises `Undefined` where at most half of the run's last images are right. ``which`` names the run."""
    if not run.last(RIGHT) > HALF:
        raise Undefined(f"{which} has not learned: {run.last(RIGHT):.0%} of its last images are right")


def apart(dense: RunSpec, sparse: RunSpec) -> float:
    """How clearly the data tell two increments apart: 1 is just enough (`APART`).

    The larger of two numbers: how often the dense set is seen, and by how much the neighbours of the sparse set
    overlap less than `APART`.
    """
    data = sparse.data
    overlap = math.exp(-(max(data.dx, data.dy) ** 2) / (16 * data.sigma**2))
    return max(epochs(dense, dense.training.steps), APART / overlap)


def labels_in(spec: RunSpec) -> int:
    """How many labels a run's training set has, with none left out."""
    across, down = (math.ceil(spec.data.image_size / d - 1e-9) for d in (spec.data.dx, spec.data.dy))
    return across * down


def epochs(spec: RunSpec, steps: float) -> float:
    """How often each label of the training set was seen by this step, on average."""
    return steps * spec.training.batch_size / labels_in(spec)


def times_its_own(run: Curves) -> Bounds:
    """Bounds of the steps of training in times of the run's own time to half of right bumps.

    Raises `Undefined` where the untrained network already draws right bumps.
    """
    low, high = run.crossing(run[RIGHT], HALF)
    if low <= 0:
        raise Undefined("the untrained network already draws right bumps")
    return float(run.steps[-1]) / high, float(run.steps[-1]) / low


def least_training(runs: SeedRuns) -> Bounds:
    """`times_its_own` of the run that has the least."""
    of_runs = [times_its_own(run) for run in runs.values()]
    lows, highs = zip(*of_runs, strict=True)
    return float(np.min(lows)), float(np.min(highs))


def where_learned(effect: Callable[[SeedRuns], Read]) -> Callable[[SeedRuns], Read]:
    """The same effect or scores of runs by increment, where the densest run has learned to draw.

    They raise `Undefined` elsewhere: networks that learn nothing are tied, and a tie there tells nothing.
    """

    def learned(runs: SeedRuns) -> Read:
        condition = _condition_at(runs, min)
        require_learned(runs[condition], f"the densest run {condition}")
        return effect(runs)

    return learned


def areas_of_order(runs: SeedRuns) -> Sequence[float]:
    """The area of O of each run. Raises `Undefined` where the layer holds the label before training."""
    for run in runs.values():
        require_not_told(run)
    return area_of(TOLD)(runs)


def one_for_all(pick: Callable[[Sequence[float]], float]) -> Change:
    """One run under every name: the condition changes nothing. ``pick`` chooses its level."""

    def change(runs: SeedRuns) -> SeedRuns:
        return under_every_name(runs[_condition_at(runs, pick)], runs)

    return change


def under_every_name(run: Curves, runs: SeedRuns) -> dict[str, Curves]:
    """The rows of one run under every name. Each condition keeps its own spec, which some effects read."""
    return {condition: replace(run, spec=own.spec) for condition, own in runs.items()}


def paced(pick: Callable[[Sequence[float]], float], slope: float) -> Change:
    """A planted trend in pace: the share of training that a run has had falls as its level to the power ``slope``.

    The run at the level that ``pick`` chooses stands in for all others. Its curves are read at ``step / factor``, so
    that all runs end at the same step.
    """

    def change(runs: SeedRuns) -> SeedRuns:
        chosen = _condition_at(runs, pick)
        of_chosen = dict(zip(runs, levels(list(runs)), strict=True))[chosen]
        factors = [(level / of_chosen) ** slope for level in levels(list(runs))]
        fastest = min(factors)
        alike = under_every_name(runs[chosen], runs)
        return {c: run.delayed(factor / fastest) for (c, run), factor in zip(alike.items(), factors, strict=True)}

    return change


def _condition_at(runs: SeedRuns, pick: Callable[[Sequence[float]], float]) -> str:
    of_conditions = levels(list(runs))
    return list(runs)[of_conditions.index(pick(of_conditions))]
