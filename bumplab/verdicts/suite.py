"""The claims of a suite, found in its folder."""

from __future__ import annotations

from pathlib import Path


def ids(folder: Path) -> tuple[str, ...]:
    """The claims of a folder by the names of their files, ``test_<id>.py``. Nothing is imported."""
    return tuple(sorted(path.stem.removeprefix("test_") for path in folder.glob("test_*.py")))
