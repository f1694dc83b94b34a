"""Confidence intervals that hold at three to eight training runs.

No interval bootstraps the seeds: a bootstrap's nominal 95 % interval covers 70 % at 3 seeds.

All limits are one-sided: the chance that the true value lies beyond one of them is at most ``alpha``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Datum = tuple[float, ...]
"""The numbers of one seed: bounds of an effect, the two numbers of a ratio, or levels and then their outcomes."""
Bounds = tuple[float, float]
"""Bounds of one seed's effect: (value, value), or wider where a level was not reached (interval censoring)."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its limits. Censoring leaves the estimate None. The limits may be infinite."""

    estimate: float | None
    low: float
    high: float


class Undefined(Exception):
    """The runs do not define the effect. The message gives the reason, which the verdict quotes."""


class Tied(Undefined):
    """All seeds agree exactly, so their spread is unknown. Limits of width 0 would be too narrow."""


class Futile(Undefined):
    """An effect that stays undefined however many seeds are added."""


def student_t(effects: Sequence[Datum], alpha: float, resolution: float = 0.0) -> Interval:
    """Limits for the mean effect over seeds: mean -+ t(n - 1) * sd / sqrt(n).

    The lower limit takes each seed's lower bound, the upper limit its upper bound. ``resolution`` is the least standard
    deviation that the limits use. Raises `Tied` where all effects are equal and ``resolution`` is 0, and `Undefined`
    for fewer than 2 seeds.
    """
    if len(effects) < 2:
        raise Undefined("one seed has no spread")
    if not resolution and agree(effects):
        raise Tied(f"all {len(effects)} seeds agree exactly, so their spread is unknown")
    limits = []
    for side, sign in ((0, -1.0), (1, 1.0)):
        values = np.array([effect[side] for effect in effects])
        if not np.isfinite(values).all():
            limits.append(sign * math.inf)
            continue
        spread = max(float(values.std(ddof=1)), resolution)
        t = float(stats.t.ppf(1 - alpha, len(values) - 1))
        limits.append(float(values.mean()) + sign * t * spread / math.sqrt(len(values)))
    exact = all(low == high for low, high in effects)
    return Interval(float(np.mean(effects)) if exact else None, limits[0], limits[1])


def agree(effects: Sequence[Datum]) -> bool:
    """Whether all seeds have the same datum, up to rounding: a planted effect differs in its last digits."""
    values = np.array(effects, dtype=np.float64)
    finite = values[:, np.isfinite(values).all(axis=0)]
    tolerance = 1e-9 * np.maximum(1.0, np.abs(finite).max(axis=0, initial=0.0))
    return bool(finite.size and (np.ptp(finite, axis=0) <= tolerance).all())


def fieller(pairs: Sequence[Datum], alpha: float) -> Interval:
    """Limits for the ratio of two means (Fieller 1954), from one (numerator, denominator) pair a seed.

    Raises `Undefined` where the denominator may be zero: then every ratio is possible. Raises `Futile` where the
    denominator's 95 % limit is below zero: giving up early can make no claim SUPPORTED. Raises `Tied` where all pairs
    are equal.
    """
    if len(pairs) < 2:
        raise Undefined("one seed has no spread")
    values = np.array(pairs, dtype=np.float64)
    n = len(values)
    top, bottom = (float(mean) for mean in values.mean(axis=0))
    covariance = np.cov(values.T) / n
    g = float(stats.t.ppf(1 - alpha, n - 1)) ** 2
    a = bottom**2 - g * covariance[1, 1]
    b = top * bottom - g * covariance[0, 1]
    c = top**2 - g * covariance[0, 0]
    if bottom + float(stats.t.ppf(0.95, n - 1)) * math.sqrt(covariance[1, 1]) < 0:
        raise Futile(f"the denominator, {bottom:.3g} on average, is below zero")
    if bottom <= 0 or a <= 0:
        raise Undefined(f"the denominator, {bottom:.3g} on average, cannot be told from zero")
    if agree(pairs):
        raise Tied(f"all {len(pairs)} seeds agree exactly, so their spread is unknown")
    root = math.sqrt(max(b * b - a * c, 0.0))
    return Interval(top / bottom, (b - root) / a, (b + root) / a)


def certain(effects: Sequence[Datum], alpha: float) -> Interval:
    """The effect itself, of the one datum of a claim in which nothing is drawn at random."""
    ((value, _),) = effects
    return Interval(value, value, value)


STEEPEST = 50.0
"""Log-odds per unit of level. `exact_trend` calls a limit beyond it infinite."""


def exact_trend(rows: Sequence[Datum], alpha: float) -> Interval:
    """Exact conditional limits for the trend of a yes-or-no outcome over levels, as log-odds per unit of level.

    A row holds one seed's levels and then an outcome (0 or 1) for each. The method is conditional logistic regression
    with the seed as stratum (Cox 1970). The number of a seed's outcomes that are 1 is held fixed; the slope alone then
    sets the chance of each arrangement. The limits invert the exact distribution of ``sum(level * outcome)``, so they
    hold at any number of seeds. The estimate is the conditional maximum, which may be infinite. Raises `Undefined`
    where no seed has both outcomes.
    """
    strata = []
    observed = 0.0
    for row in rows:
        half = len(row) // 2
        # Rounded to hundredths of a doubling: ten irrational levels would give too many different totals to count.
        levels, outcomes = np.round(row[:half], 2), np.array(row[half:])
        ones = int(outcomes.sum())
        if 0 < ones < half:
            strata.append([float(levels[list(which)].sum()) for which in combinations(range(half), ones)])
            observed += float(levels @ outcomes)
    if not strata:
        raise Undefined("no seed has both outcomes: nothing to compare between levels")
    # Distribution of the total over seeds at slope 0. Any other slope only weights these totals.
    values: NDArray[np.float64] = np.zeros(1)
    counts: NDArray[np.float64] = np.ones(1)
    for sums in strata:
        each, ways = np.unique(np.round(sums, 9), return_counts=True)
        values, at = np.unique(np.round(np.add.outer(values, each), 9), return_inverse=True)
        counts = np.bincount(at.ravel(), np.multiply.outer(counts, ways).ravel()).astype(np.float64)

    def chances(slope: float) -> NDArray[np.float64]:
        weights = np.log(counts) + slope * (values - observed)
        weights = np.exp(weights - weights.max())
        return np.asarray(weights / weights.sum())

    def solve(error: Callable[[float], float], at_infinity: float) -> float:
        if error(-STEEPEST) * error(STEEPEST) > 0:
            return at_infinity
        return float(optimize.brentq(error, -STEEPEST, STEEPEST))

    low = solve(lambda slope: float(chances(slope)[values >= observed - 1e-6].sum()) - alpha, -math.inf)
    high = solve(lambda slope: float(chances(slope)[values <= observed + 1e-6].sum()) - alpha, math.inf)
    if observed >= values.max() - 1e-6:
        middle = math.inf
    elif observed <= values.min() + 1e-6:
        middle = -math.inf
    else:
        middle = solve(lambda slope: float(chances(slope) @ values) - observed, math.nan)
    return Interval(middle, low, high)
