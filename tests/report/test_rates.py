"""What a session says of its error rate, its seeds and its savings."""

import re

import pytest
from msgspec.structs import replace

from bumplab.report import rates
from bumplab.report.document import Saved
from bumplab.verdicts.looks import Looks
from tests.report.planted import ERROR, OVERLAP, claim_of, control_of, part_of, report_of


def test_the_error_rate_says_what_each_claim_needs_and_who_spends_none():
    text = rates.error_rate(report_of(OVERLAP, ERROR, claim_of("phases"), looks=Looks(3, 14, 160.0)))
    for words in ("at most 0.05", "The 8 claims", "evidence of 160", "1 in 160", "for overlap, which spends none"):
        assert words in text
    assert "hole" not in text, "it was not judged at all"
    assert "compared" not in text
    assert "at random" not in rates.error_rate(report_of(claim_of("phases")))


def test_the_error_rate_of_compared_conditions_is_that_of_no_effect_and_of_the_typical_seed():
    text = rates.error_rate(report_of(claim_of("density", parts=[part_of(method="compared")])))
    for words in ("1 in 180 sessions if they have no effect", "at most 3 in 180 sessions"):
        assert words in text


def test_no_error_rate_stands_beside_exploratory_verdicts():
    text = rates.error_rate(report_of(OVERLAP, claim_of("phases", exploratory=True)))
    assert not {"0.05", "Ville", "1 in 180", "falsely"} & set(re.findall(r"0\.05|Ville|1 in 180|falsely", text))
    assert "evidence of 180" in text


def test_exploratory_verdicts_are_said_to_have_no_error_rate():
    explored = claim_of("phases", exploratory=True)
    assert "EXPLORATORY" in rates.exploratory(report_of(claim_of("density"), explored))
    assert rates.exploratory(report_of(claim_of("density"))) == ""


def test_claims_name_their_registration_and_their_first_seed():
    first, second = claim_of("density", registration=1), claim_of("hole", registration=2)
    explored = claim_of("phases", exploratory=True, exploring="not registered")
    seed = first.parts[0].seeds[0].seed
    assert rates.seeds_from([first, OVERLAP, ERROR]) == [f"registration 1: seeds from {seed}"]
    assert rates.seeds_from([first, second, replace(first, claim="sigma"), explored]) == [
        f"registration 1: seeds from {seed} (density, sigma)",
        f"registration 2: seeds from {seed} (hole)",
        f"EXPLORATORY (not registered): seeds from {seed} (phases)",
    ]
    of_an_older_version = claim_of("phases", exploratory=True)
    assert rates.seeds_from([of_an_older_version]) == [f"EXPLORATORY: seeds from {seed}"]
    assert rates.seeds_from([OVERLAP]) == []


def test_claims_registered_anew_add_to_the_error_rate():
    report = report_of(claim_of("density", needed=3600.0), claim_of("phases"))
    assert rates.chance(report) == pytest.approx(0.055)
    text = rates.error_rate(report)
    for words in ("at most 0.05.", "The 9 claims", "more evidence: density 3600.", "at most 0.005"):
        assert words in text
    assert rates.chance(report_of(claim_of("density"))) == 0.05
    assert "anew" not in rates.error_rate(report_of(claim_of("density")))


def test_savings_are_silent_where_nothing_was_saved():
    nothing = Saved(runs_used=0, runs_at_last_look=0, steps_used=0, steps_at_last_look=0)
    at_the_last_look = replace(nothing, runs_used=9, runs_at_last_look=9, steps_used=90, steps_at_last_look=90)
    for saved in (nothing, at_the_last_look, None):
        assert rates.savings(report_of(claim_of("density"), saved=saved)) == "", saved


def test_savings_are_told_only_where_a_part_was_settled():
    open_part = part_of(settled=False)
    undecided = claim_of("density", parts=[open_part, part_of(judges=False)])
    assert rates.savings(report_of(OVERLAP, undecided)) == "", "overlap has no seeds to save"
    told = control_of("c", "CONTRADICTED")
    for claim in (claim_of("density"), replace(undecided, controls=[told])):
        assert "saved 9 runs, 75 %" in rates.savings(report_of(claim))
