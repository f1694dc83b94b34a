"""The run store: finished runs by the content of their spec, and checkpoints of unfinished ones.

::

    <root>/results/<key>/       spec.json  rows.json  evidence.safetensors  weights.safetensors  manifest.json
    <root>/partial/<key>/<step>/    the same files of a run under way, weights with optimizer moments
    <root>/locks/<key>.lock     held by the one process that trains the run; freed by the system if it dies
    <root>/progress/            what is training now (see progress.py)
    <root>/damaged/             what failed its checks, moved aside
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import safetensors.numpy
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError

from bumplab.config import RunSpec
from bumplab.measure.names import MODES, array_forms, is_possible, row_names
from bumplab.runs.sealed import Damaged, discard, move, own, seal, sweep, unseal
from bumplab.terminal import line

RESULTS_FORMAT = 2
"""Part of every key. Raise it when code changes what a run's numbers mean: older results are then never mixed in."""

FILES = {"spec.json": 1 << 16, "rows.json": 1 << 23, "evidence.safetensors": 1 << 28, "weights.safetensors": 1 << 30}
"""The files of a run and the most bytes each may have, which bounds the memory that reading a foreign store takes. At
paper scale they have 0.5 kB, 0.1 MB and 5 MB, by what a smoke run's row takes, and 0.3 GB of weights with moments."""
HEAD = 1 << 22
"""Most bytes of a safetensors file's head, 100 an array: a paper run names 800, and a million take 2 GB to read."""

LARGEST = 1e100
"""Bounds what is measured, so that its square is still a number: intervals are made of squares."""

LONGEST = 1_000
"""Most bytes of a reason or of a name, and most that an environment names: all of them are in every report."""


class Unreadable(ValueError):
    """What a run measured would be refused by its own reader. It is not written: it would be trained again for ever."""


Row = dict[str, float]
Arrays = dict[str, NDArray[Any]]


def run_key(spec: RunSpec) -> str:
    """The 20 hexadecimal digits that name a run: a hash of its spec and the results format."""
    # runs with an average were computed without its warm-up before, and are never mixed with those
    results = f"{RESULTS_FORMAT}-warm-up" if spec.training.ema_decay else str(RESULTS_FORMAT)
    return hashlib.sha256(f"{results}:{spec.to_json()}".encode()).hexdigest()[:20]


def arithmetic(spec: RunSpec, environment: Mapping[str, Any]) -> str:
    """What a run's products are computed in, and which UMAP and OpenCV measured it: what its key does not say.

    Runs that differ in it are never mixed in one claim. Another version of UMAP lays activations out otherwise, and
    another OpenCV may find bumps elsewhere; the other libraries move last digits. ``environment`` is that of
    `bumplab.training.speed.describe`.
    """
    products = "float32"
    if spec.training.precision == "bf16" and environment.get("bf16"):
        products = "bf16"
    elif environment.get("instructions") == "cuda" and not environment.get("exact"):
        products = "TF32"
    umap, opencv = (environment.get(library, "of some version") for library in ("umap-learn", "opencv"))
    return f"{products}, with umap-learn {umap} and OpenCV {opencv}"


@dataclass
class RunRecord:
    """A run, finished or under way: one row of numbers a checkpoint, and the arrays behind them."""

    spec: RunSpec
    rows: list[Row] = field(default_factory=list)
    evidence: Arrays = field(default_factory=dict)
    """Arrays by ``<step>/<name>``: samples, labels, detections, embeddings."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by kind of work (``training``, ``measuring``, ``storing``)."""
    environment: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None
    """Why the seed failed (the loss diverged), or None."""

    @property
    def key(self) -> str:
        return run_key(self.spec)

    @property
    def arithmetic(self) -> str:
        return arithmetic(self.spec, self.environment)


