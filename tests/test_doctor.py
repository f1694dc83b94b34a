"""``python -m bumplab doctor``: each check finds what it is there for, and leaves nothing behind."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from bumplab import doctor, machine
from bumplab.__main__ import main
from bumplab.measure import numba_cache

ROOT = Path(__file__).parents[1]


def found(tmp_path, check):
    findings = {f.check: f for f in doctor.examine(tmp_path / "runs", tmp_path / "reports", tmp_path / "pins.txt")}
    return findings[check].state, findings[check].message


def test_a_sound_machine_has_no_failure_and_nothing_stays_behind(tmp_path, capsys):
    place = ["--runs-dir", str(tmp_path / "deep" / "runs"), "--reports", str(tmp_path / "reports")]
    assert main(["doctor", *place]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "warning") for line in lines)
    assert main(["doctor", *place, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [finding["check"] for finding in told] == [line.split()[1] for line in lines]
    assert main(["doctor", *place, "--quiet"]) == 0
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("ok")]
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_exit_status_1_and_one_line_that_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)  # as where libGL is missing: the import fails
    place = ["--runs-dir", str(tmp_path), "--reports", str(tmp_path)]
    assert main(["doctor", "--quiet", *place]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failure")]
    assert line.split()[:2] == ["failure", "opencv"]
    assert "make setup" in line


def test_a_folder_that_cannot_be_written_or_locked(tmp_path, monkeypatch):
    (tmp_path / "runs").write_text("a file")
    assert found(tmp_path, "store")[0] == "failure"
    (tmp_path / "runs").unlink()
    assert found(tmp_path, "store")[0] == "ok"

    def refuse(root):
        raise OSError("file locks there do not keep a second process out")

    monkeypatch.setattr(doctor, "require_locks", refuse)
    state, message = found(tmp_path, "store")
    assert (state, "--runs-dir" in message) == ("failure", True)
    monkeypatch.undo()
    (tmp_path / "runs").symlink_to("/none/where")
    assert found(tmp_path, "store")[0] == "failure", "a link to nowhere"
    (tmp_path / "runs").unlink()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "locks").symlink_to(tmp_path)
    assert found(tmp_path, "store")[0] == "failure", "a link among the store's folders"
    (tmp_path / "runs" / "locks").unlink()
    monkeypatch.setattr(doctor, "require_locks", lambda root: None)
    monkeypatch.setattr(doctor, "sync", lambda descriptor: False)
    assert found(tmp_path, "store")[0] == "warning"


def test_a_folder_where_nothing_can_be_made(tmp_path):
    findings = doctor.examine(Path("/proc/runs"), Path("/proc/reports"), tmp_path / "pins.txt")
    assert {f.check for f in findings if f.state == "failure"} >= {"store", "reports"}


@pytest.mark.parametrize(("free", "state"), [(10**7, "failure"), (10**9, "warning"), (10**10, "ok")])
def test_free_disk(tmp_path, monkeypatch, free, state):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**12, 0, free))
    assert found(tmp_path, "disk")[0] == state


def test_too_little_memory_and_a_terminal_of_ascii_are_warnings(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "memory", lambda root=None: 5 * 10**8)
    assert found(tmp_path, "workers")[0] == "warning"
    ascii_alone = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    code = "from bumplab import doctor; print(doctor._terminal()[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | ascii_alone)
    assert done.stdout == "warning\n"


def test_versions_against_the_pinned_ones(tmp_path):
    (tmp_path / "pins.txt").write_text("numpy==0.1\nno-such-library==3\n")
    state, message = found(tmp_path, "versions")
    assert state == "warning"
    assert "(pinned 0.1)" in message
    assert "no-such-library" not in message


def test_every_library_of_the_project_is_imported():
    packages = packages_distributions()
    tried = {re.sub(r"[-_.]+", "-", name).lower() for module in doctor.MODULES for name in packages[module]}
    needed = {re.split(r"[ ;<>=!\[]", line)[0].lower() for line in requires("bumplab") if "extra ==" not in line}
    assert needed - tried == {"opencv-python", "umap-learn"}, "these have checks of their own"


FAKE = """
import numba

@numba.njit(cache=True)
def twice(x):
    return 2 * x

assert twice(4) == 8
"""


def test_umap_is_imported_where_numba_finds_no_folder_for_its_code(tmp_path):
    """A module that compiles as UMAP does, whose import numba refuses as where nothing can be written."""
    (tmp_path / "umap.py").write_text(FAKE)
    code = (
        "import os; from bumplab.measure.numba_cache import require_umap; require_umap();"
        "folder = os.environ.get('NUMBA_CACHE_DIR'); print(folder, len(os.listdir(folder)))"
    )
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator", "PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False,
        env=os.environ | nowhere, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder, count = done.stdout.split()
    assert (Path(folder).parent, count) == (tmp_path, "1")
    assert not Path(folder).exists(), "it goes with its process"


def test_a_umap_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match="UMAP cannot be imported") as raised:
        numba_cache.require_umap()
    assert "\n" not in str(raised.value)
    assert found(tmp_path, "umap")[0] == "failure"
