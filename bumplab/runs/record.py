"""A run's record, and its four files: how they are written, and what is checked when they are read.

Files may come from others (`docs/threat-model.md`), with right checksums. Every number and name in them is checked.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from bumplab.config import RunSpec
from bumplab.measure.names import MEASUREMENT, MODES, array_forms, is_possible, row_names
from bumplab.runs.sealed import Damaged
from bumplab.subjects.state import to_bytes

TRAINING = 3
"""Part of every key. Raise it when code changes what a run draws: older results are then never mixed in."""
RESULTS_FORMAT = 5
"""The form of rows.json. Older forms are not read: they belong to other keys."""

FILES = {"spec.json": 1 << 16, "rows.json": 1 << 23, "evidence.safetensors": 1 << 28, "weights.safetensors": 1 << 30}
"""The files of a run and the most bytes of each, which bound the memory that reading a run takes.

A run at paper scale has 0.5 kB, 0.1 MB, 5 MB and, with the optimizer's moments, 0.3 GB.
"""
HEADER_BYTES = 1 << 22
"""Largest header of a safetensors file. It names the arrays, in 100 bytes each.

A paper run has 800 arrays. A header of a million arrays would take 2 GB of memory.
"""
LARGEST_IN_ROWS = 1e100
"""Upper bound of every number in rows.json. Intervals use squares, and a float holds the square of this bound."""
SHA256 = re.compile("[0-9a-f]{64}")
TEXT_BYTES = 1_000
"""Most bytes of a reason, and of a name or a text in an environment. Every report repeats them."""
ENVIRONMENT_ENTRIES = 1_000
"""Most entries of an environment."""

Row = dict[str, float]
Arrays = dict[str, NDArray[Any]]


class Unreadable(ValueError):
    """The reader would refuse this record, so it is not written. Otherwise the run would be trained again and again."""


@lru_cache(maxsize=8192)  # 0.15 ms, of each run on the board at each look for a free one
def run_key(spec: RunSpec) -> str:
    """The 20 hexadecimal digits that name a run: a hash of its spec and of `TRAINING`."""
    # runs with an averaged network were once computed without the average's warm-up; the new key keeps those apart
    results = f"{TRAINING}-warm-up" if spec.training.ema_decay else str(TRAINING)
    return hashlib.sha256(f"{results}:{spec.to_json()}".encode()).hexdigest()[:20]


def arithmetic(spec: RunSpec, environment: Mapping[str, Any]) -> str:
    """The number format of a run's matrix products, and the versions of UMAP and OpenCV that measured it.

    The key does not hold these, yet runs that differ in them are never mixed in one claim. Another UMAP embeds
    activations differently, and another OpenCV may detect bumps differently. Other libraries change last digits only.
    ``environment`` holds `bumplab.diffusion.speed.describe` and `bumplab.measure.libraries.versions`.
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
    """A run, finished or under way: one row of numbers for each checkpoint, and the arrays behind them."""

    spec: RunSpec
    rows: list[Row] = field(default_factory=list)
    evidence: Arrays = field(default_factory=dict)
    """Arrays by ``<step>/<name>``: samples, labels, detections, embeddings."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by kind of work (``training``, ``drawing``, ``measuring``, ``storing``)."""
    environment: dict[str, Any] = field(default_factory=dict)
    """The machine and the libraries (`arithmetic`), and earlier machines of a resumed run."""
    failed: str | None = None
    """The reason why the seed failed (its loss diverged), or None."""
    draws: dict[int, str] = field(default_factory=dict)
    """The SHA-256 of each step's draws (`bumplab.runs.draws`). Empty where none were kept."""
    measurement: int = MEASUREMENT
    """`bumplab.measure.names.MEASUREMENT` of the code that measured the rows."""

    @property
    def key(self) -> str:
        return run_key(self.spec)

    @property
    def arithmetic(self) -> str:
        older = "" if self.measurement == MEASUREMENT else f", measured as in version {self.measurement}"
        return arithmetic(self.spec, self.environment) + older

    @property
    def is_measured_again(self) -> bool:
        """Whether another version measured the rows, and the draws are kept. Then today's rows may have other names."""
        return self.measurement != MEASUREMENT and len(self.draws) == len(self.rows)

    @property
    def measured_by(self) -> tuple[int, object, object]:
        """What the measured numbers depend on beside the draws: `MEASUREMENT`, and versions of UMAP and OpenCV."""
        return (self.measurement, self.environment.get("umap-learn"), self.environment.get("opencv"))


