"""Whether file locks work where a store lies: some network file systems take them and keep nobody out."""

from __future__ import annotations

import errno
import subprocess
import sys
import warnings
from pathlib import Path

from filelock import FileLock, SoftFileLock

from bumplab.runs.sealed import own

ADVICE = "name a folder on a local disk"
KEPT_OUT = 7
OTHER_PROCESS = f"""
import fcntl, sys
with open(sys.argv[1], "a") as file:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit({KEPT_OUT})
"""
"""Tries to take the lock as filelock does. Some file systems keep out the same process alone."""


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
            command = [sys.executable, "-I", "-S", "-c", OTHER_PROCESS, str(path)]
            other = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            if other.returncode == 0:
                raise OSError(errno.ENOLCK, f"file locks there do not keep a second process out: {ADVICE}")
            if other.returncode != KEPT_OUT:
                *_, problem = other.stderr.splitlines() or ["it was killed"]
                raise OSError(
                    errno.ENOLCK, f"file locks there cannot be tried by a second process ({problem}): {ADVICE}"
                )
    except NotImplementedError as error:  # how older versions of filelock say it
        raise OSError(errno.ENOLCK, f"there are no file locks there: {ADVICE}") from error
