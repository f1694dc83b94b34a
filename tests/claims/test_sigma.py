"""Sigma: no slope of performance, shown only where every spread was trained long enough."""

import numpy as np
import pytest

from bumplab.verdicts.decision import judge, mark_of
from bumplab.verdicts.worlds import learning, ramp, run, specs_of, untrained
from tests.claims.checks import SCALE, LOOKS, check_planted, check_reads, check_verdicts, claim_of

CLAIM = claim_of("sigma")
PART = {part.name: part for part in CLAIM.parts}
RIGHT, TOLD = "probe.correct", "layer4.told"


def test_known_worlds_have_known_verdicts():
    check_verdicts(CLAIM)


def test_a_fall_with_sigma_contradicts_as_a_rise_does():
    for slope, mark in ((0.15, "out"), (0.05, "in"), (-0.05, "in"), (-0.15, "out")):
        runs = CLAIM.plant(specs_of(CLAIM, SCALE), performance=slope)
        assert mark_of(PART["performance"], runs, 0).mark == mark, slope


def test_it_reads_what_was_planted():
    check_planted(CLAIM)


def learning_at(steps):
    specs = specs_of(CLAIM, SCALE).items()
    return {c: run(spec, learning("probe", ramp(spec, at))) for (c, spec), at in zip(specs, steps, strict=True)}


def test_each_part_reads_its_own_numbers():
    reads = {"performance": {RIGHT}, "rank correlation": {RIGHT}, "order": {TOLD}, "rate": {RIGHT, "step"}}
    check_reads(CLAIM, reads)


def test_it_is_not_testable_where_one_spread_had_too_little_training():
    for steps, holds in (((320, 200, 100), True), ((350, 200, 100), False), ((100, 200, 350), False)):
        verdict = judge(PART["performance"], [learning_at(steps)] * 9, LOOKS, 1)
        assert verdict.premise.holds == holds, steps
        assert ("not testable" in verdict.reason) != holds, steps
        assert (verdict.verdict == "SUPPORTED") == holds, steps
    never = {**learning_at((100, 100, 100)), "sigma=0.5": untrained(specs_of(CLAIM, SCALE)["sigma=0.5"])}
    verdict = judge(PART["performance"], [never] * 3, LOOKS, 1)
    assert not verdict.premise.holds
    assert "is 0.5 times" in verdict.reason  # between 0 and 1


def test_where_nothing_is_learned_nothing_is_shown():
    nothing = {condition: untrained(spec) for condition, spec in specs_of(CLAIM, SCALE).items()}
    assert "no run has learned" in mark_of(PART["performance"], nothing, 0).problem


def test_the_rate_is_the_slope_of_the_steps():
    runs = learning_at(np.array([0.5, 0.7, 1.0]) ** -1 * 200)
    assert PART["rate"].effect(runs) == pytest.approx(-1)