def to_files(record: RunRecord, weights: bytes) -> dict[str, bytes]:
    """The content of each file of `FILES`, checked as a reader will check it.

    Raises OSError where a file would be too large for its reader, and `Unreadable` where it would be refused.
    """
    body = {
        "format": RESULTS_FORMAT,
        "rows": [_row_as_json(row) for row in record.rows],
        "seconds": record.seconds,
        "environment": record.environment,
        "failed": record.failed,
        "draws": {str(step): checksum for step, checksum in record.draws.items()},
        "measurement": record.measurement,
    }
    files = {
        "spec.json": record.spec.to_json().encode(),
        "rows.json": json.dumps(body, sort_keys=True).encode(),
        "evidence.safetensors": to_bytes(record.evidence),
        "weights.safetensors": weights,
    }
    for name, limit in FILES.items():
        if len(files[name]) > limit or header_bytes(name, files[name]) > HEADER_BYTES:
            most = f"{limit} bytes, or {HEADER_BYTES} bytes of names"
            raise OSError(errno.EFBIG, f"{name} of {record.spec.label()} would have over {most}: measure less often")
    try:
        from_files(files, record.spec)
    except Damaged as error:
        raise Unreadable(f"{record.spec.label()} ({record.key}) cannot be stored: {error}") from error
    return files


def require_room_in_files(spec: RunSpec) -> None:
    """Raises OSError where the run's evidence would be too large for its reader. Called before anything is trained."""
    size = sum(
        math.prod(shape) * np.dtype(kind).itemsize
        for step in spec.measured_steps()
        for kind, shape in array_forms(spec, step).values()
    )
    if size > (most := FILES["evidence.safetensors"]):
        problem = f"the evidence of {spec.label()} would have {size} bytes, more than the {most} that are read"
        raise OSError(errno.EFBIG, f"{problem}: raise `every`, or lower `samples`")


def header_bytes(name: str, data: bytes) -> int:
    """The length that a safetensors file gives for its header, in its first 8 bytes. 0 for a file of JSON."""
    return int.from_bytes(data[:8], "little") if name.endswith(".safetensors") else 0


def from_files(files: Mapping[str, bytes], spec: RunSpec) -> RunRecord:
    """The record in ``files``, the content of each file of `FILES`. The files may come from others.

    Checks the lengths of headers, the spec, the rows, the other entries of rows.json, and the evidence. The weights are
    parsed only where training goes on (`bumplab.runs.execute`). Raises `Damaged` with the reason.
    """
    for name, data in files.items():
        if (length := header_bytes(name, data)) > HEADER_BYTES:
            raise Damaged(f"{name} has a header of {length} bytes, more than the {HEADER_BYTES} allowed")
    if files["spec.json"] != spec.to_json().encode():
        raise Damaged("spec.json is not the spec of the folder's key")
    try:
        body = json.loads(files["rows.json"])
        evidence = safetensors.numpy.load(files["evidence.safetensors"])
        record = RunRecord(
            spec=spec,
            rows=_checked_rows(body, spec),
            seconds=_checked_seconds(body["seconds"]),
            environment=_checked_environment(body["environment"]),
            failed=_checked_reason(body["failed"]),
            evidence=evidence,
            draws=_checked_draws(body["draws"], spec),
            measurement=_checked_measurement(body["measurement"]),
        )
    except (AttributeError, KeyError, OverflowError, RecursionError, SafetensorError, TypeError, ValueError) as error:
        raise Damaged(f"rows or evidence cannot be read ({type(error).__name__})") from error
    if not record.is_measured_again:
        require_all_numbers(record)
    return record


def seconds_in(rows: bytes) -> float | None:
    """Wall time in seconds of the run with this ``rows.json``. None for a failed run. Raises `Damaged`."""
    try:
        body = json.loads(rows)
        return None if body["failed"] is not None else sum(_checked_seconds(body["seconds"]).values())
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise Damaged(f"rows.json cannot be read ({type(error).__name__})") from error


def _row_as_json(row: Row) -> dict[str, float | None]:
    """JSON has no NaN: an unknown number is written as null."""
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def _row_of_json(row: Mapping[str, object]) -> Row:
    return {name: math.nan if value is None else _checked_number(value) for name, value in row.items()}


