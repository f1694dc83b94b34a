"""A claim's entry, and what its runs cost: each run once, untrained ones not at all, two networks twice."""

from dataclasses import replace

import msgspec
import pytest

from bumplab import profiles
from bumplab.pytest_plugin import entries
from bumplab.pytest_plugin.settings import Settings
from bumplab.pytest_plugin.subject import SubjectOfSession
from bumplab.report.document import Saved
from bumplab.runs.store import RunStore, run_key
from bumplab.verdicts.claim import Claim, Control, Part, Premise, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide, decide_control, with_controls
from bumplab.verdicts.looks import Looks

PROFILE = profiles.get("smoke")


def runs_for(profile, seed):
    return {"dense": profile.run(seed), "again": profile.run(seed), "sparse": profile.run(seed, dx=4.0)}


def wide(profile, seed):
    return {"wide": profile.run(seed, sigma=0.5)}


def value(runs):
    """1 in the claim's runs, undefined in failed ones, -1 in those of a control."""
    (run, *_) = runs.values()
    return -1.0 if run.spec.subject.factorized or run.spec.training.steps == 1 else 1.0


PREMISE = Premise("images seen", "many are seen", "images", Region(low=0), lambda runs: 5.0)
PARTS = (
    Part("p", "the words", "it holds", "u", Region(low=0), "w", value),
    Part("wide", "words", "it holds", "u", Region(low=0), "w", value, runs=wide, premise=PREMISE),
)
CONTROLS = (
    Control("measured otherwise", "w", change=lambda runs: runs),
    Control("untrained", "w", runs=lambda profile, seed: {"dense": profile.untrained(profile.run(seed))}),
    Control("factorized", "w", runs=lambda profile, seed: {"dense": profile.factorized(profile.run(seed))}),
)
CLAIM = Claim("hole", "s", "Fig. 0", "p", runs_for, PARTS, {}, CONTROLS)
LOOKS = Looks(3, 14, needed=60.0)


def runs_of(form, failed=()):
    """Runs for `decide`. Those of the seeds in ``failed`` have failed, but for the condition ``wide``."""

    def runs(part, seeds):
        return [
            {
                condition: Curves([{"step": 0.0}], spec, "gone" if seed in failed and condition != "wide" else None)
                for condition, spec in form.runs_of(part)(PROFILE, seed).items()
            }
            for seed in range(10, 10 + seeds)
        ]

    return runs


def verdict_of(claim=CLAIM, controls=CONTROLS, failed=()):
    """The claim's verdict with these of its controls tried."""
    tried = [decide_control(claim, control, runs_of(claim.under(control)), LOOKS) for control in controls]
    return with_controls(decide(claim, runs_of(claim, failed), LOOKS), tried)


@pytest.fixture
def settings(tmp_path):
    return Settings(
        project=tmp_path, profile=PROFILE, looks=LOOKS, controls=True, variations=(), accept=None, expected={},
        expected_file=None, expected_of_project={}, subject=SubjectOfSession(),
        store=RunStore(tmp_path), device="cpu", report=tmp_path / "report.html", report_named=True, figures=None,
    )  # fmt: skip


def entry_of(claim, verdict, settings, varied=()):
    used, at_last_look = entries.costs(claim, verdict, settings)
    return entries.judged(
        claim=claim, verdict=verdict, varied=varied, runs_used=len(used), runs_at_last_look=len(at_last_look),
        seconds=1.5, settings=settings,
    )  # fmt: skip


def test_each_run_is_counted_once_at_the_seeds_of_its_part_and_untrained_ones_not(settings):
    """A seed of the first part failed, so that it needs more seeds than the second."""
    verdict = verdict_of(controls=CONTROLS[:2], failed=[10])
    first, second = (len(part.seeds) for part in verdict.parts)
    assert 7 == second < first < 14
    used, at_last_look = entries.costs(CLAIM, verdict, settings)
    assert used[run_key(PROFILE.run(10))] == used[run_key(PROFILE.run(12, dx=4.0))] == 12
    assert len(used) == 2 * first + second
    assert len(at_last_look) == 3 * 14
    assert used.items() <= at_last_look.items()


