"""The submissions of a session's runs to Dask. Some threads take their answers, and store what comes home.

A run is submitted again where its workers died. The first answer is stored, and its other submissions are dropped.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.measure.names import SamplesNotFinite
from bumplab.runs.archive import Copy
from bumplab.runs.cluster.connection import CONNECT, within
from bumplab.runs.cluster.files import copy_of
from bumplab.runs.cluster.worker import Work, train_for
from bumplab.runs.copies import publish
from bumplab.runs.planner import Trainer
from bumplab.runs.progress import Progress, replace_text
from bumplab.runs.sealed import Damaged
from bumplab.runs.store import RunStore, Unreadable, run_key
from bumplab.subjects.sources import SubjectError
from bumplab.terminal import line

TURN = 1.0
"""Seconds between two looks at the workers, the board and the deadline."""
FETCH = 120.0
"""Seconds in which the files of a run must come home. Dask trains a run again whose worker died before that."""
LOCK = 2.0
"""Seconds for which a run that came home waits for its lock. Another process may just be looking at the run."""
MOST_SUBMISSIONS = 3
"""Most submissions of a run whose workers die or give back damaged files. Dask itself tries each four times."""
ASKED, CONTROL, LATER = 3, 2, 1
"""The order of runs: those of a claim itself or that somebody waits for, those of its controls, those of later looks.

Within each the longest training comes first. Of runs for later, the lowest seed comes first.
"""
ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (SamplesNotFinite, Unreadable, SubjectError, OSError)
}
"""The errors of a run that a session reports as they are. Any other becomes an OSError that names it."""
OF_WORKERS = ("OSError", "OutOfMemoryError")
"""Errors that may be of a worker and not of the run, such as a full disk. Another worker may train it."""


@dataclass(eq=False)
class Run:
    """A run that the session has asked for."""

    spec: RunSpec
    stage: int
    state: str = "away"
    """``away`` from the submission on, then ``home``, ``failed`` or ``withdrawn``."""
    futures: dict[Any, Any] = field(default_factory=dict)
    """Dask's futures of its submissions, by key."""
    submissions: int = 0
    deaths: int = 0
    """Submissions that ended without a run, through no fault of the session."""
    worker: str = ""
    """The worker that trains it; empty before one has begun."""
    begun: float = 0.0
    doubled: bool = False
    """Whether a second worker trains it, too."""
    error: tuple[type[Exception], str] | None = None