def _checked_rows(body: Mapping[str, Any], spec: RunSpec) -> list[Row]:
    """The rows of the first measured steps. Raises `Damaged` for other steps, and for what is no number."""
    rows = [_row_of_json(row) for row in body["rows"]]
    steps = spec.measured_steps()[: len(rows)]
    if body["format"] != RESULTS_FORMAT or not rows or [row["step"] for row in rows] != steps:
        raise Damaged("rows.json is of another format or has other steps than its spec")
    return rows


def require_all_numbers(record: RunRecord) -> None:
    """Raises `Damaged` where a row or the evidence lacks what today's measurement gives, or has it out of range.

    Names and ranges are those of `bumplab.measure.names`.
    """
    spec = record.spec
    for row, step in zip(record.rows, spec.measured_steps(), strict=False):
        names = row_names(spec, step)
        if missing := names - row.keys():
            raise Damaged(f"rows.json lacks {min(missing)} at step {step}")
        for name in sorted(names):
            if not is_possible(name, row[name], spec, step):
                raise Damaged(f"rows.json has {row[name]:.10g} for {name} at step {step}, outside its range")
        _check_evidence(record.evidence, spec, step)


def _checked_number(value: object) -> float:
    """A number of JSON as a float. Raises `Damaged` for NaN, infinity, 1e308, true and "0.5"."""
    if type(value) not in (int, float) or not -LARGEST_IN_ROWS < value < LARGEST_IN_ROWS:  # type: ignore[operator]
        raise Damaged(f"rows.json holds {value!r:.40} where a finite number or null belongs")
    return float(value)  # type: ignore[arg-type]


def _checked_seconds(seconds: Mapping[str, object]) -> dict[str, float]:
    """Wall times from 0 to 1e9 s, which reports add up."""
    checked = {kind: _checked_number(value) for kind, value in seconds.items()}
    if any(not 0 <= value < 1e9 for value in checked.values()):
        raise Damaged("rows.json has seconds outside 0 to 1e9")
    return checked


def _checked_environment(environment: object) -> dict[str, Any]:
    """Lines of text, booleans and finite numbers by name: what a report can hold."""
    if not isinstance(environment, dict) or len(environment) > ENVIRONMENT_ENTRIES:
        raise Damaged("rows.json has no environment, or one of too many entries")
    for name, value in environment.items():
        is_number = isinstance(value, (int, float)) and abs(value) < LARGEST_IN_ROWS
        if not _is_line(name) or not (is_number or _is_line(value)):
            raise Damaged("rows.json has an environment with an entry that is neither a line of text nor a number")
    return environment


def _checked_reason(reason: object) -> str | None:
    """Why the run failed, one line of text, or None. An empty reason would let a run that ended early pass as whole."""
    if reason is not None and not _is_line(reason):
        raise Damaged("rows.json has a reason that is not a line of text")
    return reason  # type: ignore[return-value]


def _checked_draws(draws: Mapping[str, object], spec: RunSpec) -> dict[int, str]:
    """Checksums by measured step."""
    steps = {str(step): step for step in spec.measured_steps()}
    checked = {}
    for step, checksum in draws.items():
        if step not in steps or not isinstance(checksum, str) or not SHA256.fullmatch(checksum):
            raise Damaged("rows.json has draws of another step, or with another checksum than SHA-256")
        checked[steps[step]] = checksum
    return checked


def _checked_measurement(number: object) -> int:
    if type(number) is not int or not 0 < number < 1_000_000:
        raise Damaged("rows.json has no version of its measurement")
    return number


def _is_line(text: object) -> bool:
    """Whether this is one line of text: a second could forge a log. Raises ValueError for half a surrogate pair."""
    return isinstance(text, str) and len(text.encode()) <= TEXT_BYTES and text.splitlines() == [text]


def _check_evidence(evidence: Arrays, spec: RunSpec, step: int) -> None:
    """Of one step, a report needs all arrays in their forms, or none of them. Raises `Damaged`."""
    forms = array_forms(spec, step)
    if not any(f"{step}/{name}" in evidence for name in forms):
        return
    for name, (dtype, shape) in forms.items():
        array = evidence.get(f"{step}/{name}")
        if array is None or array.dtype != dtype or array.shape != shape:
            raise Damaged(f"evidence.safetensors lacks {name} at step {step}, or has it in another form")
        if name.endswith(".modes") and (array >= len(MODES)).any():
            raise Damaged(f"evidence.safetensors has an unknown mode in {name} at step {step}")
        if name.endswith(".labels") and not np.isfinite(array).all():
            raise Damaged(f"evidence.safetensors has a label that is not finite in {name} at step {step}")
