"""What a run store takes on disk, and how to free it: `python -m bumplab runs` and `prune`."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.runs.board import at_work, pruning, session_folders
from bumplab.runs.sealed import PENDING, Damaged, discard, move, pending, read_file
from bumplab.runs.store import FILES, RunStore, require_real_folders, run_key

KEY = re.compile("[0-9a-f]{20}")
"""The form of `run_key`. A lock has the name of a key; a folder of another name has no trainer that would hold one."""
BESIDE = ("draws", "measured")
"""Folders that hold more of a run, under its key. They are listed and removed with it."""
STATES = {"results": "finished", "partial": "unfinished", "damaged": "damaged"}
"""The state of the runs in each folder of a store."""
LEFT_OVER = "left over"
"""The state of files left by a process that was killed while it wrote a first checkpoint, or removed a last one."""
PASSED_OVER = "passed over"
"""The state of a folder whose name is not the key of its spec. Another version of the code made it, or it is no run."""


@dataclass(frozen=True)
class Stored:
    """A run's folder: its state, a label or "unknown", bytes on disk, seconds since the last write, and its spec."""

    path: Path
    state: str
    label: str
    size: int
    age: float
    spec: RunSpec | None = None

    @property
    def key(self) -> str:
        """The run's key. The folder's name where it is damaged."""
        return self.path.name.removeprefix(PENDING).split("-")[0] if self.state != "damaged" else self.path.name


def stored(root: Path) -> list[Stored]:
    """Every run in the store, the oldest first. Raises OSError where a folder cannot be read or is a symbolic link."""
    require_real_folders(root)
    now = time.time()
    runs = []
    for path, state in _folders(root):
        try:
            statuses = [file.lstat() for part in (path, *_beside(path)) for file in _files_below(part)]
            newest = max((status.st_mtime for status in statuses), default=path.lstat().st_mtime)
        except FileNotFoundError:
            continue  # it has just been finished or replaced
        step, spec = _step_and_spec(path)
        label = spec.label() if spec else "unknown"
        if spec and step:
            label += f", step {int(step)}"
        run = Stored(
            path=path,
            state=_state(path, state, step, spec),
            label=label,
            size=sum(status.st_size for status in statuses),
            age=now - newest,
            spec=spec,
        )
        runs.append(run)
    return sorted(runs, key=lambda run: -run.age)


def _folders(root: Path) -> Iterator[tuple[Path, str]]:
    """The folder of each run, and the state that its place means. Also what lies beside a run that is gone."""
    names = set()
    for folder, state in STATES.items():
        for path in (root / folder).iterdir() if (root / folder).is_dir() else ():
            names.add(path.name)
            yield path, state
    for folder in BESIDE:
        for path in (root / folder).iterdir() if (root / folder).is_dir() else ():
            if path.name not in names:
                yield path, LEFT_OVER


def _beside(path: Path) -> list[Path]:
    """The folders of `BESIDE` that belong to a run's folder. Those of a finished run do not belong to its leavings."""
    root, finished = path.parents[1], path.parents[1] / "results" / path.name
    belongs = path.parent.name == "results" or (path.parent.name == "partial" and not os.path.lexists(finished))
    folders = [root / folder / path.name for folder in BESIDE] if belongs else []
    return [folder for folder in folders if os.path.lexists(folder)]


def _state(path: Path, state: str, step: str, spec: RunSpec | None) -> str:
    if state == LEFT_OVER:
        return state
    finished = path.parents[1] / "results" / path.name
    has_no_use = state == "unfinished" and (not step or os.path.lexists(finished))
    if path.name.startswith(PENDING) or has_no_use:
        return LEFT_OVER
    if state != "damaged" and (spec is None or run_key(spec) != path.name):
        return PASSED_OVER
    return state


def prune(
    store: RunStore,
    older_than: float | None = None,
    keep: int | None = None,
    dry: bool = False,
    stuck: Callable[[OSError], None] = lambda error: None,
) -> list[Stored]:
    """Removes runs older than ``older_than`` seconds, then the oldest until at most ``keep`` bytes are left.

    Returns the runs that were removed or, if ``dry``, would be. Calls ``stuck`` with the error of each run that could
    not be removed. Leaves runs that a process trains. Raises ValueError where a session is at work on the store, which
    may still read any run.
    """
    require_real_folders(store.root)
    with nullcontext() if dry else pruning(store.root):
        if (sessions := sessions_at_work(store.root)) and not dry:
            raise ValueError(
                f"{store.root}: {sessions} session{'s' if sessions > 1 else ''} at work on it: wait, or stop it"
            )
        runs = stored(store.root)
        total, removed = sum(run.size for run in runs), []
        for run in runs:
            too_old = older_than is not None and run.age > older_than
            too_much = keep is not None and total > keep
            try:
                if (too_old or too_much) and (dry or _remove(run, store)):
                    removed.append(run)
                    total -= run.size
            except OSError as error:
                stuck(error)
        return removed


def sessions_at_work(root: Path) -> int:
    """The number of sessions of `pytest claims` that still need their runs."""
    return sum(map(at_work, session_folders(root)))


def _remove(run: Stored, store: RunStore) -> bool:
    """Removes the run. It loses its name first, so that a reader finds all of it or nothing.

    False where a process trains it, or has finished, replaced or removed it since it was listed.
    """
    with ExitStack() as stack:
        try:
            if KEY.fullmatch(run.key):
                stack.enter_context(store.lock(run.key))
            beside = _beside(run.path)
            if run.path.is_symlink() or not run.path.is_dir():
                run.path.unlink()
                return True
            renamed = run.path
            if run.state != LEFT_OVER:
                renamed = move(run.path, pending(run.path))
            before = len(list(_files_below(renamed)))
            try:
                shutil.rmtree(renamed)
            except (OSError, RecursionError) as error:
                if len(list(_files_below(renamed))) == before:
                    move(renamed, run.path)  # the files of another user, who can still read the run
                if isinstance(error, OSError):
                    raise
                raise OSError(errno.ELOOP, "has too many folders in one another", str(run.path)) from error
            for folder in beside:
                discard(folder)
        except (Timeout, FileNotFoundError):
            return False
    return True


def _files_below(path: Path) -> Iterator[Path]:
    """All files at and below a path. Follows no symbolic link."""
    unseen = [path]
    while unseen:
        path = unseen.pop()
        with suppress(OSError):  # it has just been removed
            if path.is_dir() and not path.is_symlink():
                unseen += path.iterdir()
            else:
                yield path


def _step_and_spec(path: Path) -> tuple[str, RunSpec | None]:
    """The name of an unfinished run's newest checkpoint, else "". The run's spec, or None where it cannot be read.

    Follows no symbolic link, which may lead out of the store.
    """
    if path.is_symlink():
        return "", None
    checkpoints = [checkpoint.name for checkpoint in path.glob("[0-9]" * 9) if not checkpoint.is_symlink()]
    step = max(checkpoints, default="")
    try:
        spec = RunSpec.from_dict(json.loads(read_file(path / step / "spec.json", FILES["spec.json"])))
    except (OSError, Damaged, ValueError, TypeError, RecursionError):
        return step, None
    return step, spec
