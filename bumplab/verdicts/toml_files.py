"""What the ledger and the file of accepted verdicts share: how such a file is read, and the reasons in it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

LONGEST_REASON = 500
"""Most characters of a reason."""
LARGEST_FILE = 1 << 20
"""Most bytes of a file."""


def text_of(path: Path) -> str:
    """The file's text with its line ends as they are; empty where there is no file.

    Raises ValueError for a folder, a pipe or a file that is too large.
    """
    if not path.exists():
        return ""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"is no file of at most {LARGEST_FILE} bytes")
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read ({' '.join(str(error).split())})") from error


def tables_in(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError in one line for any other text."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also TOMLDecodeError
        raise ValueError(f"cannot be read as TOML: {' '.join(str(error).split())}") from error


def require_reason(why: str) -> None:
    """Raises ValueError unless the text is one printable line that is not too long."""
    if not why.strip() or not why.isprintable() or len(why) > LONGEST_REASON:
        raise ValueError(f"{why[:60]!r}: must say why in one line of 1 to {LONGEST_REASON} characters")
