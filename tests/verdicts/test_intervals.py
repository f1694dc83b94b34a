"""Intervals against SciPy and against simulation: each limit is exceeded as seldom as it says."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from bumplab.verdicts.intervals import Futile, Tied, Undefined, agree, fieller, student_t

DRAWS = 1_000


def exact(values):
    return [(float(v), float(v)) for v in values]


def assert_rate(hits, alpha, draws=DRAWS):
    """The count is within four standard errors of draws * alpha."""
    assert abs(hits - draws * alpha) < 4 * math.sqrt(draws * alpha * (1 - alpha))


def test_student_t_is_scipys_interval():
    for n, alpha in ((2, 0.05), (3, 0.0125), (8, 0.05), (8, 0.0125)):
        values = np.random.default_rng(n).normal(3, 2, n)
        interval = student_t(exact(values), alpha)
        expected = stats.ttest_1samp(values, 0).confidence_interval(1 - 2 * alpha)
        assert interval.estimate == pytest.approx(values.mean()), (n, alpha)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high)), (n, alpha)


def test_each_one_sided_limit_covers_the_mean_as_often_as_stated():
    alpha, mean = 0.05, 1.7
    samples = np.random.default_rng(103).normal(mean, 0.8, (DRAWS, 3))
    intervals = [student_t(exact(sample), alpha) for sample in samples]
    assert_rate(sum(interval.low > mean for interval in intervals), alpha)
    assert_rate(sum(interval.high < mean for interval in intervals), alpha)


def test_censored_effects_leave_the_limit_open_on_their_side():
    effects = [*exact([1.0, 1.2, 0.9]), (1.1, math.inf)]
    interval = student_t(effects, 0.05)
    assert interval.high == math.inf
    assert interval.low == pytest.approx(student_t(exact([1.0, 1.2, 0.9, 1.1]), 0.05).low)
    assert interval.estimate is None
    below = student_t([*exact([1.0, 1.2, 0.9]), (-math.inf, 1.1)], 0.05)
    assert below.low == -math.inf
    assert below.high == pytest.approx(student_t(exact([1.0, 1.2, 0.9, 1.1]), 0.05).high)
    both = student_t([(-math.inf, 1.0), (1.0, math.inf)], 0.05)
    assert (both.low, both.high) == (-math.inf, math.inf)


def test_bounds_take_each_seed_at_its_least_and_at_its_most():
    interval = student_t([(1.0, 2.0), (3.0, 5.0), (2.0, 2.0)], 0.05)
    assert interval.low == pytest.approx(student_t(exact([1, 3, 2]), 0.05).low)
    assert interval.high == pytest.approx(student_t(exact([2, 5, 2]), 0.05).high)


def test_resolution_floors_the_spread():
    floored = student_t(exact([0.5, 0.5, 0.5]), 0.05, resolution=0.01)
    half = stats.t.ppf(0.95, 2) * 0.01 / math.sqrt(3)
    assert (floored.low, floored.high) == pytest.approx((0.5 - half, 0.5 + half))
    spread = exact([0.1, 0.5, 0.9])
    assert student_t(spread, 0.05, resolution=0.01) == student_t(spread, 0.05)


@given(value=st.floats(-1e6, 1e6), seeds=st.integers(2, 32), noise=st.lists(st.floats(-1, 1), min_size=32, max_size=32))
def test_seeds_that_agree_give_no_limits_however_many_they_are(value, seeds, noise):
    """Up to rounding, as a planted effect is computed in each seed anew; also where a level was never reached."""
    rounded = [value * (1 + 1e-15 * n) for n in noise[:seeds]]
    for tied in (exact(rounded), [(v, math.inf) for v in rounded], [(-math.inf, v) for v in rounded]):
        with pytest.raises(Tied, match=f"all {seeds} seeds agree exactly"):
            student_t(tied, 0.05)
    with pytest.raises(Tied):
        fieller([(v, 2.0) for v in rounded], 0.05)
    apart = [*rounded[1:], value + 1e-3 * (1 + abs(value))]
    interval = student_t(exact(apart), 0.05)
    assert interval.low < interval.high


def test_one_seed_gives_no_interval():
    for interval in (student_t, fieller):
        for count in (0, 1):
            with pytest.raises(Undefined, match="one seed"):
                interval([(1.0, 1.0)] * count, 0.05)


numbers = st.floats(-100, 100)
widths = st.floats(0, 50) | st.just(math.inf)
bounds = st.builds(lambda low, width: (low, low + width), numbers, widths) | st.builds(
    lambda high, width: (high - width, high), numbers, widths
)


@given(effects=st.lists(bounds, min_size=2, max_size=8), at=st.integers(0, 7), side=st.integers(0, 1))
def test_opening_one_side_of_one_seed_never_narrows(effects, at, side):
    """Only an infinite bound contains what any finite one gave: a finite one also moves the spread over seeds."""
    assume(not agree(effects))
    before = student_t(effects, 0.05)
    low, high = effects[at % len(effects)]
    opened = [*effects]
    opened[at % len(effects)] = (low, math.inf) if side else (-math.inf, high)
    assume(not agree(opened))
    after = student_t(opened, 0.05)
    assert after.low <= before.low
    assert after.high >= before.high


@given(values=st.lists(numbers, min_size=2, max_size=8), by=st.floats(0, 50))
def test_widening_all_seeds_by_the_same_amount_never_narrows(values, by):
    assume(not agree(exact(values)))
    before = student_t(exact(values), 0.05)
    after = student_t([(v - by, v + by) for v in values], 0.05)
    slack = 1e-9 * (1 + max(map(abs, values)) + by)
    assert after.low <= before.low + slack
    assert after.high >= before.high - slack


@given(effects=st.lists(bounds, min_size=2, max_size=8), alphas=st.tuples(*[st.floats(0.001, 0.4)] * 2))
def test_a_smaller_alpha_never_narrows(effects, alphas):
    assume(not agree(effects))
    wide, narrow = student_t(effects, min(alphas)), student_t(effects, max(alphas))
    assert wide.low <= narrow.low + 1e-9
    assert wide.high >= narrow.high - 1e-9


pairs = st.lists(st.tuples(st.floats(-10, 10), st.floats(1, 20)), min_size=3, max_size=8)


@given(pairs=pairs, alphas=st.tuples(*[st.floats(0.01, 0.3)] * 2))
def test_fieller_holds_its_estimate_and_never_narrows_at_a_smaller_alpha(pairs, alphas):
    try:
        wide = fieller(pairs, min(alphas))
    except Undefined:
        assume(False)
    narrow = fieller(pairs, max(alphas))
    slack = 1e-6 * (1 + abs(wide.low) + abs(wide.high))
    assert wide.low <= wide.estimate + slack
    assert wide.high >= wide.estimate - slack
    assert wide.low <= narrow.low + slack
    assert wide.high >= narrow.high - slack


def test_fieller_covers_a_planted_ratio():
    """Top and bottom are correlated, as times of one seed are."""
    for n, ratio in ((3, 0.0), (5, 0.4), (3, 1.2)):
        alpha, random = 0.05, np.random.default_rng(n)
        bottom = 100 + random.normal(0, 10, (DRAWS, n))
        top = ratio * 100 + 0.3 * (bottom - 100) + random.normal(0, 8, (DRAWS, n))
        intervals = [fieller(list(zip(*pair, strict=True)), alpha) for pair in zip(top, bottom, strict=True)]
        assert_rate(sum(interval.low > ratio for interval in intervals), alpha)
        assert_rate(sum(interval.high < ratio for interval in intervals), alpha)


def test_fieller_of_equal_ratios_is_that_ratio():
    interval = fieller([(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)], 0.05)
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((0.5, 0.5, 0.5))


def test_fieller_is_undefined_where_the_denominator_may_be_zero_and_futile_below():
    for bottoms in [(-1.0, 1.0, 0.5), (0.1, 5.0, 0.2), (0.0, 0.0, 0.0), (-5.0, 1.0, -2.0)]:
        with pytest.raises(Undefined, match="cannot be told from zero") as undefined:
            fieller([(1.0, bottom) for bottom in bottoms], 0.05)
        assert not isinstance(undefined.value, Futile), f"more seeds may tell: {bottoms}"
    with pytest.raises(Futile, match="is below zero"):
        fieller([(1.0, bottom) for bottom in (-5.0, -5.1, -5.2)], 0.05)
