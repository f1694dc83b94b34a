"""Safe output: text without control characters, and streams that go on after their terminal has closed."""

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
    """The text with escapes in place of control characters and of those that reverse its order. Line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in str(text))


def line(text: object) -> str:
    """`printable` in one line. A second line could pass for a message of the program."""
    return printable(text).replace("\n", "\\n")


def cell(text: object, style: str = "") -> Text:
    """`line` as a text of rich, which reads no markup in it."""
    return Text(line(text), style)


def duration(seconds: float) -> str:
    """A time in words, such as ``89 s``, ``12 min`` or ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Steady:
    """A text stream whose `write` and `flush` raise no error.

    Characters that its encoding lacks are written as escapes. Text is lost where the stream is closed, its disk is full
    or a pipe takes no more. Every other attribute is that of the wrapped stream.
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
    """The text with escapes in place of characters that the encoding lacks."""
    encoding = encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def keep_streams() -> None:
    """Wraps standard output and error in `Steady`. A stream that was closed before Python began discards its text."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Steady):
            setattr(sys, name, Steady(open(os.devnull, "w") if stream is None else stream))  # noqa: SIM115


@contextmanager
def warnings_as_usual() -> Iterator[None]:
    """Sets Python's default filters: warnings are shown and never raised, so that -W error changes no verdict."""
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        yield


def uncaptured_stdout() -> TextIO:
    """Standard output through a copy of its descriptor. It reaches the user while pytest captures descriptor 1."""
    original = sys.__stdout__
    try:
        descriptor = os.dup(original.fileno() if original else 1)
    except (OSError, ValueError):  # closed, or a console without descriptors
        descriptor = os.open(os.devnull, os.O_WRONLY)
    encoding = getattr(original, "encoding", None) or "utf-8"
    return cast(TextIO, Steady(open(descriptor, "w", encoding=encoding)))


def paper(encoding: str | None) -> io.TextIOWrapper:
    """A text stream in memory. rich draws on it with the characters of this encoding."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding or "ascii", errors="backslashreplace", newline="\n")


def text_on(paper: io.TextIOWrapper) -> str:
    """The text on a stream of `paper`."""
    paper.flush()
    return cast(io.BytesIO, paper.buffer).getvalue().decode(paper.encoding)
