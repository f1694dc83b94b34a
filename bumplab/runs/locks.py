"""Whether file locks work on the store's file system. Some network file systems accept a lock and exclude nobody."""

from __future__ import annotations

import errno
import subprocess
import sys
import warnings
from pathlib import Path

from filelock import FileLock, SoftFileLock

from bumplab.runs.store import require_real_folders

ADVICE = "name a folder on a local disk"
EXCLUDED = 7
"""Exit status of `OTHER_PROCESS` where the lock excluded it, as it should."""
OTHER_PROCESS = f"""
import fcntl, sys
with open(sys.argv[1], "a") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit({EXCLUDED})
"""
"""Program that tries the lock as filelock does. It is another process: some file systems exclude only the same one."""


def require_locks(root: Path) -> None:
    """Raises OSError where a lock under ``root`` does not exclude a second process, or outlives a killed one.

    No other check would notice. Two processes would train the same run and write over each other's files.
    """
    require_real_folders(root)
    path = root / "locks" / "probe.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings(action="ignore"), FileLock(path, timeout=10) as lock:
            if isinstance(lock, SoftFileLock):  # filelock's substitute where the system has no locks
                raise OSError(errno.ENOLCK, f"there are no file locks there that end with their process: {ADVICE}")
            command = [sys.executable, "-I", "-S", "-c", OTHER_PROCESS, str(path)]
            other = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            if other.returncode == 0:
                raise OSError(errno.ENOLCK, f"file locks there do not keep a second process out: {ADVICE}")
            if other.returncode != EXCLUDED:
                *_, problem = other.stderr.splitlines() or ["it was killed"]
                raise OSError(
                    errno.ENOLCK, f"file locks there cannot be tried by a second process ({problem}): {ADVICE}"
                )
    except NotImplementedError as error:  # older versions of filelock raise this
        raise OSError(errno.ENOLCK, f"there are no file locks there: {ADVICE}") from error
