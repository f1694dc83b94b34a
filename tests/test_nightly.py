"""Nights that go on from the archive of the night before: planted runs, the real commands, and the real Makefile."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bumplab import __main__ as command
from bumplab import profiles
from bumplab.diffusion import speed
from bumplab.measure.libraries import versions
from bumplab.runs import pack
from bumplab.runs.store import RunRecord, RunStore
from tests.pytest_plugin import planted
from tests.pytest_plugin.planted import Suite
from tests.rows import rows_of
from tests.runs.archives import read_all, rewrite

ROOT = Path(__file__).parents[1]
SMOKE = profiles.get("smoke")


def here():
    """The environment of a run that is trained here."""
    return speed.describe("cpu") | versions()


def record_of(seed, **environment):
    spec = SMOKE.run(seed, dx=4.0)
    return RunRecord(spec, rows_of(spec), environment=here() | environment)


class Nights:
    """The claim ``density`` at smoke, which has one run a seed, each night in an empty store."""

    def __init__(self, folder, monkeypatch):
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        monkeypatch.setattr(planted, "train", self.train)
        self.suite, self.archive, self.trained = Suite(folder / "suite"), folder / "claims-smoke.zip", []
        self.store = self.suite.folder / ".runs"

    def train(self, spec, store, device):
        self.trained.append(spec.seed)
        store.publish(record_of(spec.seed), b"")

    def night(self, seeds):
        """Exit status of the import, the seeds that were trained, and the claim's verdict on so many seeds."""
        shutil.rmtree(self.store, ignore_errors=True)
        self.trained.clear()
        place = ["--profile", "smoke", "--runs-dir", str(self.store)]
        status = command.main(["runs", "import", str(self.archive), *place])
        ended = self.suite.run("--profile", "smoke", f"--seeds={seeds}", f"--max-seeds={seeds}", "-k", "density")
        assert ended.status == 0, ended.printed
        assert command.main(["runs", "export", str(self.archive), *place, "--no-draws"]) == 0
        return status, self.trained, self.suite.entries()["density"]["seeds"]

    def write(self, *records):
        """Puts an archive of these runs in the place of last night's."""
        store = RunStore(self.suite.folder.parent / "other")
        for record in records:
            store.publish(record, b"")
        kept = pack.Kept(draws=False, evidence=False)
        specs = [record.spec for record in records]
        pack.write(self.archive, store, specs, lambda spec: kept, "python -m bumplab runs export FILE")


def lines_of(capsys):
    """What was printed to standard error, without the progress that is empty here."""
    return [text for text in capsys.readouterr().err.splitlines() if text.strip()]


@pytest.fixture
def nights(tmp_path, monkeypatch):
    return Nights(tmp_path, monkeypatch)


def test_a_night_trains_only_what_the_archive_lacks(nights):
    """The first night has none. What it exports serves the second, which has lost its store."""
    assert nights.night(2) == (2, [10, 11], 2)
    assert nights.night(3) == (0, [12], 3)
    assert nights.night(3) == (0, [], 3)


@pytest.mark.parametrize("case", ["damaged", "another registration", "several registrations"])
def test_an_archive_that_does_not_fit_is_one_line_and_nothing_of_it_is_stored(nights, capsys, case):
    nights.write(*map(record_of, {"another registration": (1010, 1011), "damaged": (10, 11)}.get(case, (10, 1011))))
    if case == "damaged":
        nights.archive.write_bytes(nights.archive.read_bytes()[:-30])
    assert nights.night(3) == (2, [10, 11, 12], 3)
    (error,) = lines_of(capsys)
    assert str(nights.archive) in error
    assert {run.name for run in (nights.store / "results").iterdir()} == {record_of(seed).key for seed in (10, 11, 12)}


def test_runs_in_another_arithmetic_are_trained_again(nights, capsys):
    """They are named in one line, and mixed with none: a claim on both kinds would be an ERROR."""
    gpu = {"instructions": "cuda", "exact": False}
    nights.write(record_of(10, **gpu), record_of(11, **gpu), record_of(12))
    assert nights.night(3) == (1, [10, 11], 3)
    (error,) = lines_of(capsys)
    assert ": 2 runs computed in TF32, with " in error


def test_a_damaged_run_is_trained_again(nights, capsys):
    nights.write(record_of(10), record_of(11))
    rewrite(nights.archive, read_all(nights.archive) | {f"runs/{record_of(11).key}/rows.json": b"{}"})
    assert nights.night(2) == (1, [11], 2)
    (error,) = lines_of(capsys)
    assert f"run {record_of(11).key}: rows.json does not match its checksum; left out" in error


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("imports", "judges", "exports"), [(0, 0, 0), (2, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 2), (0, 1, 2)]
)
def test_make_goes_on_after_a_failed_import_and_exports_after_a_red_session(tmp_path, imports, judges, exports):
    """It is red where the session or the export is. Without an archive nothing is imported."""
    log = tmp_path / "log"
    for name, statuses in (
        ("python", f"*import*) exit {imports};; *export*) exit {exports};;"),
        ("pytest", f"*) exit {judges};;"),
    ):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\necho "$*" >>{log}\ncase "$*" in {statuses} esac\n')
        script.chmod(0o755)
    (tmp_path / "reports").mkdir()

    def lines_of_night(*variables):
        log.unlink(missing_ok=True)
        make = ["make", "-f", ROOT / "Makefile", "-o", "setup", "nightly", f"BIN={tmp_path}", "RUNS=store", *variables]
        done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) == bool(judges or exports), done.stderr
        return log.read_text().splitlines()

    session = "claims --profile nightly --runs-dir store -n 2"
    archive = "reports/claims-nightly.zip --profile nightly"
    export = f"-m bumplab runs export {archive} --no-draws --runs-dir store"
    assert lines_of_night("ARGS=-n 2") == [session, export]
    (tmp_path / "reports" / "claims-nightly.zip").touch()
    assert lines_of_night("ARGS=-n 2") == [f"-m bumplab runs import {archive} --runs-dir store", session, export]
    assert "--gpu" in lines_of_night("TORCH=cuda")[0]
    assert "--gpu" in lines_of_night("TORCH=cuda")[1]
