"""``python -m bumplab doctor``: checks in seconds what a session needs. Nothing is trained."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from bumplab import machine
from bumplab.runs.locks import require_locks
from bumplab.runs.sealed import move, sync
from bumplab.runs.store import RunStore

State = Literal["ok", "warning", "failure"]
MODULES = (
    *("torch", "numpy", "scipy", "sklearn", "threadpoolctl", "safetensors", "filelock"),
    *("pytest", "xdist", "hypothesis", "jinja2", "matplotlib", "PIL", "rich", "tomlkit", "msgspec"),
)
"""One module of each library that the project needs, except OpenCV and UMAP, which have checks of their own."""
LITTLE_DISK, NO_DISK = 2 * 10**9, 2 * 10**8
"""Free bytes below which a warning and a failure are reported. A store of `quick` with controls takes 0.4 GB."""


@dataclass(frozen=True)
class Finding:
    """The result of one check. Unless ``state`` is ok, ``message`` also says what to do."""

    check: str
    state: State
    message: str


def examine(runs_dir: Path, reports: Path, constraints: Path) -> list[Finding]:
    """All findings, in the order of the checks. The folders and the file of pinned versions may be missing.

    Nothing stays behind in the folders.
    """
    checks: dict[str, Callable[[], tuple[State, str]]] = {
        "libraries": _libraries,
        "opencv": _opencv,
        "umap": _umap,
        "versions": lambda: _versions(constraints),
        "store": lambda: _store(runs_dir),
        "reports": lambda: _reports(reports),
        "disk": lambda: _disk(runs_dir),
        "workers": _workers,
        "bf16": _bf16,
        "gpu": _gpu,
        "terminal": _terminal,
    }
    findings = []
    for name, check in checks.items():
        try:
            state, message = check()
        except Exception as error:  # one broken check must not hide the others
            state, message = "failure", f"{type(error).__name__}: {error}"
        findings.append(Finding(name, state, " ".join(message.split())))
    return findings


def _libraries() -> tuple[State, str]:
    broken = []
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:
            broken.append(f"{name} ({error})")
    if broken:
        return "failure", f"cannot be imported: {'; '.join(broken)}: install the project again (make setup)"
    return "ok", f"{len(MODULES)} libraries can be imported"


def _opencv() -> tuple[State, str]:
    try:
        import cv2
    except Exception as error:
        return "failure", (
            f"OpenCV cannot be imported ({error}): delete .venv and run make setup, which installs the headless build "
            "where a desktop's libraries are missing; claims that train need it"
        )
    return "ok", f"OpenCV {cv2.__version__} can be imported"


def _umap() -> tuple[State, str]:
    from bumplab.measure.numba_cache import require_umap

    before = os.environ.get("NUMBA_CACHE_DIR")
    try:
        require_umap()
    except ImportError as error:
        return "failure", f"{error}: install the project again (make setup); claims that train need it"
    if os.environ.get("NUMBA_CACHE_DIR") != before:
        return "warning", (
            "numba can write compiled code neither beside UMAP nor into the user's cache, so every worker compiles for "
            "20 s: set NUMBA_CACHE_DIR to a folder that can be written"
        )
    return "ok", f"UMAP {version('umap-learn')} can be imported, and numba stores its compiled code"


def _versions(constraints: Path) -> tuple[State, str]:
    """Compares the installed versions with the pinned ones, which computed the project's published numbers."""
    if not constraints.is_file():
        return "ok", "no constraints.txt here to compare with"
    differ, pinned = [], 0
    for requirement in constraints.read_text(encoding="utf-8").splitlines():
        name, _, wanted = requirement.partition("==")
        installed = _installed(name)
        if wanted and installed is not None:  # tools for tests may be missing
            pinned += 1
            if installed.partition("+")[0] != wanted:  # without a local part such as +cpu
                differ.append(f"{name} {installed} (pinned {wanted})")
    if differ:
        return (
            "warning",
            f"other versions: {', '.join(differ)}: numbers may differ; make setup installs the pinned ones",
        )
    return "ok", f"{pinned} libraries have the pinned version"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _store(runs_dir: Path) -> tuple[State, str]:
    """Does in the folder what a store does: writes, syncs, renames, and locks out a second process."""
    try:
        with _folder_at(runs_dir) as folder:
            (folder / "new").mkdir()
            with open(folder / "new" / "file", "wb") as file:
                file.write(b"x")
                synced = sync(file.fileno())
            move(folder / "new", folder / "renamed")
            require_locks(folder)
        RunStore(runs_dir).require_writable()
    except OSError as error:
        return (
            "failure",
            f"{runs_dir} cannot hold runs ({error}): name a folder on a local disk with --runs-dir",
        )
    if not synced:
        return "warning", f"{runs_dir} cannot be synced: a power cut may cost the last checkpoint of each run"
    return "ok", f"{runs_dir} can be written, synced and locked"


def _reports(reports: Path) -> tuple[State, str]:
    try:
        with _folder_at(reports):
            return "ok", f"{reports} can be written"
    except OSError as error:
        return "failure", f"{reports} cannot hold reports ({error}): name another file with --report"


@contextmanager
def _folder_at(path: Path) -> Iterator[Path]:
    """A temporary folder inside this folder. Where that does not exist, inside the nearest one around it."""
    if os.path.lexists(path) and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(path))
    with tempfile.TemporaryDirectory(prefix=".bumplab-doctor-", dir=_nearest_folder(path)) as folder:
        yield Path(folder)


def _nearest_folder(path: Path) -> Path:
    """The folder itself. Where it does not exist, the innermost existing folder around it."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _disk(runs_dir: Path) -> tuple[State, str]:
    free = shutil.disk_usage(_nearest_folder(runs_dir)).free
    space = f"{free / 1e9:.1f} GB are free for {runs_dir}"
    if free < LITTLE_DISK:
        advice = "name another disk with --runs-dir, or remove old runs with python -m bumplab prune"
        return ("failure" if free < NO_DISK else "warning"), f"{space}: {advice}"
    return "ok", space


def _workers() -> tuple[State, str]:
    processors, memory, workers = machine.processors(), machine.memory(), machine.workers()
    available = (
        f"{processors} processors and {memory / 1e9:.1f} GB of memory are available: -n auto takes {workers} workers"
    )
    if memory < machine.BYTES_A_WORKER:
        return "warning", f"{available}; a worker needs 1 GB: close other programs, or raise the container's limit"
    return "ok", available


def _bf16() -> tuple[State, str]:
    from bumplab.diffusion.speed import has_bf16

    if has_bf16("cpu"):
        return "ok", "the processor computes in bf16"
    return "ok", "the processor has no bf16: it computes profiles with bf16 in float32"


def _gpu() -> tuple[State, str]:
    import torch

    if not torch.cuda.is_available():
        return "ok", f"torch {torch.__version__} finds no GPU: runs are trained on the CPU"
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return "ok", f"{', '.join(names)}: --gpu trains on it"


def _terminal() -> tuple[State, str]:
    encoding = getattr(sys.stdout, "encoding", None) or "none"
    kind = "a terminal" if sys.stdout.isatty() else "no terminal: progress comes as lines"
    if "utf" not in encoding.lower():
        return "warning", f"{kind}, encoding {encoding}: set PYTHONUTF8=1, or tables and names hold escapes"
    return "ok", f"{kind}, encoding {encoding}"
