"""`pytest claims` as a user runs it, at the smoke profile: real training, workers, store, report and outcomes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bumplab import profiles
from bumplab.runs.board import Board
from bumplab.runs.store import RunStore, run_key
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.suite import OURS, claims, in_the_papers_order

CLAIMS = [claim.id for claim in in_the_papers_order(claims(OURS))]
CERTAIN = [claim.id for claim in claims(OURS) if claim.certain]

ROOT = Path(__file__).parents[2]


def command(folder, *arguments):
    looks = ["--seeds", "2", "--max-seeds", "3"]
    options = ["--profile", "smoke", *looks, "--runs-dir", folder / "runs", "--report", folder / "report.html"]
    return [sys.executable, "-m", "pytest", "claims", *map(str, options), *arguments]


def run_claims(folder, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    return subprocess.run(
        command(folder, *arguments), cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )


def report(folder, name="report"):
    return json.loads((folder / f"{name}.json").read_text())


def modified(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "runs" / "results").iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which all claims have been tried by two workers, one of which was killed with its session."""
    folder = tmp_path_factory.mktemp("claims")
    session = subprocess.Popen(command(folder, "-n", "2"), cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    while not list((folder / "runs").glob("partial/*/*/manifest.json")) and session.poll() is None:
        time.sleep(0.05)
    os.killpg(session.pid, signal.SIGKILL)
    session.wait()
    return folder, run_claims(folder, "-n", "2")


def test_a_killed_session_is_finished_by_the_next(finished):
    folder, done = finished
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CERTAIN)} passed, {len(CLAIMS) - len(CERTAIN)} xfailed" in done.stdout
    profile = profiles.get("smoke")
    store = RunStore(folder / "runs")
    for seed in range(2):
        record = store.load(profile.run(FIRST_SEED + seed))
        assert record is not None
        assert [row["step"] for row in record.rows] == [0, 6, 12]
    conditions = [runs for claim in report(folder)["claims"] for runs in claim["conditions"].values()]
    used = {run["key"] for runs in conditions for run in runs}
    assert set(modified(folder)) == used, "a run was trained that no verdict needed"
    assert 12 <= len(used) <= 18  # 2 increments, 1 imbalance, 2 holes, 2 sigmas, one of them shared; 2 or 3 seeds


def test_the_summary_names_every_claim_and_the_report(finished):
    folder, done = finished
    for claim in CLAIMS:
        verdict = "SUPPORTED" if claim in CERTAIN else "INCONCLUSIVE"
        row = re.search(rf"^ *{claim} +{verdict} .*", done.stdout, re.MULTILINE)
        assert row is not None, claim
        assert (claim in CERTAIN) != bool(re.search(r"\d\.\d min$", row[0])), "the time of all runs behind a claim"
    assert f"report: {folder / 'report.html'}" in done.stdout


def test_progress_counts_what_is_wanted_so_far(finished):
    """The first plain line comes after 30 s: the display itself is asked, on this very store."""
    from bumplab.pytest_plugin.display import ProgressDisplay
    from bumplab.runs.progress import ProgressFile, running

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


def test_the_json_beside_the_report_holds_verdicts_and_rows(finished):
    folder, _ = finished
    body = report(folder)
    assert [claim["claim"] for claim in body["claims"]] == list(CLAIMS)
    for claim in body["claims"]:
        assert claim["verdict"] == ("SUPPORTED" if claim["claim"] in CERTAIN else "INCONCLUSIVE")
        assert bool(claim["conditions"]) == (claim["claim"] not in CERTAIN)
        for runs in claim["conditions"].values():
            assert [run["spec"]["seed"] for run in runs] == [*range(FIRST_SEED, FIRST_SEED + claim["seeds"])]
            assert all(len(body["runs"][run["key"]]["rows"]) == 3 for run in runs)


def test_a_second_session_trains_nothing_and_says_the_same(finished):
    folder, _ = finished
    before, verdicts = modified(folder), report(folder)["claims"]
    done = run_claims(folder)
    assert f"{len(CERTAIN)} passed, {len(CLAIMS) - len(CERTAIN)} xfailed" in done.stdout
    assert modified(folder) == before
    assert report(folder)["claims"] == verdicts


def test_a_subset_writes_a_report_of_that_subset(finished):
    folder, _ = finished
    done = run_claims(folder, "-k", "density", "--report", str(folder / "subset.html"))
    assert "8 deselected, 1 xfailed" in done.stdout
    assert [c["claim"] for c in report(folder, "subset")["claims"]] == ["density"]
    assert "density" in (folder / "subset.html").read_text()


def test_a_damaged_result_is_named_moved_aside_and_trained_again(finished):
    folder, _ = finished
    profile, store = profiles.get("smoke"), RunStore(folder / "runs")
    before = store.load(profile.run(FIRST_SEED))
    rows = store.path(before.key) / "rows.json"
    rows.write_bytes(rows.read_bytes()[:-7])
    done = run_claims(folder, "-k", "phases", "--report", str(folder / "again.html"))
    assert "does not match its checksum; moved to" in done.stdout
    assert list((folder / "runs" / "damaged").iterdir())
    after = store.load(profile.run(FIRST_SEED))
    assert str(after.rows) == str(before.rows)  # as text, because NaN is not equal to itself


def test_a_store_with_a_file_in_a_folders_place_is_refused_before_anything_is_trained(finished):
    folder, _ = finished
    broken = folder / "broken"
    (broken / "runs").mkdir(parents=True)
    (broken / "runs" / "partial").write_text("")
    done = run_claims(broken, "-k", "hole")
    assert done.returncode == 4
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("ERROR: --runs-dir ")
    assert "partial" in line
