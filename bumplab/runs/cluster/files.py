"""A finished run as the files of an answer: a worker reads them from its store, and the session checks them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from bumplab.config import RunSpec
from bumplab.runs import draws
from bumplab.runs.archive import Copy
from bumplab.runs.sealed import MANIFEST, MANIFEST_BYTES, Damaged, read_file, require_sums
from bumplab.runs.store import FILES, RunStore, finished


def files_of(store: RunStore, key: str) -> dict[str, bytes]:
    """The content of each file of a finished run, by name. Its draws are named ``draws-<step>``."""
    folder = store.path(key)
    files = {name: read_file(folder / name, limit) for name, limit in FILES.items()}
    files[MANIFEST] = read_file(folder / MANIFEST, MANIFEST_BYTES)
    for step in json.loads(files["rows.json"])["draws"]:
        with suppress(Damaged):
            files[f"draws-{step}"] = draws.read(store.root, key, int(step))
    return files


def copy_of(files: object, spec: RunSpec) -> Copy:
    """The run of this spec, from the files that a worker gave back.

    Raises `Damaged` where a file is missing, too large or not the run's. Draws are checked when they are published.
    """
    if not isinstance(files, dict):
        raise Damaged("the worker gave back no files")
    sealed = {name: _file(files, name, limit) for name, limit in FILES.items()}
    require_sums(_file(files, MANIFEST, MANIFEST_BYTES), sealed)
    weights = sealed["weights.safetensors"]
    return Copy(finished(sealed, spec), weights, lambda step: _file(files, f"draws-{step}", draws.FILE_BYTES))


def _file(files: Mapping[str, object], name: str, limit: int) -> bytes:
    data = files.get(name)
    if not isinstance(data, bytes) or len(data) > limit:
        raise Damaged(f"{name} is missing, or larger than {limit} bytes")
    return data
