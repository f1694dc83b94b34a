"""A claim on other runs or on changed measurements keeps its words, its regions and its parts."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bumplab.profiles import QUICK
from bumplab.verdicts.claim import FIRST_SEED, Claim, Control, Design, Part, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.intervals import certain


def effect(runs):
    return float(sum(run["v"][-1] for run in runs.values()))


def doubled(runs):
    return {condition: run.replaced({"v": 2 * run["v"]}) for condition, run in runs.items()}


def plus_one(runs):
    return {condition: run.replaced({"v": run["v"] + 1}) for condition, run in runs.items()}


def shuffled(profile, seed):
    return {"b": profile.shuffled(profile.run(seed))}


CLAIM = Claim(
    id="density",
    statement="s",
    source="Fig. 0",
    prediction="p",
    runs=lambda profile, seed: {"a": profile.run(seed), "b": profile.run(seed, dx=2.0)},
    parts=(
        Part(name="v", unit="units", region=Region(low=0), why="because", effect=effect),
        Part(name="w", unit="units", region=Region(high=3), why="so", effect=effect),
    ),
    curves={},
)
RUNS = {"a": Curves([{"step": 0.0, "v": 1.0}, {"step": 5.0, "v": 3.0}])}


def test_a_change_is_seen_by_every_part_and_by_nothing_else():
    changed = CLAIM.under(Control("c", "w", change=doubled))
    assert [part.effect(RUNS) for part in changed.parts] == [6.0] * 2
    assert [part.effect(RUNS) for part in CLAIM.parts] == [3.0] * 2
    assert RUNS["a"]["v"][-1] == 3
    assert [(p.name, p.region, p.why, p.judges) for p in changed.parts] == [
        (p.name, p.region, p.why, p.judges) for p in CLAIM.parts
    ]
    assert changed.runs is CLAIM.runs


def test_other_runs_replace_the_claims_and_a_control_may_have_both():
    other = CLAIM.under(Control("c", "w", runs=shuffled))
    assert list(other.runs(QUICK, 3)) == ["b"]
    assert other.runs(QUICK, 3)["b"].data.pairing == "shuffled"
    assert other.parts == CLAIM.parts
    both = CLAIM.under(Control("c", "w", runs=shuffled, change=doubled))
    assert list(both.runs(QUICK, 3)) == ["b"]
    assert both.parts[0].effect(RUNS) == 6.0


def test_changes_are_made_from_the_last_to_the_first():
    twice = CLAIM.with_runs(None, doubled).with_runs(None, plus_one)
    assert twice.parts[0].effect(RUNS) == 8.0


def test_a_plan_begins_at_the_first_seed_that_no_choice_has_seen():
    plan = CLAIM.plan(QUICK, 4)
    assert list(plan) == ["a", "b"]
    assert [spec.seed for spec in plan["b"]] == list(range(FIRST_SEED, FIRST_SEED + 4))
    assert replace(CLAIM, runs=lambda profile, seed: {}).plan(QUICK, 3) == {}


def test_a_region_is_said_in_words():
    assert str(Region(low=0.5)) == "above 0.5"
    assert str(Region(high=1.1)) == "below 1.1"
    assert str(Region(-0.25, 0.25)) == "between -0.25 and 0.25"


def test_a_claim_is_certain_where_all_judged_parts_are():
    drawn, exact = CLAIM.parts[0], replace(CLAIM.parts[0], interval=certain)
    for parts, is_certain in (
        ((exact,), True),
        ((exact, drawn), False),
        ((drawn,), False),
        ((exact, replace(drawn, judges=False)), True),
    ):
        assert replace(CLAIM, parts=parts).certain == is_certain, parts


def test_a_design_draws_one_seed():
    random = np.random.default_rng(0)
    drawn = np.array([Design(2.0, 0.5, "s").seed_datum(random, -1.0) for _ in range(2000)])
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert drawn[:, 0].mean() == pytest.approx(-1, abs=4 * 0.5 / math.sqrt(2000))
    assert drawn[:, 0].std() == pytest.approx(0.5, rel=0.1)
    own = Design(effect=2.0, spread=0.5, source="s", draw=lambda random, effect, spread: (effect, spread, 1.0))
    assert own.seed_datum(random, 7.0) == (7.0, 0.5, 1.0)
