"""When a learning curve crosses a level, and when it is not known to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.profiles import QUICK
from bumplab.verdicts.curves import Curves

SPEC = QUICK.run(10)

NAN = math.nan


def curves(values, every=10):
    return Curves([{"step": float(i * every), "v": value} for i, value in enumerate(values)], SPEC)


def crossing(values, level=0.5):
    run = curves(values)
    return run.crossing(run["v"], level)


def test_a_crossing_is_interpolated():
    for values, step in [
        ((0.0, 1.0, 1.0), 5),
        ((0.0, 0.4, 0.6, 0.9), 15),
        ((0.0, 0.25, 0.25, 1.25, 1.0), 22.5),
        ((0.5, 0.5, 0.7, 0.7), 10),  # the level itself is not above it
        ((0.9, 0.9, 0.0), 0),
        ((0.9, 0.1, 0.9, 0.9), 15),
        ((0.0, 1.0, 0.0, 1.0, 1.0), 25),  # one checkpoint alone is not enough
    ]:
        low, high = crossing(values)
        assert low == high == pytest.approx(step), values


def test_a_crossing_that_is_not_known_is_censored():
    for values in [(0.0, 0.1, 0.2), (0.5, 0.5, 0.5), (0.9, 0.0, 0.9, 0.0), (NAN, NAN, NAN), (0.1,)]:
        assert crossing(values) == (10.0 * (len(values) - 1), math.inf), values
    assert crossing((0.0, 0.0, 1.0)) == (15, math.inf)  # at the last checkpoint alone


def test_an_unknown_value_is_not_above_and_nothing_is_interpolated_from_it():
    for values in [(0.0, NAN, 0.9, 0.0, 0.9, 0.9), (NAN, 0.9, NAN, 0.4, 0.9, 0.9)]:
        low, high = crossing(values)
        assert low == high, values
        assert 30 < low < 40, values
    assert crossing((0.0, NAN, 0.9, 0.9)) == (10, 20)
    assert crossing((0.0, NAN, 0.9)) == (10, math.inf)


@given(values=st.lists(st.floats(0, 1) | st.just(NAN), min_size=2, max_size=8), level=st.floats(0.05, 0.95))
def test_a_crossing_lies_at_the_first_two_checkpoints_in_a_row_that_are_above(values, level):
    low, high = crossing(values, level)
    pairs = [i for i in range(len(values) - 1) if values[i] > level and values[i + 1] > level]
    if not pairs:
        assert high == math.inf
        assert low <= 10 * (len(values) - 1)
    elif pairs[0] == 0:
        assert (low, high) == (0, 0)
    elif not math.isnan(values[pairs[0] - 1]):
        assert low == high
        assert 10 * (pairs[0] - 1) - 1e-9 <= low <= 10 * pairs[0] + 1e-9


def test_curves_are_read_by_name():
    run = Curves([{"step": 0.0, "s.correct": 0.2}, {"step": 9.0, "s.correct": 0.8}], SPEC)
    assert list(run.steps) == [0, 9]
    assert list(run["s.correct"]) == [0.2, 0.8]
    assert run.failed is None
    with pytest.raises(KeyError):
        run["absent"]


def test_the_last_row_may_have_what_earlier_ones_lack():
    run = Curves([{"step": 0.0, "v": 1.0}, {"step": 9.0, "v": 2.0, "w": 3.0}], SPEC)
    assert (run.last("v"), run.last("w")) == (2, 3)
    with pytest.raises(KeyError):
        run["w"]


def test_replacing_curves_leaves_the_run_and_its_other_curves_as_they_were():
    run = Curves([{"step": 0.0, "v": 1.0, "w": 5.0}, {"step": 9.0, "v": 2.0, "w": 6.0}], SPEC, "the loss is nan")
    other = run.replaced({"v": run["v"] * 10, "new": run["w"]})
    assert (list(other["v"]), list(other["w"]), list(other["new"])) == ([10, 20], [5, 6], [5, 6])
    assert (other.failed, other.spec) == ("the loss is nan", SPEC)
    assert list(run["v"]) == [1, 2]
    assert "new" not in run.rows[0]
    assert all(type(value) is float for row in other.rows for value in row.values())


def over(steps, values):
    return Curves([{"step": float(s), "v": float(v)} for s, v in zip(steps, values, strict=True)], SPEC)


@given(
    steps=st.lists(st.integers(1, 10_000), min_size=1, max_size=8, unique=True).map(sorted),
    low=st.floats(-1, 1),
    high=st.floats(-1, 1),
    factor=st.integers(2, 9),
)
def test_an_area_is_the_mean_over_doublings_of_steps(steps, low, high, factor):
    """The value at step 0 has no doubling and no weight. A straight line over doublings has the mean of its ends."""
    doublings = [math.log2(step / steps[0]) for step in steps]
    line = [low + (high - low) * (d / doublings[-1] if doublings[-1] else 0) for d in doublings]
    expected = (low + high) / 2 if len(steps) > 1 else low
    assert over([0, *steps], [7.0, *line]).area("v") == pytest.approx(expected, abs=1e-9)
    assert over([0, *[factor * step for step in steps]], [7.0, *line]).area("v") == pytest.approx(expected, abs=1e-9)


def test_an_area_needs_every_value_but_the_first():
    assert over([0, 10, 20], [NAN, 0.5, 0.5]).area("v") == 0.5
    assert math.isnan(over([0, 10, 20], [0.5, NAN, 0.5]).area("v"))
    assert math.isnan(over([0], [0.5]).area("v"))
