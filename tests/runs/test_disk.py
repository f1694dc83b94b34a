"""A store on a disk that is full, read-only or closed to the user: one line, an exit status, and nothing finished lost.

On real file systems, mounted where only the process that fills them sees them.
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
from bumplab.runs.execute import execute
from bumplab.runs.store import RunRecord, RunStore
from tests.rows import rows_of

ROOT = Path(__file__).parents[2]
BASE = profiles.get("smoke").run(0)
FIRST, SECOND = (replace(BASE, seed=seed, measure=replace(BASE.measure, every=12)) for seed in (0, 1))
MOUNT = ["unshare", "--user", "--map-root-user", "--mount"]
NO_RIGHTS = ["unshare", "--user"]
"""Files keep their owner, and their owner the rights that they grant: root is as anyone else."""


def works(*command):
    return shutil.which(command[0]) and subprocess.run(command, capture_output=True).returncode == 0


needs_mount = pytest.mark.skipif(
    not works(*MOUNT, "mount", "-t", "tmpfs", "none", "/tmp"),
    reason="this user may not mount a file system of their own",
)
needs_user = pytest.mark.skipif(not works(*NO_RIGHTS, "true"), reason="this user may not give up root's rights")


def lines_of(unshare, *command):
    """What a command printed, errors among it, a line each; at the end its status."""
    done = subprocess.run([*unshare, *map(str, command)], cwd=ROOT, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    return [*filter(None, done.stdout.splitlines()), f"status {done.returncode}"]


def fill_and_free(disk):
    """In a process of its own, which alone sees the small file system on ``disk``."""
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


@needs_mount
def test_a_full_disk_costs_no_finished_run_and_training_goes_on_when_there_is_room(tmp_path):
    execute(SECOND, undisturbed := RunStore(tmp_path / "undisturbed"), "cpu")
    (tmp_path / "disk").mkdir()
    code = (
        "import pathlib, sys; from tests.runs.test_disk import fill_and_free; fill_and_free(pathlib.Path(sys.argv[1]))"
    )
    lines = lines_of(MOUNT, sys.executable, "-c", code, tmp_path / "disk")
    print(*lines, sep="\n")
    said = lines[lines.index("full") + 1 : lines.index("status 2")]
    assert len(said) == 1
    assert said[0].startswith("python -m bumplab: ")
    assert "No space left on device" in said[0]
    assert "trained 0 0" in lines
    assert lines[-1] == "status 0"
    (stored,) = (line for line in lines if line.startswith("stored: "))
    assert FIRST.label() in stored, "what was finished before is kept"
    assert str(RunStore(tmp_path / "copy").load(SECOND).rows) == str(undisturbed.load(SECOND).rows)


@needs_mount
def test_a_read_only_store_is_refused_in_one_line_and_can_be_read(tmp_path):
    RunStore(tmp_path / "runs").publish(RunRecord(FIRST, rows_of(FIRST), {"0/x": np.zeros(3)}), b"")
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'

    def said(*command):
        return lines_of([*MOUNT, "sh", "-c", mount, str(tmp_path)], sys.executable, "-m", *command,
                        "--runs-dir", tmp_path / "runs")  # fmt: skip

    line, status = said("bumplab", "train", SECOND.to_json())
    assert line.startswith("python -m bumplab: ")
    assert "Read-only file system" in line
    assert status == "status 2"
    *lines, status = said("pytest", "claims", "--profile", "smoke", "-q", "--report", tmp_path.parent / "report.html")
    (line,) = [line for line in lines if line.startswith("ERROR")]
    assert line.startswith("ERROR: --runs-dir ")
    assert "Read-only file system" in line
    assert status == "status 4"
    assert said("bumplab", "runs")[-2].startswith("1 run, ")


FOLDERS = ("locks", "progress", "partial", "results")


def train_where_forbidden(root):
    for folder in FOLDERS:
        store = root / folder
        for name in FOLDERS:
            (store / name).mkdir(parents=True)
        (store / folder).chmod(0o500)
        print("status", main(["train", FIRST.to_json(), "--runs-dir", str(store)]), flush=True)
        (store / folder).chmod(0o700)


@needs_user
def test_a_folder_without_permission_to_write_is_named_in_one_line(tmp_path):
    code = (
        "import pathlib, sys; from tests.runs.test_disk import train_where_forbidden as t; t(pathlib.Path(sys.argv[1]))"
    )
    lines = lines_of(NO_RIGHTS, sys.executable, "-u", "-c", code, tmp_path)
    print(*lines, sep="\n")
    assert lines[1::2] == ["status 2"] * len(FOLDERS)
    for folder, line in zip(FOLDERS, lines[::2], strict=False):
        assert line.startswith("python -m bumplab: ")
        assert "Permission denied" in line
        assert f"{tmp_path}/{folder}/{folder}/" in line
