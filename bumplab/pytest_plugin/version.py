"""The version of the code that a report names."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path


def code_of(project: Path) -> str:
    """The version of the code, with the commit of a checkout; ``+`` marks changed or new files of code or claims."""
    number = version("bumplab")
    commit = _git(project, "describe", "--always", "--exclude=*")
    if not commit:
        return number
    changes = _git(project, "status", "--porcelain", "--", "bumplab", "claims", "conftest.py")
    return f"{number} ({commit}{'+' if changes else ''})"


def _git(project: Path, *arguments: str) -> str:
    """What git prints for the project. Empty where there is no git or no checkout."""
    command = ["git", "-C", str(project), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
