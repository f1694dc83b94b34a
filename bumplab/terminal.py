"""What a terminal is given: text that cannot steer it, by streams that outlive it."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

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


class Steady:
    """A stream of text that never fails its writer.

    What its encoding lacks is written as escapes. Where the terminal has gone (a closed pipe or window, a full disk
    behind it), or takes no more just now, the text is lost. All else is the stream's own.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except UnicodeEncodeError:
            return self.write(encodable(text, self.stream.encoding))
        except (OSError, ValueError):  # ValueError: it was closed
            return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def encodable(text: str, encoding: str | None) -> str:
    """The text with what the encoding lacks as escapes."""
    encoding = encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def keep_streams() -> None:
    """Makes standard output and error steady. Where one was closed before Python began, it leads nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Steady):
            setattr(sys, name, Steady(open(os.devnull, "w") if stream is None else stream))  # noqa: SIM115


@contextmanager
def warnings_as_usual() -> Iterator[None]:
    """Python's own filters. Warnings are shown and none is raised, so that -W error changes no verdict."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        yield


def own_stdout() -> TextIO:
    """Standard output by a descriptor of its own, which reaches the user while pytest captures descriptor 1."""
    original = sys.__stdout__
    try:
        descriptor = os.dup(original.fileno() if original else 1)
    except (OSError, ValueError):  # closed, or a console without descriptors
        descriptor = os.open(os.devnull, os.O_WRONLY)
    encoding = getattr(original, "encoding", None) or "utf-8"
    return cast(TextIO, Steady(open(descriptor, "w", encoding=encoding)))


def paper(encoding: str | None) -> io.TextIOWrapper:
    """A text in memory that rich draws on with the characters of this encoding."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding or "ascii", errors="backslashreplace", newline="\n")


def text_on(paper: io.TextIOWrapper) -> str:
    """What was drawn on it."""
    paper.flush()
    return cast(io.BytesIO, paper.buffer).getvalue().decode(paper.encoding)
