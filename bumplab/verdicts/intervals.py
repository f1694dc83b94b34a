"""Confidence intervals valid at three to eight training runs.

Seeds are never bootstrapped: at 3 seeds a nominal 95 % interval then covers 70 %.

All limits are one-sided: each is exceeded with probability at most ``alpha``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Bounds = tuple[float, float]
"""What is known of one seed's effect: (value, value), or wider where a time was not reached (interval censoring)."""


@dataclass(frozen=True)
class Interval:
    """An estimate (None where censoring leaves it open) and its limits, which may be infinite."""

    estimate: float | None
    low: float
    high: float


class Undefined(Exception):
    """An effect that these runs do not define; the message says why, for the verdict's reason."""


def student_t(effects: Sequence[Bounds], alpha: float, resolution: float = 0.0) -> Interval:
    """Limits for the mean effect over seeds: mean -+ t(n - 1) * sd / sqrt(n).

    With censored effects the lower limit takes each seed at its least and the upper at its most. ``resolution`` is the
    least difference the measurement can show: seeds that agree by rounding are not taken to agree exactly.
    """
    if len(effects) < 2:
        raise Undefined("one seed has no spread")
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


def fieller(pairs: Sequence[Bounds], alpha: float) -> Interval:
    """Limits for the ratio of two means, from (numerator, denominator) pairs of one seed each (Fieller 1954).

    Raises `Undefined` where the denominator cannot be told from zero: any ratio is then possible.
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
    if bottom <= 0 or a <= 0:
        raise Undefined(f"the denominator, {bottom:.3g} on average, cannot be told from zero")
    root = math.sqrt(max(b * b - a * c, 0.0))
    return Interval(top / bottom, (b - root) / a, (b + root) / a)
