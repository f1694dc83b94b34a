"""A disk that is full, read-only or closed to the user ends a command with one line. No finished run is lost.

The file systems are real, and mounted where only the process that fills them sees them.
"""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bumplab import profiles
from bumplab.__main__ import main
from bumplab.runs import execute as execute_module
from bumplab.runs.store import RunRecord, RunStore, run_key
from tests.rows import made_up, rows_of

ROOT = Path(__file__).parents[2]
BASE = profiles.get("smoke").run(0)
FIRST, SECOND = (replace(BASE, seed=seed, measure=replace(BASE.measure, every=48)) for seed in (0, 1))
MOUNT = ["unshare", "--user", "--map-root-user", "--mount"]
CALL = "import pathlib, sys; from tests.runs import test_disk as t; getattr(t, sys.argv[1])(pathlib.Path(sys.argv[2]))"
"""Program that calls a function of this module with a folder."""
NO_RIGHTS = ["unshare", "--user"]
"""Root then has no rights beyond those that a file grants its owner."""


def works(*command):
    return shutil.which(command[0]) and subprocess.run(command, capture_output=True).returncode == 0


needs_mount = pytest.mark.skipif(
    not works(*MOUNT, "mount", "-t", "tmpfs", "none", "/tmp"),
    reason="this user may not mount a file system of their own",
)
needs_user = pytest.mark.skipif(not works(*NO_RIGHTS, "true"), reason="this user may not give up root's rights")


def lines_of(unshare, *command):
    """The lines that a command printed to both streams, and at the end its status."""
    done = subprocess.run([*unshare, *map(str, command)], cwd=ROOT, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    return [*filter(None, done.stdout.splitlines()), f"status {done.returncode}"]


def fill_and_free(disk):
    """Runs in a process that alone sees the small file system on ``disk``."""
    execute_module.measure = made_up
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], check=True)
    train = [["train", spec.to_json(), "--runs-dir", str(disk / "runs")] for spec in (FIRST, SECOND)]
    print("trained", main(train[0]))
    try:
        (disk / "filler").write_bytes(bytes(8 << 20))
    except OSError:
        print("full")
    print("status", main(train[1]))
    (disk / "filler").unlink()
    print("trained", main(train[0]), main(train[1]))
    shutil.copytree(disk / "runs", disk.parent / "copy")


@pytest.mark.slow
@needs_mount
def test_a_full_disk_costs_no_finished_run_and_training_goes_on_when_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(execute_module, "measure", made_up)
    execute_module.execute(SECOND, undisturbed := RunStore(tmp_path / "undisturbed"), "cpu")
    (tmp_path / "disk").mkdir()
    lines = lines_of(MOUNT, sys.executable, "-c", CALL, "fill_and_free", tmp_path / "disk")
    print(*lines, sep="\n")
    (error,) = lines[lines.index("full") + 1 : lines.index("status 2")]
    assert error.startswith("python -m bumplab: ")
    assert "No space left on device" in error
    assert "trained 0 0" in lines
    assert lines[-1] == "status 0"
    (stored,) = (line for line in lines if line.startswith("stored: "))
    assert FIRST.label() in stored, "the run that was finished before is kept"
    stores = (RunStore(tmp_path / "copy"), undisturbed)
    one, other = (str(store.load(SECOND).rows) for store in stores)
    assert one == other
    one, other = ((store.path(run_key(SECOND)) / "weights.safetensors").read_bytes() for store in stores)
    assert one == other


@pytest.mark.slow
@needs_mount
def test_a_read_only_store_is_refused_in_one_line_and_can_be_read(tmp_path):
    RunStore(tmp_path / "runs").publish(RunRecord(FIRST, rows_of(FIRST), {"0/x": np.zeros(3)}), b"")
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'

    def lines_on_read_only(*command):
        return lines_of([*MOUNT, "sh", "-c", mount, str(tmp_path)], sys.executable, "-m", *command,
                        "--runs-dir", tmp_path / "runs")  # fmt: skip

    line, status = lines_on_read_only("bumplab", "train", SECOND.to_json())
    assert line.startswith("python -m bumplab: ")
    assert "Read-only file system" in line
    assert status == "status 2"
    *lines, status = lines_on_read_only(
        "pytest", "claims", "--profile", "smoke", "-q", "--report", tmp_path.parent / "report.html"
    )
    (line,) = [line for line in lines if line.startswith("ERROR")]
    assert line.startswith("ERROR: --runs-dir ")
    assert "Read-only file system" in line
    assert status == "status 4"
    assert lines_on_read_only("bumplab", "runs")[-2].startswith("1 run, ")


FOLDERS = ("locks", "progress", "partial", "results")


def train_where_forbidden(root):
    """Trains in stores of which one folder cannot be written."""
    execute_module.measure = made_up
    for folder in FOLDERS:
        store = root / folder
        for name in FOLDERS:
            (store / name).mkdir(parents=True)
        (store / folder).chmod(0o500)
        print("status", main(["train", FIRST.to_json(), "--runs-dir", str(store)]), flush=True)
        (store / folder).chmod(0o700)


@pytest.mark.slow
@needs_user
def test_a_folder_without_permission_to_write_is_named_in_one_line(tmp_path):
    lines = lines_of(NO_RIGHTS, sys.executable, "-u", "-c", CALL, "train_where_forbidden", tmp_path)
    print(*lines, sep="\n")
    assert lines[1::2] == ["status 2"] * len(FOLDERS)
    for folder, line in zip(FOLDERS, lines[::2], strict=False):
        assert line.startswith("python -m bumplab: ")
        assert "Permission denied" in line
        assert f"{tmp_path}/{folder}/{folder}/" in line
