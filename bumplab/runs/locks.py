"""Whether file locks work where a store lies: some network file systems take them and keep nobody out."""

from __future__ import annotations

import errno
import warnings
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from bumplab.runs.sealed import own

ADVICE = "name a folder on a local disk"


def require_locks(root: Path) -> None:
    """Raises OSError where a lock under ``root`` does not keep a second holder out, or outlives a killed process.

    Nothing else shows it: two processes would train the same run and write over each other.
    """
    path = own(root / "locks") / "probe.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings(action="ignore"), FileLock(path, timeout=10) as held:
            if isinstance(held, SoftFileLock):  # what filelock makes of a lock where the system has none
                raise OSError(errno.ENOLCK, f"there are no file locks there that end with their process: {ADVICE}")
            with suppress(Timeout):
                with FileLock(path, timeout=0):
                    pass
                raise OSError(errno.ENOLCK, f"file locks there do not keep a second process out: {ADVICE}")
    except NotImplementedError as error:  # how older versions of filelock say it
        raise OSError(errno.ENOLCK, f"there are no file locks there: {ADVICE}") from error
