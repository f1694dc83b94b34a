"""What a claim's runs cost: each run once, untrained ones not at all, two networks twice."""

from dataclasses import replace

import pytest

from bumplab import profiles
from bumplab.pytest_plugin import entries
from bumplab.pytest_plugin.options import Settings
from bumplab.runs.store import RunStore, run_key
from bumplab.verdicts.claim import Claim, Control, Part, Region
from bumplab.verdicts.decision import decide, with_controls
from bumplab.verdicts.error_rate import Looks

PROFILE = profiles.get("smoke")


def runs_for(profile, seed):
    return {"dense": profile.run(seed), "again": profile.run(seed), "sparse": profile.run(seed, dx=4.0)}


CONTROLS = (
    Control("measured otherwise", "w", change=lambda runs: runs),
    Control("untrained", "w", runs=lambda profile, seed: {"dense": profile.untrained(profile.run(seed))}),
    Control("factorized", "w", runs=lambda profile, seed: {"dense": profile.factorized(profile.run(seed))}),
)
CLAIM = Claim(
    "hole", "s", "Fig. 0", "p", runs_for, (Part("p", "u", Region(low=0), "w", lambda runs: (1.0, 1.0)),), {}, CONTROLS
)


@pytest.fixture
def settings(tmp_path):
    looks, store = Looks(2, 5), RunStore(tmp_path)
    return Settings(
        project=tmp_path, profile=PROFILE, looks=looks, controls=True, variations=(), accept=None, expected={},
        store=store, device="cpu", report=tmp_path / "report.html", report_named=True, figures=None,
    )  # fmt: skip


def verdict_at(seeds, controls, settings):
    verdict = replace(decide(CLAIM, {}, settings.looks), seeds=seeds)
    return with_controls(verdict, [(control, verdict) for control in controls])


def test_each_run_is_counted_once_and_untrained_ones_not(settings):
    used, at_last_look = entries.costs(CLAIM, verdict_at(3, CONTROLS[:2], settings), settings)
    dense, sparse = PROFILE.run(10), PROFILE.run(12, dx=4.0)
    assert used[run_key(dense)] == used[run_key(sparse)] == 12
    assert len(used) == 2 * 3
    assert len(at_last_look) == 2 * 5
    assert used.items() <= at_last_look.items()


def test_two_networks_cost_both(settings):
    used, _ = entries.costs(CLAIM, verdict_at(2, CONTROLS, settings), settings)
    assert sorted(used.values()) == [12] * 4 + [24] * 2
    assert used[run_key(PROFILE.factorized(PROFILE.run(10)))] == 24
    assert entries.saved(used, {**used, "another": 12}) == {
        "runs_used": 6, "runs_at_last_look": 7, "steps_used": 96, "steps_at_last_look": 108,
    }  # fmt: skip


def test_controls_that_were_not_tried_cost_nothing(settings):
    used, at_last_look = entries.costs(CLAIM, verdict_at(2, (), settings), settings)
    assert (len(used), len(at_last_look)) == (4, 10)


def test_a_claim_without_runs_has_no_conditions_and_no_cost(settings):
    claim = replace(CLAIM, id="overlap", runs=lambda profile, seed: {}, controls=())
    verdict = decide(claim, {}, settings.looks)
    entry = entries.judged(claim, verdict, [], {}, entries.costs(claim, verdict, settings), 0.0, settings)
    assert (entry["seeds"], entry["conditions"], entry["controls"], entry["runs_used"]) == (0, {}, [], 0)
