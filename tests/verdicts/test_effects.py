"""Effects that claims share, on curves whose times are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.verdicts.curves import Curves, Undefined
from bumplab.verdicts.effects import (
    area_of,
    last_of,
    log2_ratio,
    one_for_all,
    paced,
    require_not_told,
    step_at,
)
from tests.verdicts.seeds import SPEC

STEPS = np.arange(0.0, 1001.0, 10.0)
TIMES = st.floats(40, 800)


def learning(at):
    """Half-way at step ``at``; never, if that is infinite."""
    values = np.clip(0.5 + (STEPS - at) / 40, 0, 1) if math.isfinite(at) else np.zeros(len(STEPS))
    return Curves([{"step": float(s), "v": float(v)} for s, v in zip(STEPS, values, strict=True)], SPEC)


def half_at(run):
    return step_at(run, run["v"], 0.5, "half")


def test_the_step_of_a_level_or_why_there_is_none():
    assert half_at(learning(300)) == pytest.approx(300)
    for at, words in ((math.inf, "half is not reached in 1000 steps"), (-50, "half is reached before training")):
        with pytest.raises(Undefined, match=words):
            half_at(learning(at))


@given(later=TIMES, earlier=TIMES)
def test_a_ratio_counts_doublings_of_steps(later, earlier):
    low, high = log2_ratio((later, later), (earlier, earlier))
    assert low == high == pytest.approx(math.log2(later / earlier))


@given(known=TIMES, truth=st.floats(1000, 1e6))
def test_a_ratio_with_a_step_that_was_not_reached_bounds_the_true_one(known, truth):
    low, high = log2_ratio((1000.0, math.inf), (known, known))
    assert low <= math.log2(truth / known) <= high == math.inf
    assert low == pytest.approx(math.log2(1000 / known)), "at its least it comes at the last step"
    low, high = log2_ratio((known, known), (1000.0, math.inf))
    assert -math.inf == low <= math.log2(known / truth) <= high
    assert high == pytest.approx(math.log2(known / 1000))


def test_without_a_time_there_is_no_ratio():
    never = (1000.0, math.inf)
    for later, earlier, words in ((never, never, "neither"), ((0.0, 0.0), never, "before training")):
        with pytest.raises(Undefined, match=words):
            log2_ratio(later, earlier)


def test_scores_are_read_of_each_condition():
    runs = {"d=1": learning(300), "d=2": learning(600)}
    assert last_of("v")(runs) == [1.0, 1.0]
    assert area_of("v")(runs) == [run.area("v") for run in runs.values()]
    assert area_of("v")(runs)[0] > area_of("v")(runs)[1]


def test_order_that_was_there_before_training_is_not_learned():
    for told, is_learned in ((0.95, False), (0.9, True), (0.0, True), (math.nan, True)):
        run = Curves([{"step": 0.0, "layer4.told": told}, {"step": 1.0, "layer4.told": 0.99}], SPEC)
        if is_learned:
            require_not_told(run)
        else:
            with pytest.raises(Undefined, match="holds the label before training"):
                require_not_told(run)


@given(factor=st.floats(1, 3))
def test_a_delayed_run_comes_as_much_later_and_ends_at_the_same_step(factor):
    after = learning(300).delayed(factor)
    assert list(after.steps) == list(STEPS)
    assert half_at(after) == pytest.approx(300 * factor, abs=10)


def test_a_planted_pace_is_one_run_slowed_down_by_its_level():
    chosen = {"d=0.5": learning(100), "d=1": learning(300), "d=2": learning(50)}
    for pick, start in ((min, 100), (max, 50)):
        times = [half_at(run) for run in paced(pick, 0.5)(chosen).values()]
        assert times == pytest.approx([start * factor for factor in (1, 2**0.5, 2)], abs=3), pick
        times = [half_at(run) for run in paced(pick, -0.5)(chosen).values()]
        assert times == pytest.approx([start * factor for factor in (2, 2**0.5, 1)], abs=3), pick


def test_one_run_under_every_name_is_the_one_picked():
    chosen = {"d=0.5": learning(100), "d=1": learning(300), "d=2": learning(50)}
    for pick, expected in ((min, "d=0.5"), (max, "d=2")):
        made = one_for_all(pick)(chosen)
        assert list(made) == list(chosen)
        assert all(run.rows is chosen[expected].rows for run in made.values())
