"""``--also-runs``: what lies in a second store or an archive is not trained again."""

import shutil

import pytest

from bumplab import __main__ as command
from tests.pytest_plugin.planted import Suite


@pytest.fixture
def elsewhere(tmp_path):
    """A store in which the claim ``hole`` was judged, and an archive of its runs without draws."""
    first = Suite(tmp_path / "first")
    assert first.run("-k", "hole").status == 0
    store, archive = tmp_path / "second", tmp_path / "runs.zip"
    shutil.move(first.folder / ".runs", store)
    assert command.main(["runs", "--runs-dir", str(store), "export", str(archive), "--no-draws"]) == 0
    return store, archive


def test_a_session_copies_what_it_needs_and_trains_the_rest(suite, elsewhere, tmp_path):
    """It gives the same verdict, also by two workers. A second session finds the copies in its own store."""
    store, archive = elsewhere
    before = sorted(store.rglob("*"))
    ended = suite.run("-k", "hole", "--also-runs", store, "-n", "2")
    assert (ended.status, suite.verdicts()) == (0, {"hole": "SUPPORTED"}), ended.printed
    assert suite.run("-k", "hole").status == 0
    assert suite.trained() == []
    copied, theirs = ({run.name for run in (root / "results").iterdir()} for root in (suite.folder / ".runs", store))
    assert copied == theirs
    assert sorted(store.rglob("*")) == before
    shutil.rmtree(suite.folder / ".runs")
    ended = suite.run("-k", "hole or density", "--also-runs", archive, "--also-runs", store)
    assert suite.verdicts() == {"density": "CONTRADICTED", "hole": "SUPPORTED"}, ended.printed
    assert {label.split(" seed")[0] for label, _ in suite.trained()} == {"d=4"}


def test_a_plan_counts_what_lies_elsewhere_as_stored(suite, elsewhere):
    ended = suite.run("-k", "hole", "--plan", "--also-runs", elsewhere[1], "--seeds=3", "--max-seeds=7")
    counts = [line.split()[-3:] for line in ended.lines(" hole") + ended.lines("  hole")]
    assert counts == [["6", "14", "14"]], ended.printed
    assert "a session would train nothing" in ended.printed


def test_what_is_no_store_or_archive_is_one_line(suite, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("x")
    for name, words in (
        ("empty", "is no store of runs"),
        ("text", "is no archive of runs"),
        ("absent", "cannot be read"),
    ):
        ended = suite.run("-k", "hole", "--also-runs", tmp_path / name)
        (error,) = ended.lines("ERROR")
        assert "--also-runs" in error, name
        assert words in error, name
        assert not (suite.folder / ".runs").exists(), name
    assert "--also-runs: must name a" in suite.run("--also-runs=").printed
