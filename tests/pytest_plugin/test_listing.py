"""Options that select and list claims train nothing, write nothing and leave the last report alone."""

import pytest

from bumplab.verdicts import suite
from tests.pytest_plugin.inside import ROOT, pytest_here

CLAIMS = suite.ids(ROOT / "claims")


def selected(*arguments):
    """The claims of the items that a session would run, each once."""
    lines = pytest_here("--collect-only", "-q", *arguments).printed.splitlines()
    return sorted({line.partition("::test_")[2].partition("[")[0] for line in lines if "::" in line})


def test_a_claims_name_selects_that_claim_alone():
    """Whatever the options, and whatever the parts and controls of the others are called."""
    assert not [(a, b) for a in CLAIMS for b in CLAIMS if a != b and a in b]
    for options in (("--seeds", "14"), ("--profile", "smoke", "--controls"), ("--controls",)):
        for claim in CLAIMS:
            assert selected("-k", claim, *options) == [claim], options
    assert selected("-k", f"not {CLAIMS[-1]}", "--controls") == sorted(set(CLAIMS) - {CLAIMS[-1]})


def test_where_no_test_runs_nothing_is_written_trained_or_opened(tmp_path, monkeypatch):
    monkeypatch.setattr("bumplab.verdicts.power.table", lambda claims, looks, needed: "")
    (report := tmp_path / "report.html").write_text("yesterday's")
    paths = ("--runs-dir", tmp_path / "runs", "--report", report, "--figures", tmp_path / "figures")
    for options in (
        ["--collect-only"], ["--fixtures"], ["--fixtures-per-test"], ["--setup-plan"], ["--setup-only"],
        ["--markers"], ["--power"], ["--power", "--collect-only"], ["-k", "densty"], ["--deselect", "claims"],
    ):  # fmt: skip
        ended = pytest_here(*options, "--profile", "smoke", *paths)
        assert ended.status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), (options, ended.printed)
        assert list(tmp_path.iterdir()) == [report], options
    assert report.read_text() == "yesterday's"


def test_a_word_that_matches_no_claim_names_those_there_are(suite, monkeypatch):
    monkeypatch.setattr("bumplab.verdicts.power.table", lambda claims, looks, needed: "")
    for options in ((), ("--power",), ("--plan",)):
        ended = suite.run("-k", "densty", *options)
        assert "of the claims" not in ended.printed, "a table without rows"
        assert ended.status == pytest.ExitCode.NO_TESTS_COLLECTED, options
        (line,) = ended.lines("-k densty: ")
        assert line.endswith("density, hole, overlap, sigma"), options
    other = suite.folder / "test_other.py"
    other.write_text("def test_other(): pass")
    ended = suite.run("-k", "densty", claims=other)
    assert ended.lines("-k densty: ") == [], "no claims were asked for"


def test_a_broken_claim_stops_claims_and_no_other_test(suite):
    (suite.folder / "claims" / "test_sigma.py").write_text("import pytest\npytest.importorskip('nowhere_at_all')\n")
    ended = suite.run("-k", "overlap")
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    (line,) = ended.lines("ERROR: ")
    assert "test_sigma.py" in line
    assert "nowhere_at_all" in line
    other = suite.folder / "test_other.py"
    other.write_text("def test_other(): pass")
    assert suite.run(claims=other).status == pytest.ExitCode.OK
