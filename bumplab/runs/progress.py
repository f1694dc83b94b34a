"""What is training now: one small file a run, written by its trainer, read by whoever shows progress."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bumplab.runs.sealed import Damaged, own, read_file

INTERVAL = 1.0
"""Seconds between two writes of one run's progress."""
LIMIT = 1 << 16
"""Larger files are not ours."""
STALE = 300.0
"""Seconds after which a file is taken for one that a killed process left; UMAP's compilation takes 30."""


@dataclass
class Progress:
    """A run under way: ``step`` of ``steps`` when ``updated`` (seconds since the epoch)."""

    key: str
    label: str
    step: int
    steps: int
    updated: float


class ProgressFile:
    """Writes one run's progress at most every `INTERVAL` seconds and removes it when the run ends.

    Raises OSError where the first cannot be written, before there is work to lose; later ones may be missing.
    """

    def __init__(self, root: Path, key: str, label: str, first: int, steps: int):
        self.path = own(root / "progress") / f"{key}.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.first, self.progress = first, Progress(key, label, first, steps, 0.0)

    def __enter__(self) -> ProgressFile:
        self.update(self.first)
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)

    def update(self, step: int) -> None:
        now = time.time()
        if now - self.progress.updated < INTERVAL:
            return
        self.progress.step, self.progress.updated = step, now
        try:
            replace_text(self.path, json.dumps(asdict(self.progress)))
        except OSError:  # on a disk that is full now there may be room at the next checkpoint
            if step == self.first:
                raise


def running(root: Path) -> list[Progress]:
    """The runs that are training now, by label."""
    found = []
    for path in (root / "progress").glob("*.json"):
        try:
            progress = Progress(**json.loads(read_file(path, LIMIT)))
            if _is_one(progress):
                found.append(progress)
        except (OSError, Damaged, OverflowError, ValueError, TypeError, RecursionError):
            continue  # finished a moment ago, or the plan, or not ours
    return sorted(found, key=lambda p: str(p.label))


def _is_one(given: Progress) -> bool:
    """Whether it is of our making, and not stale: who shows it divides by its steps, and adds them up."""
    if not isinstance(given.key, str) or not type(given.step) is type(given.steps) is int:
        return False
    return 0 <= given.step <= given.steps < 2**53 and given.steps > 0 and abs(time.time() - given.updated) < STALE


def replace_text(path: Path, text: str) -> None:
    """Writes a file so that a reader sees the old text or the new; not through a link in its place."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, data: bytes) -> None:
    """The same for what is no text."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        with open(temporary, "xb") as file:  # new: not through a link that lay there
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
