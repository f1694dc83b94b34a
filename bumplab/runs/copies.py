"""Runs from elsewhere: `python -m bumplab runs import`, and the stores and archives of ``--also-runs``."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.runs import draws
from bumplab.runs.archive import Archive, Copy, NotAnArchive
from bumplab.runs.planner import Trainer
from bumplab.runs.record import Unreadable, run_key
from bumplab.runs.sealed import Damaged
from bumplab.runs.store import RunStore, require_real_folders
from bumplab.terminal import line


@dataclass
class Imported:
    """What became of an archive's runs."""

    new: int = 0
    kept: int = 0
    """Runs that the store had already."""
    problems: list[str] = field(default_factory=list)
    """A line for each file and each run that was left out, and one for all that were computed in one arithmetic."""


def import_runs(
    archive: Archive,
    store: RunStore,
    on_run: Callable[[], None] = lambda: None,
    arithmetic_of: Callable[[RunSpec], str] | None = None,
) -> Imported:
    """Copies each run of the archive that the store lacks. A run appears whole or not at all.

    ``arithmetic_of`` gives the arithmetic in which a run would be computed now. Runs that were computed in another are
    then left out. Calls ``on_run`` after each run. Memory holds one run at a time. Raises OSError where the store
    cannot be written.
    """
    imported = Imported(problems=list(archive.problems))
    otherwise: Counter[tuple[str, str]] = Counter()
    for key in sorted(archive.manifest.runs):
        try:
            copy = archive.read(key)
            before = copy.record.arithmetic
            if arithmetic_of is not None and before != (now := arithmetic_of(copy.record.spec)):
                otherwise[before, now] += 1
            elif store.load(copy.record.spec) is None and _publish_if_free(copy, store):
                imported.new += 1
            else:
                imported.kept += 1
        except Timeout:
            imported.problems.append(f"{archive.path}: run {key}: another process trains it; left out")
        except (Damaged, Unreadable) as error:
            imported.problems.append(line(f"{archive.path}: run {key}: {error}; left out"))
        on_run()
    for (before, now), count in sorted(otherwise.items()):
        runs = f"{count} run{'s' * (count != 1)}"
        imported.problems.append(
            line(f"{archive.path}: {runs} computed in {before}, and a session here computes in {now}; left out")
        )
    return imported


def _publish_if_free(copy: Copy, store: RunStore) -> bool:
    """Publishes a copy unless the run is stored. Raises `Timeout` where another process holds its lock."""
    with store.lock(copy.record.key):
        if store.has(copy.record.spec):
            return False
        publish(copy, store)
        return True


def publish(copy: Copy, store: RunStore) -> None:
    """Stores a copy, checked. Only for the holder of the run's lock.

    Its draws are kept all or, with a warning, not at all. Raises `Unreadable` where a reader would refuse the run.
    """
    record, kept_bytes = copy.record, 0
    store.forget_draws(record.key)
    try:
        for step, checksum in record.draws.items():
            data = copy.draws(step)
            draws.parsed(data, step, checksum, record.spec)
            if (kept_bytes := kept_bytes + len(data)) > store.draws_bytes:
                raise Damaged(f"its draws take over {store.draws_bytes / 1e6:.0f} MB")
            draws.write(store.root, record.key, step, data)
    except Damaged as error:
        store.forget_draws(record.key)
        record = replace(record, draws={})
        warnings.warn(line(f"{record.spec.label()} ({record.key}) is copied without its draws: {error}"), stacklevel=2)
    store.publish(record, copy.weights)


class Elsewhere:
    """A store or an archive that is only read. Raises ValueError in one line where it is neither."""

    def __init__(self, path: Path):
        self.path = path
        self._keys: frozenset[str] | None = None
        """The keys of an archive's runs; None for a store, whose runs may become more."""
        if not path.is_dir():
            with Archive(path) as archive:
                self._keys = frozenset(archive.manifest.runs)
            return
        try:
            require_real_folders(path)
        except OSError as error:
            raise ValueError(f"{error.filename}: {error.strerror}") from error
        if not (path / "results").is_dir():
            raise ValueError(f"{path}: is no store of runs: name a folder that has been a --runs-dir")

    def has(self, spec: RunSpec) -> bool:
        """Whether it has a run of this spec. Only `copy_to` checks the run."""
        key = run_key(spec)
        return os.path.lexists(RunStore(self.path).path(key)) if self._keys is None else key in self._keys

    def copy_to(self, store: RunStore, spec: RunSpec) -> bool:
        """Copies the finished run of a spec to the store, whose lock on it the caller holds. False where it has none.

        Raises `Damaged`, `NotAnArchive`, `Unreadable` and OSError.
        """
        if not self.has(spec):
            return False
        if self._keys is not None:
            with Archive(self.path) as archive:
                publish(archive.read(run_key(spec)), store)
            return True
        other = RunStore(self.path)
        record = other.read(spec)
        if record is None:
            return False
        publish(Copy(record, other.weights(record.key), partial(draws.read, other.root, record.key)), store)
        return True


def copy_or_train(places: Sequence[Elsewhere], train: Trainer) -> Trainer:
    """A trainer that first looks for the run in these places. What is damaged there is passed over with a warning."""
    return partial(_copy_or_train, places, train) if places else train


def _copy_or_train(places: Sequence[Elsewhere], train: Trainer, spec: RunSpec, store: RunStore, device: str) -> None:
    for place in places:
        try:
            if place.copy_to(store, spec):
                return
        except (Damaged, NotAnArchive, Unreadable) as error:
            problem = (
                f"{place.path}: run {run_key(spec)}: {error}; passed over, so it is looked for elsewhere or trained"
            )
            warnings.warn(line(problem), stacklevel=2)
    train(spec, store, device)
