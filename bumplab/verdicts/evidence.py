"""Evidence that grows seed by seed: how strongly the runs speak against "the part is false".

Each function gives an e-value: where the part is false, its mean is at most 1 after any number of seeds. By Ville's
inequality the chance that it ever reaches ``x`` is then at most ``1 / x``. So seeds can be added one at a time, over
sessions and nights, and a verdict may be read after each of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

FAMILY_ALPHA = 0.05
"""Upper bound of the chance that any claim of the suite is falsely SUPPORTED, and of any falsely CONTRADICTED."""
LATER_ALPHA = 0.005
"""Upper bound of what all later registrations of changed claims together add to each of these two chances."""
CONTROL_NEEDED = 20.0
"""Evidence that a control needs. It guards a claim and spends none of the suite's error rate."""
HIT, MISS = 1.8, 0.2
"""Factors of a seed that is in the region, and of one that is not. With equal chances their mean is 1."""
GUARD = 3.0
"""Factor of the counted evidence that caps that of compared conditions (`guarded`).

Without it a part is supported in 19 % of sessions where the scores of five conditions rise in half of the seeds and
fall in the others; with it in about 1 % (benchmarks/verdicts.py). With evidence of 180 it asks for 7 seeds of 7.
"""
STRENGTHS = {2: 1.0, 3: 2.0, 4: 3.0, 5: 4.0, 6: 4.5, 7: 5.0}
"""Weight of the rank correlation in `compared`, by the number of conditions; with more conditions as with 7."""
MOST_EXACT = 7
"""Up to this many conditions all their orders are counted. With more, `SAMPLED` orders stand for them."""
SAMPLED = 5_040
TIED = 1e-9
"""Scores that differ by less, relative to the largest, are tied."""
DIGITS = 12
"""Correlations are rounded to so many digits, as rounding errors would put some that are 0 above it."""


def counted(hits: int, misses: int) -> float:
    """Evidence that more than half of all seeds are hits, after ``hits`` hits and ``misses`` other seeds.

    The mean of two bets on each seed: all on a hit, and `HIT` against `MISS`. The first grows fastest where every seed
    is a hit; the second survives a seed that is not.
    """
    all_hits = 2.0**hits if not misses else 0.0
    return 0.5 * all_hits + 0.5 * HIT**hits * MISS**misses


def guarded(factors: float, hits: int, misses: int) -> float:
    """Evidence of compared conditions: the product of the seeds' factors, at most `GUARD` times the `counted` evidence.

    The product speaks against "the condition has no effect" (`compared`), the counted evidence for the typical seed.
    Where half of the seeds are hits, it ever reaches ``x`` with a chance of at most ``GUARD / x``.
    """
    return min(factors, GUARD * counted(hits, misses))


def fewest_seeds(needed: float) -> int:
    """The fewest seeds whose `counted` evidence can reach ``needed``: all of them are hits."""
    seeds = 0
    while counted(seeds, 0) < needed:
        seeds += 1
    return seeds


def ranked(scores: Sequence[float]) -> NDArray[np.float64]:
    """The ranks of a seed's scores, one a condition, centred on 0: ``[L]``. Tied scores share a rank."""
    values = np.asarray(scores, dtype=np.float64)
    grain = TIED * max(1.0, float(np.abs(values).max(initial=0.0)))
    values = np.round(values / grain) if grain else values
    smaller, tied = (values[:, None] > values).sum(axis=1), (values[:, None] == values).sum(axis=1)
    ranks = np.where(np.isnan(values), np.nan, smaller + (tied + 1) / 2)  # scipy.stats takes 0.6 s to import
    return np.asarray(ranks - ranks.mean())


def correlation(scores: Sequence[float], weights: Sequence[float]) -> float:
    """Correlation of the ranks of a seed's scores with the weights of their conditions, -1 to 1.

    0 where all scores are tied: then they say nothing of the conditions.
    """
    return round(float(_unit(ranked(scores)) @ _unit(np.asarray(weights, dtype=np.float64))), DIGITS)


def compared(scores: Sequence[float], weights: Sequence[float]) -> float:
    """The factor of one seed: evidence that its scores follow the weights of their conditions.

    Where the condition has no effect, all orders of a seed's scores are equally likely. The factor is ``exp(s * rho)``
    over its mean over all orders. ``rho`` is the `correlation`, ``s`` its weight by `STRENGTHS`. With more than
    `MOST_EXACT` conditions the mean runs over the seed's own order and `SAMPLED` others, which is as valid.

    It is evidence against "no effect", not for "more than half of all seeds". So `guarded` caps the product of the
    seeds' factors.
    """
    strength = STRENGTHS[min(len(scores), max(STRENGTHS))]
    ranks, direction = _unit(ranked(scores)), _unit(np.asarray(weights, dtype=np.float64))
    every = np.exp(strength * ranks[_orders(len(ranks))] @ direction)
    return float(math.exp(strength * float(ranks @ direction)) / every.mean())


def largest_factor(weights: Sequence[float]) -> float:
    """The largest factor that one seed's scores can have: they follow the weights, with ties or without."""
    return _extremes(tuple(map(float, weights)))[1]


def smallest_factor(weights: Sequence[float]) -> float:
    """The smallest factor that one seed's scores can have. A seed without scores counts so."""
    return _extremes(tuple(map(float, weights)))[0]


@cache
def _extremes(weights: tuple[float, ...]) -> tuple[float, float]:
    """The smallest and the largest factor. Scores may tie: where two weights are close, ties follow them better.

    With more than `MOST_EXACT` conditions, of which there are many ties, only scores without ties are tried.
    """
    order = np.argsort(weights, kind="stable")
    last = len(weights) - 1
    steps = product((0, 1), repeat=last) if last < MOST_EXACT else [(1,) * last]
    smallest = largest = 1.0
    for step in steps:
        scores = np.empty(len(weights))
        scores[order] = np.cumsum([0, *step])
        smallest = min(smallest, compared(list(-scores), weights))
        largest = max(largest, compared(list(scores), weights))
    return smallest, largest


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred and of length 1; zeros where all values are equal."""
    centred = values - values.mean()
    length = float(np.linalg.norm(centred))
    return centred / length if length else np.zeros_like(centred)


@cache
def _orders(count: int) -> NDArray[np.intp]:
    """Orders of ``count`` conditions, one a row. The first keeps the order."""
    if count <= MOST_EXACT:
        return np.array(list(permutations(range(count))), dtype=np.intp)
    random = np.random.default_rng(0)
    others = [random.permutation(count) for _ in range(SAMPLED)]
    return np.array([np.arange(count), *others], dtype=np.intp)
