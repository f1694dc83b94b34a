"""Text out of a run store or a report as a terminal may show it: whoever wrote it must not steer the terminal."""

from __future__ import annotations

from rich.text import Text


def printable(text: object) -> str:
    """The text with control characters, and those that turn its order round, as escapes; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in str(text))


def line(text: object) -> str:
    """The same in one line: another would be taken for the program's own."""
    return printable(text).replace("\n", "\\n")


def cell(text: object, style: str = "") -> Text:
    """The same for rich, which then finds no markup in it."""
    return Text(line(text), style)