class RunStore:
    """Results under ``root``. Reading never executes anything: JSON and safetensors only, checked before use."""

    def __init__(self, root: Path):
        self.root = root

    def require_writable(self) -> None:
        """Raises OSError where a folder of the store cannot be written: known before anything is trained."""
        for name in ("results", "partial", "locks", "progress"):
            if os.path.lexists(folder := self.root / name):
                with TemporaryFile(dir=own(folder)):
                    pass

    def path(self, key: str) -> Path:
        return own(self.root / "results") / key

    def lock(self, key: str) -> FileLock:
        """The lock that the trainer of a run holds; the system frees it when its process ends."""
        folder = own(self.root / "locks")
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{key}.lock", timeout=0)

    def has(self, spec: RunSpec) -> bool:
        """Whether anything is there in a result's place; only `load` tells whether it is a whole one."""
        return os.path.lexists(self.path(run_key(spec)))

    def load(self, spec: RunSpec) -> RunRecord | None:
        """The finished run, or None. A damaged one is named, moved aside and counts as absent."""
        try:
            return self._finished(spec)
        except Damaged:
            pass
        try:  # once more with the lock held: only now is it sure that nobody puts a whole one in its place meanwhile
            with self.lock(run_key(spec)):
                try:
                    return self._finished(spec)
                except Damaged as error:
                    self.set_aside(self.path(run_key(spec)), str(error))
        except Timeout:
            pass  # it is being trained
        return None

    def _finished(self, spec: RunSpec) -> RunRecord | None:
        read = self._read(self.path(run_key(spec)), spec)
        if read is None:
            return None
        record = read[0]
        whole = len(record.rows) == len(spec.measured_steps())
        if whole == (record.failed is not None):
            raise Damaged("rows.json says that a whole run failed" if whole else "rows.json ends before the run does")
        return record

    def publish(self, record: RunRecord, weights: bytes) -> None:
        """Stores a finished run and drops its checkpoints. Only for the holder of its lock."""
        sweep(self.path(record.key))
        seal(self.path(record.key), _files(record, weights))
        discard(self._checkpoints(record.key))

    def save_partial(self, record: RunRecord, weights: bytes) -> None:
        """Stores a checkpoint at the record's last row, then drops older ones. Only for the holder of its lock."""
        folder = own(self._checkpoints(record.key)) / f"{int(record.rows[-1]['step']):09d}"
        if not folder.exists():
            sweep(folder)
            seal(folder, _files(record, weights))
        for other in folder.parent.iterdir():
            if other != folder:
                discard(other)

    def load_partial(self, spec: RunSpec) -> tuple[RunRecord, bytes] | None:
        """The newest whole checkpoint and its weights, or None. Damaged ones are moved aside. Only for the holder of
        its lock."""
        folder = self._checkpoints(run_key(spec))
        if folder.is_symlink():
            self.set_aside(folder, "is a symbolic link")
        elif folder.exists() and not folder.is_dir():
            self.set_aside(folder, "is not a folder")
        for checkpoint in sorted(folder.glob("[0-9]" * 9), reverse=True):
            try:
                if read := self._read(checkpoint, spec):
                    if int(read[0].rows[-1]["step"]) != int(checkpoint.name):
                        raise Damaged("is not the checkpoint that its name says")
                    if read[0].failed is not None:
                        raise Damaged("is a checkpoint of a run that failed, from which none goes on")
                    return read
            except Damaged as error:
                self.set_aside(checkpoint, str(error))
        return None

    def set_aside(self, folder: Path, reason: str) -> None:
        """Moves a damaged folder away, with a warning that names it."""
        target = own(self.root / "damaged") / f"{folder.parent.name}-{folder.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        number = 0
        while os.path.lexists(final := target.with_name(f"{target.name}-{number}")):
            number += 1
        try:
            move(folder, final)
        except FileNotFoundError:
            return  # another worker was faster
        then = "goes on from an earlier checkpoint, or from the start"
        if folder.parent.name == "results":
            then = "is trained again when it is needed"
        warnings.warn(line(f"{folder}: {reason}; moved to {final}, the run {then}"), stacklevel=2)

    def _checkpoints(self, key: str) -> Path:
        return own(self.root / "partial") / key

    def _read(self, folder: Path, spec: RunSpec) -> tuple[RunRecord, bytes] | None:
        try:
            mode = folder.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISDIR(mode):
            raise Damaged("is not a folder")
        files = unseal(folder, FILES)
        for name in ("evidence.safetensors", "weights.safetensors"):
            if (length := _head(files[name])) > HEAD:
                raise Damaged(f"{name} names arrays in {length} bytes, more than the {HEAD} allowed")
        return _record(files, spec), files["weights.safetensors"]


def _files(record: RunRecord, weights: bytes) -> dict[str, bytes]:
    body = {
        "format": RESULTS_FORMAT,
        "rows": [{k: v if math.isfinite(v) else None for k, v in row.items()} for row in record.rows],
        "seconds": record.seconds,
        "environment": record.environment,
        "failed": record.failed,
    }
    evidence = {name: np.ascontiguousarray(value) for name, value in record.evidence.items()}
    files = {
        "spec.json": record.spec.to_json().encode(),
        "rows.json": json.dumps(body, sort_keys=True).encode(),
        "evidence.safetensors": safetensors.numpy.save(evidence),
        "weights.safetensors": weights,
    }
    for name, limit in FILES.items():  # else it would be written, refused by every reader and trained again, for ever
        head = _head(files[name]) if name.endswith(".safetensors") else 0
        if len(files[name]) > limit or head > HEAD:
            most = f"{limit} bytes, or {HEAD} of names"
            raise OSError(errno.EFBIG, f"{name} of {record.spec.label()} would have over {most}: measure less often")
    try:
        _record(files, record.spec)
    except Damaged as error:
        raise Unreadable(f"{record.spec.label()} ({record.key}) cannot be stored: {error}") from error
    return files


