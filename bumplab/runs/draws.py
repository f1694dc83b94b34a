"""What runs drew, kept so that it can be measured again: ``<root>/draws/<key>/<step>.safetensors``.

A run's record holds the checksum of each file (`RunRecord.draws`). A file that is torn or missing costs no run. The run
only cannot be measured again.

Activations are float32, as they are measured, so that a second measurement gives the same bits. Rounded to float16,
they would take half the space, and UMAP's R^2 of one run moved by 0.12 to 0.15 (flow matching at quick, three steps).
Only neighbours are read of the other readings, so these are float16 (`bumplab.runs.learners.for_neighbours`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bumplab.config import ROLES, Role, RunSpec
from bumplab.measure.names import sample_counts
from bumplab.measure.sample import Sample
from bumplab.runs.progress import replace_bytes
from bumplab.runs.sealed import Damaged, discard, read_file
from bumplab.subjects.state import StateError, from_bytes, to_bytes

MEGABYTES = 64
"""Most megabytes of draws that a run keeps, by default. A run of quick has 12."""
FILE_BYTES = 1 << 28
"""Largest file of draws that is read."""
HEADER_BYTES = 1 << 12
"""Largest header of a file of draws. It names the images and an array for each reading and role, in 100 bytes each."""
READINGS = {"activations": "float32", "told": "float16", "seen": "float16", "canvas": "float16"}
"""The mappings of a `Sample` by role, and the dtype of their arrays. A file names an array ``<reading>/<role>``."""


def expected_size(first: Sample, spec: RunSpec) -> int:
    """Bytes of a whole run's draws, from those at step 0. Activations of the last roles count as layer 4's."""
    steps, size = spec.measured_steps(), spec.data.image_size**2
    images = sum(sum(sample_counts(spec, step).values()) for step in steps) * size
    return images + _bytes_of_readings(first) * (len(steps) + 3)


def fit(first: Sample, spec: RunSpec, limit: int) -> bool:
    """Whether a run's draws take at most ``limit`` bytes, and each step's file can be read again."""
    images = max(sum(sample_counts(spec, step).values()) for step in spec.measured_steps()) * spec.data.image_size**2
    largest_step = images + 4 * _bytes_of_readings(first)
    return expected_size(first, spec) <= limit and largest_step < FILE_BYTES


def _bytes_of_readings(drawn: Sample) -> int:
    return sum(rows.nbytes for _, rows in _named(drawn))


def _named(drawn: Sample) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each array of the readings with its name in a file."""
    for reading in READINGS:
        for role, rows in getattr(drawn, reading).items():
            yield f"{reading}/{role}", rows


def save(root: Path, key: str, step: int, drawn: Sample) -> str:
    """Writes the draws of a step. Returns the file's SHA-256 for the record. Only for the holder of the run's lock."""
    data = to_bytes({"images": drawn.images, **dict(_named(drawn))})
    write(root, key, step, data)
    return hashlib.sha256(data).hexdigest()


def write(root: Path, key: str, step: int, data: bytes) -> None:
    """Writes the file of a step. Only for the holder of the run's lock."""
    folder = _folder(root, key)
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    replace_bytes(_file(root, key, step), data)


def load(root: Path, key: str, step: int, checksum: str, spec: RunSpec) -> Sample:
    """The draws of a step. The file may come from others. Raises `Damaged` where it is not the one of the record."""
    return parsed(read(root, key, step), step, checksum, spec)


def read(root: Path, key: str, step: int) -> bytes:
    """The file of a step, unchecked. Raises `Damaged` where it cannot be read."""
    try:
        if _folder(root, key).is_symlink():
            raise Damaged("their folder is a symbolic link")
        return read_file(_file(root, key, step), FILE_BYTES)
    except Damaged as error:
        raise Damaged(f"draws of step {step} cannot be read: {error}") from error
    except OSError as error:
        raise Damaged(f"draws of step {step} cannot be read: {error.strerror}") from error


def parsed(data: bytes, step: int, checksum: str, spec: RunSpec) -> Sample:
    """The draws in the file of a step. Raises `Damaged` where it is not the file of the record."""
    if hashlib.sha256(data).hexdigest() != checksum:
        raise Damaged(f"draws of step {step} have another checksum")
    if int.from_bytes(data[:8], "little") > HEADER_BYTES:
        raise Damaged(f"draws of step {step} have a header of more than {HEADER_BYTES} bytes")
    try:
        arrays = from_bytes(data)
    except StateError as error:
        raise Damaged(f"draws of step {step} cannot be read ({type(error.__cause__).__name__})") from error
    images = arrays.pop("images", np.empty(0))
    ok = images.dtype == np.uint8
    ok = ok and images.shape == (sum(sample_counts(spec, step).values()), *[spec.data.image_size] * 2)
    readings: dict[str, dict[Role, NDArray[Any]]] = {reading: {} for reading in READINGS}
    for name, rows in arrays.items():
        reading, _, role = name.partition("/")
        has_rows = rows.ndim == 2 and len(rows) == spec.measure.samples
        ok = ok and role in ROLES and rows.dtype == READINGS.get(reading) and has_rows
        if ok:
            readings[reading][role] = rows  # type: ignore[index]
    if not ok:
        raise Damaged(f"draws of step {step} have another form")
    return Sample(images, **readings)


def remove(root: Path, key: str) -> None:
    """Removes the draws of a run."""
    discard(_folder(root, key))


def bytes_on_disk(root: Path, key: str) -> int:
    """Bytes of a run's draws. Follows no symbolic link."""
    folder = _folder(root, key)
    if folder.is_symlink() or not folder.is_dir():
        return 0
    return sum(file.lstat().st_size for file in folder.iterdir())


def _folder(root: Path, key: str) -> Path:
    return root / "draws" / key


def _file(root: Path, key: str, step: int) -> Path:
    return _folder(root, key) / f"{step:09d}.safetensors"
