"""From counted seeds to the verdict on a part: nothing is dropped, and nothing is claimed without its evidence."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.verdicts import evidence
from bumplab.verdicts.claim import FIRST_SEED, Region
from bumplab.verdicts.judging import judge, mark_of
from bumplab.verdicts.looks import Looks
from tests.verdicts.seeds import (
    EFFECTS,
    FOURTEEN,
    IN,
    LOOKS,
    NEITHER,
    OUT,
    compared,
    judged,
    part,
    premise,
    scores,
    seed,
)

DECIDED = {"SUPPORTED", "CONTRADICTED"}


# --- one seed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "region", "mark"),
    [
        (0.1, Region(low=0), "in"),
        (0.0, Region(low=0), "out"),  # regions are open
        (-0.1, Region(low=0), "out"),
        (0.0, Region(high=0), "out"),
        (0.4, Region(-0.5, 0.5), "in"),
        (0.5, Region(-0.5, 0.5), "out"),
        (-0.6, Region(-0.5, 0.5), "out"),
        ((0.1, math.inf), Region(low=0), "in"),
        ((-0.1, math.inf), Region(low=0), "neither"),
        ((-math.inf, 0.0), Region(low=0), "out"),
        ((0.4, 0.6), Region(-0.5, 0.5), "neither"),
        ((0.5, math.inf), Region(-0.5, 0.5), "out"),
        ((-math.inf, math.inf), Region(low=0), "neither"),
        (math.nan, Region(low=0), "neither"),
        ((math.nan, 1.0), Region(low=0), "neither"),
        (NEITHER, Region(low=0), "neither"),
        (np.float64(0.1), Region(low=0), "in"),
    ],
)
def test_where_an_effect_lies(effect, region, mark):
    marked = mark_of(part(region=region), seed(v=effect), 12)
    assert (marked.seed, marked.mark) == (12, mark)
    assert bool(marked.problem) == (mark == "neither")
    if isinstance(effect, str):
        assert (marked.low, marked.high, marked.problem) == (None, None, effect)


def test_a_failed_run_has_no_effect():
    marked = mark_of(part(), seed(failed="the loss is nan", v=IN), 10)
    assert (marked.mark, marked.low) == ("neither", None)
    assert "'a' failed: the loss is nan" in marked.problem


# --- one part -------------------------------------------------------------------------------------------------------


@given(effects=st.lists(EFFECTS, max_size=14), parts=st.integers(1, 4))
def test_a_part_is_decided_by_its_counted_evidence_alone(effects, parts):
    verdict = judged(effects, parts=parts)
    hits, outs, seeds = effects.count(IN), effects.count(OUT), len(effects)
    assert verdict.support == evidence.counted(hits, seeds - hits), "neither counts against support"
    assert verdict.against == evidence.counted(outs, seeds - outs), "and against contradiction"
    assert verdict.hits == hits
    assert [mark.seed for mark in verdict.seeds] == list(range(FIRST_SEED, FIRST_SEED + seeds))
    assert (verdict.verdict == "SUPPORTED") == (verdict.support >= LOOKS.needed)
    assert (verdict.verdict == "CONTRADICTED") == (verdict.against >= parts * LOOKS.needed)


@given(effects=FOURTEEN, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_seeds_does_not_matter(effects, shuffle):
    other = list(effects)
    shuffle.shuffle(other)
    before, after = judged(effects), judged(other)
    assert (before.support, before.against, before.verdict) == (after.support, after.against, after.verdict)


def test_the_design_s_seeds_decide():
    """8 of 8 seeds, 13 of 14, 16 of 18, at 9 claims."""
    for hits, seeds in ((8, 8), (13, 14), (16, 18)):
        looks = Looks(3, 32, needed=180.0)
        effects = [IN] * hits + [OUT] * (seeds - hits)
        assert judged(effects, looks).verdict == "SUPPORTED", (hits, seeds)
        assert judged([OUT, *effects[1:]], looks).verdict == "INCONCLUSIVE", (hits, seeds)
        assert judged([-effect for effect in effects], looks).verdict == "CONTRADICTED", (hits, seeds)


@given(first_ones=st.lists(EFFECTS, min_size=3, max_size=14), rest=FOURTEEN, parts=st.integers(1, 3))
def test_what_is_settled_stays_inconclusive_whatever_follows(first_ones, rest, parts):
    verdict = judged(first_ones, parts=parts)
    if verdict.settled and verdict.verdict == "INCONCLUSIVE":
        for seeds in range(len(first_ones), LOOKS.last + 1):
            later = judged([*first_ones, *rest][:seeds], parts=parts)
            assert later.verdict == "INCONCLUSIVE", seeds
    elif verdict.verdict == "INCONCLUSIVE":
        left = LOOKS.last - len(first_ones)
        most = [judged(first_ones + [effect] * left) for effect in (IN, OUT)]
        assert {verdict.verdict for verdict in most} & DECIDED, "it might still be decided"


def test_a_reason_says_how_many_seeds_and_how_much_evidence():
    verdict = judged([IN] * 7 + [NEITHER])
    for words in ("in 7 of 8 seeds v is so", f"{verdict.support:.3g}", "180", "1 neither", NEITHER):
        assert words in verdict.reason


# --- conditions compared within a seed ------------------------------------------------------------------------------

ENDS = ([0.0, 1.0, 2.0], [2.0, 1.0, 0.0])
ROWS = st.lists(st.permutations([0.0, 1.0, 2.0]) | st.just([0.0, 1.0, math.nan]), min_size=3, max_size=12)


@given(rows=ROWS)
def test_a_compared_part_multiplies_its_seeds_factors_and_counts_its_seeds(rows):
    """A seed without scores has the smallest factor and is not in."""
    weights = (0.0, 1.0, 2.0)
    verdict = judge(compared(), [scores(*row) for row in rows], LOOKS, 1)
    factors = [evidence.smallest_factor(weights) if math.isnan(sum(r)) else evidence.compared(r, weights) for r in rows]
    rising = sum(evidence.correlation(row, weights) > 0 for row in rows if not math.isnan(sum(row)))
    most = evidence.GUARD * evidence.counted(rising, len(rows) - rising)
    assert verdict.support == pytest.approx(min(math.prod(factors), most))
    assert (verdict.verdict == "SUPPORTED") == (verdict.support >= LOOKS.needed)
    falling = sum(evidence.correlation(row, weights) <= 0 for row in rows if not math.isnan(sum(row)))
    assert verdict.against == evidence.counted(falling, len(rows) - falling)
    assert verdict.method == "compared"


@given(rows=ROWS, rest=st.lists(st.permutations([0.0, 1.0, 2.0]), min_size=11, max_size=11))
def test_a_compared_part_that_is_settled_stays_so_too(rows, rest):
    def at(seeds):
        return judge(compared(), [scores(*row) for row in [*rows, *rest][:seeds]], LOOKS, 1)

    verdict = at(len(rows))
    if verdict.settled and verdict.verdict == "INCONCLUSIVE":
        assert {at(seeds).verdict for seeds in range(len(rows), LOOKS.last + 1)} == {"INCONCLUSIVE"}
    elif verdict.verdict == "INCONCLUSIVE":
        left = LOOKS.last - len(rows)
        most = [judge(compared(), [scores(*row) for row in rows + [end] * left], LOOKS, 1) for end in ENDS]
        assert {verdict.verdict for verdict in most} & DECIDED, "it might still be decided"


def test_scores_that_fall_in_one_seed_of_seven_are_not_those_of_the_typical_seed():
    """Their factors alone would support them: 11^6 times the smallest one is above 180. A miss takes 12 seeds."""
    rising = compared(weights=tuple(range(5)))
    for seeds, expected in ((7, "INCONCLUSIVE"), (11, "INCONCLUSIVE"), (12, "SUPPORTED")):
        rows = [scores(*range(5))] * (seeds - 1) + [scores(*reversed(range(5)))]
        assert judge(rising, rows, LOOKS, 1).verdict == expected, seeds


def test_a_seed_of_a_compared_part_is_in_where_its_correlation_lies_in_the_region():
    """Correlations of 0.8: their factors are enough, and they lie in one region of two."""
    rows = [scores(0, 2, 1, 4, 3)] * 14
    for low, expected in ((0.75, "SUPPORTED"), (0.85, "CONTRADICTED")):
        assert judge(compared(weights=tuple(range(5)), region=Region(low=low)), rows, LOOKS, 1).verdict == expected, low


# --- premises -------------------------------------------------------------------------------------------------------
def test_without_its_premise_a_part_is_not_testable():
    for effect in (IN, OUT):
        for numbers, holds, decided in (
            ([1] * 14 + [-1], True, True),
            ([1, 1, -1] * 5, True, False),
            ([1, -1] * 7, True, False),
            ([1, -1, -1] * 5, False, False),
            ([None, None, 1] * 5, False, False),
        ):
            seeds = [seed(v=effect, p=number) for number in numbers]
            verdict = judge(part(premise=premise()), seeds, Looks(2, 15, needed=180.0), 1)
            assert verdict.premise.holds == holds, numbers
            assert (verdict.verdict in DECIDED) == decided, numbers
            assert ("not testable at this profile: the conditions must differ" in verdict.reason) != holds
            assert verdict.settled, numbers


SEEDS_WITH_PREMISES = st.lists(st.tuples(EFFECTS, st.sampled_from([1.0, -1.0, None])), min_size=1, max_size=14)


@given(seeds=SEEDS_WITH_PREMISES)
def test_a_seed_without_its_premise_counts_for_neither_side(seeds):
    verdict = judge(part(premise=premise()), [seed(v=effect, p=number) for effect, number in seeds], LOOKS, 1)
    as_if_undefined = judged([effect if number == 1.0 else NEITHER for effect, number in seeds])
    assert (verdict.support, verdict.against) == (as_if_undefined.support, as_if_undefined.against)
    assert [mark.mark for mark in verdict.seeds] == [mark.mark for mark in as_if_undefined.seeds]
    for mark, (effect, number) in zip(verdict.seeds, seeds, strict=True):
        assert ("the conditions must differ" in mark.problem) == (effect != NEITHER and number != 1.0)


def test_scores_of_a_seed_without_its_premise_have_the_smallest_factor():
    tried = compared(weights=(0.0, 1.0), premise=replace(premise(), effect=lambda runs: runs["d=0"].last("c")))

    def support(*last):
        return judge(tried, [scores(1, 2)] * 6 + [scores(*last)], LOOKS, 1).support

    assert support(1, 2) > support(-2, -1) == support(math.nan, -1)


def test_a_premise_fails_on_three_seeds_or_at_once_where_nothing_can_be_decided_any_more():
    for seeds, last, settled in ((2, 32, False), (3, 32, True), (1, 14, False), (2, 14, True)):
        verdict = judge(part(premise=premise()), [seed(v=IN, p=-1.0)] * seeds, Looks(2, last, needed=180.0), 1)
        assert verdict.settled == settled, (seeds, last)
        assert ("not testable" in verdict.reason) == settled, (seeds, last)


def test_a_failed_run_has_no_premise():
    """Its rows end early, and may lack what the premise reads."""
    broken = {"a": replace(seed(v=IN)["a"], rows=[], failed="the loss is nan")}
    verdict = judge(part(premise=premise()), [broken, *[seed(v=IN, p=1.0)] * 2], LOOKS, 1)
    assert (verdict.premise.numbers, verdict.premise.hits) == ([None, 1.0, 1.0], 2)
