"""``python -m bumplab doctor``: each check finds its fault and leaves nothing behind."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest

from bumplab import doctor, machine
from bumplab.__main__ import main
from bumplab.measure import numba_cache

ROOT = Path(__file__).parents[1]


def test_a_sound_machine_has_no_failure_and_nothing_stays_behind(tmp_path, capsys, monkeypatch):
    folders = ["--runs-dir", str(tmp_path / "deep" / "runs"), "--reports", str(tmp_path / "reports")]
    assert main(["doctor", *folders]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "warning") for line in lines)
    assert main(["doctor", *folders, "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert [finding["check"] for finding in findings] == [line.split()[1] for line in lines]
    assert len(findings) == 11
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "cv2", None)  # as where libGL is missing: the import fails
    assert main(["doctor", "--quiet", *folders]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if line.startswith("ok")]
    (line,) = [line for line in lines if line.startswith("failure")]
    assert line.split()[:2] == ["failure", "opencv"]
    assert "make setup" in line


def test_a_check_that_breaks_hides_no_other(tmp_path, monkeypatch):
    def broken():
        raise RuntimeError("of two\nlines")

    monkeypatch.setattr(doctor, "_workers", broken)
    findings = {finding.check: finding for finding in doctor.examine(tmp_path, tmp_path, tmp_path / "pins.txt")}
    assert (findings["workers"].state, findings["workers"].message) == ("failure", "RuntimeError: of two lines")
    assert findings["store"].state == "ok"


def test_a_folder_that_cannot_be_written_or_locked(tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    runs.write_text("a file")
    assert doctor._store(runs)[0] == "failure"
    runs.unlink()
    assert doctor._store(runs)[0] == "ok"

    def refuse(root):
        raise OSError("file locks there do not keep a second process out")

    monkeypatch.setattr(doctor, "require_locks", refuse)
    state, message = doctor._store(runs)
    assert (state, "--runs-dir" in message) == ("failure", True)
    monkeypatch.undo()
    runs.symlink_to("/none/where")
    assert doctor._store(runs)[0] == "failure", "a link to nowhere"
    runs.unlink()
    runs.mkdir()
    (runs / "locks").symlink_to(tmp_path)
    assert doctor._store(runs)[0] == "failure", "a link among the store's folders"
    (runs / "locks").unlink()
    monkeypatch.setattr(doctor, "require_locks", lambda root: None)
    monkeypatch.setattr(doctor, "sync", lambda descriptor: False)
    assert doctor._store(runs)[0] == "warning"
    assert doctor._store(Path("/proc/runs"))[0] == doctor._reports(Path("/proc/reports"))[0] == "failure"
    assert doctor._reports(tmp_path / "reports")[0] == "ok"


def test_free_disk(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    for free, state in ((10**7, "failure"), (10**9, "warning"), (10**10, "ok")):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: usage(10**12, 0, free))
        assert doctor._disk(tmp_path / "runs")[0] == state, free


def test_too_little_memory_and_a_terminal_of_ascii_are_warnings(monkeypatch):
    for memory, state in ((2 * 10**9, "ok"), (5 * 10**8, "warning")):
        monkeypatch.setattr(machine, "memory", lambda root=None, memory=memory: memory)
        assert doctor._workers()[0] == state, memory
    for encoding, state in (("utf-8", "ok"), ("ascii", "warning")):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert doctor._terminal()[0] == state, encoding


def test_versions_against_the_pinned_ones(tmp_path):
    (pins := tmp_path / "pins.txt").write_text("numpy==0.1\nno-such-library==3\n")
    state, message = doctor._versions(pins)
    assert state == "warning"
    assert "numpy" in message
    assert "0.1" in message
    assert "no-such-library" not in message
    pins.write_text(f"numpy=={version('numpy')}\n")
    assert doctor._versions(pins)[0] == doctor._versions(tmp_path / "none.txt")[0] == "ok"


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


def test_a_umap_that_cannot_be_imported_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match="UMAP cannot be imported") as raised:
        numba_cache.require_umap()
    assert "\n" not in str(raised.value)
    assert doctor._umap()[0] == "failure"
