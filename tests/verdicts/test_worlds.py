"""The synthetic worlds: rows as a real run has them, and numbers of a claim's own plant in them.

What each claim reads from its world is tested with that claim (tests/claims).
"""

from dataclasses import replace

import numpy as np
import pytest

from bumplab.profiles import QUICK
from bumplab.verdicts.claim import FIRST_SEED, Claim, Design, Part, Region
from bumplab.verdicts.intervals import fieller
from bumplab.verdicts.worlds import (
    AXES,
    CEILING,
    EVERY,
    LATE,
    STEPS,
    judged,
    learning,
    level,
    plant,
    r2,
    ramp,
    run,
    steps_by_level,
    untrained,
    world,
)
from tests.learners import measured, started


def pair(random, effect, spread):
    return float(random.normal(effect, spread)), 1.0


CLAIM = Claim(
    id="made-up",
    statement="s",
    source="Fig. 0",
    prediction="p",
    runs=lambda profile, seed: {"a": profile.run(seed), "b": profile.run(seed, dx=2.0)},
    parts=(
        Part(
            name="v",
            unit="u",
            region=Region(low=0),
            why="w",
            effect=lambda runs: runs["a"].last("loss"),
            design=Design(2.0, 0.1, "s"),
        ),
        Part(name="shown", unit="u", region=Region(low=0), why="w", effect=lambda runs: 0.0, judges=False),
        Part(
            name="ratio",
            unit="u",
            region=Region(low=0),
            why="w",
            effect=lambda runs: 0.0,
            interval=fieller,
            design=Design(effect=3.0, spread=0.1, source="s", draw=pair),
        ),
    ),
    curves={},
    plant=lambda seed, conditions, v, ratio: {
        condition: run(seed, {"loss": level(v), "ratio": level(ratio[0])}, {"at the end": 7.0})
        for condition in conditions
    },
)


def test_a_ramp_crosses_where_it_is_asked_to():
    for at in (70.0, 179.0, 180.0, 333.3, 480.0):
        made = run(10, {"v": ramp(at)})
        assert made.crossing(made["v"], 0.5) == pytest.approx((at, at))
        assert (made["v"].min(), made["v"][-1]) == (max(0.5 - at / (2 * EVERY), 0), 1), at


def test_rows_have_the_names_that_are_measured():
    assert list(STEPS) == QUICK.base.measured_steps()
    profile = replace(QUICK, hole_samples=QUICK.base.measure.samples)
    for hole, at in ((0.0, 0), (3.0, -1)):
        spec = profile.rendered(profile.run(10, hole=hole), "true")
        row = measured(started(spec), spec, 0 if at == 0 else spec.training.steps).row
        made = run(10, {"in_hole.correct": level(0.5)}) if hole else untrained(10)
        assert set(made.rows[at]) == set(row) | {"step", "loss"}, hole
        assert made["off_grid.samples"][at] == QUICK.base.measure.samples


def test_a_run_has_these_curves_and_an_untrained_network_else():
    made = run(12, learning("on_grid", level(0.5)) | r2(level(0.7), "_x"), {"bottleneck.signal": 0.9})
    assert (made.seed, made.failed, made.last("bottleneck.signal")) == (12, None, 0.9)
    for axis in AXES:
        assert made.corrected("on_grid", axis) == pytest.approx(0.5), axis
    assert made["on_grid.ceiling"] == pytest.approx(CEILING)
    assert (made.last("layer4.umap_r2_x"), made.last("layer4.pca_r2_x")) == (0.7, 0.7)
    assert made["layer4.umap_r2_y"] == pytest.approx(untrained(12)["layer4.umap_r2_y"])
    assert sum(made.rows[0][f"on_grid.{mode}"] for mode in ("none", "several", "single-wrong", "correct")) == 1


def test_steps_grow_as_the_level_to_a_power():
    assert steps_by_level(["d=0.5", "d=1", "d=4"], 0.5) == pytest.approx([LATE / 8**0.5, LATE / 2, LATE])
    assert steps_by_level(["d=0.5", "d=1"], -1.0) == pytest.approx([LATE, LATE / 2])


def test_a_world_draws_each_judged_part_as_designed_or_asked_for():
    assert [part.name for part in judged(CLAIM)] == ["v", "ratio"]
    runs = world(CLAIM, {"v": 5.0}, np.random.default_rng(0), 50)
    assert list(runs) == ["a", "b"]
    assert [curves.seed for curves in runs["a"]] == list(range(FIRST_SEED, FIRST_SEED + 50))
    for name, effect in (("loss", 5.0), ("ratio", 3.0)):
        values = [curves[name][0] for curves in runs["a"]]
        assert np.mean(values) == pytest.approx(effect, abs=0.06), name
        assert np.std(values) == pytest.approx(0.1, rel=0.3), name
    planted = plant(CLAIM, [(1.5, 1.5), (0.5, 1.0)], 17)
    assert (planted["b"].last("loss"), planted["b"].last("ratio"), planted["b"].seed) == (1.5, 0.5, 17)


def test_what_cannot_be_planted_is_refused():
    for name in ("pace", "shown"):
        with pytest.raises(ValueError, match=f"'made-up' has no judged part {name}"):
            world(CLAIM, {name: 1.0}, np.random.default_rng(0), 2)
    with pytest.raises(ValueError, match="'made-up' has no planted world"):
        plant(replace(CLAIM, plant=None), [(1.0, 1.0), (1.0, 1.0)])
    with pytest.raises(ValueError, match="shorter"):
        plant(CLAIM, [(1.0, 1.0)])
