"""A sealed folder: files that appear all at once or not at all, and are trusted only while their checksums hold."""

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
MANIFEST_LIMIT = 1 << 20
NO_SUCH_CALL = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EISDIR)
"""How a file system says that it cannot sync, or that it opens no folders: SMB, 9p, some FUSE and virtual machines."""
PENDING = ".tmp-"
"""Begins the name of a folder that a process is writing or removing: ``.tmp-<name>-<process>``."""


class Damaged(Exception):
    """The folder is not what was sealed: truncated, garbled, incomplete or foreign."""


def seal(folder: Path, files: dict[str, bytes]) -> None:
    """Writes ``files`` (name -> content) and their checksums as ``folder``: complete and on disk, or absent."""
    unmade = [parent for parent in folder.parents if not parent.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    for parent in unmade:
        _sync_folder(parent.parent)
    temporary = pending(folder)
    discard(temporary)
    temporary.mkdir()
    sums = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
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
    """The contents of exactly the files named, each of at most so many bytes. Raises `Damaged` saying what is wrong."""
    if folder.is_symlink():
        raise Damaged(f"{folder.name} is a symbolic link")
    names = set(limits)
    try:
        sums = json.loads(read_file(folder / MANIFEST, MANIFEST_LIMIT))
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError and JSONDecodeError
        raise Damaged(f"{MANIFEST} is not JSON") from error
    if not isinstance(sums, dict) or set(sums) != names:
        raise Damaged(f"{MANIFEST} does not list {', '.join(sorted(names))}")
    if set(_names(folder)) != names | {MANIFEST}:
        raise Damaged("files are missing or foreign")
    files = {name: read_file(folder / name, limits[name]) for name in sorted(names)}
    for name, data in files.items():
        if sums[name] != {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}:
            raise Damaged(f"{name} does not match its checksum")
    return files


def pending(folder: Path) -> Path:
    """Where this process makes ``folder``, or takes it away, unseen by readers; `sweep` finds it if it is killed."""
    return folder.with_name(f"{PENDING}{folder.name}-{os.getpid()}")


def read_file(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes that is no symbolic link. Raises `Damaged`."""
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Damaged(f"{path.name} is no regular file")
            if status.st_size > limit:
                raise Damaged(f"{path.name} has {status.st_size} bytes, more than the {limit} allowed")
            return file.read(status.st_size)  # by the limit, as much memory would be asked for
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise Damaged(f"{path.name} is missing") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Damaged(f"{path.name} is a symbolic link") from error
        if error.errno == errno.ENXIO:
            raise Damaged(f"{path.name} is no regular file") from error
        if error.errno == errno.EIO:  # as lost as a garbled one; where all of the disk is, moving it aside fails too
            raise Damaged(f"{path.name} cannot be read from its disk ({error.strerror})") from error
        raise


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # else a pipe in a file's place is waited for, for ever


def own(folder: Path) -> Path:
    """The folder itself. Raises OSError where it is a symbolic link: what is behind one is not ours to change."""
    if folder.is_symlink():
        raise OSError(
            errno.ELOOP, "is a symbolic link, which may lead out of the store: put a folder there", str(folder)
        )
    return folder


def move(folder: Path, to: Path) -> Path:
    """Renames a folder, or copies it where it lies on a lower layer of an overlay, as in an image of a container."""
    try:
        return folder.rename(to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return Path(shutil.move(folder, to))


def discard(folder: Path) -> None:
    """Removes a folder as far as it can be: what stays, such as one too deep, is nobody's loss."""
    with suppress(OSError, RecursionError):
        shutil.rmtree(folder)


def sweep(folder: Path) -> None:
    """Removes what killed writers of ``folder`` left behind. Only for the holder of its lock."""
    for orphan in folder.parent.glob(f"{PENDING}{folder.name}-*"):
        discard(orphan)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError as error:  # another worker has just moved it aside
        raise Damaged(f"{folder.name} is gone") from error


def sync(descriptor: int) -> bool:
    """Puts a file or a folder on disk. False where the file system has no such call. Raises OSError if the disk fails.

    Without it a power cut may tear a file. Its checksum then says so, and the run is trained again.
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
