"""What the workers of one session tell each other through the store.

::

    <root>/progress/<session>/<worker>.json    the worker's claims, and the runs that it wants now and may want later
    <root>/progress/<session>/<worker>.lock    held while the worker has claims left; freed by the system if it dies
    <root>/progress/<session>/session.lock     held until the session's report is written, which needs the runs

A session removes its folder when it ends. If it was killed, a session that begins a week later removes the folder.

A run for later belongs to the questions that may need it. A question is one judged part of one form of a claim. A
worker that settles a question says so on the board. Then nobody trains a run for that question any more.
"""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
        self._later: dict[str, Sequence[RunSpec]] = {}
        """The runs that each question may need, by question."""
        self._settled: dict[str, None] = {}
        self._writing = threading.RLock()
        """Held while what the worker asks for changes: threads of a session with ``--dask`` ask at the same time."""
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

    def begin(
        self,
        claims: Sequence[Mapping[str, str]],
        plan: Sequence[RunSpec],
        later: Mapping[str, Sequence[RunSpec]] | None = None,
    ) -> None:
        """Writes which claims the worker has, and asks for their first runs. The worker is now at work.

        ``later`` holds the runs that each question may need, by question.
        """
        self._claims = list(claims)
        self._wanted.update(dict.fromkeys(plan))
        self._later.update(later or {})
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
        with self._writing:
            known = len(self._wanted)
            self._wanted.update(dict.fromkeys(specs))
            if len(self._wanted) > known:
                self._write()

    def expect(self, question: str, specs: Sequence[RunSpec]) -> None:
        """Notes all runs that a question may need, in place of those that it has on the board."""
        with self._writing:
            if self._later.get(question) != specs:
                self._later[question] = specs
                with suppress(OSError):  # only others' help is lost
                    self._write()

    def settle(self, questions: Iterable[str]) -> None:
        """Notes that these questions need no further run."""
        with self._writing:
            known = len(self._settled)
            self._settled.update(dict.fromkeys(questions))
            if len(self._settled) > known:
                with suppress(OSError):
                    self._write()

    def _write(self) -> None:
        questions: dict[RunSpec, list[str]] = {}
        for question, specs in self._later.items():
            for spec in specs:
                questions.setdefault(spec, []).append(question)
        wanted = ",".join(map(_as_json, self._wanted))
        later = ",".join(f"[{_as_json(spec)},{json.dumps(names)}]" for spec, names in questions.items())
        claims, settled = json.dumps(self._claims), json.dumps(list(self._settled))
        self.folder.mkdir(parents=True, exist_ok=True)
        text = f'{{"claims":{claims},"runs":[{wanted}],"later":[{later}],"settled":{settled}}}'
        replace_text(self.folder / f"{self.worker}.json", text)

    def wanted(self) -> list[RunSpec]:
        """Every run that any worker has asked for, stored or not, each once."""
        return list(dict.fromkeys(spec for asked in self._asked() for spec in asked.runs))

    def later(self) -> list[RunSpec]:
        """Every run that an open question may need, stored or not, each once.

        The lowest seed comes first, and within a seed the longest training.
        """
        open_runs = [spec for spec, is_open in self._is_open().items() if is_open]
        return sorted(open_runs, key=lambda spec: (spec.seed, -spec.network_steps))

    def is_in_vain(self, spec: RunSpec) -> bool:
        """Whether the run is on the board for settled questions alone, and no worker has asked for it."""
        return not self._is_open().get(spec, True) and spec not in self.wanted()

    def _is_open(self) -> dict[RunSpec, bool]:
        """For each run for later, whether any of its questions is still open."""
        asked = self._asked()
        settled = {question for worker in asked for question in worker.settled}
        is_open: dict[RunSpec, bool] = {}
        for worker in asked:
            for spec, questions in worker.later:
                is_open[spec] = is_open.get(spec, False) or not settled.issuperset(questions)
        return is_open

    def claims(self) -> list[dict[str, str]]:
        """Every claim of any worker, each once. Empty until the workers have collected their tests."""
        claims = {claim["claim"]: claim for asked in self._asked() for claim in asked.claims}
        return list(claims.values())

    def _asked(self) -> list[_Asked]:
        """What each worker's file holds."""
        contents = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(OSError, Damaged, ValueError):  # the session has just ended, or a power cut tore the file
                contents.append(_parsed(read_file(path, BOARD_BYTES).decode()))
        return contents


@dataclass(frozen=True)
class _Asked:
    """One worker's file. Each run for later comes with its questions."""

    claims: list[dict[str, str]]
    runs: list[RunSpec]
    later: list[tuple[RunSpec, list[str]]]
    settled: list[str]


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
def _parsed(text: str) -> _Asked:
    content: dict[str, Any] = json.loads(text)
    return _Asked(
        claims=content["claims"],
        runs=[_of_json(json.dumps(run)) for run in content["runs"]],
        later=[(_of_json(json.dumps(run)), questions) for run, questions in content["later"]],
        settled=content["settled"],
    )


@lru_cache(maxsize=8192)  # writing a spec takes 0.15 ms and reading it 0.24 ms, of a thousand runs on the board
def _as_json(spec: RunSpec) -> str:
    return spec.to_json()


@lru_cache(maxsize=8192)
def _of_json(text: str) -> RunSpec:
    return RunSpec.from_dict(json.loads(text))
