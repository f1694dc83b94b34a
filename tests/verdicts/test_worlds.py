"""Synthetic runs: rows as a real run has them, and numbers of a claim's own plant in them.

What each claim reads from its world is tested with that claim (tests/claims).
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.measure.names import is_possible, row_names
from bumplab.profiles import QUICK
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.decision import decide
from bumplab.verdicts.worlds import (
    drawn,
    learning,
    level,
    plant,
    ramp,
    rise,
    run,
    specs_of,
    untrained,
    untrained_value,
    world,
)
from tests.verdicts.planted import CLAIM, INCREMENTS
from tests.verdicts.seeds import LOOKS

SPECS = [QUICK.run(10), QUICK.run(10, hole=3.0), QUICK.untrained(QUICK.run(10))]
SPEC = SPECS[0]
FLAT, PACE, SHOWN = CLAIM.parts


@pytest.mark.parametrize("spec", SPECS, ids=["dense", "hole", "one step"])
def test_an_untrained_run_has_the_rows_that_are_measured_with_possible_values(spec):
    made = untrained(spec)
    assert list(made.steps) == spec.measured_steps()
    for row, step in zip(made.rows, spec.measured_steps(), strict=True):
        assert row_names(spec, step) <= set(row)
        assert [name for name in row_names(spec, step) if not is_possible(name, row[name], spec, step)] == []
    assert (made.spec, made.failed) == (spec, None)


def test_an_untrained_layer_holds_no_order():
    """Its order is learned: a claim on it is undefined where the layer holds the label before training."""
    assert all(abs(untrained_value(f"layer4.{name}", SPEC)) < 0.1 for name in ("order", "told", "told_x", "canvas"))


def test_no_measured_number_is_without_an_untrained_value():
    odd = {
        name for spec in SPECS for name in row_names(spec, spec.training.steps) if untrained_value(name, spec) == 0.0
    }
    assert {name.rpartition(".")[2].partition("_")[0] for name in odd} <= {"step", "told", "order"}


@given(at=st.floats(1, SPEC.measured_steps()[-2] - 1))
def test_a_ramp_crosses_where_it_is_asked_to(at):
    made = run(SPEC, {"v": ramp(SPEC, at)})
    assert made.crossing(made["v"], 0.5) == pytest.approx((at, at))
    assert (made["v"].min() >= 0, made["v"][-1]) == (True, 1)
    assert (np.diff(made["v"]) >= 0).all()


@given(area=st.floats(0.1, 0.99))
def test_a_rise_has_the_area_that_it_is_asked_for(area):
    made = run(SPEC, {"v": rise(SPEC, area)})
    assert made.area("v") == pytest.approx(area, abs=1e-6)
    assert (made["v"][0], made["v"][-1]) == (0, 1)
    assert (np.diff(made["v"]) >= 0).all()
    once = SPECS[2]
    assert run(once, {"v": rise(once, area)}).area("v") == area


@given(share=st.floats(0, 1), more=st.floats(0, 1))
def test_the_modes_of_a_label_set_add_to_1(share, more):
    single = share + more * (1 - share)
    for planted in (learning("probe", level(SPEC, share)), learning("probe", level(SPEC, share), level(SPEC, single))):
        row = run(SPEC, planted).rows[0]
        modes = [row[f"probe.{mode}"] for mode in ("none", "several", "single-wrong", "correct")]
        assert sum(modes) == pytest.approx(1)
        assert min(modes) >= -1e-12
        assert row["probe.correct"] == row["probe.correct_x"] == share
    assert row["probe.single-wrong"] == pytest.approx(single - share)


def test_numbers_of_the_last_row_stay_there():
    made = run(SPEC, {}, {"bottleneck.signal": 0.9})
    assert made.last("bottleneck.signal") == 0.9
    assert made.rows[0].get("bottleneck.signal") != 0.9


def test_a_world_draws_each_judged_part_as_designed_or_as_asked_for():
    seeds = world(CLAIM, {"flat": 0.04}, np.random.default_rng(0), 100)
    values = [FLAT.effect(runs) for runs in seeds(FLAT, 100)]
    assert np.mean(values) == pytest.approx(0.04, abs=0.004)
    assert np.std(values) == pytest.approx(0.01, rel=0.25)
    assert list(seeds(FLAT, 1)[0]) == ["dense"]
    assert list(seeds(PACE, 1)[0]) == [f"d={d:g}" for d in INCREMENTS]
    assert [runs["dense"].spec.seed for runs in seeds(FLAT, 3)] == list(range(FIRST_SEED, FIRST_SEED + 3))
    assert seeds(PACE, 5) == seeds(PACE, 9)[:5], "more seeds leave the first ones as they were"
    assert decide(CLAIM, seeds, LOOKS).verdict != "CONTRADICTED"


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.6])
def test_scores_have_the_designed_correlation_and_a_spread_of_1(rho):
    random = np.random.default_rng(0)
    conditions = [f"d={d:g}" for d in INCREMENTS]
    scores = np.array([drawn(PACE, conditions, random, rho) for _ in range(4_000)])
    weights = np.array(PACE.effect.weights(conditions))
    pooled = np.corrcoef(scores.ravel(), np.tile(weights, len(scores)))[0, 1]
    assert pooled == pytest.approx(rho, abs=0.03)
    assert scores.std() == pytest.approx(1, abs=0.03)


def test_the_union_of_the_parts_runs_is_planted_and_a_name_means_one_spec():
    assert list(specs_of(CLAIM)) == ["dense", *(f"d={d:g}" for d in INCREMENTS)]
    two = replace(PACE, runs=lambda profile, seed: {"dense": profile.run(seed, dx=4.0)})
    with pytest.raises(ValueError, match="'dense' names two specs"):
        specs_of(replace(CLAIM, parts=(FLAT, two)))


def test_what_cannot_be_planted_is_refused():
    scores = (0.0,) * len(INCREMENTS)
    for refused, words in (
        (lambda: world(CLAIM, {"speed": 1.0}, np.random.default_rng(0), 2), "no judged part 'speed'"),
        (lambda: world(CLAIM, {"shown": 1.0}, np.random.default_rng(0), 2), "no judged part 'shown'"),
        (lambda: plant(replace(CLAIM, plant=None), {"flat": 0.1, "pace": scores}, specs_of(CLAIM)), "no planted world"),
        (lambda: plant(CLAIM, {"flat": 0.1}, specs_of(CLAIM)), "no number for part 'pace'"),
        (lambda: drawn(replace(FLAT, design=None), ["dense"], np.random.default_rng(0), 1.0), "'flat' has no design"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            refused()
        assert "\n" not in str(error.value)
    planted = plant(CLAIM, {"flat": 0.1, "pace": scores}, specs_of(CLAIM))
    assert math.isclose(FLAT.effect(planted), 0.1)
