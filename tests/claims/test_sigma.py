"""Sigma: no slope of performance, shown only where every spread was trained long enough."""

import numpy as np
import pytest

from bumplab.verdicts.judging import judge, mark_of
from bumplab.verdicts.worlds import learning, level, ramp, run, specs_of, untrained
from tests.claims.checks import LOOKS, SCALE, check_planted, check_reads, check_verdicts, claim_of

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
    of_possible = {RIGHT, "probe.ceiling_correct"}
    reads = {
        "performance": of_possible | {"step"},
        "rank correlation": of_possible,
        "order": {TOLD},
        "rate": of_possible | {"step"},
    }
    check_reads(CLAIM, reads)


def test_it_is_not_testable_where_one_spread_had_too_little_training():
    latest = SCALE.base.training.steps / PART["performance"].premise.region.low
    early, late = 0.95 * latest, 1.05 * latest
    for steps, holds in (((early, 200, 100), True), ((late, 200, 100), False), ((100, 200, late), False)):
        verdict = judge(PART["performance"], [learning_at(steps)] * 9, LOOKS, 1)
        assert verdict.premise.holds == holds, steps
        assert ("not testable" in verdict.reason) != holds, steps
        assert (verdict.verdict == "SUPPORTED") == holds, steps
    never = {**learning_at((100, 100, 100)), "sigma=0.5": untrained(specs_of(CLAIM, SCALE)["sigma=0.5"])}
    verdict = judge(PART["performance"], [never] * 3, LOOKS, 1)
    assert not verdict.premise.holds
    assert "is 0.5 times" in verdict.reason  # between 0 and 1


def test_right_bumps_are_counted_among_those_that_true_images_show():
    """At a spread of 0.1 most bumps hide between the pixels, so that a perfect generator is right in few images."""
    runs = CLAIM.plant(specs_of(CLAIM, SCALE), performance=0.0)
    for ceiling, mark in ((0.6, "in"), (0.4, "neither")):
        hidden = {
            c: r.replaced({RIGHT: ceiling * r[RIGHT], "probe.ceiling_correct": level(r.spec, ceiling)})
            for c, r in runs.items()
            if c == "sigma=0.5"
        }
        assert mark_of(PART["performance"], runs | hidden, 0).mark == mark, ceiling


def test_where_nothing_is_learned_nothing_is_shown():
    nothing = {condition: untrained(spec) for condition, spec in specs_of(CLAIM, SCALE).items()}
    assert "no run has learned" in mark_of(PART["performance"], nothing, 0).problem


def test_the_rate_is_the_slope_of_the_steps():
    runs = learning_at(np.array([0.5, 0.7, 1.0]) ** -1 * 200)
    assert PART["rate"].effect(runs) == pytest.approx(-1)
