"""Which runs are missing, and who trains them. Workers that share a store agree through its locks and one board."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.runs.board import Board
from bumplab.runs.store import RunRecord, RunStore, run_key
from bumplab.subjects.registry import Named

POLL = 0.5
"""Seconds between two looks at the store while others train the missing runs."""
Trainer = Callable[[RunSpec, RunStore, str], None]
"""Trains a run on a device and publishes it in the store. The caller holds the run's lock."""


def train_here(spec: RunSpec, store: RunStore, device: str, users: Named | None = None) -> None:
    """Trains the run in this process. ``users`` is the user's subject, if the session has one."""
    from bumplab.runs.execute import execute  # imports torch, which stored runs do not need

    execute(spec, store, device, users)


def obtain(
    needed: Sequence[RunSpec], board: Board, store: RunStore, device: str, train: Trainer = train_here
) -> list[RunRecord]:
    """The results of ``needed``, in order, without their evidence.

    Trains the missing runs that nobody has begun, and puts all of them on the board. While others train the rest, it
    trains any free run on the board. So no worker idles while there is work, and none trains another's run.
    """
    records: dict[RunSpec, RunRecord] = {}
    while True:
        for spec in needed:
            if spec not in records and (record := _finished(spec, store)) is not None:
                records[spec] = replace(record, evidence={})  # a claim reads rows only, of up to a hundred runs
        missing = [spec for spec in needed if spec not in records]
        if not missing:
            return [records[spec] for spec in needed]
        board.ask(missing)
        if not _train_any((*missing, *board.wanted()), store, device, train):
            time.sleep(POLL)


def _finished(spec: RunSpec, store: RunStore) -> RunRecord | None:
    """The finished run by the current measurement. None where it is not trained, or while another process measures."""
    record = store.load(spec)
    if record is None or store.is_current(record):
        return record
    from bumplab.runs.again import measured_again  # renders the labels, which other stored runs do not need

    return measured_again(record, store)


def help_others(board: Board, store: RunStore, device: str, train: Trainer = train_here) -> None:
    """For a worker that has no claim left: trains runs on the board while any other worker has a claim left.

    It stays while the board has no free run, because an open claim asks for another seed. It leaves runs that no claim
    will ask for any more, as in a session that stopped at its first failure.
    """
    while board.others_at_work():
        if not _train_any(board.wanted(), store, device, train):
            time.sleep(POLL)


def _train_any(specs: Sequence[RunSpec], store: RunStore, device: str, train: Trainer) -> bool:
    return any(train_if_free(spec, store, device, train) for spec in specs)


def train_if_free(spec: RunSpec, store: RunStore, device: str, train: Trainer = train_here) -> bool:
    """Trains the run unless it is stored or another process trains it. Returns whether it trained the run."""
    if store.has(spec):
        return False
    try:
        with store.lock(run_key(spec)):
            if store.has(spec):
                return False
            train(spec, store, device)
            return True
    except Timeout:
        return False
