"""How numbers, seeds, controls and error rates are put into words."""

import pytest
from msgspec.structs import replace

from bumplab.config import ROLES
from bumplab.report import wording
from bumplab.report.document import Expected, SeedEntry, SubjectEntry
from tests.report.planted import (
    ERROR,
    OVERLAP,
    PREMISE,
    SKIPPED,
    SUBJECT,
    claim_of,
    control_of,
    part_of,
    report_of,
    runs_of,
)


def test_a_seed_is_told_by_its_number_its_bounds_or_its_problem():
    cases = {
        SeedEntry(10, "in", 0.5, 0.5): "seed 10: 0.5, in the region",
        SeedEntry(11, "out", -2.0, -1.0): "seed 11: -2 to -1, out of the region",
        SeedEntry(12, "neither", 0.5, None, "too coarse"): "seed 12: 0.5 to open, neither in nor out",
        SeedEntry(13, "neither", problem="its run failed"): "seed 13: its run failed, neither in nor out",
    }
    for seed, words in cases.items():
        assert wording.seed_note(seed) == words
    assert wording.marks_note(part_of(seeds=list(cases))) == "1 seed in the region, 1 out of it, 2 neither"


def test_the_mean_and_its_interval_only_describe():
    cases = [
        ({}, "mean 1 u, 95 % t interval 0.5 to 1.5"),
        ({"low": None, "high": None}, "mean 1 u"),
        ({"estimate": None, "low": None, "high": None}, "no effect is known exactly"),
        ({"method": "certain", "low": 1.0, "high": 1.0}, "1 u (exact)"),
    ]
    for changes, words in cases:
        assert wording.description(part_of(**changes)) == words


def test_the_axis_of_evidence_is_logarithmic_and_ends_a_quarter_beyond_what_is_needed():
    shares = {0.0: 0, 0.01: 0, 1.0: 0, 10.0: 0.5, 100.0: 1, 1e3: 1.25, 1e9: 1.25}
    for evidence, share in shares.items():
        assert wording.evidence_place(evidence, 100.0) == pytest.approx(share), evidence


def test_all_bars_share_the_scale_of_the_claim_that_needs_most():
    report = report_of(claim_of("phases", needed=3600.0), OVERLAP)
    assert wording.evidence_scale(report) == 3600.0
    assert wording.evidence_scale(report_of(OVERLAP)) == 180.0, "a claim without chance needs nothing"


def test_a_premise_says_what_is_needed_and_whether_it_holds():
    failed = wording.premise_note(part_of(premise=PREMISE))
    assert "It holds for 0 of 2 seeds: the median of visits is 2.5 times, needed above 9. That is fewer" in failed
    assert "fewer" not in wording.premise_note(part_of(premise=replace(PREMISE, hits=1, holds=True)))
    assert "visits is open times" in wording.premise_note(part_of(premise=replace(PREMISE, median=None)))
    assert wording.premise_note(part_of()) == ""


def judged(*verdicts, **fields):
    return claim_of("density", parts=[part_of(str(i), verdict) for i, verdict in enumerate(verdicts)], **fields)


def test_the_deciding_part_is_the_first_with_the_verdict_that_was_reached():
    contradicted = judged("SUPPORTED", "CONTRADICTED", "CONTRADICTED", verdict="CONTRADICTED")
    assert wording.deciding(contradicted).name == "1"
    withdrawn = replace(contradicted, verdict="INCONCLUSIVE", unchecked="CONTRADICTED")
    assert wording.deciding(withdrawn).name == "1"
    assert (wording.withdrawn(contradicted), wording.withdrawn(withdrawn)) == ("", "CONTRADICTED")
    assert wording.deciding(judged("SUPPORTED", verdict="INCONCLUSIVE")).name == "0", "no part has the verdict"
    assert wording.deciding(claim_of("density", parts=[part_of(judges=False)])) is None
    assert wording.deciding(ERROR) is None


def test_evidence_is_the_deciding_part_or_the_reason():
    part = part_of("order", reason="in 8 of 8 seeds it rises, evidence 183 (needed 180)")
    cases = [
        (claim_of("density", parts=[part], controls=[control_of("c", "CONTRADICTED")] * 2),
         "order: in 8 of 8 seeds it rises, evidence 183 (needed 180); controls 2/2 recognised"),
        (OVERLAP, "one: 1.05 u, supported above 0; needs no runs"),
        (replace(ERROR, reason="it broke"), "it broke"),
        (replace(SKIPPED, reason="It lacks layer4."), f"It lacks layer4. {wording.SHARE_KEPT}"),
    ]  # fmt: skip
    for claim, words in cases:
        assert wording.evidence(claim) == words
    runs = {"d": [object()]}
    assert wording.evidence(claim_of("density", parts=[part], conditions=runs)).endswith("; controls not run")


