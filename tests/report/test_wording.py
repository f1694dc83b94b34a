"""How numbers, seeds, controls and error rates are put into words."""

import pytest
from msgspec.structs import replace

from bumplab.config import ROLES
from bumplab.report import wording
from bumplab.report.document import Expected, Noise, Saved, SubjectEntry
from bumplab.verdicts.error_rate import FAMILY_ALPHA, Looks
from bumplab.verdicts.suite import OURS, claims
from tests.report.planted import ERROR, OVERLAP, SKIPPED, SUBJECT, claim_of, control_of, part_of, report_of


def test_limits_and_estimates_that_are_open_missing_or_exact():
    cases = {
        (0.5, 1.0, 1.5): ("1", "0.5 to 1.5"),
        (None, None, 1.5): ("open", "open to 1.5"),
        (None, None, None): ("none", "none"),
        (1.0, 1.0, 1.0): ("1", "1 to 1"),
    }
    for (low, estimate, high), words in cases.items():
        part = part_of(low=low, estimate=estimate, high=high)
        assert (wording.estimate(part), wording.limits(part)) == words, (low, estimate, high)
    assert wording.limits(part_of(low=1.0, high=1.0, effects=[[1.0, 1.0]])) == "exact", "nothing is drawn at random"


def test_a_seeds_line_is_as_the_form_of_its_numbers_says():
    cases = [
        ("bounds", [1.0, 1.0], "1"),
        ("bounds", [0.5, None], "0.5 to open"),
        ("pair", [0.5, 0.5], "0.5, 0.5"),
        ("pair", [0.5, None], "0.5, open"),
        ("outcomes", [-1.0, 0.0, 2.0, 0.0, 1.0, 1.0], "failed at 1, 4"),
        ("outcomes", [-1.0, 2.0, 0.0, 0.0], "none failed"),
        ("outcomes", [-1.0, 1.0], "failed at 0.5"),
        *((form, None, "undefined") for form in ("bounds", "pair", "outcomes")),
    ]
    for form, effect, line in cases:
        part = part_of(datum="" if form == "bounds" else "its numbers", datum_form=form, effects=[effect])
        assert wording.seed_effects(part) == [line], (form, effect)
        note = {"bounds": "", "pair": "its numbers", "outcomes": "conditions whose run failed"}[form]
        assert wording.datum_note(part) == note
    effects = [[-1.0, 2.0, *failed] for failed in ([0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0])]
    lines = wording.seed_effects(part_of(datum="d", datum_form="outcomes", effects=effects))
    assert lines == ["none failed (2 seeds)", "failed at 4", "none failed"], "neighbours share a line"


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
    part = part_of("order", estimate=0.9, low=0.4, high=1.4)
    cases = [
        (claim_of("density", parts=[part], seeds=5, controls=[control_of("c", "CONTRADICTED")] * 2),
         "order: 0.9 (0.4 to 1.4), region above 0; 5 seeds; controls 2/2"),
        (claim_of("density", parts=[part], seeds=1),
         "order: 0.9 (0.4 to 1.4), region above 0; 1 seed; controls not run"),
        (OVERLAP, "one: 1.05 (exact), region above 0; needs no runs"),
        (claim_of("density", parts=[part_of("kappa", low=None, estimate=None, reason="no denominator")]),
         "kappa: no denominator; 2 seeds; controls not run"),
        (replace(ERROR, reason="it broke"), "it broke"),
        (replace(SKIPPED, reason="It lacks layer4."), f"It lacks layer4. {wording.SHARE_KEPT}"),
    ]  # fmt: skip
    for claim, words in cases:
        assert wording.evidence(claim) == words


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


def test_noise_is_a_share_of_the_spread():
    cases = [
        (Noise(noise=0.01, spread=0.02, ratio=0.5), "sampling noise is 50 % of the spread between seeds"),
        (Noise(noise=0.01, spread=0.0, ratio=None), "sampling noise is 0.01; these seeds do not differ"),
        (Noise(noise=None, spread=None, ratio=None), ""),
        (None, ""),
    ]
    for noise, words in cases:
        assert wording.noise_note(part_of(noise=noise)) == words


def test_a_control_without_effects_is_not_said_to_have_passed():
    """Where nothing is trained nothing can be measured. That the claim is not supported there shows little."""
    cases = {(True, False): wording.PASSED, (True, True): wording.UNDEFINED, (False, False): wording.FAILED}
    counts = {wording.PASSED: "2/2", wording.UNDEFINED: "1/2, 1 undefined", wording.FAILED: "1/2"}
    other = control_of("d", "CONTRADICTED")
    for (passed, stuck), outcome in cases.items():
        control = control_of("c", "INCONCLUSIVE", passed=passed, stuck=stuck)
        assert wording.control_outcome(control) == outcome
        assert wording.controls_count(claim_of("density", controls=[control, other])) == counts[outcome]
    assert wording.controls_passed(claim_of("density", controls=[other])) == "1/1 passed"


def test_the_error_rate_is_split_as_it_is_spent():
    text = wording.error_rate(report_of(OVERLAP, ERROR, looks=Looks(3, 8)))
    sharing = sum(not claim.certain for claim in claims(OURS))
    each = FAMILY_ALPHA / sharing
    looks = Looks(3, 8)
    for spent in (f"{sharing} claims", each, each * looks.share(3), each * looks.share(8)):
        assert (spent if isinstance(spent, str) else f"{spent:.3g}") in text
    assert "union bound" in text
    assert "for overlap, " in text
    assert "hole" not in text, "it was not judged at 0 seeds but not at all"
    assert sum(looks.share(seeds) for seeds in looks) == pytest.approx(1)
    once = wording.error_rate(report_of(claim_of("phases"), looks=Looks(5, 5)))
    assert "once, with 5 seeds" in once
    assert "union bound" not in once
    assert "at random" not in once


def test_savings_are_silent_where_nothing_was_trained():
    nothing = Saved(runs_used=0, runs_at_last_look=0, steps_used=0, steps_at_last_look=0)
    assert wording.savings(report_of(saved=nothing)) == wording.savings(report_of(saved=None)) == ""


def test_a_surprise_is_a_verdict_that_was_not_expected():
    expected = Expected("SUPPORTED", "w")
    assert wording.surprise(claim_of("density", "CONTRADICTED", expected=expected)) == "SUPPORTED"
    assert wording.surprise(claim_of("density", "SUPPORTED", expected=expected)) == ""
    assert wording.surprise(claim_of("density", "SUPPORTED")) == wording.surprise(ERROR) == ""
