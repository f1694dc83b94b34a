"""Representation: no bumps are right without order. That both go together across increments is shown alone."""

import numpy as np
import pytest

from bumplab.verdicts import evidence
from bumplab.verdicts.judging import judge, mark_of
from bumplab.verdicts.worlds import learning, level, ramp, run, specs_of
from tests.claims.checks import LOOKS, SCALE, check_planted, check_reads, check_verdicts, claim_of, one_seed

CLAIM = claim_of("representation")
PART = {part.name: part for part in CLAIM.parts}
TOLD, RIGHT = "layer4.told", "probe.correct"
TOGETHER = PART["order goes with accuracy"]


def test_known_worlds_have_known_verdicts():
    check_verdicts(CLAIM)


def test_it_reads_what_was_planted():
    check_planted(CLAIM)


def test_each_part_reads_its_own_numbers():
    both = {TOLD, RIGHT}
    with_steps = dict.fromkeys(("order goes with accuracy", "order comes first"), both | {"step"})
    check_reads(CLAIM, with_steps | {"no accuracy without order": both})


def by_rank(told, right):
    """Runs whose areas have these ranks."""
    specs = specs_of(CLAIM, SCALE)
    return {
        condition: run(spec, {TOLD: level(spec, t / 10), **learning("probe", level(spec, r / 10))})
        for (condition, spec), t, r in zip(specs.items(), told, right, strict=True)
    }


def test_what_counts_is_the_order_of_the_right_bumps_and_not_of_the_increments():
    """Here the largest increment learns first. Order still goes with accuracy, or against it."""
    with_accuracy, against = by_rank((1, 2, 3), (6, 7, 8)), by_rank((3, 2, 1), (6, 7, 8))
    assert mark_of(TOGETHER, with_accuracy, 0).low == pytest.approx(1)
    assert mark_of(TOGETHER, against, 0).low == pytest.approx(-1)
    for runs, weights, hits in ((with_accuracy, (1, 2, 3), 2), (against, (3, 2, 1), 0)):
        factors = evidence.compared((1, 2, 3), weights) ** 2
        support = judge(TOGETHER, [runs] * 2, LOOKS, 1).support
        assert support == pytest.approx(evidence.guarded(factors, hits, 2 - hits))


def test_an_increment_that_changes_both_brings_them_together_so_this_does_not_judge():
    """Order and right bumps have noise of their own, and fall with the increment alike."""
    random = np.random.default_rng(0)
    falls = np.array([2.0, 1.0, 0.0])
    seeds = [by_rank(2 + falls + random.normal(0, 0.5, 3), 7 + falls + random.normal(0, 0.5, 3)) for _ in range(14)]
    assert judge(TOGETHER, seeds, LOOKS, 1).verdict == "SUPPORTED"
    assert TOGETHER not in CLAIM.judged_parts


def test_equal_right_bumps_show_no_order():
    verdict = judge(TOGETHER, [by_rank((1, 2, 3), (6, 6, 6))] * 4, LOOKS, 1)
    assert [(seed.mark, seed.low) for seed in verdict.seeds] == [("out", 0.0)] * 4
    assert verdict.support == pytest.approx(evidence.guarded(1.0, 0, 4))


def test_a_seed_whose_right_bumps_are_unknown_counts_against_both():
    runs = by_rank((1, 2, 3), (6, 7, 8))
    last = list(runs)[-1]
    runs[last] = runs[last].replaced({RIGHT: np.full(len(runs[last].steps), np.nan)})
    verdict = judge(TOGETHER, [runs] * 3, LOOKS, 1)
    assert [seed.mark for seed in verdict.seeds] == ["neither"] * 3
    assert verdict.support < 1


def test_the_share_of_right_bumps_without_order_is_a_tenth_at_the_edge():
    """Fewer than a tenth of the measurements with right bumps come without order, or more."""
    runs, _ = one_seed(CLAIM)
    part = PART["no accuracy without order"]
    spec = next(iter(runs.values())).spec
    right = learning("probe", ramp(spec, 30))
    count = int((right[RIGHT] > 0.5).sum())
    for without, mark in ((count // 10 - 1, "in"), (count // 10 + 1, "out")):
        told = level(spec, 0.9)
        told[0] = 0.0
        told[len(told) - max(without, 0) :] = 0.2
        tried = {condition: run(spec, {TOLD: told, **right}) for condition in runs}
        assert mark_of(part, tried, 0).mark == mark, without


def test_it_is_undefined_where_the_label_is_held_or_nothing_is_right():
    held, wrong = by_rank((9.5, 9.6, 9.7), (6, 7, 8)), by_rank((1, 2, 3), (1, 2, 3))
    assert "holds the label before training" in mark_of(TOGETHER, held, 0).problem
    assert "d=0.1 has not learned" in mark_of(TOGETHER, wrong, 0).problem
    assert "no run draws" in mark_of(PART["no accuracy without order"], wrong, 0).problem


def test_order_first_is_told_by_the_run_in_the_middle():
    specs = list(specs_of(CLAIM, SCALE).items())
    runs = {
        c: run(s, {TOLD: ramp(s, at), **learning("probe", ramp(s, 400))})
        for (c, s), at in zip(specs, (100, 200, 400), strict=True)
    }
    assert PART["order comes first"].effect(runs) == pytest.approx(1)
