"""What the workers of one session tell each other through the store.

::

    <root>/progress/<session>/<worker>.json    the claims it tries and the specs of the runs it wants, in that order
    <root>/progress/<session>/<worker>.lock    held while it has claims left; freed by the system if it dies
    <root>/progress/<session>/session.lock     held until the report is written: it is made of the runs

The folder goes when its session ends. One that a killed session left goes when another begins a week later.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bumplab.config import RunSpec
from bumplab.runs.progress import replace_text
from bumplab.runs.sealed import Damaged, discard, own, read_file

FORGOTTEN = 7 * 86_400.0
"""Seconds after which a session's untouched folder is removed: its session was killed."""
PATIENCE = 60.0
"""Seconds that a session which begins waits for runs to be removed."""
LIMIT = 1 << 26
"""Most bytes of a worker's file: 700 for each run it wants."""


SESSION = "session.lock"


class Board:
    """One worker's view of its session: it writes its own file and reads everyone's."""

    def __init__(self, root: Path, session: str, worker: str = "main"):
        self.root, self.folder, self.worker = root, root / "progress" / session, worker
        self._claims: list[Mapping[str, str]] = []
        self._asked: dict[RunSpec, None] = {}
        self._at_work: FileLock | None = None
        self._session: FileLock | None = None

    def open(self) -> None:
        """Begins the session: makes its folder, removes those forgotten. Raises OSError where it cannot write."""
        own(self.folder.parent)  # what is behind a link may be old, but is not forgotten
        self.folder.mkdir(parents=True, exist_ok=True)
        for other in self.folder.parent.iterdir():
            with suppress(FileNotFoundError):  # a session that has just ended
                old = other.is_dir() and time.time() - other.stat().st_mtime > FORGOTTEN
                if old and not other.is_symlink() and not at_work(other):
                    discard(other)
        self._session = FileLock(self.folder / SESSION)
        with pruning(self.root):
            self._session.acquire()

    def close(self) -> None:
        """The session is done with its runs."""
        if self._session is not None:
            self._session.release()
        discard(self.folder)

    def begin(self, claims: Sequence[Mapping[str, str]], plan: Sequence[RunSpec]) -> None:
        """Says which claims will be tried and asks for the runs they begin with. The worker is now at work."""
        self._claims = list(claims)
        self._asked.update(dict.fromkeys(plan))
        self._at_work = FileLock(self.folder / f"{self.worker}.lock")
        with suppress(OSError):  # a full disk: the first run that is to be trained says so, and none need be
            self._write()
            self._at_work.acquire()

    def finish(self) -> None:
        """The worker has no claim left."""
        if self._at_work is not None:
            self._at_work.release()

    def others_at_work(self) -> bool:
        """Whether any other worker may still ask for runs."""
        return at_work(self.folder, but=SESSION)

    def ask(self, specs: Sequence[RunSpec]) -> None:
        """Wants these runs, after those it already wants."""
        known = len(self._asked)
        self._asked.update(dict.fromkeys(specs))
        if len(self._asked) > known:
            self._write()

    def _write(self) -> None:
        runs = ",".join(spec.to_json() for spec in self._asked)
        self.folder.mkdir(parents=True, exist_ok=True)
        text = f'{{"claims":{json.dumps(self._claims)},"runs":[{runs}]}}'
        replace_text(self.folder / f"{self.worker}.json", text)

    def wanted(self) -> list[RunSpec]:
        """Every run that any worker has asked for, stored or not, each once."""
        return list(dict.fromkeys(spec for text in self._texts() for spec in _runs(text)))

    def claims(self) -> list[dict[str, str]]:
        """What any worker said of each claim it was given; empty until they have collected."""
        said = [claim for text in self._texts() for claim in _list(text, "claims")]
        return list({claim["claim"]: claim for claim in said if isinstance(claim, dict) and "claim" in claim}.values())

    def _texts(self) -> list[str]:
        texts = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                texts.append(read_file(path, LIMIT).decode())
            except (OSError, Damaged, ValueError):
                continue  # the session has just ended, or not ours
        return texts


@contextmanager
def pruning(root: Path) -> Iterator[None]:
    """Held while runs are removed: a session that begins waits for it, and then finds what is left.

    Raises OSError where it takes too long: who holds it may have been stopped.
    """
    folder = own(root / "locks")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / "prune.lock").acquire(PATIENCE)
    except Timeout as error:
        said = f"runs are being removed, for over {PATIENCE:.0f} s: wait for python -m bumplab prune, or end it"
        raise OSError(errno.EAGAIN, said) from error
    with lock:
        yield


def at_work(session: Path, but: str = "") -> bool:
    """Whether the session with this folder still needs its runs: to judge, or to report. ``but`` is not looked at."""
    for path in () if session.is_symlink() else session.glob("*.lock"):
        if path.is_symlink() or not path.is_file() or path.name == but:
            continue  # a link is not ours, nor is what it leads to ours to open
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            return True
        except FileNotFoundError:
            continue  # it has just ended
    return False


@lru_cache(maxsize=256)  # files seldom change, and everyone looks at all of them every second
def _runs(text: str) -> tuple[RunSpec, ...]:
    specs = []
    for given in _list(text, "runs"):
        try:
            specs.append(RunSpec.from_dict(given))
        except (ValueError, TypeError):
            continue  # not ours
    return tuple(specs)


def _list(text: str, name: str) -> list[Any]:
    try:
        found = json.loads(text)[name]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return found if isinstance(found, list) else []
