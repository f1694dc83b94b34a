"""Writes an archive of runs (`bumplab.runs.archive`)."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from zipfile import ZIP_DEFLATED, LargeZipFile, ZipFile, ZipInfo

import msgspec

from bumplab.config import RunSpec
from bumplab.runs import draws
from bumplab.runs.archive import FORMAT, Archive, Entry, Manifest, most_unpacked
from bumplab.runs.record import RunRecord, run_key, to_files
from bumplab.runs.sealed import MANIFEST, Damaged
from bumplab.runs.store import RunStore

TOO_LARGE = "leave out what was drawn (--no-draws), or export fewer claims"


@dataclass(frozen=True)
class Kept:
    """What an archive holds of a run beside its spec and its rows."""

    draws: bool = True
    """What it drew. Only then can it be measured again."""
    evidence: bool = True
    """The images and embeddings that a report shows."""
    weights: bool = False


def write(
    path: Path,
    store: RunStore,
    specs: Iterable[RunSpec],
    kept: Callable[[RunSpec], Kept],
    command: str,
    registration: int = 0,
    on_run: Callable[[], None] = lambda: None,
) -> int:
    """Writes the finished runs of ``specs`` to an archive at ``path``, and returns their number.

    The numbers are those of the current measurement. A damaged run is moved aside and left out (`RunStore.load`). Equal
    runs, ``kept`` and ``command`` give equal bytes, where zlib is the same. Calls ``on_run`` after each run. The file
    appears whole or not at all. Raises OSError where it cannot be written or would be too large.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    entries: dict[str, dict[str, Entry]] = {}
    try:
        with ZipFile(temporary, "x", ZIP_DEFLATED, allowZip64=False, compresslevel=9) as archive:
            for spec in sorted(specs, key=run_key):
                record = store.load(spec)
                if record is not None:
                    entries[record.key] = _add(archive, record, store, kept(spec))
                on_run()
            manifest = Manifest(FORMAT, version("bumplab"), command, registration, entries)
            archive.writestr(_info(MANIFEST), msgspec.json.encode(manifest, order="sorted"))
        size = sum(entry.bytes for files in entries.values() for entry in files.values())
        if size > most_unpacked(temporary.stat().st_size):
            raise OSError(errno.EFBIG, f"its files are packed more tightly than is read: {TOO_LARGE}", str(path))
        with Archive(temporary):  # as its readers will open it
            os.replace(temporary, path)
    except LargeZipFile as error:
        raise OSError(errno.EFBIG, f"it would hold over 4 GB or 65,535 files: {TOO_LARGE}", str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return len(entries)


def _add(archive: ZipFile, record: RunRecord, store: RunStore, kept: Kept) -> dict[str, Entry]:
    """Writes a run's files into the archive, and returns their entries. Draws that are not whole are left out."""
    key, weights = record.key, b""
    if kept.weights:
        with suppress(Damaged):
            weights = store.weights(key)
    if not (kept.draws and _are_draws_whole(record, store)):
        record = replace(record, draws={})
    if not kept.evidence:
        record = replace(record, evidence={})
    files = to_files(record, weights)
    if not weights:
        del files["weights.safetensors"]
    if not record.evidence:
        del files["evidence.safetensors"]
    entries = {}
    for name, data in files.items():
        entries[name] = _write(archive, key, name, data)
    for step in record.draws:
        name = f"draws-{step:09d}.safetensors"
        entries[name] = _write(archive, key, name, draws.read(store.root, key, step))
    return entries


def _are_draws_whole(record: RunRecord, store: RunStore) -> bool:
    try:
        for step, checksum in record.draws.items():
            draws.load(store.root, record.key, step, checksum, record.spec)
    except Damaged:
        return False
    return True


def _write(archive: ZipFile, key: str, name: str, data: bytes) -> Entry:
    archive.writestr(_info(f"runs/{key}/{name}"), data)
    return Entry(hashlib.sha256(data).hexdigest(), len(data))


def _info(name: str) -> ZipInfo:
    """A file of the archive with a fixed date, so that equal runs give equal bytes."""
    info = ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr, info.compress_type = 3, (stat.S_IFREG | 0o644) << 16, ZIP_DEFLATED
    return info
