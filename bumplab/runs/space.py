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
from bumplab.runs.board import at_work, pruning
from bumplab.runs.sealed import PENDING, Damaged, move, own, pending, read_file
from bumplab.runs.store import FILES, RunStore, run_key

STATES = {"results": "finished", "partial": "unfinished", "damaged": "damaged"}
"""What each folder of a store holds; see `bumplab.runs.store`."""
KEY = "[0-9a-f]{20}"
"""What names a run and its lock (`run_key`); a folder of another name has no trainer that would hold one."""
PASSED_OVER = "passed over"
"""The state of a run whose folder is not named by its spec: another version of the code made it, or something else."""


@dataclass(frozen=True)
class Stored:
    """A run's folder: its state, its name as far as it can be told, bytes on disk, and seconds since it was written."""

    path: Path
    state: str
    label: str
    size: int
    age: float

    @property
    def key(self) -> str:
        return self.path.name.removeprefix(PENDING).split("-")[0] if self.state != "damaged" else self.path.name


def stored(root: Path) -> list[Stored]:
    """Every run in the store, the oldest first. Follows no symbolic link. Raises OSError where it cannot be read."""
    now = time.time()
    found = []
    for folder, state in STATES.items():
        for path in own(root / folder).iterdir() if (root / folder).is_dir() else ():
            try:
                looked = [file.lstat() for file in _files(path)]
                newest = max((status.st_mtime for status in looked), default=path.lstat().st_mtime)
            except FileNotFoundError:
                continue  # finished or replaced while one looks
            size = sum(status.st_size for status in looked)
            step, spec = _spec(path)
            label = f"{spec.label()}{step and f', step {int(step)}'}" if spec else "unknown"
            found.append(Stored(path, _state(path, state, step, spec), label, size, now - newest))
    return sorted(found, key=lambda run: -run.age)


def _state(path: Path, state: str, step: str, spec: RunSpec | None) -> str:
    finished = path.parents[1] / "results" / path.name
    if path.name.startswith(PENDING) or (state == "unfinished" and (not step or os.path.lexists(finished))):
        return "left over"  # by a process that was killed while it wrote the first checkpoint, or removed the last
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
    """Removes runs older than so many seconds, then the oldest until no more than ``keep`` bytes are left.

    Returns what was removed or, if ``dry``, would be; ``stuck`` is told of what could not be. A run that a process
    trains is left alone. Raises ValueError where a session is at work on the store: it may still read any run.
    """
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
    """How many sessions of `pytest claims` have a worker that is not done."""
    return sum(map(at_work, own(root / "progress").glob("*/")))


def _remove(run: Stored, store: RunStore) -> bool:
    """Takes the run away at once, so that a reader finds all of it or nothing.

    False where a process trains it, or has finished, replaced or removed it since it was listed.
    """
    with ExitStack() as held:
        try:
            if re.fullmatch(KEY, run.key):
                held.enter_context(store.lock(run.key))
            if run.path.is_symlink() or not run.path.is_dir():
                run.path.unlink()
                return True
            gone = run.path
            if run.state != "left over":
                gone = move(run.path, pending(run.path))
            before = len(list(_files(gone)))
            try:
                shutil.rmtree(gone)
            except (OSError, RecursionError) as error:
                if len(list(_files(gone))) == before:
                    move(gone, run.path)  # another user's: whoever reads it finds it still
                if isinstance(error, OSError):
                    raise
                raise OSError(errno.ELOOP, "has too many folders in one another", str(run.path)) from error
        except (Timeout, FileNotFoundError):
            return False
    return True


def _files(path: Path) -> Iterator[Path]:
    """All files at and below a path, however deep; no link is followed."""
    unseen = [path]
    while unseen:
        path = unseen.pop()
        with suppress(OSError):  # gone meanwhile, or deeper than a path may be long
            if path.is_dir() and not path.is_symlink():
                unseen += path.iterdir()
            else:
                yield path


def _spec(path: Path) -> tuple[str, RunSpec | None]:
    """The name of the newest checkpoint where the run is unfinished, and its spec as far as it can be told."""
    step = max((checkpoint.name for checkpoint in path.glob("[0-9]" * 9)), default="")
    try:
        spec = RunSpec.from_dict(json.loads(read_file(own(own(path) / step) / "spec.json", FILES["spec.json"])))
    except (OSError, Damaged, ValueError, TypeError, RecursionError):
        return step, None
    return step, spec
