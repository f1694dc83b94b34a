"""Registered claims in a session: their seeds, their evidence, and what is said of a claim that is not registered."""

import tomllib

import pytest

from bumplab.pytest_plugin import expected
from bumplab.verdicts import registration
from tests.pytest_plugin.planted import FIRST

CLAIMS = ("density", "hole", "overlap", "sigma")


def edit(suite, claim, before, after):
    """Changes a claim's file without registering it anew."""
    path = suite.folder / "claims" / f"test_{claim}.py"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def seeds_of(suite):
    """The seeds of each claim's runs in the report."""
    return {
        claim: sorted({run["spec"]["seed"] for runs in entry["conditions"].values() for run in runs})
        for claim, entry in suite.entries().items()
    }


def test_a_changed_claim_is_explored_and_registered_anew_it_pays_and_is_compared_no_more(suite):
    """hole was accepted in registration 1. The other claims keep the seeds of that one."""
    suite.expected.write_text('[quick.hole]\nverdict = "SUPPORTED"\nwhy = "as planted"\nregistration = 1\n')
    edit(suite, "hole", "Region(low=0)", "Region(low=0.01)")
    ended = suite.run("-k", "hole or sigma", "-n", "2")
    assert ended.status == 0, ended.printed
    changed = "changed since registration 1 in design"
    assert ended.lines("EXPLORATORY (") == [f"EXPLORATORY ({changed}): seeds from 10 (hole)"]
    assert ended.lines("registration 1") == ["registration 1: seeds from 1000 (sigma)"]
    hole, sigma = (suite.entries()[claim] for claim in ("hole", "sigma"))
    assert (hole["exploratory"], hole["exploring"], hole["registration"], hole["expected"]) == (True, changed, 0, None)
    assert (sigma["exploratory"], sigma["exploring"], sigma["registration"]) == (False, "", 1)
    assert seeds_of(suite) == {"hole": list(range(10, 17)), "sigma": list(range(FIRST, FIRST + 7))}
    assert suite.path.with_suffix(".html").read_text().count(changed) == 2, "above all claims, and beside its own"
    assert changed in suite.path.with_suffix(".md").read_text()

    suite.register("the region was too wide")
    ended = suite.run("-k", "hole or sigma", "--max-seeds=14", "--seeds=3")
    assert ended.lines("registration 2: ") == ["registration 2: seeds from 2000 (hole)"]
    assert ended.lines("not compared: ") == [
        "not compared: hole was accepted as SUPPORTED in registration 1, and is in registration 2 now"
    ]
    assert "at most 5.5%" in ended.printed
    hole = suite.entries()["hole"]
    assert (hole["verdict"], hole["seeds"], hole["needed"], hole["expected"]) == ("SUPPORTED", 11, 1200.0, None)
    assert seeds_of(suite) == {"hole": list(range(2000, 2011)), "sigma": list(range(FIRST, FIRST + 7))}

    before = tomllib.loads(suite.expected.read_text())["quick"]["hole"]
    ended = suite.run("-k", "hole", "--max-seeds=14", "--seeds=3", "--accept", "as planted")
    assert "accepted: quick.hole, SUPPORTED in place of SUPPORTED" in ended.printed
    after = tomllib.loads(suite.expected.read_text())["quick"]["hole"]
    assert after == before | {"registration": 2}
    assert suite.run("-k", "hole", "--max-seeds=14", "--seeds=3").lines("not compared: ") == []


def test_without_a_ledger_every_claim_with_chance_is_explored(suite):
    suite.ledger.unlink()
    suite.expected.write_text('[quick.overlap]\nverdict = "SUPPORTED"\nwhy = "certain"\n')
    ended = suite.run("-k", "density or overlap")
    assert ended.status == 0, ended.printed
    assert ended.lines("EXPLORATORY (") == ["EXPLORATORY (not registered): seeds from 10"]
    assert "error rate" in ended.lines("SUPPORTED: ")[0]
    assert seeds_of(suite) == {"density": list(range(10, 17)), "overlap": []}
    ended = suite.run("-k", "density or overlap", "--seeds=3", "--max-seeds=14", "--accept", "why")
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    (line,) = ended.printed.strip().splitlines()[-1:]
    assert "density is EXPLORATORY (not registered)" in line
    assert "bumplab register" in line


