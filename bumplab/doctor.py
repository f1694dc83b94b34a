"""``python -m bumplab doctor``: tries in seconds what a session needs, and trains nothing."""

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
"""One module of each library that the project needs. OpenCV and UMAP have checks of their own."""
LITTLE_DISK, NO_DISK = 2 * 10**9, 2 * 10**8
"""Bytes: a store of `quick` with controls takes 0.4 GB, its largest run 10 MB."""


@dataclass(frozen=True)
class Finding:
    """What one check found; ``message`` says what is so and, unless all is well, what to do."""

    check: str
    state: State
    message: str


def examine(runs_dir: Path, reports: Path, constraints: Path) -> list[Finding]:
    """All findings, in the order of the checks. Nothing stays behind in the folders."""
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
        except Exception as error:  # one broken part must not hide the others
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
    return "ok", f"{len(MODULES)} import"


def _opencv() -> tuple[State, str]:
    try:
        import cv2
    except Exception as error:
        return "failure", (
            f"OpenCV cannot be imported ({error}): delete .venv and run make setup, which takes the headless build "
            "where a desktop's libraries are missing; all claims but overlap need it"
        )
    return "ok", f"OpenCV {cv2.__version__} imports"


def _umap() -> tuple[State, str]:
    from bumplab.measure.numba_cache import require_umap

    before = os.environ.get("NUMBA_CACHE_DIR")
    try:
        require_umap()
    except ImportError as error:
        return "failure", f"{error}: install the project again (make setup); all claims but overlap need it"
    if os.environ.get("NUMBA_CACHE_DIR") != before:
        return "warning", (
            "numba can keep compiled code neither beside UMAP nor in the user's cache, so that every worker compiles "
            "for 20 s more: set NUMBA_CACHE_DIR to a folder that can be written"
        )
    return "ok", f"UMAP {version('umap-learn')} imports, and numba keeps its compiled code"


def _versions(constraints: Path) -> tuple[State, str]:
    """Installed versions against the pinned ones, with which the project's figures were made."""
    if not constraints.is_file():
        return "ok", "no constraints.txt here to compare with"
    differ, pinned = [], 0
    for requirement in constraints.read_text(encoding="utf-8").splitlines():
        name, _, wanted = requirement.partition("==")
        with_local = _installed(name)
        if wanted and with_local is not None:  # tools for tests need not be there
            pinned += 1
            if with_local.partition("+")[0] != wanted:
                differ.append(f"{name} {with_local} (pinned {wanted})")
    if differ:
        return "warning", f"not as pinned: {', '.join(differ)}: numbers may differ; make setup installs the pinned ones"
    return "ok", f"{pinned} libraries as pinned"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _store(runs_dir: Path) -> tuple[State, str]:
    """Does there what a store does: writes, syncs, renames, locks against another process."""
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
            f"runs cannot be stored in {runs_dir} ({error}): name a folder on a local disk with --runs-dir",
        )
    if not synced:
        return "warning", f"{runs_dir} cannot be synced: after a power cut the last checkpoint may be trained again"
    return "ok", f"{runs_dir} can be written, synced and locked between processes"


def _reports(reports: Path) -> tuple[State, str]:
    try:
        with _folder_at(reports):
            return "ok", f"{reports} can be written"
    except OSError as error:
        return "failure", f"no report can be written to {reports} ({error}): name another file with --report"


@contextmanager
def _folder_at(place: Path) -> Iterator[Path]:
    """A temporary folder in this one or, while it does not exist, where it would be made."""
    if os.path.lexists(place) and not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is no folder", str(place))
    with tempfile.TemporaryDirectory(prefix=".bumplab-doctor-", dir=_nearest_folder(place)) as folder:
        yield Path(folder)


def _nearest_folder(place: Path) -> Path:
    """The place itself or, while it does not exist, the innermost folder around it that does."""
    place = place.absolute()
    return next(folder for folder in (place, *place.parents) if folder.exists())


def _disk(runs_dir: Path) -> tuple[State, str]:
    free = shutil.disk_usage(_nearest_folder(runs_dir)).free
    said = f"{free / 1e9:.1f} GB are free for {runs_dir}"
    if free < LITTLE_DISK:
        advice = "free some, or name another disk with --runs-dir; python -m bumplab prune removes old runs"
        return ("failure" if free < NO_DISK else "warning"), f"{said}: {advice}"
    return "ok", said


def _workers() -> tuple[State, str]:
    processors, memory, workers = machine.processors(), machine.memory(), machine.workers()
    said = f"{processors} processors and {memory / 1e9:.1f} GB of memory are available: -n auto takes {workers} workers"
    if memory < machine.BYTES_A_WORKER:
        return "warning", f"{said}; a worker takes 1 GB: close other programs, or raise the container's limit"
    return "ok", said


def _bf16() -> tuple[State, str]:
    from bumplab.training.speed import has_bf16

    return "ok", "the processor has it" if has_bf16("cpu") else "the processor has none: profiles with it take float32"


def _gpu() -> tuple[State, str]:
    import torch

    if not torch.cuda.is_available():
        return "ok", f"torch {torch.__version__} finds none: runs are trained on the CPU"
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return "ok", f"{', '.join(names)}: --gpu trains there"


def _terminal() -> tuple[State, str]:
    encoding = getattr(sys.stdout, "encoding", None) or "none"
    kind = "a terminal" if sys.stdout.isatty() else "no terminal: progress comes as lines"
    if "utf" not in encoding.lower():
        return "warning", f"{kind}, encoding {encoding}: set PYTHONUTF8=1 for whole tables and names"
    return "ok", f"{kind}, encoding {encoding}"
