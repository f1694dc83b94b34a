"""How numbers, seeds and error rates are put into words."""

import pytest

from bumplab.report import wording
from bumplab.verdicts.error_rate import FAMILY_ALPHA, Looks
from bumplab.verdicts.suite import OURS, claims

PART = {"low": 0.5, "high": 1.5, "estimate": 1.0, "datum": "", "effects": []}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.5, 1.5, "0.5 to 1.5"), (None, 1.5, "open to 1.5"), (None, None, "none"), (1.0, 1.0, "1 to 1")],
)
def test_limits(low, high, said):
    assert wording.limits({**PART, "low": low, "high": high}) == said


def test_what_is_not_drawn_at_random_is_exact():
    assert wording.limits({**PART, "low": 1.0, "high": 1.0, "effects": [[1.0, 1.0]]}) == "exact"


def test_an_estimate_left_open_is_not_one_that_is_missing():
    assert wording.estimate({**PART, "estimate": None, "high": None}) == "open"
    assert wording.estimate({**PART, "estimate": None, "low": None, "high": None}) == "none"


@pytest.mark.parametrize(
    ("datum", "effect", "said"),
    [
        ("", [1.0, 1.0], "1"),
        ("", [0.5, None], "0.5 to open"),
        ("delays", [0.5, 0.5], "0.5, 0.5"),
        ("delays", [0.5, None], "0.5, open"),
        ("three", [1.0, 2.0, 3.0], "1, 2, 3"),
        ("levels, outcomes", [-1.0, 0.0, 2.0, 0.0, 1.0, 1.0], "failed at 1, 4"),
        ("levels, outcomes", [-1.0, 2.0, 0.0, 0.0], "none failed"),
        ("no outcomes", [-1.0, 2.0, 0.0, 0.5], "-1, 2, 0, 0.5"),
        ("", None, "undefined"),
        ("delays", None, "undefined"),
    ],
)
def test_what_a_seed_says(datum, effect, said):
    assert wording.seed_effects({**PART, "datum": datum, "effects": [effect]}) == [said]


def test_seeds_in_a_row_that_say_the_same_share_a_line():
    effects = [[-1.0, 2.0, *failed] for failed in ([0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0])]
    lines = wording.seed_effects({**PART, "datum": "levels, outcomes", "effects": effects})
    assert lines == ["none failed (2 seeds)", "failed at 4", "none failed"]


def judged(*verdicts, **entry):
    return {"parts": [{"name": i, "judges": True, "verdict": v} for i, v in enumerate(verdicts)], **entry}


def test_the_deciding_part_is_the_first_with_the_verdict():
    assert wording.deciding(judged("SUPPORTED", "CONTRADICTED", verdict="CONTRADICTED"))["name"] == 1
    shown = {"name": "shown", "judges": False, "verdict": "CONTRADICTED"}
    assert wording.deciding({"parts": [shown], "verdict": "CONTRADICTED"}) is None
    assert wording.deciding({"verdict": "ERROR"}) is None


def test_a_withdrawn_verdict_still_has_the_part_that_decided_it():
    withdrawn = judged("SUPPORTED", "CONTRADICTED", verdict="INCONCLUSIVE", unchecked="CONTRADICTED")
    assert wording.deciding(withdrawn)["name"] == 1


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        ({"noise": 0.01, "spread": 0.02, "ratio": 0.5}, "sampling noise is 50 % of the spread between seeds"),
        ({"noise": 0.01, "spread": 0.0, "ratio": None}, "sampling noise is 0.01; these seeds do not differ"),
        (None, ""),
    ],
)
def test_noise(noise, said):
    assert wording.noise_note({**PART, "noise": noise}) == said
    assert wording.noise_note(PART) == ""


def test_the_error_rate_is_split_as_it_is_spent():
    text = wording.error_rate({"seeds": 3, "max_seeds": 8})
    each = FAMILY_ALPHA / sum(not claim.certain for claim in claims(OURS))
    looks = Looks(3, 8)
    for spent in (each, each * looks.share(3), each * looks.share(8)):
        assert f"{spent:.3g}" in text
    assert "union bound" in text
    assert "overlap, in which nothing is drawn at random, spends none" in text
    assert sum(looks.share(seeds) for seeds in looks) == pytest.approx(1)


def test_one_look_is_not_split():
    text = wording.error_rate({"seeds": 5})
    assert "looked at once, with 5 seeds" in text
    assert "union bound" not in text


def test_savings_are_silent_where_nothing_was_trained():
    saved = {"runs_used": 0, "runs_at_last_look": 0, "steps_used": 0, "steps_at_last_look": 0}
    assert wording.savings({"max_seeds": 8, "saved": saved}) == wording.savings({}) == ""


def test_a_surprise_is_a_verdict_that_was_not_expected():
    expected = {"verdict": "SUPPORTED", "why": "w"}
    assert wording.surprise({"verdict": "CONTRADICTED", "expected": expected}) == "SUPPORTED"
    assert wording.surprise({"verdict": "SUPPORTED", "expected": expected}) == ""
    assert wording.surprise({"verdict": "SUPPORTED", "expected": None}) == wording.surprise({"verdict": "ERROR"}) == ""
