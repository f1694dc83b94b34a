"""Evidence is an e-value: where the part is false its mean is 1, after any number of seeds and whenever one stops."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from bumplab.verdicts.evidence import (
    GUARD,
    MOST_EXACT,
    compared,
    correlation,
    counted,
    fewest_seeds,
    guarded,
    largest_factor,
    smallest_factor,
)

SEEDS = st.integers(1, 9)
CONDITIONS = st.integers(2, 5)
NUMBER = st.floats(-1e3, 1e3, allow_subnormal=False)


def scores_and_weights(values):
    """As many scores as weights; the weights are not all equal."""
    return CONDITIONS.flatmap(
        lambda n: st.tuples(
            st.lists(values, min_size=n, max_size=n),
            st.lists(st.integers(-3, 3), min_size=n, max_size=n).filter(lambda weights: len(set(weights)) > 1),
        )
    )


@given(seeds=SEEDS)
def test_counted_evidence_has_mean_1_where_half_of_the_seeds_are_hits(seeds):
    every = [counted(sum(hits), seeds - sum(hits)) for hits in product((0, 1), repeat=seeds)]
    assert np.mean(every) == pytest.approx(1)


@given(last=SEEDS, needed=st.floats(1.5, 40), share=st.floats(0, 0.5))
def test_stopping_at_will_gains_nothing(last, needed, share):
    """Exact: a session stops where the evidence is enough. The mean at its end is 1 at the edge, and less below it."""

    def mean_at_end(hits, misses):
        evidence = counted(hits, misses)
        if evidence >= needed or hits + misses == last:
            return evidence
        return share * mean_at_end(hits + 1, misses) + (1 - share) * mean_at_end(hits, misses + 1)

    assert mean_at_end(0, 0) <= 1 + 1e-9
    if share == 0.5:
        assert mean_at_end(0, 0) == pytest.approx(1)


@given(hits=st.integers(0, 40), misses=st.integers(0, 40))
def test_a_hit_adds_evidence_and_a_miss_takes_some(hits, misses):
    assert counted(hits, misses + 1) < counted(hits, misses) < counted(hits + 1, misses)


@given(last=st.integers(1, 30), needed=st.floats(4, 400), share=st.floats(0, 0.5))
def test_where_half_of_the_seeds_are_hits_no_factors_reach_the_evidence_often(last, needed, share):
    """Exact: the chance that huge factors ever have this evidence."""
    waiting, reached = {0: 1.0}, 0.0  # the chance of each number of hits, and that of the evidence
    for seeds in range(1, last + 1):
        after = {}
        for hits, chance in waiting.items():
            after[hits] = after.get(hits, 0.0) + (1 - share) * chance
            after[hits + 1] = after.get(hits + 1, 0.0) + share * chance
        enough = {hits for hits in after if guarded(1e9, hits, seeds - hits) >= needed}
        reached += sum(after.pop(hits) for hits in enough)
        waiting = after
    assert reached <= GUARD / needed


@given(factors=st.floats(0, 1e6), hits=st.integers(0, 20), misses=st.integers(0, 20))
def test_compared_evidence_is_neither_above_its_factors_nor_above_its_seeds(factors, hits, misses):
    evidence = guarded(factors, hits, misses)
    assert evidence in (factors, GUARD * counted(hits, misses))
    assert evidence <= min(factors, GUARD * counted(hits, misses))


@given(needed=st.floats(1.5, 1e6))
def test_the_fewest_seeds_are_all_hits_and_one_less_is_not_enough(needed):
    seeds = fewest_seeds(needed)
    assert counted(seeds, 0) >= needed > counted(seeds - 1, 0)


@given(made=scores_and_weights(NUMBER | st.sampled_from([0.0, 1.0])))
def test_compared_evidence_has_mean_1_over_all_orders_of_the_scores_with_ties_too(made):
    scores, weights = made
    assert np.mean([compared(order, weights) for order in permutations(scores)]) == pytest.approx(1)


@given(made=scores_and_weights(NUMBER), factor=st.floats(0.01, 100), shift=NUMBER)
def test_only_the_order_of_scores_counts(made, factor, shift):
    scores, weights = made
    grid = [round(score) for score in scores]  # so that no difference is lost where numbers are shifted
    moved = [factor * score + shift for score in grid]
    assert compared(moved, weights) == pytest.approx(compared(grid, weights))


@given(made=scores_and_weights(NUMBER | st.sampled_from([0.0, 1.0])), fraction=st.floats(0, 1))
def test_no_factor_is_beyond_the_smallest_and_the_largest(made, fraction):
    """Futility rests on it. Weights that are close make ties the best order."""
    scores, weights = made
    weights = [weight * fraction if abs(weight) == 1 else weight for weight in weights]
    assert smallest_factor(weights) - 1e-9 <= compared(scores, weights) <= largest_factor(weights) + 1e-9


def test_tied_scores_follow_close_weights_best():
    weights = [0.0, 0.01, 1.0]
    assert largest_factor(weights) == compared([0, 0, 1], weights) > compared([0, 1, 2], weights)
    assert smallest_factor(weights) == compared([1, 1, 0], weights) < compared([2, 1, 0], weights)


@given(made=scores_and_weights(NUMBER))
def test_the_correlation_is_spearmans_where_weights_are_ranks(made):
    scores, _ = made
    scores = [round(score) for score in scores]
    weights = list(range(len(scores)))
    expected = 0.0 if len(set(scores)) == 1 else spearmanr(scores, weights).statistic
    assert correlation(scores, weights) == pytest.approx(expected, abs=1e-9)


def test_an_order_without_a_trend_is_on_neither_side_of_0():
    """Six orders of five scores. Rounding errors would put some of them inside a region above 0."""
    near = [correlation(order, range(5)) for order in permutations(range(5))]
    assert [rho for rho in near if abs(rho) < 0.05] == [0] * 6


def test_scores_that_differ_by_rounding_alone_are_tied():
    assert correlation([1.0, 1.0 + 1e-12, 1.0 - 1e-12], [0, 1, 2]) == 0
    assert compared([5.0, 5.0 + 1e-11], [0, 1]) == 1


def test_many_conditions_are_weighed_by_sampled_orders():
    """With more than 7 conditions the mean over random orders of the scores is still about 1."""
    weights = list(range(MOST_EXACT + 2))
    random = np.random.default_rng(0)
    factors = [compared(random.permutation(len(weights)), weights) for _ in range(1_000)]
    assert np.mean(factors) == pytest.approx(1, abs=0.3)
    assert largest_factor(weights) > largest_factor(weights[:MOST_EXACT]) / 2 > 1


@pytest.mark.parametrize(("conditions", "factor"), [(3, 3.2), (5, 11.0), (7, 26.0)])
def test_a_seed_in_the_right_order_multiplies_the_evidence_as_designed(conditions, factor):
    """The factors of section 4 of the design, on which the seeds needed were planned."""
    assert largest_factor(list(range(conditions))) == pytest.approx(factor, rel=0.05)
