"""The runs of one session on a cluster: submits them, stores what comes home, and waits for what a claim needs.

A run is submitted once, and again where its workers died, or where it is slow and another worker has nothing to do. The
first answer is stored, and the other submissions are cancelled. One thread takes all answers, one at a time.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.measure.names import SamplesNotFinite
from bumplab.runs.archive import Copy
from bumplab.runs.board import Board
from bumplab.runs.cluster import identity
from bumplab.runs.cluster.address import (
    CONNECT,
    Asked,
    Connection,
    NoCluster,
    connect,
    require_same,
    require_versions,
    within,
    workers_of,
)
from bumplab.runs.cluster.home import copy_of
from bumplab.runs.cluster.worker import TOKEN, TOPIC, Work, work_on
from bumplab.runs.copies import Elsewhere, copy_or_train, publish
from bumplab.runs.deadline import Deadline
from bumplab.runs.planner import OutOfTime, Trainer, finished_run
from bumplab.runs.progress import Progress, replace_text
from bumplab.runs.sealed import Damaged
from bumplab.runs.store import RunRecord, RunStore, Unreadable, run_key
from bumplab.subjects.sources import SubjectError
from bumplab.terminal import line

TURN = 1.0
"""Seconds between two looks at the workers, the board and the deadline."""
FETCH = 120.0
"""Seconds in which the files of a run must come home. Dask trains a run again whose worker died before that."""
MOST_SUBMISSIONS = 3
"""Most submissions of a run whose workers die or give back damaged files. Dask itself tries each four times."""
SLOW = 2.0
"""A run that takes so many times the median of its like is given to another worker, too."""
SHORT = 5.0
"""Seconds below which no run counts as slow."""
ASKED, CONTROL, LATER = 3, 2, 1
"""The order of runs: those of a claim itself or that somebody waits for, those of its controls, those of later looks.