def test_claims_without_a_verdict_are_counted_by_their_kind():
    cases = [
        ([], ""),
        ([ERROR], "; 1 more without a verdict"),
        ([SKIPPED, SKIPPED], "; 2 skipped"),
        ([ERROR, SKIPPED], "; 1 more without a verdict; 1 skipped"),
    ]
    for entries, words in cases:
        assert wording.unjudged(report_of(claim_of("density"), *entries)) == words


def test_a_subject_is_named_with_its_arguments_and_its_roles():
    assert wording.subject_name(None) == wording.BUILT_IN
    subject = SubjectEntry(name="a.py:s", arguments={"b": "2", "a": "1"}, roles=dict.fromkeys(ROLES, "a layer"))
    assert wording.subject_name(subject) == "a.py:s, a=1, b=2"
    assert "lacks" not in wording.about_subject(subject)
    assert "bits" not in wording.about_subject(subject)
    about = wording.about_subject(SUBJECT)
    for words in (
        "layer4 is its last layer",
        "It lacks layer4-injected, encoder, bottleneck.",
        "same bits",
        "its own 2",
    ):
        assert words in about
    assert wording.about_subject(replace(subject, roles={"layer4": "x."})).startswith(
        "Its roles: layer4 is x. It lacks"
    )


def test_controls_that_told_their_world_are_counted():
    told, blind = control_of("c", "CONTRADICTED"), control_of("d", "INCONCLUSIVE", positive=True, seeds=5)
    outcomes = [wording.control_outcome(control) for control in (told, blind)]
    assert outcomes == [wording.RECOGNISED, wording.NOT_RECOGNISED]
    assert wording.controls_count(claim_of("density", controls=[told, blind])) == "1/2 recognised"
    assert wording.controls_count(OVERLAP) == "none needed"


def test_a_control_of_few_seeds_is_not_said_to_have_failed():
    undecided, decided = part_of(verdict="INCONCLUSIVE"), part_of(verdict="SUPPORTED")
    few = control_of("c", "INCONCLUSIVE", seeds=4, parts=[undecided, part_of(judges=False)])
    cases = [
        (few, wording.TOO_FEW),
        (replace(few, seeds=5), wording.NOT_RECOGNISED),
        (replace(few, parts=[undecided, decided]), wording.NOT_RECOGNISED),
        (replace(few, passed=True), wording.RECOGNISED),
    ]
    for control, outcome in cases:
        assert wording.control_outcome(control) == outcome
    counted = wording.controls_count(claim_of("density", controls=[control for control, _ in cases]))
    assert counted == "1/4 recognised, 1 with too few seeds"


def test_a_surprise_is_a_verdict_that_was_not_expected():
    expected = Expected("SUPPORTED", "w")
    assert wording.surprise(claim_of("density", "CONTRADICTED", expected=expected)) == "SUPPORTED"
    assert wording.surprise(claim_of("density", "SUPPORTED", expected=expected)) == ""
    assert wording.surprise(claim_of("density", "SUPPORTED")) == wording.surprise(ERROR) == ""


def test_the_seeds_of_a_part_are_told_apart_from_those_that_it_could_have_had():
    cases = {
        ("SUPPORTED", True, 5): "decided after 2 of",
        ("INCONCLUSIVE", True, 5): "5 could not",
        ("INCONCLUSIVE", True, 2): "undecided after all 2",
        ("INCONCLUSIVE", False, 5): "2 of at most 5",
    }
    for (verdict, settled, most), words in cases.items():
        claim = claim_of(
            "density", verdict, parts=[part_of("a", verdict, settled=settled)], conditions=runs_of("d", [])
        )
        assert words in wording.seeds_used(claim, most), (verdict, settled, most)


def test_a_claim_contradicted_by_its_parts_together_shows_the_one_that_speaks_against_it_most():
    parts = [part_of(name, "INCONCLUSIVE", against=against) for name, against in (("a", 2.0), ("b", 90.0), ("c", 40.0))]
    assert wording.deciding(claim_of("density", "CONTRADICTED", parts=parts)).name == "b"


def test_evidence_that_is_just_too_little_does_not_look_like_enough():
    assert "19.8 (needed 20)" in wording.evidence_note(part_of(verdict="INCONCLUSIVE", support=19.84, needed=20.0))
