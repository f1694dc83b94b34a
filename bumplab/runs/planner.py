"""Which runs are missing, and who trains them: workers that share a store need its locks and one board to agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.runs.board import Board
from bumplab.runs.store import RunRecord, RunStore, run_key

POLL = 0.5
"""Seconds between two looks at the store while others train what is needed."""
Trainer = Callable[[RunSpec, RunStore, str], None]
"""Trains a run on a device and publishes it in the store. The caller holds the run's lock."""


def train_here(spec: RunSpec, store: RunStore, device: str) -> None:
    """Trains the run in this process."""
    from bumplab.runs.execute import execute  # torch: not needed when everything is stored

    execute(spec, store, device)


def obtain(
    needed: Sequence[RunSpec], board: Board, store: RunStore, device: str, train: Trainer = train_here
) -> list[RunRecord]:
    """The results of ``needed``, in order, without their evidence.

    Trains those nobody has begun and asks the others for the rest. While others train the rest, it helps with any run
    on the board that nobody has taken: no worker idles while there is work, and none trains what another is training.
    """
    found: dict[RunSpec, RunRecord] = {}
    while True:
        for spec in needed:
            if spec not in found and (record := store.load(spec)) is not None:
                found[spec] = replace(record, evidence={})  # a claim judges rows, and may have a hundred runs
        missing = [spec for spec in needed if spec not in found]
        if not missing:
            return [found[spec] for spec in needed]
        board.ask(missing)
        if not _train_any((*missing, *board.wanted()), store, device, train):
            time.sleep(POLL)


def help_others(board: Board, store: RunStore, device: str, train: Trainer = train_here) -> None:
    """For a worker with no claim left: trains what is wanted while any other worker has a claim left.

    It stays while nothing is wanted, because a claim that is not settled asks for another seed; it leaves what no claim
    will ask for any more, as in a session stopped at its first failure.
    """
    while board.others_at_work():
        if not _train_any(board.wanted(), store, device, train):
            time.sleep(POLL)


def _train_any(specs: Sequence[RunSpec], store: RunStore, device: str, train: Trainer) -> bool:
    return any(train_if_free(spec, store, device, train) for spec in specs)


def train_if_free(spec: RunSpec, store: RunStore, device: str, train: Trainer = train_here) -> bool:
    """Trains the run unless it is stored or another process is at it; says whether it did."""
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