Within each the longest training comes first. Of runs for later, the lowest seed comes first.
"""
ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (SamplesNotFinite, Unreadable, SubjectError, OSError)
}
"""The errors of a run that a session reports as they are. Any other becomes an OSError that names it."""


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


class Cluster:
    """The engine of a session with ``--dask``. Its threads run from `start` to `close`."""

    def __init__(
        self,
        asked: Asked,
        board: Board,
        store: RunStore,
        deadline: Deadline,
        also_runs: Sequence[Elsewhere] = (),
        say: Callable[[str], None] = lambda text: None,
    ):
        self.asked, self.board, self.store, self.deadline = asked, board, store, deadline
        self.also_runs, self.say = also_runs, say
        self.train: Trainer | None = None
        """Takes the place of the workers' own trainer. Workers import it by its module's name."""
        self.workers: dict[str, int] = {}
        """The threads of each worker by its address."""
        self._connection: Connection | None = None
        self._work: Work | None = None
        self._runs: dict[RunSpec, Run] = {}
        self._by_key: dict[str, Run] = {}
        self._seconds: dict[object, list[float]] = {}
        """Wall times of finished runs, from the begin to the answer, by subject and training."""
        self._changed = threading.Condition()
        self._mail: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._held: list[tuple[Run, Copy]] = []
        """Runs that came home while another session trained them."""
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._seen_worker = time.monotonic()
        self._refused = ""
        self._board_seen = 0.0

    def connect(self) -> None:
        """Reaches the scheduler and tries its workers. Raises `NoCluster` in one line; then nothing has begun."""
        self._identity = identity.here(self.asked.subject)
        self._connection = connect(self.asked, self._identity)
        self.workers = workers_of(self._connection.client)

    def start(self) -> None:
        """Begins to take answers. Call it after `connect` and `Board.open`."""
        assert self._connection is not None
        token = secrets.token_hex(16)
        replace_text(self.board.folder / TOKEN, token)
        self._work = Work(
            identity=self._identity,
            subject=self.asked.subject,
            gpu=self.asked.gpu,
            exact=self.asked.exact,
            draws_bytes=self.store.draws_bytes,
            session=str(self.board.folder.resolve()),
            token=token,
        )
        self._subscribe()
        self._seen_worker = time.monotonic()
        for loop in (self._take_answers, self._watch_workers):
            thread = threading.Thread(target=loop, daemon=True, name="bumplab-cluster")
            thread.start()
            self._threads.append(thread)

    def _subscribe(self) -> None:
        assert self._connection is not None
        self._connection.client.subscribe_topic(TOPIC, lambda event: self._mail.put(lambda: self._note(event[1])))

    def ask(self, specs: Iterable[RunSpec], stage: int = ASKED) -> None:
        """Submits the runs that are neither stored nor submitted, the longest first."""
        with self._changed:
            specs = list(dict.fromkeys(specs))
            for spec in specs:
                if (known := self._runs.get(spec)) is not None:
                    known.stage = max(known.stage, stage)
            lacking = [spec for spec in specs if self._is_lacking(spec)]
            fitting = self.deadline.in_time(lacking, self.store, self.board)
            for spec in lacking:
                run = self._runs[spec] = self._by_key[run_key(spec)] = Run(spec, stage)
                if spec not in fitting:
                    run.state = "withdrawn"
        for spec in sorted(fitting, key=lambda spec: -spec.network_steps):
            if self._lies_elsewhere(spec):
                self._settle(self._runs[spec], "home")
            else:
                self._submit(self._runs[spec])

    def obtain(self, needed: Sequence[RunSpec]) -> list[RunRecord]:
        """The results of ``needed``, in order, without their evidence, as `bumplab.runs.planner.obtain` gives them.

        Raises the error of the first run that failed, and `OutOfTime` where the deadline leaves too little time.
        """
        records: dict[RunSpec, RunRecord] = {}
        while True:
            for spec in needed:
                is_new = spec not in records and self.store.has(spec)
                if is_new and (record := finished_run(spec, self.store)) is not None:
                    records[spec] = replace(record, evidence={})
            missing = [spec for spec in needed if spec not in records]
            if not missing:
                return [records[spec] for spec in needed]
            self.board.ask(missing)
            self.ask(missing)
            with self._changed:
                runs = [self._runs[spec] for spec in missing if spec in self._runs]
                self._changed.wait_for(lambda runs=runs: _are_settled(runs))  # type: ignore[misc]
                for run in runs:
                    if run.error is not None:
                        kind, message = run.error
                        raise kind(message)
                out_of_time = [run.spec for run in runs if run.state == "withdrawn"]
            if out_of_time and self.deadline.is_set:
                raise OutOfTime(out_of_time)
            if not runs:
                time.sleep(TURN)  # another process measures a stored run

    def close(self, keeps: bool = False) -> None:
        """Cancels all runs and ends the threads and the connection.

        With ``keeps`` it cancels what has not begun, and stores what comes home within the grace period. Then a
        KeyboardInterrupt ends the wait.
        """
        try:
            if keeps:
                self._await_begun()
        except KeyboardInterrupt:
            pass
        self._fail_all("the session has ended")
        self._ending.set()
        for thread in self._threads:
            thread.join(TURN + 2)
        for run in self._runs.values():
            self._remove_progress(run)
        if self._connection is not None:
            self._connection.close()

    def _await_begun(self) -> None:
        with self._changed:
            away = [run for run in self._runs.values() if run.state == "away"]
            begun = [run for run in away if run.worker]
            for run in away:
                if not run.worker:
                    self._settle(run, "withdrawn")
            if not begun:
                return
            verb = "runs are" if len(begun) > 1 else "run is"
            left = f"{len(begun)} {verb} under way, {len(away) - len(begun)} cancelled"
            self.say(f"{left}; what comes home in {self.asked.grace:g} s is kept (Ctrl-C: leave now)")
            self._changed.wait_for(lambda: _are_settled(begun, all_of_them=True), self.asked.grace)
            kept = sum(run.state == "home" for run in begun)
            self.say(f"{kept} of {len(begun)} came home")

    def _is_lacking(self, spec: RunSpec) -> bool:
        """Whether the run is neither stored nor submitted. A withdrawn run is lacking until the deadline is over."""
        run = self._runs.get(spec)
        if run is None or run.state == "home":
            return not self.store.has(spec)
        return run.state == "withdrawn" and not self.deadline.is_over() and not self._ending.is_set()

    def _lies_elsewhere(self, spec: RunSpec) -> bool:
        """Whether a copy of the run lies in a place of ``--also-runs``. It is then in the store."""
        if not any(place.has(spec) for place in self.also_runs):
            return False
        lacking: list[RunSpec] = []
        copy = copy_or_train(self.also_runs, lambda spec, store, device: lacking.append(spec))
        with suppress(Timeout), self.store.lock(run_key(spec)):
            if not self.store.has(spec):
                copy(spec, self.store, "")
        return not lacking and self.store.has(spec)

    def _submit(self, run: Run, workers: Sequence[str] | None = None) -> None:
        """Submits the run, also a second time. A run on named ``workers`` leaves the session's store to the first."""
        assert self._connection is not None
        key = ("bumplab-run", run_key(run.spec), run.submissions, secrets.token_hex(3))
        seed = run.spec.seed % 1000 if run.stage == LATER else 0
        with self._changed:
            if run.state != "away":
                return
            run.submissions += 1
            try:
                future = self._connection.client.submit(
                    work_on, self._work, run.spec.to_json(), self.train, workers is None,
                    key=key, priority=run.stage * 10**15 - seed * 10**11 + run.spec.network_steps,
                    retries=0, pure=False, workers=workers, allow_other_workers=False,
                )  # fmt: skip
            except Exception as error:  # the client has closed, or the trainer cannot be sent
                self._fail(run, OSError, f"cannot be submitted ({type(error).__name__}: {error})")
                return
            run.futures[key] = future
        future.add_done_callback(lambda future: self._mail.put(lambda: self._take(run, future)))

    def _take_answers(self) -> None:
        """The loop of the thread that stores what comes home."""
        looked = time.monotonic()
        while not self._ending.is_set():
            try:
                with suppress(queue.Empty):
                    self._mail.get(timeout=TURN / 4)()
                if time.monotonic() - looked >= TURN:
                    looked = time.monotonic()
                    self._keep_house()
            except Exception as error:  # a claim must not wait for a thread that has ended
                self._fail_all(f"an error in bumplab: {type(error).__name__}: {error}")
                return

    def _take(self, run: Run, future: Any) -> None:
        """Takes the answer of one submission, and releases it at once: Dask would train a held one again."""
        if run.state != "away" or future.key not in run.futures:
            future.release()
            return
        status = future.status
        if status == "finished":
            try:
                answer = future.result(timeout=FETCH)
            except TimeoutError:
                future.add_done_callback(lambda future: self._mail.put(lambda: self._take(run, future)))
                return
            except Exception as error:
                self._again(run, future, f"its files did not come home ({type(error).__name__})")
                return
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
        if "stored" in answer:
            self._await_visible(run)
            self._home(run)
        elif "differs" in answer:
            self._refuse(str(answer["differs"]))
            run.futures.pop(future.key).release()
            self._submit(run)
        elif "failed" in answer:
            name, message = answer["failed"]
            self._fail(run, ERRORS.get(name, OSError), message if name in ERRORS else f"{name}: {message}")
        elif "files" in answer:
            try:
                self._store(run, copy_of(answer["files"], run.spec))
            except (Damaged, Unreadable) as error:
                self._again(run, future, f"its worker gave back a damaged run: {error}")
            except OSError as error:
                self._fail(run, OSError, str(error))
        else:  # stopped, and not by this session
            self._again(run, future, "its worker stopped it")

    def _store(self, run: Run, copy: Copy) -> None:
        """Publishes a run that came home, unless it is stored. Keeps it in mind while another session trains it."""
        try:
            with self.store.lock(run_key(run.spec)):
                if not self.store.has(run.spec):
                    publish(copy, self.store)
        except Timeout:
            self._held.append((run, copy))
            return
        self._home(run)

    def _await_visible(self, run: Run) -> None:
        """A network file system may show some seconds later what another host has written."""
        results = self.store.path(run_key(run.spec)).parent
        for _ in range(20):
            with suppress(OSError):
                os.listdir(results)
            if self.store.has(run.spec) or self._ending.wait(TURN / 2):
                return

    def _home(self, run: Run) -> None:
        if run.begun:
            took = time.monotonic() - run.begun
            self._seconds.setdefault((run.spec.subject, run.spec.training), []).append(took)
        self._settle(run, "home")

    def _settle(self, run: Run, state: str) -> None:
        """Notes the end of a run, cancels its submissions, and wakes those who wait."""
        with self._changed:
            run.state = state
            futures = list(run.futures.values())
            run.futures.clear()
            self._changed.notify_all()
        for future in futures:
            future.release()  # nobody else holds it, so Dask drops the task, and its worker stops after a step
        self._remove_progress(run)

    def _fail(self, run: Run, kind: type[Exception], message: str) -> None:
        run.error = (kind, line(f"{run.spec.label()} ({run_key(run.spec)}): {message}"))
        self._settle(run, "failed")

    def _fail_all(self, reason: str) -> None:
        home = sum(run.state == "home" for run in self._runs.values())
        text = line(f"--dask {self.asked.address}: {reason}; {home} of {len(self._runs)} runs came home and are kept")
        for run in list(self._runs.values()):
            if run.state == "away":
                run.error = (OSError, text)
                self._settle(run, "failed")

    def _again(self, run: Run, future: Any, reason: str) -> None:
        """Submits the run under a new key. Fails it after `MOST_SUBMISSIONS`."""
        run.futures.pop(future.key, None)
        future.release()
        run.deaths += 1
        if run.deaths >= MOST_SUBMISSIONS:
            self._fail(run, OSError, f"was given up after {run.deaths} submissions: {reason}")
        elif not run.futures:
            run.worker, run.doubled = "", False
            self._submit(run)

    def _reach_again(self, run: Run, future: Any) -> None:
        """A submission that Dask cancelled: the client has lost its scheduler. It tries to reach it again by itself."""
        assert self._connection is not None
        client = self._connection.client
        while client.status == "connecting" and not self._ending.is_set():
            time.sleep(TURN / 10)
        if client.status != "running":
            self._fail_all("the connection to the scheduler is lost: give the command again when it is there")
        else:
            self._subscribe()
            run.worker = ""
            run.futures.pop(future.key, None)
            self._submit(run)

    def _refuse(self, problem: str) -> None:
        """Sends a worker home that differs from the session, once, with a warning."""
        if problem != self._refused:
            warnings.warn(line(f"--dask {self.asked.address}: {problem}; it is sent home"), stacklevel=2)
        self._refused = problem
        assert self._connection is not None
        client, address = self._connection.client, problem.split()[1]
        with suppress(Exception):
            within(CONNECT, lambda: client.retire_workers(workers=[address], close_workers=True))

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

    def _progress_path(self, run: Run) -> Any:
        return self.store.root / "progress" / f"{run_key(run.spec)}.json"

    def _remove_progress(self, run: Run) -> None:
        with suppress(OSError):
            self._progress_path(run).unlink(missing_ok=True)

    def _keep_house(self) -> None:
        held, self._held = self._held, []
        for run, copy in held:
            self._store(run, copy)
        away = [run for run in list(self._runs.values()) if run.state == "away"]
        if away and not self.workers and time.monotonic() - self._seen_worker > self.asked.wait:
            self._fail_all(self._refused or f"no worker is left, for {self.asked.wait:g} s (--dask-wait)")
            return
        if self.deadline.is_set:
            self._withdraw_late(away)
        self._follow_board()
        self._double_slow(away)

    def _withdraw_late(self, away: Sequence[Run]) -> None:
        """Cancels runs that no longer end in time, and all of them when the time is over."""
        waiting = [run.spec for run in away if not run.worker]
        fitting = set(self.deadline.in_time(waiting, self.store, self.board))
        for run in away:
            if self.deadline.is_over() or (not run.worker and run.spec not in fitting):
                self._settle(run, "withdrawn")

    def _follow_board(self) -> None:
        """Submits runs that a later look may need, and cancels those that no look will need any more."""
        try:
            changed = (self.board.folder / f"{self.board.worker}.json").stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed == self._board_seen:
            return
        self._board_seen = changed
        later, wanted = self.board.later(), set(self.board.wanted())
        self.ask((spec for spec in later if spec not in wanted), LATER)
        still = wanted.union(later)
        with self._changed:
            for run in list(self._runs.values()):
                if run.state == "away" and run.stage == LATER and run.spec not in still:
                    del self._runs[run.spec]
                    self._settle(run, "withdrawn")

    def _double_slow(self, away: Sequence[Run]) -> None:
        """Gives a slow run to a second worker, where a worker has nothing to do."""
        begun = [run for run in away if run.worker]
        idle = len(self.workers) - len(begun) - sum(run.doubled for run in begun)
        if len(begun) < len(away) or idle <= 0:
            return
        for run in sorted(begun, key=lambda run: run.begun)[:idle]:
            like = self._seconds.get((run.spec.subject, run.spec.training))
            took = time.monotonic() - run.begun
            others = [address for address in self.workers if address != run.worker]
            if like and not run.doubled and took > max(SHORT, SLOW * median(like)) and others:
                run.doubled = True
                self._submit(run, others)

    def _watch_workers(self) -> None:
        """The loop of the thread that counts the workers, and sends home those that differ."""
        assert self._connection is not None
        client = self._connection.client
        from distributed import __version__

        known = set(self.workers)
        while not self._ending.is_set():
            with suppress(NoCluster):
                self.workers = workers_of(client)
                if self.workers:
                    self._seen_worker = time.monotonic()
                new = {at: threads for at, threads in self.workers.items() if at not in known}
                if new:
                    known |= new.keys()
                    try:
                        require_versions(client, __version__)
                        require_same(client, new, self._identity, self.asked.subject)
                    except NoCluster as error:
                        if str(error).startswith("worker "):
                            self._refuse(str(error))
            self._ending.wait(TURN)


def _are_settled(runs: Sequence[Run], all_of_them: bool = False) -> bool:
    """Whether no run is away. One that failed is enough, unless ``all_of_them`` are asked for."""
    failed = any(run.state == "failed" for run in runs) and not all_of_them
    return failed or all(run.state != "away" for run in runs)
