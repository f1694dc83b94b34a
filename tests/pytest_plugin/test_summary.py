"""The table at the end of a session, and the lines below it."""

from types import SimpleNamespace

from msgspec.structs import replace

from bumplab.pytest_plugin import summary
from bumplab.report.document import ClaimEntry, ControlEntry, PartEntry, Saved

PART = PartEntry(
    name="ceiling-corrected", reads="words", holds="it is", unit="u", verdict="SUPPORTED",
    reason="in 7 of 8 seeds it is, evidence 26.1 (needed 180)", region="above 0", bounds=(0.0, None), designed=1.0,
    why="w", judges=True, method="counted", seeds=[], support=26.1, against=0.1, needed=180.0, estimate=None, low=None,
    high=None, settled=False,
)  # fmt: skip
CONTROL = ControlEntry(name="c", why="w", positive=False, verdict="CONTRADICTED", passed=True, reason="r")
ENTRY = ClaimEntry(
    claim="coupling", statement="s", source="Fig. 5", verdict="SUPPORTED", unchecked="SUPPORTED", reason="why so",
    seeds=8, process_seconds=6000.0, parts=[PART], controls=[CONTROL],
)  # fmt: skip


def summary_of(*entries, width=80):
    """The lines of the summary of these entries on a terminal of this many columns."""
    lines = []
    terminal = SimpleNamespace(_tw=SimpleNamespace(fullwidth=width), hasmarkup=False, write_line=lines.append)
    saved = Saved(runs_used=0, runs_at_last_look=0, steps_used=0, steps_at_last_look=0)
    summary.write(terminal, entries, saved, {"a": 60.0, "b": 90.0}, needed=180.0)
    return lines


def test_the_summary_cuts_no_word_off():
    longest = replace(ENTRY, claim="overlap", verdict="INCONCLUSIVE", exploratory=True)
    for width in (20, 80, 120):
        lines = summary_of(replace(ENTRY, claim="representation"), longest, width=width)
        table = lines[: next(at for at, text in enumerate(lines) if text.startswith("overlap: why so"))]
        assert max(map(len, table)) <= max(width, summary.LEAST_WIDTH), width
        assert table[0].split() == [word for column in summary.COLUMNS for word in column.split()], width
        words = {word for text in table for word in text.split()}
        assert words >= {"ceiling-corrected:", "INCONCLUSIVE", "EXPLORATORY", "26.1", "1/1", "100.0", "min"}, width
        assert not [word for word in words if "…" in word], width


def test_the_summary_gives_the_reason_of_an_open_claim_and_counts_each_run_once():
    lines = summary_of(replace(ENTRY, verdict="INCONCLUSIVE", unchecked="INCONCLUSIVE"))
    assert "coupling: why so" in lines
    assert any("2 runs took 2.5 min" in line for line in lines)
    assert "coupling: why so" not in summary_of(ENTRY)
    (part,) = ENTRY.parts
    told = replace(ENTRY, verdict="INCONCLUSIVE", unchecked="INCONCLUSIVE", reason=f"{part.name}: {part.reason}")
    assert not [line for line in summary_of(told) if line.startswith("coupling:")], "the table has said so"


def test_the_summary_says_where_verdicts_are_exploratory():
    (count,) = (line for line in summary_of(replace(ENTRY, exploratory=True)) if line.startswith("SUPPORTED: "))
    assert ("EXPLORATORY" in count, "5%" in count) == (True, False)
    (count,) = (line for line in summary_of(ENTRY) if line.startswith("SUPPORTED: "))
    assert ("EXPLORATORY" in count, "5%" in count) == (False, True)