def test_a_registered_claim_can_be_explored_from_another_seed(suite):
    ended = suite.run("-k", "density", "--from-seed=200", "--controls")
    assert ended.status == 0, ended.printed
    assert ended.lines("EXPLORATORY (") == ["EXPLORATORY (--from-seed was given): seeds from 200"]
    assert seeds_of(suite) == {"density": list(range(200, 207))}
    assert {label for label, _ in suite.trained()} == {f"d=4 seed {seed}" for seed in range(200, 207)}
    for first in (FIRST, 986):
        assert suite.run("-k", "density", f"--from-seed={first}", "--seeds=3", "--max-seeds=14").status == 0, first
        assert seeds_of(suite)["density"][0] == first


def test_seeds_of_another_registration_are_refused_before_any_training(suite):
    edit(suite, "sigma", "Region(low=0)", "Region(low=0.01)")
    for options, words in (
        (["--from-seed=2000"], ["belong to registration 2", "in registration 1", "leave --from-seed away"]),
        (["--from-seed=1000", "-k", "sigma"], ["sigma is changed since registration 1 in design"]),
        (["--from-seed=1005", "-k", "hole"], ["hole is in registration 1"]),
        (["--from-seed=1000", "--profile=smoke", "-k", "hole"], ["smoke decides nothing"]),
        (["--from-seed=995"], ["0 to 992"]),
        (["--from-seed=-1"], ["0 to 992"]),
        (["--from-seed=x"], ["0 to 992"]),
        (["--from-seed=" + "9" * 10], ["0 to 992"]),
    ):
        ended = suite.run(*options)
        assert ended.status == pytest.ExitCode.USAGE_ERROR, options
        (line,) = ended.lines("ERROR: --from-seed ")
        assert [word for word in words if word not in line] == [], line
    ended = suite.run("--from-seed=2000", "-n", "2")
    assert "belong to registration 2" in ended.printed, "a worker says so"
    assert suite.run("--from-seed=2000", "-k", "overlap").status == 0, "it has no seeds"
    assert suite.trained() == []


def test_a_damaged_ledger_or_a_verdict_of_no_registration_is_one_line(suite):
    ledger, accepted = suite.ledger.read_text(), suite.expected.read_text()
    for ledger_now, accepted_now, words in (
        (ledger.replace("why = ", "why = 'x' # "), accepted, "claims/registered.toml: registration 1 was changed"),
        ("[[registration]]\n", accepted, "claims/registered.toml: has another form"),
        (ledger, accepted.replace("registration = 1", "registration = 2"), "names registration 2"),
        (ledger, accepted.replace("registration = 1\n", ""), "names no registration"),
        (ledger, accepted + '[smoke.hole]\nverdict = "SUPPORTED"\nwhy = "w"\nregistration = 1\n', "in none"),
    ):
        suite.ledger.write_text(ledger_now)
        suite.expected.write_text(accepted_now)
        ended = suite.run()
        assert ended.status == pytest.ExitCode.USAGE_ERROR, words
        (line,) = ended.printed.strip().splitlines()
        assert words in line
    suite.ledger.unlink()
    suite.expected.write_text(accepted)
    assert "in none" in suite.run().printed, "a verdict outlives no ledger"


def test_nothing_is_hashed_to_list_the_claims(suite, monkeypatch):
    monkeypatch.setattr("bumplab.pytest_plugin.settings.hashes_of", lambda claim: pytest.fail("hashed"))
    assert suite.run("--collect-only").status == 0
    assert suite.run("--power", "-k", "overlap").status == 0
    assert expected.load(suite.expected, CLAIMS)["quick", "density"].registration == 1
    assert [entry.number for entry in registration.load(suite.ledger)] == [1]