class Submissions:
    """The runs that a session has asked for, and what became of them. ``changed`` guards them."""

    def __init__(self, client: Any, work: Work, train: Trainer | None, store: RunStore, address: str):
        self.client, self.work, self.train, self.store, self.address = client, work, train, store, address
        self.runs: dict[RunSpec, Run] = {}
        self.changed = threading.Condition()
        self.ending = threading.Event()
        """Set when the session ends. No answer is taken from then on."""
        self.mail: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """Calls for the threads that take answers."""
        self.seconds: dict[object, list[float]] = {}
        """Wall times of finished runs, from the begin to the answer, by subject and training."""
        self.has_failed = False
        """Whether any run has failed."""
        self.refused = ""
        """Why the last worker was sent home; empty once another has brought a run home."""
        self._warned: set[str] = set()
        """Problems of workers that the user has seen."""
        self._by_key: dict[str, Run] = {}

    def away(self) -> list[Run]:
        """The runs that are submitted and not home."""
        with self.changed:
            return [run for run in self.runs.values() if run.state == "away"]

    def are_settled(self, runs: Sequence[Run]) -> bool:
        """Whether none of the runs is away, or one has failed. Only under ``changed``, at each of its notices.

        The last run is looked at first: it was submitted last, so it is mostly away.
        """
        if self.has_failed and any(run.state == "failed" for run in runs):
            return True
        return all(run.state != "away" for run in reversed(runs))

    def add(self, spec: RunSpec, stage: int, state: str) -> Run:
        """Notes a run. `submit` sends it out if its state is ``away``. Only under ``changed``."""
        run = self.runs[spec] = self._by_key[run_key(spec)] = Run(spec, stage, state)
        return run

    def subscribe(self) -> None:
        """Hears what workers tell of their runs."""
        self.client.subscribe_topic(self.work.token, lambda event: self.mail.put(lambda: self._note(event[1])))

    def submit(self, run: Run, workers: Sequence[str] | None = None) -> None:
        """Submits the run, also a second time. A run on named ``workers`` leaves the session's store to the first."""
        key = ("bumplab-run", run_key(run.spec), run.submissions, secrets.token_hex(3))
        seed = run.spec.seed % 1000 if run.stage == LATER else 0
        with self.changed:
            if run.state != "away" or (workers is None and run.futures):
                return
            run.submissions += 1
            try:
                future = self.client.submit(
                    train_for, self.work, run.spec.to_json(), self.train, workers is None,
                    key=key, priority=run.stage * 10**15 - seed * 10**11 + run.spec.network_steps,
                    retries=0, pure=False, workers=workers, allow_other_workers=workers is not None,
                )  # fmt: skip
            except Exception as error:  # the client has closed, or the trainer cannot be sent
                self.fail(run, OSError, f"cannot be submitted ({type(error).__name__}: {error})")
                return
            run.futures[key] = future
        self._await(run, future)

    def settle(self, run: Run, state: str) -> None:
        """Notes the end of a run, cancels its submissions, and wakes those who wait."""
        with self.changed:
            run.state = state
            self.has_failed |= state == "failed"
            self.release(run)
            self.changed.notify_all()
        with suppress(OSError):
            self._progress_path(run).unlink(missing_ok=True)

    def _drop(self, run: Run, future: Any) -> None:
        """Forgets one submission."""
        with self.changed:
            run.futures.pop(future.key, None)
        future.release()

    def release(self, run: Run) -> None:
        """Nobody else holds these futures, so Dask drops their tasks. A worker that trains one stops after a step."""
        while run.futures:
            run.futures.popitem()[1].release()

    def fail_all(self, reason: str) -> None:
        """Ends all runs that are away, with an error in one line."""
        with self.changed:
            home = sum(run.state == "home" for run in self.runs.values())
            text = line(f"--dask {self.address}: {reason}; {home} of {len(self.runs)} runs came home and are kept")
            for run in self.away():
                run.error = (OSError, text)
                self.settle(run, "failed")

    def refuse(self, problem: str) -> None:
        """Sends a worker home that differs from the session, once, with a warning. The line names it second."""
        if problem not in self._warned:
            warnings.warn(line(f"--dask {self.address}: {problem}; it is sent home"), stacklevel=2)
        self.refused = problem
        self._warned.add(problem)
        with suppress(Exception):
            within(CONNECT, lambda: self.client.retire_workers(workers=[problem.split()[1]], close_workers=True))

    def _await(self, run: Run, future: Any) -> None:
        future.add_done_callback(lambda future: self.mail.put(lambda: self._take(run, future)))

    def _take(self, run: Run, future: Any) -> None:
        """Takes the answer of one submission."""
        if run.state != "away" or future.key not in run.futures:
            future.release()
            return
        status = future.status
        if status == "finished":
            try:
                answer = future.result(timeout=FETCH)
            except TimeoutError:
                self._await(run, future)
            except Exception as error:
                self._again(run, future, f"its files did not come home ({type(error).__name__})")
            else:
                self._answered(run, future, answer)
        elif status == "error":
            raised = future.exception(timeout=FETCH)
            if type(raised).__name__ == "KilledWorker":
                self._again(run, future, "its workers died 4 times at it: too little memory?")
            else:
                self._again(run, future, f"a worker cannot begin it ({type(raised).__name__}: {raised})")
        else:
            self._reach_again(run, future)

    def _answered(self, run: Run, future: Any, answer: Mapping[str, Any]) -> None:
        """Every way through this releases the future: Dask would train a held one again when its worker dies."""
        if "stored" in answer:
            self._await_visible(run)
            self._home(run)
        elif "differs" in answer:
            problem = str(answer["differs"])
            self._drop(run, future)  # first: Dask keeps a worker that holds the only copy of an answer
            self.refuse(problem)
            self._again(run, future, problem)
        elif "failed" in answer:
            name, message = answer["failed"]
            if name in OF_WORKERS or (len(run.futures) > 1 and name not in ERRORS):
                self._again(run, future, f"{name} on its workers: {message}")
            else:
                self.fail(run, ERRORS.get(name, OSError), message if name in ERRORS else f"{name}: {message}")
        elif "files" in answer:
            try:
                copy = copy_of(answer["files"], run.spec)
            except (Damaged, Unreadable) as error:
                self._again(run, future, f"its worker gave back a damaged run: {error}")
            else:
                self._store(run, copy)
        else:  # stopped, and not by this session
            self._again(run, future, "its worker stopped it")

    def _store(self, run: Run, copy: Copy) -> None:
        """Publishes a run that came home, unless it is stored. Tries again later while another session trains it."""
        if run.state != "away":
            return
        try:
            with self.store.lock(run_key(run.spec)).acquire(LOCK):
                if not self.store.has(run.spec):
                    publish(copy, self.store)
        except Timeout:
            with self.changed:
                self.release(run)
            again = threading.Timer(TURN, lambda: self.mail.put(lambda: self._store(run, copy)))
            again.daemon = True
            again.start()
        except (OSError, Unreadable) as error:
            self.fail(run, OSError, str(error))
        else:
            self._home(run)

    def _await_visible(self, run: Run) -> None:
        """A network file system may show some seconds later what another host has written."""
        results = self.store.path(run_key(run.spec)).parent
        for _ in range(20):
            with suppress(OSError):
                os.listdir(results)
            if self.store.has(run.spec) or self.ending.wait(TURN / 2):
                return

    def _home(self, run: Run) -> None:
        self.refused = ""
        if run.begun:
            took = time.monotonic() - run.begun
            self.seconds.setdefault((run.spec.subject, run.spec.training), []).append(took)
        self.settle(run, "home")

    def fail(self, run: Run, kind: type[Exception], message: str) -> None:
        """Ends a run with an error in one line."""
        run.error = (kind, line(f"{run.spec.label()} ({run_key(run.spec)}): {message}"))
        self.settle(run, "failed")

    def _again(self, run: Run, future: Any, reason: str) -> None:
        """Submits the run under a new key, unless a second worker still trains it.

        Fails it after `MOST_SUBMISSIONS`.
        """
        self._drop(run, future)
        run.deaths += 1
        if run.futures:
            return
        if run.deaths >= MOST_SUBMISSIONS:
            self.fail(run, OSError, f"was given up after {run.deaths} submissions: {reason}")
        else:
            run.worker, run.doubled = "", False
            self.submit(run)

    def _reach_again(self, run: Run, future: Any) -> None:
        """A submission that Dask cancelled: the client has lost its scheduler. It tries to reach it again by itself."""
        while self.client.status == "connecting" and not self.ending.is_set():
            time.sleep(TURN / 10)
        if self.client.status != "running":
            self.fail_all("the connection to the scheduler is lost: give the command again when it is there")
        else:
            self.subscribe()
            run.worker = ""
            self._drop(run, future)
            self.submit(run)

    def _note(self, message: Mapping[str, Any]) -> None:
        """A worker tells of a run's step. The display reads it from the store."""
        run, step = self._by_key.get(str(message["key"])), int(message["step"])
        if run is None or run.state != "away":
            return
        if not step and run.worker != message["worker"]:
            run.worker, run.begun = str(message["worker"]), run.begun if run.doubled else time.monotonic()
        progress = Progress(run_key(run.spec), run.spec.label(), step, run.spec.training.steps, time.time())
        with suppress(OSError):
            replace_text(self._progress_path(run), json.dumps(asdict(progress)))

    def _progress_path(self, run: Run) -> Path:
        return self.store.root / "progress" / f"{run_key(run.spec)}.json"
