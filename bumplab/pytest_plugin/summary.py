"""The end of a session in the terminal: a table of claims, and lines on the session as a whole."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bumplab.config import SubjectSpec
from bumplab.report import rates, wording
from bumplab.report.document import ClaimEntry, Saved, VariationEntry
from bumplab.runs import space
from bumplab.runs.store import RESULTS_FORMAT
from bumplab.subjects.registry import described
from bumplab.terminal import cell, line, paper, printable, text_on
from bumplab.verdicts.evidence import FAMILY_ALPHA, LATER_ALPHA

COLOURS = {"SKIPPED": "dim", "SUPPORTED": "green", "CONTRADICTED": "red", "ERROR": "red", "INCONCLUSIVE": "yellow"}
COLUMNS = ("claim", "verdict", "part that decides", "seeds", "controls", "time")
LEAST_WIDTH = 80
"""Width of the table in characters, where the terminal is narrower or absent. Longer cells are folded, and not cut."""


def write(
    terminal: pytest.TerminalReporter,
    entries: Sequence[ClaimEntry],
    saved: Saved,
    seconds: Mapping[str, float],
    needed: float,
) -> None:
    """Writes a table of the claims, each with its variations below it; then reasons, error rate, time and savings.

    A verdict for which no error rate holds is called EXPLORATORY. ``seconds`` is the process time by run key, of all
    runs behind the claims. ``needed`` is the evidence that a claim of one registration needs.
    """
    width = max(LEAST_WIDTH, terminal._tw.fullwidth)
    with paper(getattr(sys.stdout, "encoding", None)) as text:
        console = Console(file=text, width=width, force_terminal=terminal.hasmarkup, highlight=False)
        console.print(_table(entries))
        for row_of_text in text_on(text).splitlines():
            terminal.write_line(row_of_text.rstrip())
    for entry in entries:
        if entry.verdict not in ("SUPPORTED", "CONTRADICTED") and entry.reason != _decides(entry):
            terminal.write_line(printable(f"{entry.claim}: {entry.reason}"))
    terminal.write_line(_count(entries, needed))
    if any(entry.verdict == "INCONCLUSIVE" for entry in entries):
        terminal.write_line("pytest counts what is INCONCLUSIVE as xfailed: it is no failure")
    for seeds in rates.seeds_from(entries):
        terminal.write_line(printable(seeds))
    if seconds:
        terminal.write_line(
            f"a claim's time is the process time of all its runs, which other claims may share: the {len(seconds)} "
            f"runs took {sum(seconds.values()) / 60:.1f} min in all, whenever they were trained"
        )
    if saved.steps_used < saved.steps_at_last_look:
        share = 1 - saved.steps_used / saved.steps_at_last_look
        terminal.write_line(
            f"looking after each seed saved {share:.0%} of the training: {saved.runs_used} runs were needed, "
            f"{saved.runs_at_last_look} if all parts had gone to the last look"
        )


def _count(entries: Sequence[ClaimEntry], needed: float) -> str:
    """How many claims are SUPPORTED, and how often that is wrong."""
    judged = [entry for entry in entries if entry.judged]
    if not judged:
        return "no claim was judged"
    supported = sum(entry.verdict == "SUPPORTED" for entry in judged)
    count = f"SUPPORTED: {supported} of {len(judged)} claims judged"
    if any(entry.exploratory for entry in judged):
        return f"{count}; no error rate holds for EXPLORATORY verdicts, and none of them can be accepted"
    chance = FAMILY_ALPHA + (LATER_ALPHA if rates.anew(entries, needed) else 0.0)
    return f"{count}; the suite falsely supports any claim with a chance of at most {100 * chance:g}%"


def passed_over(root: Path) -> str:
    """One line on the runs in the store that no claim can use; empty where there are none."""
    try:
        count = sum(run.state == space.PASSED_OVER for run in space.stored(root))
    except OSError:
        return ""  # whoever needs the store has reported the error
    if not count:
        return ""
    return line(
        f"{root}: {count} stored run{'s' * (count != 1)} of another version of the code (results format "
        f"{RESULTS_FORMAT} is this one's), or under a name that is not the spec's, passed over: "
        f"python -m bumplab runs --runs-dir {root} lists them"
    )


def of_another_source(root: Path, subject: SubjectSpec) -> str:
    """One line on stored runs of the same subject with other source, arguments or versions; empty without any."""
    if not subject.is_users:
        return ""
    try:
        specs = [run.spec.subject for run in space.stored(root) if run.spec is not None]
    except OSError:
        return ""
    others = [other for other in specs if other.name == subject.name and replace(other, factorized=False) != subject]
    if not others:
        return ""
    kinds = "; ".join(sorted({described(replace(other, factorized=False)) for other in others})[:3])
    return line(
        f"{root}: {len(others)} stored run{'s' * (len(others) != 1)} of the same name, which this session did not use: "
        f"{kinds}; this is {described(subject)}"
    )


def _table(entries: Sequence[ClaimEntry]) -> Table:
    rows = []
    for entry in entries:
        minutes = f"{entry.process_seconds / 60:.1f} min" if entry.process_seconds else ""
        recognised = sum(control.passed for control in entry.controls)
        controls = f"{recognised}/{len(entry.controls)}" if entry.controls else ""
        rows.append(_row(entry.claim, entry, controls, minutes))
        for variation in entry.variations:
            name = f"  {variation.name}{' (changed nothing)' if variation.idle else ''}"
            rows.append(_row(name, variation))
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0))
    for column, cells in zip(COLUMNS, zip(*rows, strict=True), strict=True):
        longest = max(len(word) for text in (Text(column), *cells) for word in text.plain.split())
        justify: Literal["left", "right"] = "right" if column == "time" else "left"
        table.add_column(column, justify=justify, min_width=longest, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _row(name: str, entry: ClaimEntry | VariationEntry, controls: str = "", minutes: str = "") -> list[Text]:
    exploratory = isinstance(entry, ClaimEntry) and entry.exploratory
    verdict = cell(f"EXPLORATORY {entry.verdict}" if exploratory else entry.verdict, f"bold {COLOURS[entry.verdict]}")
    return [cell(name), verdict, cell(_decides(entry)), cell(entry.seeds or ""), cell(controls), cell(minutes)]


def _decides(entry: ClaimEntry | VariationEntry) -> str:
    """The part with the entry's verdict and its counted seeds; empty for an entry without a verdict."""
    part = wording.deciding(entry)
    return f"{part.name}: {part.reason}" if part else ""
