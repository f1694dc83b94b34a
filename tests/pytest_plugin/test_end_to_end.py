"""`pytest claims` as a user runs it, at the smoke profile: real training, workers, store, report and outcomes."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from bumplab import profiles
from bumplab.pytest_plugin.display import ProgressDisplay
from bumplab.runs.board import Board
from bumplab.runs.progress import ProgressFile, running
from bumplab.runs.store import RunStore, run_key
from bumplab.verdicts import suite
from bumplab.verdicts.claim import FIRST_SEED
from tests.pytest_plugin.inside import OPTIONS, ROOT, pytest_here

CLAIMS = suite.ids(ROOT / "claims")


def options(folder):
    paths = ["--runs-dir", folder / "runs", "--report", folder / "report.html"]
    return [*map(str, paths), "--profile", "smoke", "--seeds=2", "--max-seeds=2"]


def report(folder):
    return json.loads((folder / "report.json").read_text())


def modified(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "runs" / "results").iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which all claims have been tried by two workers, after a session that was killed while it trained."""
    folder = tmp_path_factory.mktemp("claims")
    command = [sys.executable, "-m", "pytest", *OPTIONS, "claims", *options(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as session:
        while not list((folder / "runs").glob("partial/*/*/manifest.json")) and session.poll() is None:
            time.sleep(0.05)
        os.killpg(session.pid, signal.SIGKILL)
    return folder, pytest_here(*options(folder), "-n", "2")


def test_a_killed_session_is_finished_by_the_next(finished):
    folder, ended = finished
    assert ended.status == 0, ended.printed
    assert "2 passed" in ended.printed, "the part of the claim that needs no training, and its verdict"
    assert " failed" not in ended.printed
    profile, store = profiles.get("smoke"), RunStore(folder / "runs")
    for seed in range(2):
        record = store.load(profile.run(FIRST_SEED + seed))
        assert [row["step"] for row in record.rows] == record.spec.measured_steps()
    conditions = [runs for claim in report(folder)["claims"] for runs in claim["conditions"].values()]
    used = {run["key"] for runs in conditions for run in runs}
    assert set(modified(folder)) == used, "a run was trained that no verdict needed"
    assert len(used) < sum(len(runs) for runs in conditions), "claims share runs"


def test_the_report_and_the_summary_hold_every_claim(finished):
    folder, ended = finished
    body = report(folder)
    assert {claim["claim"] for claim in body["claims"]} == set(CLAIMS)
    for claim in body["claims"]:
        name, trains = claim["claim"], bool(claim["conditions"])
        assert claim["verdict"] == ("INCONCLUSIVE" if trains else "SUPPORTED"), name
        assert claim["exploratory"] == trains, name
        for runs in claim["conditions"].values():
            assert all(run["key"] in body["runs"] for run in runs), name
            assert len(runs) == claim["seeds"] == 2, name
        verdict = f"EXPLORATORY {claim['verdict']}" if trains else claim["verdict"]
        row = re.search(rf"^ *{name} +{verdict} .*", ended.printed, re.MULTILINE)
        assert row is not None, name
        assert trains == bool(re.search(r"\d\.\d min$", row[0])), f"{name}: the time of all runs behind a claim"
    assert f"report: {folder / 'report.html'}" in ended.printed


def test_a_second_session_trains_nothing_and_says_the_same(finished):
    """Some claims stand for all: the figures of each take a second."""
    folder, _ = finished
    before, entries = modified(folder), {entry["claim"]: entry for entry in report(folder)["claims"]}
    certain = [claim for claim, entry in entries.items() if not entry["conditions"]]
    chosen = {*certain, CLAIMS[0], CLAIMS[-1]}
    ended = pytest_here(*options(folder), "-k", " or ".join(chosen), "--report", folder / "again.html")
    assert ended.status == 0, ended.printed
    assert modified(folder) == before
    again = json.loads((folder / "again.json").read_text())["claims"]
    assert {entry["claim"]: entry for entry in again} == {claim: entries[claim] for claim in chosen}


def test_progress_counts_what_is_wanted_so_far(finished):
    """The first plain line comes after 30 s: the display itself is asked, on this very store."""
    folder, _ = finished
    board, profile = Board(folder / "runs", "asked"), profiles.get("smoke")
    board.open()
    display = ProgressDisplay(board)
    with ProgressFile(folder / "runs", "0" * 20, "d=0.5 seed 0", 0, 12):
        assert display._status(running(folder / "runs")) is None
        board.ask([profile.run(FIRST_SEED), profile.run(FIRST_SEED + 1)])
        assert display._status(running(folder / "runs")) == "2 of 2 runs done"
        board.ask([profile.run(FIRST_SEED + 99)])
        assert display._status(running(folder / "runs")) == "2 of 3 runs done"
    display._began -= 60
    with ProgressFile(folder / "runs", run_key(later := profile.run(FIRST_SEED + 99)), later.label(), 0, 12) as file:
        file.progress.updated = 0.0
        file.update(4)  # of all that is wanted, these were done since the display began: what was stored took no time
        assert display._status(running(folder / "runs")) == "2 of 3 runs done, about 2 min for the others"
    board.close()
