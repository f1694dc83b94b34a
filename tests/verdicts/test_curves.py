"""When a learning curve crosses a level, and when it is not known to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.verdicts.curves import Curves

NAN = math.nan


def curves(values, every=10):
    return Curves([{"step": float(i * every), "v": value} for i, value in enumerate(values)])


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


def test_curves_are_read_by_name_and_corrected_by_their_ceiling():
    rows = [
        {"step": 0.0, "s.accuracy": 0.2, "s.ceiling": 0.8, "s.accuracy_x": 0.3, "s.ceiling_x": 0.6},
        {"step": 9.0, "s.accuracy": 0.8, "s.ceiling": 0.8, "s.accuracy_x": 0.6, "s.ceiling_x": 0.6},
    ]
    run = Curves(rows)
    assert list(run.steps) == [0, 9]
    assert list(run["s.accuracy"]) == [0.2, 0.8]
    assert list(run.corrected("s")) == pytest.approx([0.25, 1])
    assert list(run.corrected("s", "_x")) == pytest.approx([0.5, 1])
    assert run.failed is None
    with pytest.raises(KeyError):
        run["absent"]


def test_the_last_row_may_have_what_earlier_ones_lack():
    run = Curves([{"step": 0.0, "v": 1.0}, {"step": 9.0, "v": 2.0, "w": 3.0}])
    assert (run.last("v"), run.last("w")) == (2, 3)
    with pytest.raises(KeyError):
        run["w"]


def test_replacing_curves_leaves_the_run_and_its_other_curves_as_they_were():
    run = Curves([{"step": 0.0, "v": 1.0, "w": 5.0}, {"step": 9.0, "v": 2.0, "w": 6.0}], "the loss is nan", 12)
    other = run.replaced({"v": run["v"] * 10, "new": run["w"]})
    assert (list(other["v"]), list(other["w"]), list(other["new"])) == ([10, 20], [5, 6], [5, 6])
    assert (other.failed, other.seed) == ("the loss is nan", 12)
    assert list(run["v"]) == [1, 2]
    assert "new" not in run.rows[0]
    assert all(type(value) is float for row in other.rows for value in row.values())
