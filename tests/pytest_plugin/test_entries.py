"""A claim's entry, and what its runs cost: each run once, untrained ones not at all, two networks twice."""

from dataclasses import replace

import msgspec
import pytest

from bumplab import profiles
from bumplab.pytest_plugin import entries
from bumplab.pytest_plugin.options import Settings
from bumplab.pytest_plugin.subject import SubjectOfSession
from bumplab.report import wording
from bumplab.report.document import Noise, Saved
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
        expected_file=None, subject=SubjectOfSession(),
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


def test_two_networks_cost_both_and_controls_that_were_not_tried_nothing(settings):
    used, _ = entries.costs(CLAIM, verdict_at(2, CONTROLS, settings), settings)
    assert sorted(used.values()) == [12] * 4 + [24] * 2
    assert used[run_key(PROFILE.factorized(PROFILE.run(10)))] == 24
    saved = entries.saved(used, {**used, "another": 12})
    assert saved == Saved(runs_used=6, runs_at_last_look=7, steps_used=96, steps_at_last_look=108)
    used, at_last_look = entries.costs(CLAIM, verdict_at(2, (), settings), settings)
    assert (len(used), len(at_last_look)) == (4, 10)


def entry_of(claim, verdict, settings, varied=(), noise=None):
    used, at_last_look = entries.costs(claim, verdict, settings)
    return entries.judged(
        claim=claim, verdict=verdict, varied=varied, noise=noise or {}, runs_used=len(used),
        runs_at_last_look=len(at_last_look), seconds=1.5, settings=settings,
    )  # fmt: skip


def test_an_entry_holds_what_was_decided_and_survives_its_way_as_json(settings):
    claim = replace(CLAIM, page_section="manifold", controls=(CONTROLS[0], replace(CONTROLS[0], positive=True)))
    verdict = replace(decide(claim, {}, settings.looks), seeds=2)
    stuck = replace(
        verdict, verdict="INCONCLUSIVE", parts=[replace(verdict.parts[0], verdict="INCONCLUSIVE", stuck=True)]
    )
    against = replace(verdict, verdict="CONTRADICTED")
    checked = with_controls(
        replace(verdict, verdict="SUPPORTED"), list(zip(claim.controls, (stuck, against), strict=True))
    )
    varied = [("same", claim, verdict), ("other", claim, stuck)]
    noise = {"p": {"noise": 0.5, "spread": 1.0, "ratio": 0.5}}
    entry = entry_of(claim, checked, settings, varied, noise)
    judged = entries.Judged(entry, {"a": 1}, {"b": 2}, {"c": 0.5})
    assert msgspec.json.decode(msgspec.json.encode(judged), type=entries.Judged) == judged
    assert (entry.claim, entry.source, entry.verdict, entry.unchecked) == (
        "hole",
        "Fig. 0",
        "SUPPORTED",
        verdict.unchecked,
    )
    assert (entry.page_section, entry.process_seconds, entry.expected) == ("manifold", 1.5, None)
    (part,) = entry.parts
    assert (part.effects, part.bounds, part.datum_form) == ([[1.0, 1.0]], (0.0, None), "bounds")
    assert part.noise == Noise(noise=0.5, spread=1.0, ratio=0.5)
    assert [(c.positive, c.verdict, c.passed, c.stuck) for c in entry.controls] == [
        (False, "INCONCLUSIVE", True, True), (True, "CONTRADICTED", False, False)
    ]  # fmt: skip
    assert [(v.name, v.verdict, v.idle) for v in entry.variations] == [
        ("same", verdict.verdict, True), ("other", "INCONCLUSIVE", True)
    ]  # fmt: skip
    keys = [run.key for run in entry.conditions["sparse"]]
    assert keys == [run_key(PROFILE.run(seed, dx=4.0)) for seed in (10, 11)]
    assert entry.controls[0].conditions == entry.variations[0].conditions == entry.conditions


def test_a_control_is_undefined_where_its_judged_parts_can_decide_nothing(settings):
    """Where nothing is trained nothing can be measured. That the claim is not supported there shows little."""
    verdict = decide(CLAIM, {}, settings.looks)
    undecided = replace(verdict.parts[0], verdict="INCONCLUSIVE")
    held, stuck = replace(undecided, verdict="SUPPORTED"), replace(undecided, stuck=True)
    shown, against = replace(stuck, judges=False), replace(undecided, verdict="CONTRADICTED")
    cases = [
        ("INCONCLUSIVE", [stuck], wording.UNDEFINED),
        ("INCONCLUSIVE", [stuck, held], wording.UNDEFINED),
        ("INCONCLUSIVE", [stuck, undecided], wording.PASSED),
        ("INCONCLUSIVE", [undecided, held, shown], wording.PASSED),
        ("CONTRADICTED", [stuck, against], wording.PASSED),
        ("SUPPORTED", [held, shown], wording.FAILED),
    ]
    for reached, parts, outcome in cases:
        tried = [(CONTROLS[0], replace(verdict, verdict=reached, parts=parts))]
        (control,) = entry_of(CLAIM, with_controls(verdict, tried), settings).controls
        assert wording.control_outcome(control) == outcome, (reached, parts)


def test_a_claim_without_runs_has_no_conditions_and_no_cost(settings):
    claim = replace(CLAIM, id="overlap", runs=lambda profile, seed: {}, controls=())
    entry = entry_of(claim, decide(claim, {}, settings.looks), settings)
    assert (entry.seeds, entry.conditions, entry.controls, entry.runs_used) == (0, {}, [], 0)


def test_a_claim_that_ended_in_an_error_has_a_reason_and_no_verdict():
    entry = entries.error(entries.about(CLAIM), "why")
    assert (entry.claim, entry.statement, entry.verdict, entry.judged, entry.reason) == (
        "hole",
        "s",
        "ERROR",
        False,
        "why",
    )
    assert (entry.parts, entry.controls, entry.unchecked, entry.seeds) == ([], [], None, 0)