def test_two_networks_cost_both_and_controls_that_were_not_tried_nothing(settings):
    verdict = verdict_of()
    used, at_last_look = entries.costs(CLAIM, verdict, settings)
    told = verdict.controls[2].seeds
    assert sorted(used.values()) == [12] * 3 * 7 + [24] * told
    assert used[run_key(PROFILE.factorized(PROFILE.run(10)))] == 24
    assert sorted(at_last_look.values()) == [12] * 3 * 14 + [24] * 14
    assert entries.saved({"a": 12, "b": 24}, {"a": 12, "b": 24, "c": 12}) == Saved(
        runs_used=2, runs_at_last_look=3, steps_used=36, steps_at_last_look=48
    )
    used, at_last_look = entries.costs(CLAIM, verdict_of(controls=()), settings)
    assert (len(used), len(at_last_look)) == (3 * 7, 3 * 14)


def test_an_entry_holds_what_was_decided_and_survives_its_way_as_json(settings):
    verdict = verdict_of()
    other = replace(verdict, verdict="CONTRADICTED", parts=[replace(p, seeds=p.seeds[:2]) for p in verdict.parts])
    entry = entry_of(CLAIM, verdict, settings, [("same", CLAIM, verdict), ("other", CLAIM, other)])
    judged = entries.Judged(entry, {"a": 1}, {"b": 2}, {"c": 0.5})
    assert msgspec.json.decode(msgspec.json.encode(judged), type=entries.Judged) == judged
    assert (entry.claim, entry.source, entry.unchecked) == ("hole", "Fig. 0", "SUPPORTED")
    assert entry.verdict == "INCONCLUSIVE", "its first control changes nothing, and cannot be told"
    assert (entry.needed, entry.exploratory, entry.seeds, entry.process_seconds) == (60.0, True, 7, 1.5)
    part, with_premise = entry.parts
    assert (part.reads, part.bounds, part.needed, part.premise) == ("the words", (0.0, None), 60.0, None)
    assert [(seed.seed, seed.mark, seed.low) for seed in part.seeds] == [(seed, "in", 1.0) for seed in range(10, 17)]
    assert (with_premise.premise.holds, with_premise.premise.numbers) == (True, [5.0] * 7)
    assert [(c.name, c.verdict, c.passed) for c in entry.controls] == [
        ("measured otherwise", "SUPPORTED", False),
        ("untrained", "CONTRADICTED", True),
        ("factorized", "CONTRADICTED", True),
    ]
    assert [(v.name, v.verdict, v.idle) for v in entry.variations] == [
        ("same", entry.verdict, True), ("other", "CONTRADICTED", False)
    ]  # fmt: skip


def test_conditions_hold_the_runs_of_all_parts_each_at_its_own_seeds(settings):
    verdict = verdict_of(failed=[10])
    entry = entry_of(CLAIM, verdict, settings)
    first = len(verdict.parts[0].seeds)
    assert {condition: len(runs) for condition, runs in entry.conditions.items()} == {
        "dense": first, "again": first, "sparse": first, "wide": 7
    }  # fmt: skip
    keys = [run.key for run in entry.conditions["sparse"]]
    assert keys == [run_key(PROFILE.run(seed, dx=4.0)) for seed in range(10, 10 + first)]
    untrained = entry.controls[1]
    assert [run.key for run in untrained.conditions["dense"]] == [
        run_key(PROFILE.untrained(PROFILE.run(seed))) for seed in range(10, 10 + untrained.seeds)
    ]


def test_a_claim_without_runs_has_no_conditions_no_cost_and_is_not_exploratory(settings):
    part = Part("p", "words", "it holds", "u", Region(low=0), "w", lambda runs: 1.0)
    claim = Claim("overlap", "s", "Fig. 0", "p", lambda profile, seed: {}, (part,), {}, certain=True)
    entry = entry_of(claim, decide(claim, runs_of(claim), LOOKS), settings)
    assert (entry.seeds, entry.conditions, entry.controls, entry.runs_used) == (0, {}, [], 0)
    assert entry.exploratory is False


def test_a_claim_that_ended_in_an_error_has_a_reason_and_no_verdict():
    entry = entries.error(entries.about(CLAIM), "why")
    assert (entry.claim, entry.statement, entry.verdict) == ("hole", "s", "ERROR")
    assert (entry.judged, entry.reason) == (False, "why")
    assert (entry.parts, entry.controls, entry.unchecked, entry.seeds) == ([], [], None, 0)
