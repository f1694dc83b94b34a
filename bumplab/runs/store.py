"""The run store: finished runs by the key of their spec, and checkpoints of unfinished ones.

::

    <root>/results/<key>/       the files of `bumplab.runs.record.FILES` and a manifest
    <root>/draws/<key>/         what the run drew at each checkpoint (`bumplab.runs.draws`)
    <root>/measured/<key>/<hash>/   the same files without weights: the draws as another measurement sees them
    <root>/partial/<key>/<step>/    the same files of a run under way; its weights have optimizer moments
    <root>/locks/<key>.lock     held by the one process that trains the run; the system frees it if that process dies
    <root>/progress/            what is training now (`bumplab.runs.progress`, `bumplab.runs.board`)
    <root>/damaged/             folders that failed their checks, moved aside
"""

from __future__ import annotations

import errno
import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock, Timeout

from bumplab.config import RunSpec
from bumplab.measure.libraries import versions
from bumplab.measure.names import MEASUREMENT
from bumplab.runs import draws
from bumplab.runs.record import FILES, RESULTS_FORMAT, RunRecord, Unreadable, from_files, run_key, seconds_in, to_files
from bumplab.runs.sealed import Damaged, discard, move, read_file, seal, sweep, unseal
from bumplab.terminal import line

__all__ = ["FILES", "RESULTS_FORMAT", "RunRecord", "RunStore", "Unreadable", "require_real_folders", "run_key"]

FOLDERS = ("results", "draws", "measured", "partial", "locks", "progress", "damaged")


def require_real_folders(root: Path) -> None:
    """Raises OSError where a folder of the store is a symbolic link: a store made by others may lead out of itself.

    Every command calls this once, before it writes, lists or removes anything. No later step looks again.
    """
    for name in FOLDERS:
        if (folder := root / name).is_symlink():
            advice = "is a symbolic link, which may lead out of the store: put a folder there"
            raise OSError(errno.ELOOP, advice, str(folder))


