"""Renders the templates of pages and summaries. Text of others cannot steer a page, a terminal or Markdown."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bumplab.report import rates, wording
from bumplab.terminal import printable


def environment() -> Environment:
    """Templates with the functions of `wording` and `rates`.

    HTML is escaped, and control characters become visible escapes.
    """
    templates = Environment(
        loader=PackageLoader("bumplab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_printable,
    )
    templates.globals.update(symbols=wording.SYMBOLS, signs=wording.MARKS)
    for module in (wording, rates):
        templates.globals.update({name: getattr(module, name) for name in module.IN_TEMPLATES})
    templates.filters.update(cell=_markdown_cell, code=_with_code)
    return templates


def _printable(value: Any) -> Any:
    """Only plain text is changed. Markup was made by the page itself."""
    return printable(value) if type(value) is str else value


def _with_code(text: str) -> Markup:
    """The text as HTML, in which words between backticks are code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(printable(text)))))


def _markdown_cell(text: object) -> str:
    """One cell of a Markdown table: without line breaks and bars, and with no link or image."""
    return re.sub(r"([\[\]\\`])", r"\\\1", re.sub(r"[\s|]+", " ", str(text)))
