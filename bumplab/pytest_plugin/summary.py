"""The end of a session in the terminal: each claim's verdict, and what the session says as a whole."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bumplab.pytest_plugin.entries import Entry
from bumplab.report import wording
from bumplab.runs import space
from bumplab.runs.store import RESULTS_FORMAT
from bumplab.terminal import cell, line, paper, printable, text_on
from bumplab.verdicts import suite
from bumplab.verdicts.error_rate import FAMILY_ALPHA

COLOURS = {"SUPPORTED": "green", "CONTRADICTED": "red", "ERROR": "red", "INCONCLUSIVE": "yellow"}
COLUMNS = ("claim", "verdict", "effect that decides", "seeds", "controls", "time")
LEAST_WIDTH = 80
"""Columns of the table where the terminal has fewer, or is none. What does not fit is folded; nothing is cut off."""


def rank(claim: str) -> int:
    """A claim's place in the paper's order."""
    ours = [ours.id for ours in suite.in_the_papers_order(suite.claims(suite.OURS))]
    return ours.index(claim) if claim in ours else len(ours)


def write(
    terminal: pytest.TerminalReporter,
    entries: Mapping[str, Entry],
    saved: Mapping[str, int],
    seconds: dict[str, float],
) -> None:
    """A table of claims in the paper's order, each with its variations below it; then reasons, time and shares.

    ``seconds``: process time by run key, of all runs behind the claims.
    """
    width = max(LEAST_WIDTH, terminal._tw.fullwidth)
    with paper(getattr(sys.stdout, "encoding", None)) as text:
        console = Console(file=text, width=width, force_terminal=terminal.hasmarkup, highlight=False)
        console.print(_table(entries))
        for row_of_text in text_on(text).splitlines():
            terminal.write_line(row_of_text.rstrip())
    for claim in sorted(entries, key=rank):
        entry = entries[claim]
        if wording.deciding(entry) is None or entry["verdict"] == "INCONCLUSIVE":
            terminal.write_line(printable(f"{claim}: {entry['reason']}"))
    judged = [entry["verdict"] for entry in entries.values() if entry["verdict"] != "ERROR"]
    terminal.write_line(
        f"SUPPORTED: {judged.count('SUPPORTED')} of {len(judged)} claims judged; the chance that any is so "
        f"falsely is at most {FAMILY_ALPHA:.0%} in the suite, if effects vary roughly normally between seeds"
    )
    if seconds:
        terminal.write_line(
            f"process time is that of all runs behind a claim, and a run may stand behind several: the {len(seconds)} "
            f"runs took {sum(seconds.values()) / 60:.1f} min in all, whenever they were trained"
        )
    if saved["steps_used"] < saved["steps_at_last_look"]:
        share = 1 - saved["steps_used"] / saved["steps_at_last_look"]
        terminal.write_line(
            f"looking after each seed saved {share:.0%} of the training: {saved['runs_used']} runs were needed, "
            f"{saved['runs_at_last_look']} if all had gone to the last look"
        )


def passed_over(root: Path) -> str:
    """What in the store no claim can use and why, in one line; empty where there is nothing."""
    try:
        count = sum(run.state == space.PASSED_OVER for run in space.stored(root))
    except OSError:
        return ""  # who needs it has said so
    if not count:
        return ""
    return line(
        f"{root}: {count} stored run{'s' * (count != 1)} of another version of the code (results format "
        f"{RESULTS_FORMAT} is this one's), or not what the name says, passed over: "
        f"python -m bumplab runs --runs-dir {root} lists them"
    )


def _table(entries: Mapping[str, Entry]) -> Table:
    rows = []
    for claim in sorted(entries, key=rank):
        rows.append(_row(claim, entries[claim]))
        for varied in entries[claim].get("variations", ()):
            name = f"  {varied['name']}{' (changed nothing)' if varied['idle'] else ''}"
            rows.append(_row(name, varied))
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0))
    for column, cells in zip(COLUMNS, zip(*rows, strict=True), strict=True):
        longest = max(len(word) for text in (Text(column), *cells) for word in text.plain.split())
        justify: Literal["left", "right"] = "right" if column == "time" else "left"
        table.add_column(column, justify=justify, min_width=longest, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _row(name: str, entry: Mapping[str, Any]) -> list[Text]:
    effect = ""
    if part := wording.deciding(entry):
        known = f"{wording.estimate(part)} ({wording.limits(part)})"
        effect = (
            f"{part['name']}: {'undefined' if wording.limits(part) == 'none' else known}, supported {part['region']}"
        )
    return [
        cell(name),
        cell(entry["verdict"], f"bold {COLOURS[entry['verdict']]}"),
        cell(effect),
        cell(entry.get("seeds") or ""),
        cell(wording.controls_count(entry)),
        cell(f"{entry['process_seconds'] / 60:.1f} min" if entry.get("process_seconds") else ""),
    ]
