"""Effects that claims share, on curves whose times are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import contrast, levels_of, log_time_slope, paced, require_learned, stretched
from bumplab.verdicts.intervals import Undefined

STEPS = np.arange(0.0, 1001.0, 10.0)
slope = log_time_slope(lambda run: run["v"])


def learning(at):
    """Half-way at step ``at``; never, if that is infinite."""
    values = np.clip(0.5 + (STEPS - at) / 40, 0, 1) if math.isfinite(at) else np.zeros(len(STEPS))
    return Curves([{"step": float(s), "v": float(v)} for s, v in zip(STEPS, values, strict=True)])


def runs(times):
    return {f"d={d:g}": learning(at) for d, at in times.items()}


def test_levels_are_read_from_the_conditions():
    assert levels_of({"d=0.1": 0, "d=4": 1}) == [0.1, 4.0]
    assert levels_of({"sigma=0.5": 0}) == [0.5]


levels = st.lists(st.floats(0.05, 20), min_size=2, max_size=6, unique_by=lambda v: round(math.log2(v), 1))


@given(levels=levels, seed=st.integers(0, 99))
def test_a_contrast_is_the_slope_of_least_squares(levels, seed):
    y = np.random.default_rng(seed).normal(size=len(levels))
    assert contrast(levels) @ y == pytest.approx(np.polyfit(np.log2(levels), y, 1)[0], abs=1e-8)
    assert contrast(levels).sum() == pytest.approx(0, abs=1e-9)


def test_a_planted_slope_is_read():
    for planted in (-0.4, 0.0, 0.3, 1.0):
        low, high = slope(runs({d: 200 * (d / 1.0) ** planted for d in (0.5, 1.0, 2.0)}))
        assert low == high == pytest.approx(planted), planted
    assert slope(runs({1.0: 100, 4.0: 400})) == pytest.approx((1, 1))  # two levels are a ratio of times


def test_a_time_that_is_not_reached_leaves_the_slope_open_where_it_would_move_to():
    low, high = slope(runs({0.5: 200, 1.0: 200, 2.0: math.inf}))
    assert high == math.inf
    assert low == pytest.approx(0.5 * math.log2(1000 / 200))  # at its least it comes at the last step
    low, high = slope(runs({0.5: math.inf, 1.0: 200, 2.0: 200}))
    assert low == -math.inf
    assert high == pytest.approx(-0.5 * math.log2(1000 / 200))
    assert slope(runs({0.5: math.inf, 1.0: 200, 2.0: math.inf})) == (-math.inf, math.inf)
    assert slope(runs({0.5: 100, 1.0: math.inf, 2.0: 400})) == pytest.approx((1, 1)), "a level of weight zero"


def test_without_a_time_there_is_no_slope():
    with pytest.raises(Undefined, match="no run reaches half its ceiling in 1000 steps"):
        slope(runs({0.5: math.inf, 1.0: math.inf}))
    with pytest.raises(Undefined, match="untrained network is already past"):
        slope(runs({0.5: -50, 1.0: 100}))


def test_a_stretched_run_takes_as_many_times_the_steps():
    for factor in (0.5, 1.0, 3.0):
        before, after = learning(300), stretched(learning(300), factor)
        assert list(after["v"]) == list(before["v"])
        assert after.crossing(after["v"], 0.5)[0] == pytest.approx(300 * factor), factor
        assert before.steps[-1] == 1000
        low, _ = slope({"d=1": learning(300), "d=2": stretched(learning(300), factor)})
        assert low == pytest.approx(math.log2(factor)), factor
    never = stretched(learning(math.inf), 2.0)
    assert never.crossing(never["v"], 0.5) == (2000, math.inf)


def test_a_planted_pace_is_one_run_slowed_down_by_its_level():
    chosen = {"d=0.5": learning(100), "d=1": learning(300), "d=2": learning(50)}
    for pick, start in ((min, 100), (max, 50)):
        made = paced(pick, 0.5)(chosen)
        level = pick((0.5, 1.0, 2.0))
        times = [run.crossing(run["v"], 0.5)[0] for run in made.values()]
        assert times == pytest.approx([start * (d / level) ** 0.5 for d in (0.5, 1.0, 2.0)])
        assert slope(made) == pytest.approx((0.5, 0.5))


def test_a_run_has_learned_above_half_its_ceiling():
    def run(share):
        return Curves([{"step": 0.0, "on_grid.accuracy": 0.8 * share, "on_grid.ceiling": 0.8}])

    require_learned(run(0.6), "dense")
    for share in (0.5, 0.2, math.nan):
        with pytest.raises(Undefined, match="the dense run has not learned"):
            require_learned(run(share), "dense")
