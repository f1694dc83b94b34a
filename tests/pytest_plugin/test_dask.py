"""``pytest claims --dask``: the whole command, with real schedulers and workers beside planted or real trainings."""

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest

from bumplab.runs.cluster import connection
from bumplab.runs.store import RunStore
from tests.pytest_plugin.inside import OPTIONS
from tests.pytest_plugin.planted import ROOT
from tests.runs.farm import Farm, until

needs_dask = pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed (extra dask)")


@pytest.fixture
def farm(tmp_path):
    with Farm(tmp_path / "farm") as farm:
        farm.add("w0")
        farm.add("w1")
        yield farm


def started(suite, *words, **variables):
    """A session in a process group of its own, as a terminal starts it."""
    environment = suite.environment(PYTHONPATH=str(ROOT), **variables)
    return subprocess.Popen(
        suite.command(*words), cwd=suite.folder, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def judged(suite):
    """What a report says of each claim, but for times."""
    return {claim: entry | {"process_seconds": 0} for claim, entry in suite.entries().items()}


@needs_dask
@pytest.mark.parametrize("place", ["local:2", pytest.param("scheduler", marks=pytest.mark.slow)])
def test_a_session_on_a_cluster_judges_as_one_by_xdist(suite, tried, request, place):
    """Also where -n is given, as `make claims` does. The planted rows tell which runs a claim was judged on."""
    address = request.getfixturevalue("farm").address if place == "scheduler" else place
    words = ("--controls", "--vary", "prediction=epsilon", "-n", "2", "--dask", address)
    session = started(suite, *words)
    printed, _ = session.communicate(timeout=120)
    xdists, ended = tried
    assert session.returncode == ended.status, printed
    assert f"--dask {address}: 2 workers train" in printed
    assert judged(suite) == judged(xdists)
    assert not list((suite.folder / ".runs").glob("progress/*"))


@needs_dask
@pytest.mark.slow
def test_ctrl_c_keeps_what_has_begun_and_the_next_session_goes_on(suite, tried, farm, tmp_path):
    store = RunStore(suite.folder / ".runs")
    with Farm(tmp_path / "slow") as slow:
        slow.add("w0", SECONDS="1")
        slow.add("w1", SECONDS="1")
        session = started(suite, "--controls", "--vary", "prediction=epsilon", "--dask", slow.address)
        until(lambda: len(list(store.root.glob("results/*"))) >= 2)
        os.killpg(session.pid, signal.SIGINT)
        printed, _ = session.communicate(timeout=60)
    assert session.returncode == pytest.ExitCode.INTERRUPTED, printed
    assert re.search(r"([12]) of \1 came home", printed), printed
    kept = set(store.root.glob("results/*"))
    assert 3 <= len(kept) <= 6, "two at once, each of a second"
    times = {path: path.stat().st_mtime_ns for path in kept}
    session = started(suite, "--controls", "--vary", "prediction=epsilon", "--dask", farm.address)
    session.communicate(timeout=120)
    assert judged(suite) == judged(tried[0])
    assert times == {path: path.stat().st_mtime_ns for path in kept}


@needs_dask
@pytest.mark.slow
def test_real_runs_are_bit_for_bit_those_of_this_machine(tmp_path):
    reports = []
    for number, words in enumerate((["-n", "2"], ["--dask", "local:2"])):
        folder = tmp_path / str(number)
        claims = ["claims", "-k", "phases or overlap", "--profile", "smoke", "--seeds", "2", "--max-seeds", "2"]
        places = ["--runs-dir", str(folder / "runs"), "--report", str(folder / "report.html")]
        command = [sys.executable, "-m", "pytest", *OPTIONS, *claims, *words, *places]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        report = json.loads((folder / "report.json").read_text())
        for claim in report["claims"]:
            del claim["process_seconds"]
        for run in report["runs"].values():
            del run["seconds"]
        reports.append((report["claims"], report["runs"]))
    assert reports[0] == reports[1]
    assert len(reports[0][1]) == 6


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--dask", "local:0"], "--dask local:0: must be local:1 to local:1024"),
        (["--dask", "somewhere"], "--dask somewhere: is no address"),
        (["--dask", "127.0.0.1:1"], "--dask 127.0.0.1:1: no scheduler can be reached there"),
        (["--dask", "local:1", "--dask-wait", "-1"], "--dask-wait -1: must be a number of seconds"),
        (["--dask", "local:1", "--dask-grace", "soon"], "--dask-grace soon: must be a number of seconds"),
        (["--dask-grace", "3"], "--dask-grace: goes with --dask"),
        (["--published", "--dask", "local:1"], "--published: does not go with --dask"),
    ],
)
@needs_dask
def test_what_cannot_be_is_one_line_and_nothing_is_written(suite, words, error, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT", 0.5)
    ended = suite.run(*words)
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    assert len(ended.lines(f"ERROR: {error}")) == 1, ended.printed
    assert not (suite.folder / ".runs").exists()
