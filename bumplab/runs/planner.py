"""Which runs are missing, and who trains them. Workers that share a store agree through its locks and one board."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.runs.board import Board
from bumplab.runs.deadline import NEVER, Deadline
from bumplab.runs.stopping import Stopped, Stops, never
from bumplab.runs.store import RunRecord, RunStore, run_key
from bumplab.subjects.registry import Named

POLL = 0.5
"""Seconds between two looks at the store while others train the missing runs."""
Trainer = Callable[[RunSpec, RunStore, str], None]
"""Trains a run on a device and publishes it in the store. The caller holds the run's lock."""


class OutOfTime(Exception):
    """The deadline leaves no time for these runs, and no process trains one of them."""

    def __init__(self, missing: Sequence[RunSpec]):
        super().__init__(f"{len(missing)} runs are missing")
        self.missing = missing


def train_here(
    spec: RunSpec,
    store: RunStore,
    device: str,
    users: Named | None = None,
    stops: Stops = never,
    tell: Callable[[int], None] = lambda step: None,
) -> None:
    """Trains the run in this process. ``users`` is the user's subject, if the session has one."""
    from bumplab.runs.execute import execute  # imports torch, which stored runs do not need

    execute(spec, store, device, users=users, stops=stops, tell=tell)


def obtain(
    needed: Sequence[RunSpec],
    board: Board,
    store: RunStore,
    device: str,
    train: Trainer = train_here,
    deadline: Deadline = NEVER,
) -> list[RunRecord]:
    """The results of ``needed``, in order, without their evidence.

    Trains the missing runs that nobody has begun, and puts all of them on the board. While others train the rest, it
    trains any free run that a worker wants, and then runs of later looks (`Board.later`). None trains another's run.

    A run of a later look may be trained in vain, where a part ends before it: by a premise that does not hold, or by a
    seed that goes astray. It costs time in which the worker would wait. `Board.is_in_vain` then stops it.

    Raises `OutOfTime` where the deadline leaves too little time for all that is missing.
    """
    records: dict[RunSpec, RunRecord] = {}
    while True:
        for spec in needed:
            if spec not in records and (record := finished_run(spec, store)) is not None:
                records[spec] = replace(record, evidence={})  # a claim reads rows only, of up to a hundred runs
        missing = [spec for spec in needed if spec not in records]
        if not missing:
            return [records[spec] for spec in needed]
        board.ask(missing)
        if not _train_next(missing, board=board, store=store, device=device, train=train, deadline=deadline):
            if deadline.is_set and not any(_in_training(spec, store) or store.has(spec) for spec in missing):
                raise OutOfTime(missing)
            time.sleep(POLL)


def finished_run(spec: RunSpec, store: RunStore) -> RunRecord | None:
    """The finished run by the current measurement. None where it is not trained, or while another process measures."""
    record = store.load(spec)
    if record is None or store.is_current(record):
        return record
    from bumplab.runs.again import measured_again  # renders the labels, which other stored runs do not need

    return measured_again(record, store)


def help_others(
    board: Board, store: RunStore, device: str, train: Trainer = train_here, deadline: Deadline = NEVER
) -> None:
    """For a worker that has no claim left: trains runs on the board while any other worker has a claim left.

    It trains those of later looks too, as `obtain` does. It stays while the board has no free run, because an open
    claim asks for another seed. It leaves runs that no claim will ask for any more, as in a session that stopped at its
    first failure. It leaves all runs where the deadline is over.
    """
    while board.others_at_work() and not deadline.is_over():
        if not _train_next([], board=board, store=store, device=device, train=train, deadline=deadline):
            time.sleep(POLL)


def _train_next(
    missing: Sequence[RunSpec], *, board: Board, store: RunStore, device: str, train: Trainer, deadline: Deadline
) -> bool:
    """Trains one free run: one of ``missing``, else one that any worker wants, else one of a later look.

    Returns whether there was one.
    """

    def train_one_of(specs: Sequence[RunSpec]) -> bool:
        return any(train_if_free(spec, store, device, train=train) for spec in deadline.in_time(specs, store, board))

    return train_one_of([*missing, *board.wanted()]) or train_one_of(board.later())


def _in_training(spec: RunSpec, store: RunStore) -> bool:
    """Whether another process holds the run's lock."""
    try:
        with store.lock(run_key(spec)):
            return False
    except Timeout:
        return True


def train_if_free(spec: RunSpec, store: RunStore, device: str, train: Trainer = train_here) -> bool:
    """Trains the run unless it is stored or another process trains it.

    Returns whether it trained the run, to its end or until it was stopped.
    """
    if store.has(spec):
        return False
    try:
        with store.lock(run_key(spec)):
            if store.has(spec):
                return False
            with suppress(Stopped):
                train(spec, store, device)
            return True
    except Timeout:
        return False