def require_room_in_files(spec: RunSpec) -> None:
    """Raises OSError where the run's evidence would outgrow what a reader takes: known before anything is trained."""
    size = sum(
        math.prod(shape) * np.dtype(kind).itemsize
        for step in spec.measured_steps()
        for kind, shape in array_forms(spec, step).values()
    )
    if size > (most := FILES["evidence.safetensors"]):
        what = f"the evidence of {spec.label()} would have {size} bytes, more than the {most} that are read"
        raise OSError(errno.EFBIG, f"{what}: raise `every`, or lower `samples`")


def _head(data: bytes) -> int:
    """The bytes of a safetensors file's head, by which it begins."""
    return int.from_bytes(data[:8], "little")


def _record(files: dict[str, bytes], spec: RunSpec) -> RunRecord:
    if files["spec.json"] != spec.to_json().encode():
        raise Damaged("spec.json is not the spec that its folder's name stands for")
    try:
        body = json.loads(files["rows.json"])
        rows = [{k: math.nan if v is None else _number(v) for k, v in row.items()} for row in body["rows"]]
        steps = [row["step"] for row in rows]
        if body["format"] != RESULTS_FORMAT or not steps or steps != spec.measured_steps()[: len(steps)]:
            raise Damaged("rows.json is of another format or has other steps than its spec")
        for row, step in zip(rows, spec.measured_steps(), strict=False):
            _check_row(row, spec, step)
        failed = body["failed"]
        if not (failed is None or _is_line(failed)) or not _flat(body["environment"]):
            raise Damaged("rows.json gives a reason or an environment that is none")
        seconds = {k: _number(v) for k, v in body["seconds"].items()}
        if any(not 0 <= value < 1e9 for value in seconds.values()):
            raise Damaged("rows.json gives seconds that no run takes")
        evidence = safetensors.numpy.load(files["evidence.safetensors"])
        for step in spec.measured_steps()[: len(rows)]:
            _check_evidence(evidence, spec, step)
        return RunRecord(spec, rows, evidence, seconds, body["environment"], failed)
    except (AttributeError, KeyError, OverflowError, RecursionError, SafetensorError, TypeError, ValueError) as error:
        raise Damaged(f"rows or evidence cannot be read ({type(error).__name__})") from error


def _check_row(row: Row, spec: RunSpec, step: int) -> None:
    """All numbers of a step are there and lie in their ranges (`bumplab.measure.names`). Raises `Damaged`."""
    names = row_names(spec, step)
    if lacking := names - row.keys():
        raise Damaged(f"rows.json lacks {min(lacking)} at step {step}, and who needs it would stop there")
    for name in sorted(names):
        if not is_possible(name, row[name], spec, step):
            raise Damaged(f"rows.json has {row[name]:.10g} for {name} at step {step}, which no run has")


def _check_evidence(evidence: Arrays, spec: RunSpec, step: int) -> None:
    """What a report draws of a step is all there, in the form it has there, or not at all. Raises `Damaged`."""
    forms = array_forms(spec, step)
    found = {name: evidence[f"{step}/{name}"] for name in forms if f"{step}/{name}" in evidence}
    for name, (dtype, shape) in forms.items() if found else ():
        array = found.get(name)
        if array is None or array.dtype != dtype or array.shape != shape:
            raise Damaged(f"evidence.safetensors lacks {name} at step {step}, or has it in another form")
        sound = (array < len(MODES)) if name.endswith(".modes") else np.isfinite(array)
        if name.endswith((".modes", ".labels")) and not sound.all():
            raise Damaged(f"evidence.safetensors has {name} at step {step} that none can be")


def _flat(environment: object) -> bool:
    """Names with text, truths and finite numbers: what a report can hold."""
    return (
        isinstance(environment, dict)
        and len(environment) <= LONGEST
        and all(
            _is_line(name) and (_is_line(value) or (isinstance(value, (int, float)) and abs(value) < LARGEST))
            for name, value in environment.items()
        )
    )


def _is_line(text: object) -> bool:
    """One line of text: more would forge lines where they are printed. Raises ValueError for half a surrogate pair."""
    return isinstance(text, str) and len(text.encode()) <= LONGEST and text.splitlines() == [text]


def _number(value: object) -> float:
    """What is unknown is null in a file: NaN, infinity, 1e308, true and "0.5" are nobody's measurements."""
    if type(value) not in (int, float) or not -LARGEST < value < LARGEST:  # type: ignore[operator]
        raise Damaged(f"rows.json holds {value!r:.40} where a finite number or null belongs")
    return float(value)  # type: ignore[arg-type]
