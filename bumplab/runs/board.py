"""What the workers of one session tell each other through the store.

::

    <root>/progress/<session>/<worker>.json    the worker's claims, and the specs of the runs it wants, in that order
    <root>/progress/<session>/<worker>.lock    held while the worker has claims left; freed by the system if it dies
    <root>/progress/<session>/session.lock     held until the session's report is written, which needs the runs

A session removes its folder when it ends. If it was killed, a session that begins a week later removes the folder.
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
from bumplab.runs.sealed import Damaged, discard, read_file

FORGOTTEN = 7 * 86_400.0
"""Age in seconds beyond which a session's untouched folder is removed: its session was killed."""
PATIENCE = 60.0
"""Seconds for which a new session waits while another process removes runs."""
BOARD_BYTES = 1 << 26
"""Largest worker's file that is read. A run takes 700 bytes."""
SESSION = "session.lock"


class Board:
    """One worker's view of its session. The worker writes its own file, and reads the files of all workers."""

    def __init__(self, root: Path, session: str, worker: str = "main"):
        self.root, self.folder, self.worker = root, root / "progress" / session, worker
        self._claims: list[Mapping[str, str]] = []
        self._wanted: dict[RunSpec, None] = {}
        self._worker_lock: FileLock | None = None
        self._session_lock: FileLock | None = None

    def open(self) -> None:
        """Begins the session: makes its folder, and removes forgotten ones. Raises OSError where it cannot write."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for other in session_folders(self.root):
            with suppress(FileNotFoundError):  # a session that has just ended
                if time.time() - other.stat().st_mtime > FORGOTTEN and not at_work(other):
                    discard(other)
        self._session_lock = FileLock(self.folder / SESSION)
        with pruning(self.root):
            self._session_lock.acquire()

    def close(self) -> None:
        """Ends the session. The session no longer needs its runs."""
        if self._session_lock is not None:
            self._session_lock.release()
        discard(self.folder)

    def begin(self, claims: Sequence[Mapping[str, str]], plan: Sequence[RunSpec]) -> None:
        """Writes which claims the worker has, and asks for their first runs. The worker is now at work."""
        self._claims = list(claims)
        self._wanted.update(dict.fromkeys(plan))
        self._worker_lock = FileLock(self.folder / f"{self.worker}.lock")
        with suppress(OSError):  # a full disk: the first training says so, and all runs may be stored already
            self._write()
            self._worker_lock.acquire()

    def finish(self) -> None:
        """The worker has no claim left."""
        if self._worker_lock is not None:
            self._worker_lock.release()

    def others_at_work(self) -> bool:
        """Whether any other worker may still ask for runs."""
        return at_work(self.folder, ignored=SESSION)

    def ask(self, specs: Sequence[RunSpec]) -> None:
        """Adds these runs to those that the worker wants."""
        known = len(self._wanted)
        self._wanted.update(dict.fromkeys(specs))
        if len(self._wanted) > known:
            self._write()

    def _write(self) -> None:
        runs = ",".join(spec.to_json() for spec in self._wanted)
        self.folder.mkdir(parents=True, exist_ok=True)
        text = f'{{"claims":{json.dumps(self._claims)},"runs":[{runs}]}}'
        replace_text(self.folder / f"{self.worker}.json", text)

    def wanted(self) -> list[RunSpec]:
        """Every run that any worker has asked for, stored or not, each once."""
        return list(dict.fromkeys(spec for _, runs in self._contents() for spec in runs))

    def claims(self) -> list[dict[str, str]]:
        """Every claim of any worker, each once. Empty until the workers have collected their tests."""
        claims = {claim["claim"]: claim for claims, _ in self._contents() for claim in claims}
        return list(claims.values())

    def _contents(self) -> list[tuple[list[dict[str, str]], list[RunSpec]]]:
        """The claims and the runs of each worker's file."""
        contents = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(OSError, Damaged, ValueError):  # the session has just ended, or a power cut tore the file
                contents.append(_parsed(read_file(path, BOARD_BYTES).decode()))
        return contents


@contextmanager
def pruning(root: Path) -> Iterator[None]:
    """Held while runs are removed. A session that begins waits for it, and then finds the runs that are left.

    Raises OSError after `PATIENCE`: the process that holds it may have been stopped.
    """
    folder = root / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / "prune.lock").acquire(PATIENCE)
    except Timeout as error:
        problem = f"runs are being removed, for over {PATIENCE:.0f} s: wait for python -m bumplab prune, or end it"
        raise OSError(errno.EAGAIN, problem) from error
    with lock:
        yield


def session_folders(root: Path) -> list[Path]:
    """The folders of all sessions. Leaves out symbolic links: taking a lock behind one would empty another's file."""
    return [folder for folder in (root / "progress").glob("*/") if not folder.is_symlink()]


def at_work(session: Path, ignored: str = "") -> bool:
    """Whether the session of this folder still needs its runs, to judge or to report. Ignores the lock ``ignored``."""
    for path in session.glob("*.lock"):
        if path.name == ignored or path.is_symlink() or not path.is_file():
            continue
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            return True
        except FileNotFoundError:
            continue  # the worker has just ended
    return False


@lru_cache(maxsize=256)  # files seldom change, and each worker reads all of them every second
def _parsed(text: str) -> tuple[list[dict[str, str]], list[RunSpec]]:
    content: dict[str, Any] = json.loads(text)
    return content["claims"], [RunSpec.from_dict(run) for run in content["runs"]]
