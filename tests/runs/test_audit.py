"""The rule of an audit: what a correct run passes and an altered one does not, and what an audit misses."""

import math
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab import profiles
from bumplab.runs import audit
from bumplab.runs.record import RunRecord
from tests.rows import row_of

SPEC = profiles.get("quick").run(1000)
STEPS = SPEC.measured_steps()
HERE = {"exact": True, "instructions": "AVX512", "threads": 1}
THERE = HERE | {"instructions": "AVX2"}


def run(environment=HERE, changes=(), **fields):
    """A run with made-up rows. ``changes`` maps a step to other numbers of its row."""
    rows = [row_of(SPEC, step) | {"loss": math.nan if step == 0 else 0.5} for step in STEPS]
    rows = [row | dict(changes).get(step, {}) for step, row in zip(STEPS, rows, strict=True)]
    return replace(RunRecord(SPEC, rows, environment=dict(environment)), **fields)


def outcome(*pair):
    return audit.compare(*pair).outcome


def test_the_same_environment_asks_for_equal_bits():
    """Not where a run was resumed elsewhere, and not on a GPU, which does not repeat."""
    last = STEPS[-1]
    lie = {last: {"probe.correct": 0.5 + 1e-15}}
    assert outcome(run(), run()) == "equal"
    compared = audit.compare(run(changes=lie), run())
    assert compared.outcome == "different"
    assert (compared.worst.step, compared.worst.name) == (last, "probe.correct")
    assert (compared.worst.published, compared.worst.retrained) == (0.5 + 1e-15, 0.5)
    for environment in (HERE | {"before": "threads 2 up to step 60"}, HERE | {"exact": False}):
        assert outcome(run(environment, changes=lie), run(environment)) == "alike", environment
    assert outcome(run(THERE, changes=lie), run()) == "alike"
    assert outcome(run(THERE), run()) == "equal"


def test_the_loss_is_close_at_early_steps_and_all_numbers_later():
    early, middle, last = STEPS[1], STEPS[6], STEPS[-1]
    assert early <= audit.EARLY_STEPS < middle < last
    for step, number, within, beyond in (
        (early, "loss", 0.5 * 1.0009, 0.5 * 1.0011),
        (middle, "loss", 0.5 * 1.09, 0.5 * 1.12),
        (last, "loss", 0.5 * 1.04, 0.5 * 1.06),
        (early, "probe.correct", 0.54, 0.56),
        (middle, "probe.correct", 0.79, 0.81),
        (last, "probe.correct", 0.46, 0.44),
        (last, "layer4.order", 0.79, 0.81),
        (last, "probe.error", 0.59, 0.61),
        (middle, "layer4.order", 0.9, math.nan),
    ):
        for value, expected in ((within, "alike"), (beyond, "different")):
            assert outcome(run(THERE, {step: {number: value}}), run()) == expected, (step, number, value)


def test_runs_of_other_forms_are_different_and_say_why():
    for published, retrained, words in (
        (run({"instructions": "cuda"}), run(), "published in TF32"),
        (run(failed="diverged", rows=run().rows[:3]), run(), "published it failed at step"),
        (run(THERE, rows=run().rows[:1], failed="x"), run(rows=run().rows[:1], failed="x"), "no checkpoint up to step"),
    ):
        compared = audit.compare(published, retrained)
        assert (compared.outcome, compared.worst) == ("different", None), words
        assert words in compared.problem


def test_a_seed_draws_the_same_runs_and_another_seed_others():
    keys = [f"{number:020x}" for number in range(50)]
    draws = {seed: audit.drawn(keys, 5, seed) for seed in range(20)}
    assert audit.drawn(reversed(keys), 5, 3) == draws[3], "in any order of the keys"
    assert len({tuple(draw) for draw in draws.values()}) == 20
    assert all(len(set(draw)) == 5 and set(draw) <= set(keys) for draw in draws.values())


@given(st.integers(1, 14), st.data())
def test_the_chance_to_miss_is_that_of_all_possible_draws(runs, data):
    audited = data.draw(st.integers(0, runs))
    altered = set(range(max(1, round(runs / 10))))
    draws = list(combinations(range(runs), audited))
    missed = sum(altered.isdisjoint(draw) for draw in draws)
    assert audit.chance_missed(runs, audited) == pytest.approx(missed / len(draws))
