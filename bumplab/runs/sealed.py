"""A sealed folder: files that appear all at once or not at all, and are trusted only while their checksums hold."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

MANIFEST = "manifest.json"
PENDING = ".tmp-"
"""Begins the name of a folder that a process is writing or removing: ``.tmp-<name>-<process>``."""
MAX_BYTES = 4 << 30
"""Larger files are refused unread (a paper-scale checkpoint is 0.3 GB)."""


class Damaged(Exception):
    """The folder is not what was sealed: truncated, garbled, incomplete or foreign."""


def seal(folder: Path, files: dict[str, bytes]) -> None:
    """Writes ``files`` (name -> content) and their checksums as ``folder``: complete and on disk, or absent."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = pending(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    sums = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
    try:
        for name, data in {**files, MANIFEST: json.dumps(sums, sort_keys=True, indent=1).encode()}.items():
            with open(temporary / name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync_folder(temporary)
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(folder.parent)


def unseal(folder: Path, names: set[str]) -> dict[str, bytes]:
    """The contents of exactly the files ``names``. Raises `Damaged` saying what is wrong."""
    for path in (folder, folder / MANIFEST, *(folder / name for name in names)):
        if path.is_symlink():
            raise Damaged(f"{path.name} is a symbolic link")
    try:
        sums = json.loads(_read(folder / MANIFEST, 1 << 20))
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError and JSONDecodeError
        raise Damaged(f"{MANIFEST} is not JSON") from error
    if not isinstance(sums, dict) or set(sums) != names:
        raise Damaged(f"{MANIFEST} does not list {', '.join(sorted(names))}")
    if set(_names(folder)) != names | {MANIFEST}:
        raise Damaged("files are missing or foreign")
    files = {name: _read(folder / name, MAX_BYTES) for name in sorted(names)}
    for name, data in files.items():
        if sums[name] != {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}:
            raise Damaged(f"{name} does not match its checksum")
    return files


def pending(folder: Path) -> Path:
    """Where this process makes ``folder``, or takes it away, unseen by readers; `sweep` finds it if it is killed."""
    return folder.with_name(f"{PENDING}{folder.name}-{os.getpid()}")


def sweep(folder: Path) -> None:
    """Removes what killed writers of ``folder`` left behind. Only for the holder of its lock."""
    for orphan in folder.parent.glob(f"{PENDING}{folder.name}-*"):
        shutil.rmtree(orphan, ignore_errors=True)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError as error:  # another worker has just moved it aside
        raise Damaged(f"{folder.name} is gone") from error


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise Damaged(f"{path.name} is larger than {limit} bytes")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise Damaged(f"{path.name} is missing") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
