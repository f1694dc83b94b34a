"""Effects that several claims share: steps to half the ceiling, their trend over a condition, planted paces."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bumplab.verdicts.claim import Change, SeedRuns
from bumplab.verdicts.curves import Curve, Curves
from bumplab.verdicts.intervals import Bounds, Undefined

LEVEL = 0.5
"""A run has learned where its accuracy is above this share of its ceiling."""


def levels_of(runs: Mapping[str, object]) -> list[float]:
    """The numbers in conditions named ``<name>=<number>``, such as ``d=0.1``."""
    return [float(condition.split("=")[1]) for condition in runs]


def contrast(levels: Sequence[float]) -> Curve:
    """Weights ``w`` such that ``sum(w * y)`` is the least-squares slope of ``y`` over log2 of the levels."""
    x = np.log2(levels)
    x = x - x.mean()
    return np.asarray(x / (x @ x))


def log_time_slope(accuracy: Callable[[Curves], Curve]) -> Callable[[SeedRuns], Bounds]:
    """Doublings of the steps to `LEVEL` for each doubling of the condition, by least squares, within one seed.

    ``accuracy`` returns a run's accuracy over its ceiling: ``[checkpoints]``. A run that does not reach the level
    leaves one bound of the slope infinite. Raises `Undefined` where no run reaches the level, or one run does so before
    training.
    """

    def effect(runs: SeedRuns) -> Bounds:
        times = [run.crossing(accuracy(run), LEVEL) for run in runs.values()]
        if all(math.isinf(high) for _, high in times):
            raise Undefined(f"no run reaches half its ceiling in {times[0][0]:g} steps")
        if any(low <= 0 for low, _ in times):
            raise Undefined("an untrained network is already past half its ceiling")
        terms = [(w, low, high) for w, (low, high) in zip(contrast(levels_of(runs)), times, strict=True) if w]
        least = sum(w * math.log2(low if w > 0 else high) for w, low, high in terms)
        most = sum(w * math.log2(high if w > 0 else low) for w, low, high in terms)
        return float(least), float(most)

    return effect


def stretched(run: Curves, factor: float) -> Curves:
    """The same run with every step multiplied by ``factor``: a planted difference in pace."""
    return run.replaced({"step": run.steps * factor})


def paced(pick: Callable[[Sequence[float]], float], slope: float) -> Change:
    """A planted trend in pace: steps grow as the condition's level to the power ``slope``.

    ``pick`` chooses one of the levels. The run at that level stands in for all others.
    """

    def change(runs: SeedRuns) -> SeedRuns:
        levels = levels_of(runs)
        chosen = pick(levels)
        run = list(runs.values())[levels.index(chosen)]
        return {c: stretched(run, (level / chosen) ** slope) for c, level in zip(runs, levels, strict=True)}

    return change


def require_learned(run: Curves, condition: str) -> None:
    """Raises `Undefined` unless the run's last on-grid accuracy is above half of its ceiling."""
    learned = float(run.corrected("on_grid")[-1])
    if not learned > LEVEL:
        raise Undefined(f"the {condition} run has not learned: {learned:.2f} of its ceiling")
