"""What is training now: one small file for each run. Its trainer writes it, and the display reads it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from bumplab.config import MOST
from bumplab.runs.sealed import Damaged, read_file

INTERVAL = 1.0
"""Seconds between two writes of one run's progress."""
PROGRESS_BYTES = 1 << 16
"""Largest progress file that is read."""
STALE = 300.0
"""Age in seconds beyond which a file counts as left by a killed process. UMAP's compilation takes 30 s."""


@dataclass
class Progress:
    """A run under way: ``step`` of ``steps`` when ``updated`` (seconds since the epoch).

    The types and bounds are checked when a file is read.
    """

    key: str
    label: str
    step: Annotated[int, Meta(ge=0)]
    steps: Annotated[int, Meta(gt=0, le=MOST["steps"])]
    updated: float


class ProgressFile:
    """Writes one run's progress at most every `INTERVAL` seconds, and removes the file when the run ends.

    Raises OSError where the first write fails, before there is work to lose. Later writes may fail.
    """

    def __init__(self, root: Path, key: str, label: str, first: int, steps: int):
        self.path = root / "progress" / f"{key}.json"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.first, self.progress = first, Progress(key, label, first, steps, 0.0)

    def __enter__(self) -> ProgressFile:
        self.update(self.first)
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)

    def update(self, step: int) -> None:
        """Notes that this step is done. Writes nothing within `INTERVAL` of the last write."""
        now = time.time()
        if now - self.progress.updated < INTERVAL:
            return
        self.progress.step, self.progress.updated = step, now
        try:
            replace_text(self.path, json.dumps(asdict(self.progress)))
        except OSError:  # a disk that is full now may have room at the next checkpoint
            if step == self.first:
                raise


def running(root: Path) -> list[Progress]:
    """The runs that are training now, by label. Passes over files of another form: they may come from others."""
    runs = []
    for path in (root / "progress").glob("*.json"):
        try:
            progress = msgspec.json.decode(read_file(path, PROGRESS_BYTES), type=Progress)
            if _is_current(progress):
                runs.append(progress)
        except (OSError, Damaged, ValueError, RecursionError):
            continue  # the run has just ended, or a power cut tore the file
    return sorted(runs, key=lambda progress: progress.label)


def _is_current(progress: Progress) -> bool:
    """Whether the file is recent and its steps add up."""
    return progress.step <= progress.steps and abs(time.time() - progress.updated) < STALE


def replace_text(path: Path, text: str) -> None:
    """Writes a file so that a reader sees the old text or the new. Replaces a symbolic link at ``path``."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, data: bytes) -> None:
    """Writes a file as `replace_text` does."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.unlink(missing_ok=True)  # left by a killed process of the same number, or a link in a store of others
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
