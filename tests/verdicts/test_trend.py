"""`exact_trend` against enumeration of all outcomes and against simulation; `certain`."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.verdicts.intervals import Undefined, certain, exact_trend

LEVELS = (-2.0, 0.0, 1.0, 2.5)


def row(*outcomes, levels=LEVELS):
    return (*levels, *map(float, outcomes))


def chance_of_at_least(rows, slope):
    """By enumeration of every way the outcomes of each seed could have fallen, given how many are 1."""
    half = len(LEVELS)
    observed = sum(np.dot(r[:half], r[half:]) for r in rows)
    weights, totals = [], []
    ways = [[w for w in itertools.product((0, 1), repeat=half) if sum(w) == sum(r[half:])] for r in rows]
    for chosen in itertools.product(*ways):
        total = sum(np.dot(r[:half], w) for r, w in zip(rows, chosen, strict=True))
        totals.append(total)
        weights.append(math.exp(slope * (total - observed)))
    totals, weights = np.array(totals), np.array(weights) / sum(weights)
    return {
        "least": float(weights[totals >= observed - 1e-9].sum()),
        "most": float(weights[totals <= observed + 1e-9].sum()),
        "mean": float(weights @ totals) - observed,
    }


SEVERAL = [
    [row(0, 0, 1, 1), row(0, 1, 0, 1), row(0, 0, 0, 1)],
    [row(1, 0, 0, 1), row(0, 1, 1, 0), row(0, 0, 1, 0), row(1, 1, 0, 1)],
    [row(0, 1, 1, 1), row(0, 0, 0, 0), row(1, 1, 1, 1), row(1, 0, 1, 0)],
]


def test_the_limits_and_the_estimate_are_those_of_enumeration():
    for rows, alpha in zip(SEVERAL * 2, (0.05, 0.005, 0.05, 0.005, 0.05, 0.005), strict=True):
        trend = exact_trend(rows, alpha)
        assert trend.low < trend.estimate < trend.high, rows
        assert chance_of_at_least(rows, trend.low)["least"] == pytest.approx(alpha, rel=1e-6), rows
        assert chance_of_at_least(rows, trend.high)["most"] == pytest.approx(alpha, rel=1e-6), rows
        assert chance_of_at_least(rows, trend.estimate)["mean"] == pytest.approx(0, abs=1e-6), rows


def test_the_steepest_outcomes_are_open_upwards_and_as_unlikely_as_counted():
    """One failure a seed, always at the highest of four levels: by chance once in 4 ** seeds."""
    for seeds in (1, 2, 4, 6):
        rows = [row(0, 0, 0, 1)] * seeds
        by_chance = 0.25**seeds
        assert exact_trend(rows, by_chance * 1.01).low > 0, seeds
        assert exact_trend(rows, by_chance * 0.99).low < 0, seeds
        assert exact_trend(rows, 0.01).high == math.inf, seeds
        assert exact_trend(rows, 0.01).estimate == math.inf, seeds
        mirrored = exact_trend([row(1, 0, 0, 0)] * seeds, 0.01)
        assert (mirrored.low, mirrored.estimate) == (-math.inf, -math.inf), seeds


outcomes = st.lists(st.tuples(*[st.integers(0, 1)] * 4), min_size=1, max_size=5)


def limits(rows, alpha):
    try:
        trend = exact_trend(rows, alpha)
    except Undefined:
        return None
    return trend.low, trend.high, trend.estimate


@given(outcomes=outcomes)
def test_turning_all_outcomes_round_turns_the_interval_round(outcomes):
    before = limits([row(*o) for o in outcomes], 0.05)
    after = limits([row(*(1 - x for x in o)) for o in outcomes], 0.05)
    if before is None:
        assert after is None
    else:
        assert after == pytest.approx((-before[1], -before[0], -before[2]), abs=1e-6)


@given(outcomes=outcomes, seed=st.integers(0, 100))
def test_neither_the_order_of_seeds_nor_a_shift_of_levels_matters(outcomes, seed):
    rows = [row(*o) for o in outcomes]
    order = np.random.default_rng(seed).permutation(len(rows))
    shifted = [row(*outcomes[i], levels=tuple(level + 7 for level in LEVELS)) for i in order]
    before = limits(rows, 0.02)
    assert limits(shifted, 0.02) == (None if before is None else pytest.approx(before, abs=1e-6))


@given(outcomes=outcomes)
def test_a_seed_whose_outcomes_are_all_alike_says_nothing(outcomes):
    rows = [row(*o) for o in outcomes]
    assert limits([*rows, row(0, 0, 0, 0), row(1, 1, 1, 1)], 0.05) == limits(rows, 0.05)


@given(outcomes=outcomes, alphas=st.tuples(*[st.floats(0.001, 0.4)] * 2))
def test_a_smaller_alpha_never_narrows(outcomes, alphas):
    rows = [row(*o) for o in outcomes]
    wide, narrow = limits(rows, min(alphas)), limits(rows, max(alphas))
    if wide is not None:
        assert wide[0] <= narrow[0] + 1e-6
        assert wide[1] >= narrow[1] - 1e-6


def test_the_limits_cover_a_planted_slope_at_least_as_often_as_stated():
    """Seeds differ in how often they fail; the conditional limits do not mind."""
    for slope, seeds in ((0.0, 4), (0.8, 8)):
        random, draws, alpha = np.random.default_rng(seeds), 300, 0.05
        missed = {"low": 0, "high": 0}
        for _ in range(draws):
            odds = np.exp(random.normal(0, 1.5, (seeds, 1)) + slope * np.array(LEVELS))
            interval = limits([row(*o) for o in random.random((seeds, 4)) < odds / (1 + odds)], alpha)
            if interval is not None:
                missed["low"] += interval[0] > slope
                missed["high"] += interval[1] < slope
        most = draws * alpha + 3 * math.sqrt(draws * alpha)
        assert missed["low"] <= most, (slope, seeds)
        assert missed["high"] <= most, (slope, seeds)
        assert sum(missed.values()) > 0, (slope, seeds)


def test_without_a_seed_with_both_outcomes_there_is_no_trend():
    for rows in ([], [row(0, 0, 0, 0)], [row(1, 1, 1, 1), row(0, 0, 0, 0)]):
        with pytest.raises(Undefined, match="no seed has both outcomes"):
            exact_trend(rows, 0.05)


def test_what_is_certain_is_its_own_interval():
    for alpha in (0.05, 1e-9):
        interval = certain([(1.5, 1.5)], alpha)
        assert (interval.estimate, interval.low, interval.high) == (1.5, 1.5, 1.5)
