"""Which runs are missing, and who trains them: workers that share a store need nothing but its locks to agree."""

from __future__ import annotations

import time
from collections.abc import Sequence

from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.runs.store import RunRecord, RunStore, run_key

POLL = 0.5
"""Seconds between two looks at the store while others train what is needed."""


def obtain(needed: Sequence[RunSpec], plan: Sequence[RunSpec], store: RunStore, device: str) -> list[RunRecord]:
    """The results of ``needed``, in order. Trains those nobody has begun.

    While others train the rest, it helps with any run of ``plan`` that nobody has taken: no worker idles while there
    is work, and none trains what another is training.
    """
    found: dict[RunSpec, RunRecord] = {}
    while True:
        for spec in needed:
            if spec not in found and (record := store.load(spec)) is not None:
                found[spec] = record
        missing = [spec for spec in needed if spec not in found]
        if not missing:
            return [found[spec] for spec in needed]
        if not any(train_if_free(spec, store, device) for spec in (*missing, *plan)):
            time.sleep(POLL)


def train_if_free(spec: RunSpec, store: RunStore, device: str) -> bool:
    """Trains the run unless it is stored or another process is at it; says whether it did."""
    if store.has(spec):
        return False
    try:
        with store.lock(run_key(spec)):
            if store.has(spec):
                return False
            from bumplab.runs.execute import execute  # torch: not needed when everything is stored

            execute(spec, store, device)
            return True
    except Timeout:
        return False
