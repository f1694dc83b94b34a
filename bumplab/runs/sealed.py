"""A sealed folder. Its files appear all at once or not at all. A reader checks their checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

MANIFEST = "manifest.json"
"""The file that lists the size and the checksum of each other file."""
MANIFEST_BYTES = 1 << 20
"""Largest manifest that is read."""
NO_SUCH_CALL = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EISDIR)
"""Errors of file systems that cannot sync, or cannot open a folder: SMB, 9p, some FUSE and virtual machines."""
PENDING = ".tmp-"
"""A folder that a process is writing or removing is named ``.tmp-<name>-<process>``."""


class Damaged(Exception):
    """The folder or file differs from what was sealed: it is truncated, garbled, incomplete or foreign."""


def seal(folder: Path, files: dict[str, bytes]) -> None:
    """Writes ``files``, content by name, and their checksums as ``folder``: complete and on disk, or not at all.

    Raises OSError where the disk is full or fails.
    """
    new_parents = [parent for parent in folder.parents if not parent.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    for parent in new_parents:
        _sync_folder(parent.parent)
    temporary = pending(folder)
    discard(temporary)
    temporary.mkdir()
    sums = {name: _entry(data) for name, data in files.items()}
    try:
        for name, data in {**files, MANIFEST: json.dumps(sums, sort_keys=True, indent=1).encode()}.items():
            with open(temporary / name, "wb") as file:
                file.write(data)
                file.flush()
                sync(file.fileno())
        _sync_folder(temporary)
        os.rename(temporary, folder)
    except BaseException:
        discard(temporary)
        raise
    _sync_folder(folder.parent)


def unseal(folder: Path, limits: Mapping[str, int]) -> dict[str, bytes]:
    """The content of each file of a sealed folder, by name. The folder may come from others.

    ``limits`` names the files that the folder must hold, and the most bytes of each. Raises `Damaged` with the reason.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise Damaged(f"{folder.name} is not a folder")
    manifest = read_file(folder / MANIFEST, MANIFEST_BYTES)
    if set(_listed(folder)) != set(limits) | {MANIFEST}:
        raise Damaged("files are missing or foreign")
    files = {name: read_file(folder / name, limits[name]) for name in sorted(limits)}
    require_sums(manifest, files)
    return files


def require_sums(manifest: bytes, files: Mapping[str, bytes]) -> None:
    """Raises `Damaged` where the manifest does not list these files with their sizes and checksums, and no others."""
    try:
        sums = json.loads(manifest)
    except (ValueError, RecursionError) as error:  # ValueError: JSONDecodeError or UnicodeDecodeError
        raise Damaged(f"{MANIFEST} is not JSON") from error
    if not isinstance(sums, dict) or set(sums) != set(files):
        raise Damaged(f"{MANIFEST} does not list {', '.join(sorted(files))}")
    for name, data in files.items():
        if sums[name] != _entry(data):
            raise Damaged(f"{name} does not match its checksum")


def _entry(data: bytes) -> dict[str, str | int]:
    """A file's entry in the manifest."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def pending(folder: Path) -> Path:
    """The path at which this process makes or removes ``folder``. No reader looks there, and `sweep` tidies it up."""
    return folder.with_name(f"{PENDING}{folder.name}-{os.getpid()}")


def read_file(path: Path, limit: int) -> bytes:
    """The content of a regular file, no symbolic link, of at most ``limit`` bytes. Raises `Damaged`, or OSError."""
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Damaged(f"{path.name} is no regular file")
            if status.st_size > limit:
                raise Damaged(f"{path.name} has {status.st_size} bytes, more than the {limit} allowed")
            return file.read(status.st_size)  # read(limit) would allocate `limit` bytes
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise Damaged(f"{path.name} is missing") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Damaged(f"{path.name} is a symbolic link") from error
        if error.errno == errno.ENXIO:  # a socket
            raise Damaged(f"{path.name} is no regular file") from error
        if error.errno == errno.EIO:  # a bad sector; where the whole disk has failed, moving the folder fails too
            raise Damaged(f"{path.name} cannot be read from its disk ({error.strerror})") from error
        raise


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # without NONBLOCK, opening a pipe would never return


def move(folder: Path, to: Path) -> Path:
    """Renames a folder. Copies it where it lies on a lower layer of an overlay, as in the image of a container."""
    try:
        return folder.rename(to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return Path(shutil.move(folder, to))


def discard(folder: Path) -> None:
    """Removes a folder, or as much of it as can be removed. Leaves a symbolic link alone."""
    with suppress(OSError, RecursionError):  # RecursionError: a thousand folders in one another, made by others
        shutil.rmtree(folder)


def sweep(folder: Path) -> None:
    """Removes what killed writers of ``folder`` left behind. Only for the holder of its lock."""
    for orphan in folder.parent.glob(f"{PENDING}{folder.name}-*"):
        discard(orphan)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError as error:  # another worker has just moved the folder aside
        raise Damaged(f"{folder.name} is gone") from error


def sync(descriptor: int) -> bool:
    """Puts a file or a folder on disk. False where the file system cannot. Raises OSError where the disk fails.

    Without a sync, a power cut may tear a file. Its checksum then fails, and the run is trained again.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SUCH_CALL:
            raise
        return False
    return True


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno not in NO_SUCH_CALL:
            raise
        return
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