@dataclass(frozen=True)
class RunStore:
    """Runs under ``root``. Reading runs no code: the files are JSON and safetensors, and are checked before use."""

    root: Path
    draws_bytes: int = draws.MEGABYTES * 10**6
    """Most bytes of draws that a run keeps. A run with more keeps none."""

    def require_writable(self) -> None:
        """Raises OSError where a folder of the store cannot be written. Called before anything is trained."""
        require_real_folders(self.root)
        for name in set(FOLDERS) - {"damaged"}:
            if os.path.lexists(folder := self.root / name):
                with TemporaryFile(dir=folder):
                    pass

    def path(self, key: str) -> Path:
        """The folder of a finished run."""
        return self.root / "results" / key

    def checkpoints(self, key: str) -> Path:
        """The folder that holds the checkpoints of an unfinished run, a folder for each."""
        return self.root / "partial" / key

    def lock(self, key: str) -> FileLock:
        """The lock that a run's trainer holds. Taking it raises `filelock.Timeout` where another process has it."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{key}.lock", timeout=0)

    def has(self, spec: RunSpec) -> bool:
        """Whether anything lies at the path of the finished run. Only `load` checks that it is a whole run."""
        return os.path.lexists(self.path(run_key(spec)))

    def load(self, spec: RunSpec) -> RunRecord | None:
        """The finished run, or None. A damaged one is moved aside with a warning, and counts as absent.

        Where its draws were measured again, these are the numbers of the current measurement.
        """
        record = self._load_as_trained(spec)
        if record is None or self.is_current(record):
            return record
        return self.load_measured(record) or record

    def seconds(self, spec: RunSpec) -> float | None:
        """Wall time of the finished run in seconds. None where there is none, where it failed, or cannot be read."""
        try:
            return seconds_in(read_file(self.path(run_key(spec)) / "rows.json", FILES["rows.json"]))
        except (OSError, Damaged):
            return None

    def is_current(self, record: RunRecord) -> bool:
        """Whether today's measurement would give the same numbers. So it is where nothing can be measured here."""
        return record.measured_by == _measured_here(record)

    def load_measured(self, record: RunRecord) -> RunRecord | None:
        """The run as the current measurement saw its draws, or None. Removes a damaged one: it is measured again."""
        folder = self._measured(record.key, _measured_here(record))
        if folder.parent.is_symlink() or not os.path.lexists(folder):
            return None
        try:
            again = from_files(unseal(folder, FILES), record.spec)
            of_same_run = (again.draws, again.failed) == (record.draws, record.failed)
            if again.measured_by != _measured_here(record) or not of_same_run:
                raise Damaged("holds another measurement")
        except Damaged:
            discard(folder)
            return None
        return again

    def forget_draws(self, key: str) -> None:
        """Removes what an earlier training of the run drew, and its measurements. Only for the holder of its lock."""
        draws.remove(self.root, key)
        discard(self.root / "measured" / key)

    def publish_measured(self, record: RunRecord) -> None:
        """Stores a run that was measured again, and removes its older measurements. Only for the holder of its lock."""
        folder = self._measured(record.key, record.measured_by)
        if folder.parent.is_symlink():
            folder.parent.unlink()
        sweep(folder)
        seal(folder, to_files(record, b""))
        for other in folder.parent.iterdir():
            if other != folder:
                discard(other)

    def _measured(self, key: str, measured_by: tuple[object, ...]) -> Path:
        identity = hashlib.sha256(repr(measured_by).encode()).hexdigest()[:8]
        return self.root / "measured" / key / identity

    def _load_as_trained(self, spec: RunSpec) -> RunRecord | None:
        try:
            return self.read(spec)
        except Damaged:
            pass
        try:  # again under the lock: without it, a trainer could publish a whole run just before this moves it aside
            with self.lock(run_key(spec)):
                try:
                    return self.read(spec)
                except Damaged as error:
                    self.set_aside(self.path(run_key(spec)), str(error))
        except Timeout:
            pass  # another process trains the run
        return None

    def read(self, spec: RunSpec) -> RunRecord | None:
        """The finished run as it was trained, or None. Changes nothing. Raises `Damaged`."""
        folder = self.path(run_key(spec))
        return finished(unseal(folder, FILES), spec) if os.path.lexists(folder) else None

    def weights(self, key: str) -> bytes:
        """The weights of a finished run, empty where they were not kept. Changes nothing. Raises `Damaged`."""
        return unseal(self.path(key), FILES)["weights.safetensors"]

    def publish(self, record: RunRecord, weights: bytes) -> None:
        """Stores a finished run, then drops its checkpoints. Only for the holder of its lock.

        Raises OSError where the disk is full or a file too large, and `Unreadable` where a reader would refuse the run.
        """
        sweep(self.path(record.key))
        seal(self.path(record.key), to_files(record, weights))
        discard(self.checkpoints(record.key))

    def save_partial(self, record: RunRecord, weights: bytes) -> None:
        """Stores a checkpoint at the record's last row, then drops older ones. Only for the holder of its lock.

        Call `load_partial` first: it clears the path. Raises as `publish` does.
        """
        folder = self.checkpoints(record.key) / f"{int(record.rows[-1]['step']):09d}"
        if not folder.exists():
            sweep(folder)
            seal(folder, to_files(record, weights))
        for other in folder.parent.iterdir():
            if other != folder:
                discard(other)

    def load_partial(self, spec: RunSpec) -> tuple[RunRecord, bytes] | None:
        """The newest whole checkpoint and its weights, or None. Damaged ones are moved aside with a warning.

        Only for the holder of the run's lock.
        """
        folder = self.checkpoints(run_key(spec))
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            self.set_aside(folder, "is not a folder")
        for checkpoint in sorted(folder.glob("[0-9]" * 9), reverse=True):
            try:
                files = unseal(checkpoint, FILES)
                record = from_files(files, spec)
                if int(record.rows[-1]["step"]) != int(checkpoint.name):
                    raise Damaged("holds another step than its name says")
                if record.failed is not None:
                    raise Damaged("is a checkpoint of a failed run")
                return record, files["weights.safetensors"]
            except Damaged as error:
                self.set_aside(checkpoint, str(error))
        return None

    def set_aside(self, folder: Path, reason: str) -> None:
        """Moves a damaged folder to ``damaged/``, with a warning that names both paths and the reason."""
        target = self.root / "damaged" / f"{folder.parent.name}-{folder.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        number = 0
        while os.path.lexists(final := target.with_name(f"{target.name}-{number}")):
            number += 1
        try:
            move(folder, final)
        except FileNotFoundError:
            return  # another worker has moved it
        consequence = "goes on from an earlier checkpoint, or from the start"
        if folder.parent.name == "results":
            consequence = "is trained again when it is needed"
        warnings.warn(line(f"{folder}: {reason}; moved to {final}, the run {consequence}"), stacklevel=2)


def finished(files: Mapping[str, bytes], spec: RunSpec) -> RunRecord:
    """The finished run in ``files``, which may come from others. Raises `Damaged` as `from_files`, and for others."""
    record = from_files(files, spec)
    is_whole = len(record.rows) == len(spec.measured_steps())
    if is_whole and record.failed is not None:
        raise Damaged("rows.json says that a whole run failed")
    if not is_whole and record.failed is None:
        raise Damaged("rows.json ends before the run does")
    return record


def _measured_here(record: RunRecord) -> tuple[int, object, object]:
    """What `RunRecord.measured_by` would be here. That of the record where it has no draws, or OpenCV is missing."""
    try:
        installed = versions() if record.draws else {}
    except ImportError:
        installed = {}
    if not installed:
        return record.measured_by
    return (MEASUREMENT, installed["umap-learn"], installed["opencv"])
