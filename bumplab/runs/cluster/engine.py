"""The runs of one session on a cluster: submits them, stores what comes home, and waits for what a claim needs."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from statistics import median

from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.runs.board import Board
from bumplab.runs.cluster import identity
from bumplab.runs.cluster.connection import Connection, connect, require_usable, workers_of
from bumplab.runs.cluster.options import ClusterOptions, NoCluster
from bumplab.runs.cluster.submissions import ASKED, LATER, TURN, Run, Submissions
from bumplab.runs.cluster.worker import TOKEN, Work
from bumplab.runs.copies import Elsewhere, copy_or_train
from bumplab.runs.deadline import Deadline
from bumplab.runs.planner import OutOfTime, Trainer, finished_run
from bumplab.runs.progress import replace_text
from bumplab.runs.store import RunRecord, RunStore, run_key

SLOW = 2.0
"""A run that takes so many times the median of its like is given to another worker, too."""
SHORT = 5.0
"""Seconds below which no run counts as slow."""
TAKERS = 4
"""Threads that take answers. A run takes 10 ms to fetch and 30 ms to store, most of it waiting for the disk."""
ENDED = "the session has ended"


class Cluster:
    """The engine of a session with ``--dask``. Its threads run from `start` to `close`."""

    def __init__(
        self,
        options: ClusterOptions,
        board: Board,
        store: RunStore,
        deadline: Deadline,
        also_runs: Sequence[Elsewhere] = (),
        say: Callable[[str], None] = lambda text: None,
    ):
        self.options, self.board, self.store, self.deadline = options, board, store, deadline
        self.also_runs, self.say = also_runs, say
        self.train: Trainer | None = None
        """Takes the place of the workers' own trainer. Workers import it by its module's name."""
        self.workers: set[str] = set()
        """The addresses of the workers."""
        self._connection: Connection | None = None
        self._threads: list[threading.Thread] = []
        self._seen_worker = time.monotonic()
        self._board_seen = 0
        self._ending = False
        """Whether nothing more is submitted."""

    def connect(self) -> None:
        """Reaches the scheduler and tries its workers. Raises `NoCluster` in one line; then nothing has begun."""
        here = identity.here(self.options.subject)
        self._connection = connect(self.options, here)
        self.workers = workers_of(self._connection.client)
        work = Work(
            identity=here,
            subject=self.options.subject,
            gpu=self.options.gpu,
            exact=self.options.exact,
            draws_bytes=self.store.draws_bytes,
            session=str(self.board.folder.resolve()),
            token=secrets.token_hex(16),
        )
        self.out = Submissions(self._connection.client, work, self.train, self.store, self.options.address)

    def start(self) -> None:
        """Begins to take answers. Call it after `connect` and `Board.open`. Raises OSError as the store does."""
        replace_text(self.board.folder / TOKEN, self.out.work.token)
        self.out.subscribe()
        self._seen_worker = time.monotonic()
        for loop in (*[self._take_answers] * TAKERS, self._keep_house, self._watch_workers):
            thread = threading.Thread(target=loop, daemon=True, name="bumplab-cluster")
            thread.start()
            self._threads.append(thread)
        self.say(f"--dask {self.options.address}: {len(self.workers)} workers train, and this process judges")

    def ask(self, specs: Iterable[RunSpec], stage: int = ASKED) -> None:
        """Submits the runs that are neither stored nor submitted, the longest first.

        A run that waits for a worker at a lower stage is submitted anew, ahead of the others of that stage.
        """
        specs = list(dict.fromkeys(specs))
        with self.out.changed:
            known = [self.out.runs[spec] for spec in specs if spec in self.out.runs]
            raised = [run for run in known if run.stage < stage]
            for run in raised:
                run.stage = stage
            lacking = [spec for spec in specs if self._is_lacking(spec)]
            fitting = set(self.deadline.in_time(lacking, self.store, self.board))
            runs = [self.out.add(spec, stage, "away" if spec in fitting else "withdrawn") for spec in lacking]
        for run in sorted(runs, key=lambda run: -run.spec.network_steps):
            try:
                if run.state == "away" and self._lies_elsewhere(run.spec):
                    self.out.settle(run, "home")
            except OSError as error:
                self.out.fail(run, OSError, str(error))
            self.out.submit(run)
        for run in raised:
            if run.state == "away" and not run.worker:
                self.out.release(run)
                self.out.submit(run)

    def obtain(self, needed: Sequence[RunSpec], stage: int = ASKED) -> list[RunRecord]:
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
            if self._ending:
                raise OSError(ENDED)
            self.board.ask(missing)
            self.ask(missing, stage)
            with self.out.changed:
                runs = [self.out.runs[spec] for spec in missing if spec in self.out.runs]
                self.out.changed.wait_for(lambda runs=runs: self.out.are_settled(runs))  # type: ignore[misc]
                for run in runs:
                    if run.error is not None:
                        kind, message = run.error
                        raise kind(message)
                out_of_time = [run.spec for run in runs if run.state == "withdrawn" and not self.store.has(run.spec)]
            if out_of_time and self.deadline.is_set:
                raise OutOfTime(out_of_time)
            if all(run.state == "home" for run in runs):
                time.sleep(TURN / 10)  # a stored run is being measured elsewhere

    def close(self, keeps: bool = False) -> None:
        """Cancels all runs and ends the threads and the connection.

        With ``keeps`` it cancels what has not begun, and stores what comes home within the grace period. Then a
        KeyboardInterrupt ends the wait.
        """
        self._ending = True
        try:
            if keeps:
                self._await_begun()
        except KeyboardInterrupt:
            pass
        self.out.ending.set()
        self.out.fail_all(ENDED)
        for thread in self._threads:
            thread.join(TURN + 2)
        assert self._connection is not None
        self._connection.close()

    def _await_begun(self) -> None:
        with self.out.changed:
            away = self.out.away()
            begun = [run for run in away if run.worker]
            for run in away:
                if not run.worker:
                    self.out.settle(run, "withdrawn")
            if not begun:
                return
            left = f"{len(begun)} runs have begun, {len(away) - len(begun)} are cancelled"
            self.say(f"{left}; what comes home in {self.options.grace:g} s is kept (Ctrl-C: leave now)")
            self.out.changed.wait_for(lambda: all(run.state != "away" for run in begun), self.options.grace)
            self.say(f"{sum(run.state == 'home' for run in begun)} of {len(begun)} came home")

    def _is_lacking(self, spec: RunSpec) -> bool:
        """Whether the run is to be submitted: neither stored nor submitted, or withdrawn with time left."""
        if self._ending:
            return False
        run = self.out.runs.get(spec)
        if run is None or run.state == "home":
            return not self.store.has(spec)
        return run.state == "withdrawn" and not self.deadline.is_over()

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

    def _take_answers(self) -> None:
        """The loop of a thread that stores what comes home."""
        while not self.out.ending.is_set():
            try:
                take = self.out.mail.get(timeout=TURN / 4)
            except queue.Empty:
                continue
            with self._failing_all():
                take()

    def _keep_house(self) -> None:
        """The loop of the thread that looks at the deadline, the board and slow runs."""
        while not self.out.ending.wait(TURN):
            with self._failing_all():
                self._look()

    @contextmanager
    def _failing_all(self) -> Iterator[None]:
        """A claim must not wait for a thread that met an error of the program."""
        try:
            yield
        except Exception as error:
            self.out.fail_all(f"an error in bumplab: {type(error).__name__}: {error}")

    def _look(self) -> None:
        away = self.out.away()
        if away and not self.workers and time.monotonic() - self._seen_worker > self.options.wait:
            self.out.fail_all(self.out.refused or f"no worker is left, for {self.options.wait:g} s (--dask-wait)")
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
                self.out.settle(run, "withdrawn")

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
        with self.out.changed:
            for run in list(self.out.runs.values()):
                if run.state == "away" and run.stage == LATER and run.spec not in still:
                    del self.out.runs[run.spec]
                    self.out.settle(run, "withdrawn")

    def _double_slow(self, away: Sequence[Run]) -> None:
        """Gives a slow run to a second worker, where a worker has nothing to do."""
        begun = [run for run in away if run.worker]
        idle = len(self.workers) - len(begun) - sum(len(run.futures) > 1 for run in begun)
        if len(begun) < len(away) or idle <= 0:
            return
        for run in sorted(begun, key=lambda run: run.begun)[:idle]:
            like = self.out.seconds.get((run.spec.subject, run.spec.training))
            took = time.monotonic() - run.begun
            others = sorted(self.workers - {run.worker})
            if like and not run.doubled and took > max(SHORT, SLOW * median(like)) and others:
                run.doubled = True
                self.out.submit(run, others)

    def _watch_workers(self) -> None:
        """The loop of the thread that counts the workers, and has those tried that join later."""
        known = set(self.workers)
        while not self.out.ending.wait(TURN):
            with suppress(NoCluster):
                self.workers = workers_of(self.out.client)
            if self.workers:
                self._seen_worker = time.monotonic()
            if new := self.workers - known:
                known |= new
                threading.Thread(target=self._try, args=(new,), daemon=True, name="bumplab-newcomers").start()

    def _try(self, workers: set[str]) -> None:
        """Sends home those of these workers that differ, one at a time. A lost one may take Dask 30 s to give up."""
        try:
            require_usable(self.out.client, workers, self.out.work.identity, self.options.subject)
        except NoCluster as error:
            if str(error).startswith("worker ") and not self.out.ending.is_set():
                self.out.refuse(str(error))
                others = workers - {str(error).split()[1]}
                if others < workers:
                    self._try(others)
