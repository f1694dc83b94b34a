"""The end of a session in the terminal: each claim's verdict, and what the session says as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bumplab.pytest_plugin.entries import Entry
from bumplab.verdicts.error_rate import CLAIMS, FAMILY_ALPHA

COLOURS = {"SUPPORTED": "green", "CONTRADICTED": "red", "ERROR": "red", "INCONCLUSIVE": "yellow"}


def rank(claim: str) -> int:
    """A claim's place in the paper's order."""
    return CLAIMS.index(claim) if claim in CLAIMS else len(CLAIMS)


def write(terminal: pytest.TerminalReporter, entries: Mapping[str, Entry], saved: Mapping[str, int]) -> None:
    """One line a claim, in the paper's order, its variations below it; then shares."""
    width = max(len(claim) for claim in entries)
    for claim in sorted(entries, key=rank):
        entry = entries[claim]
        _line(terminal, f"{claim:<{width}} ", entry, _controls(entry))
        for varied in entry.get("variations", ()):
            _line(terminal, f"  {varied['name']}: ", varied)
    judged = [entry["verdict"] for entry in entries.values() if entry["verdict"] != "ERROR"]
    terminal.write_line(
        f"SUPPORTED: {judged.count('SUPPORTED')} of {len(judged)} claims judged; the chance that any is so "
        f"falsely is at most {FAMILY_ALPHA:.0%} in the suite"
    )
    if saved["steps_used"] < saved["steps_at_last_look"]:
        share = 1 - saved["steps_used"] / saved["steps_at_last_look"]
        terminal.write_line(
            f"looking after each seed saved {share:.0%} of the training: {saved['runs_used']} runs were needed, "
            f"{saved['runs_at_last_look']} if all had gone to the last look"
        )


def _line(terminal: pytest.TerminalReporter, name: str, entry: Mapping[str, Any], controls: str = "") -> None:
    terminal.write(name)
    terminal.write(f"{entry['verdict']:<13}", bold=True, **{COLOURS[entry["verdict"]]: True})
    seeds = f"{entry['seeds']} seeds, " if entry.get("seeds") else ""
    terminal.write_line(f" {seeds}{controls}{entry['reason']}")


def _controls(entry: Entry) -> str:
    controls = entry.get("controls", [])
    passed = sum(control["passed"] for control in controls)
    return f"controls {passed}/{len(controls)}, " if controls else ""
