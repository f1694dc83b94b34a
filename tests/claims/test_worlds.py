"""The synthetic worlds: a claim reads from them what was planted, and errs in them as seldom as it promises."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bumplab.measure.evaluate import evaluate
from bumplab.profiles import QUICK
from bumplab.verdicts import error_rate
from bumplab.verdicts.decision import decide_in_looks
from bumplab.verdicts.error_rate import CERTAIN, CLAIMS, Looks
from bumplab.verdicts.intervals import Undefined
from bumplab.verdicts.worlds import EVERY, PLANTED, STEPS, judged, plant, ramp, run, world

RANDOM = [name for name in CLAIMS if name not in CERTAIN]
IN_STEPS = {"kappa": 4 * EVERY}
"""Steps for each unit of a planted datum, where it is read in steps."""
INEXACT = {
    ("phases", "failure in B"): 0.1,
    ("representation", "over training"): 0.01,
    ("representation", "at fixed steps"): 0.05,
    ("coupling", "kappa"): 0.02,
    ("coupling", "y as accurate as x"): 0.05,
}
"""How much of the spread between seeds the mean of a part at the edge of its region may be off by."""


def test_every_random_claim_has_a_world():
    assert set(PLANTED) == set(RANDOM)


def read(part, runs):
    try:
        return np.array(part.effect(runs)) / IN_STEPS.get(part.name, 1.0)
    except Undefined:
        return np.full(1, np.nan)


@pytest.mark.parametrize("name", RANDOM)
def test_a_part_at_the_edge_of_its_region_is_read_as_planted(load, name):
    parts = judged(load(name))
    for moved, part in enumerate(parts):
        for edge in filter(math.isfinite, (part.region.low, part.region.high)):
            random, off = np.random.default_rng(0), []
            for _ in range(200):
                data = [p.design.seed_datum(random, edge if p is part else p.design.effect) for p in parts]
                off.append((read(part, plant(load(name), data)) - data[moved])[0] / part.design.spread)
            assert abs(np.mean(off)) < INEXACT.get((name, part.name), 1e-9), part.name
            assert (name, part.name) in INEXACT or np.abs(off).max() < 1e-6, part.name


@pytest.mark.parametrize("name", [name for name in RANDOM if name != "coupling"])
def test_parts_as_designed_are_read_as_planted_all_at_once(load, name):
    claim, random = load(name), np.random.default_rng(0)
    parts = judged(claim)
    off = []
    for _ in range(200):
        data = [part.design.seed_datum(random, part.design.effect) for part in parts]
        runs = plant(claim, data)
        read_ = [read(part, runs) for part in parts]
        off.append([(r - d)[0] / p.design.spread for r, d, p in zip(read_, data, parts, strict=True)])
    for part, mean in zip(parts, np.mean(off, axis=0), strict=True):
        assert abs(mean) < INEXACT.get((name, part.name), 1e-9), part.name


def test_y_that_is_behind_is_learned_later_and_the_reverse(load):
    """What cannot both be planted gives way as the module says."""
    claim = load("coupling")
    kappa, _, ahead = judged(claim)
    for delay, planted, expected, read_ahead in [
        (0.4, -0.2, 0.4, -0.2),
        (-0.4, 0.2, -0.4, 0.2),
        (-0.4, -0.2, 0.4, -0.2),
        (0.4, 0.2, 0.4, -0.001),
        (0.1, -0.2, 0.1, -0.2),
        (-0.1, 0.2, -0.1, 0.2),
    ]:
        runs = plant(claim, [(delay, 1.0), (0.05, 0.05), (planted, planted)])
        assert kappa.effect(runs) == pytest.approx((4 * EVERY * expected, 4 * EVERY))
        assert ahead.effect(runs)[0] == pytest.approx(read_ahead)


@pytest.mark.parametrize("at", [70.0, 179.0, 180.0, 333.3, 480.0])
def test_a_ramp_crosses_where_it_is_asked_to(at):
    made = run(10, {"v": ramp(at)})
    assert made.crossing(made["v"], 0.5) == pytest.approx((at, at))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("hole", [0.0, 3.0])
def test_rows_have_the_names_that_are_measured(load, hole, last):
    profile = replace(QUICK, hole_samples=QUICK.base.measure.samples)
    spec = profile.rendered(profile.run(10, hole=hole), "true")
    measured = evaluate(torch.nn.Identity(), spec, "cpu", spec.training.steps if last else 0).row
    claim = load("hole" if hole else "phases")
    made = next(iter(world(claim, {}, np.random.default_rng(0), 1).values()))[0].rows[-1 if last else 0]
    assert set(made) == set(measured) | {"step", "loss"}
    assert made["off_grid.samples"] == (QUICK.hole_samples if hole and last else QUICK.base.measure.samples)
    assert list(STEPS) == QUICK.base.measured_steps()


def test_a_world_refuses_an_unknown_part(load):
    for name in ("pace", "raw accuracy (as in the paper)"):
        with pytest.raises(ValueError, match="'density' has no judged part"):
            world(load("density"), {name: 1.0}, np.random.default_rng(0), 2)


def decided(claim, effects, random):
    runs = world(claim, effects, random, Looks().last)
    return decide_in_looks(claim, lambda seeds: {c: each[:seeds] for c, each in runs.items()}, Looks())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), [("coupling", "kappa"), ("bottleneck", "less signal")])
def test_the_looks_at_a_false_claim_spend_no_more_than_its_error_rate(load, monkeypatch, name, part):
    """At the region's edge, at an error rate so large that 300 simulations show what looking six times would add."""
    monkeypatch.setattr(error_rate, "FAMILY_ALPHA", 0.05 * 8)
    claim, random = load(name), np.random.default_rng(1)
    moved = next(p for p in judged(claim) if p.name == part)
    draws = 300
    verdicts = [decided(claim, {part: moved.region.low}, random).verdict for _ in range(draws)]
    assert verdicts.count("SUPPORTED") <= 0.05 * draws
    assert verdicts.count("SUPPORTED") > 0
    assert verdicts.count("CONTRADICTED") <= 0.05 * draws


@pytest.mark.parametrize("name", ["density", "hole", "seeds"])
def test_a_claim_finds_what_it_is_designed_to_find(load, name):
    claim, random = load(name), np.random.default_rng(2)
    found = [decided(claim, {}, random) for _ in range(60)]
    assert sum(verdict.verdict == "SUPPORTED" for verdict in found) >= 0.8 * len(found)
    assert np.mean([verdict.seeds for verdict in found]) < Looks().last
