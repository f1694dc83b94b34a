"""Checks what a worker gave back of a run, as everything is checked that enters a store."""

from __future__ import annotations

from collections.abc import Mapping

from bumplab.config import RunSpec
from bumplab.runs.archive import Copy
from bumplab.runs.draws import FILE_BYTES
from bumplab.runs.sealed import MANIFEST, MANIFEST_BYTES, Damaged, require_sums
from bumplab.runs.store import FILES, finished


def copy_of(files: object, spec: RunSpec) -> Copy:
    """The finished run of this spec in a worker's answer (`bumplab.runs.cluster.worker.sealed_files`).

    Raises `Damaged` where a file is missing, too large or not the run's. Draws are checked when they are published.
    """
    if not isinstance(files, dict):
        raise Damaged("the worker gave back no files")
    sealed = {name: _file(files, name, limit) for name, limit in FILES.items()}
    require_sums(_file(files, MANIFEST, MANIFEST_BYTES), sealed)
    return Copy(
        finished(sealed, spec), sealed["weights.safetensors"], lambda step: _file(files, f"draws-{step}", FILE_BYTES)
    )


def _file(files: Mapping[str, object], name: str, limit: int) -> bytes:
    data = files.get(name)
    if not isinstance(data, bytes) or len(data) > limit:
        raise Damaged(f"{name} is missing, or larger than {limit} bytes")
    return data
