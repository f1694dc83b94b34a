"""The end of a session with ``--minutes``, and which runs fit into the time that is left."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from statistics import fmean

from bumplab.config import RunSpec, SubjectSpec, TrainingSpec
from bumplab.runs.board import Board
from bumplab.runs.store import RunStore, run_key
from bumplab.terminal import duration

Budget = tuple[SubjectSpec, TrainingSpec]


class Deadline:
    """The moment ``ends``, in seconds since the epoch, of a session that lasts ``minutes``."""

    def __init__(self, minutes: float | None = None, ends: float | None = None):
        self.minutes = minutes
        self.ends = math.inf
        if minutes is not None:
            self.ends = now() + 60 * minutes if ends is None else ends
        self._seconds: dict[RunSpec, float] = {}
        """Time of each finished run that was read."""

    def __str__(self) -> str:
        return f"--minutes {self.minutes:g}"

    @property
    def is_set(self) -> bool:
        return self.minutes is not None

    def is_over(self) -> bool:
        return now() >= self.ends

    def in_time(self, specs: Sequence[RunSpec], store: RunStore, board: Board) -> list[RunSpec]:
        """The missing ones of these runs that end in time, the longest first. Those of factorized controls come last.

        Without a deadline these are all of them, stored or not, in their order.

        A run whose time is unknown counts as ending in time. So does one that takes longer than the whole session: it
        can only be trained over several sessions, each from the last checkpoint.
        """
        if self.minutes is None:
            return list(specs)
        left = self.ends - now()
        if left <= 0:
            return []
        means = self._means(store, board)
        whole = {spec: means.get(_budget(spec)) for spec in specs if not store.has(spec)}
        fitting = []
        for spec, seconds in whole.items():
            if seconds is None or seconds > 60 * self.minutes or seconds * _share_left(spec, store) <= left:
                fitting.append(spec)
        return sorted(fitting, key=lambda spec: (spec.subject.factorized, -(whole[spec] or 0.0), -spec.network_steps))

    def missing(self, specs: Iterable[RunSpec], store: RunStore, board: Board, workers: int) -> str:
        """What a session lacks of these runs, in words; empty where all are stored.

        Such as ``12 of 40 runs are missing (about 9 min)``. The time is that of so many workers.
        """
        runs = list(dict.fromkeys(specs))
        lacking = [spec for spec in runs if not store.has(spec)]
        if not lacking:
            return ""
        means = self._means(store, board)
        times = [means.get(_budget(spec)) for spec in lacking]
        known = [
            seconds * _share_left(spec, store)
            for spec, seconds in zip(lacking, times, strict=True)
            if seconds is not None
        ]
        about = f" (about {duration(sum(known) / workers)})" if len(known) == len(lacking) else ""
        verb = "runs are" if len(lacking) > 1 else "run is"
        return f"{len(lacking)} of {len(runs)} {verb} missing{about}"

    def _means(self, store: RunStore, board: Board) -> dict[Budget, float]:
        """Mean time in seconds of the finished runs on the board, by subject and training."""
        for spec in board.wanted():
            if spec not in self._seconds and (seconds := store.seconds(spec)) is not None:
                self._seconds[spec] = seconds
        times: dict[Budget, list[float]] = {}
        for spec, seconds in list(self._seconds.items()):  # threads of a session with --dask add to it
            times.setdefault(_budget(spec), []).append(seconds)
        return {budget: fmean(of_budget) for budget, of_budget in times.items()}


def _budget(spec: RunSpec) -> Budget:
    return spec.subject, spec.training


def _share_left(spec: RunSpec, store: RunStore) -> float:
    """The share of the run's steps after its newest checkpoint, 0 to 1."""
    done = [int(folder.name) for folder in store.checkpoints(run_key(spec)).glob("[0-9]" * 9)]
    return max(0.0, 1 - max(done, default=0) / spec.training.steps)


def now() -> float:
    """Seconds since the epoch, which all processes of a session share."""
    return time.time()


NEVER = Deadline()
