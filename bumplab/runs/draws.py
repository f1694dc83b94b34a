"""What runs drew, kept so that it can be measured again: ``<root>/draws/<key>/<step>.safetensors``.

A run's record holds the checksum of each file (`RunRecord.draws`). A file that is torn or missing costs no run. The run
only cannot be measured again.

Activations are float32, as they are measured, so that a second measurement gives the same bits. Rounded to float16,
they would take half the space, and UMAP's R^2 of one run moved by 0.12 to 0.15 (flow matching at quick, three steps).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bumplab.config import ROLES, RunSpec
from bumplab.measure.names import sample_counts
from bumplab.runs.progress import replace_bytes
from bumplab.runs.sealed import Damaged, discard, read_file
from bumplab.subjects.protocol import Drawn
from bumplab.subjects.state import StateError, from_bytes, to_bytes

MEGABYTES = 64
"""Most megabytes of draws that a run keeps, by default. A run of quick has 4.5."""
FILE_BYTES = 1 << 28
"""Largest file of draws that is read."""
HEADER_BYTES = 1 << 12
"""Largest header of a file of draws. It names the images and an array for each role, in 100 bytes each."""


def expected_size(first: Drawn, spec: RunSpec) -> int:
    """Bytes of a whole run's draws, from those at step 0. Activations of the last roles count as layer 4's."""
    steps, size = spec.measured_steps(), spec.data.image_size**2
    images = sum(sum(sample_counts(spec, step).values()) for step in steps) * size
    of_a_step = sum(activation.nbytes for activation in first.activations.values())
    return images + of_a_step * (len(steps) + 1)


def fit(first: Drawn, spec: RunSpec, limit: int) -> bool:
    """Whether a run's draws take at most ``limit`` bytes, and each step's file can be read again."""
    images = max(sum(sample_counts(spec, step).values()) for step in spec.measured_steps()) * spec.data.image_size**2
    largest_step = images + 2 * sum(activation.nbytes for activation in first.activations.values())
    return expected_size(first, spec) <= limit and largest_step < FILE_BYTES


def save(root: Path, key: str, step: int, drawn: Drawn) -> str:
    """Writes the draws of a step. Returns the file's SHA-256 for the record. Only for the holder of the run's lock."""
    arrays: dict[str, NDArray[Any]] = {"images": drawn.images}
    arrays |= {str(role): activation for role, activation in drawn.activations.items()}
    data = to_bytes(arrays)
    folder = _folder(root, key)
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    replace_bytes(_file(root, key, step), data)
    return hashlib.sha256(data).hexdigest()


def load(root: Path, key: str, step: int, checksum: str, spec: RunSpec) -> Drawn:
    """The draws of a step. The file may come from others. Raises `Damaged` where it is not the one of the record."""
    try:
        if _folder(root, key).is_symlink():
            raise Damaged("their folder is a symbolic link")
        data = read_file(_file(root, key, step), FILE_BYTES)
    except Damaged as error:
        raise Damaged(f"draws of step {step} cannot be read: {error}") from error
    except OSError as error:
        raise Damaged(f"draws of step {step} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != checksum:
        raise Damaged(f"draws of step {step} have another checksum")
    if int.from_bytes(data[:8], "little") > HEADER_BYTES:
        raise Damaged(f"draws of step {step} have a header of more than {HEADER_BYTES} bytes")
    try:
        arrays = from_bytes(data)
    except StateError as error:
        raise Damaged(f"draws of step {step} cannot be read ({type(error.__cause__).__name__})") from error
    images = arrays.pop("images", np.empty(0))
    counts = sample_counts(spec, step)
    ok = images.dtype == np.uint8 and images.shape == (sum(counts.values()), *[spec.data.image_size] * 2)
    for role, activation in arrays.items():
        rows_ok = activation.dtype == np.float32 and activation.ndim == 2 and len(activation) == counts["on_grid"]
        ok = ok and role in ROLES and rows_ok
    if not ok:
        raise Damaged(f"draws of step {step} have another form")
    return Drawn(images, arrays)  # type: ignore[arg-type]


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
