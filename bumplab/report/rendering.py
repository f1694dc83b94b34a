"""Renders the templates of pages and summaries. Text of others cannot steer a page, a terminal or Markdown."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bumplab.report import wording
from bumplab.terminal import printable


def environment() -> Environment:
    """Templates with the functions of `wording`. HTML is escaped, and control characters become visible escapes."""
    templates = Environment(
        loader=PackageLoader("bumplab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_printable,
    )
    templates.globals.update(wording.FUNCTIONS, symbols=wording.SYMBOLS, signs=wording.MARKS)
    templates.filters["cell"] = _markdown_cell
    return templates


def _printable(value: Any) -> Any:
    """Only plain text is changed. Markup was made by the page itself."""
    return printable(value) if type(value) is str else value


def _markdown_cell(text: object) -> str:
    """One cell of a Markdown table: without line breaks and bars, and with no link or image."""
    return re.sub(r"([\[\]\\`])", r"\\\1", re.sub(r"[\s|]+", " ", str(text)))
