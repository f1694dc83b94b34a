"""What moved between reports: verdicts and effects, from their JSON alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from msgspec.structs import replace

from bumplab.report import document, wording
from bumplab.report.document import ClaimEntry, PartEntry, Report, SeedEntry
from bumplab.report.rendering import environment
from bumplab.runs.sealed import Damaged, read_file
from bumplab.verdicts.looks import MAX_SEEDS
from bumplab.verdicts.suite import in_the_papers_order

MOST_BYTES = 64 * 2**20
"""Largest JSON of a report that is read, thirty times a quick report's."""
SHOWN_ENDS = 120
"""Characters that are shown of each end of a message about a file: the message can repeat the file's text."""


@dataclass(frozen=True)
class Difference:
    """One claim, or one part of it, in two reports: None where it is not in one of them.

    ``part`` is empty for the claim. ``moved``: the verdict changed, or the new mean lies outside the old t interval.
    What ``--minutes`` stopped has not moved by its verdict.
    """

    claim: str
    part: str
    old: ClaimEntry | PartEntry | None
    new: ClaimEntry | PartEntry | None
    moved: bool


@dataclass(frozen=True)
class ListedReport:
    """A report in a folder. ``link`` is the address of its page, from that folder."""

    link: str
    report: Report


def read(path: Path) -> Report:
    """The report in a JSON file, given its path or that of the HTML beside it.

    Raises ValueError, in one line, where the file cannot be read or is no report.
    """
    if path.name:  # "." has none
        path = path.with_suffix(".json")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder: give a report's .html or .json")
    try:
        return document.decode(read_file(path, MOST_BYTES))
    except (OSError, Damaged) as error:
        problem = getattr(error, "strerror", error)
        raise ValueError(f"{path}: cannot be read ({problem}): give a report's .html or .json") from error
    except document.OtherSchema as error:
        raise ValueError(f"{path}: {error}") from error
    except (RecursionError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        if len(problem) > 2 * SHOWN_ENDS:
            problem = f"{problem[:SHOWN_ENDS]}...{problem[-SHOWN_ENDS:]}"
        raise ValueError(f"{path}: is no report of bumplab ({problem})") from error


def holds_verdicts(path: Path) -> bool:
    """Whether a report with a verdict lies at this path. A file that cannot be read may hold one."""
    if not path.exists() and not path.with_suffix(".json").exists():
        return False
    try:
        return any(claim.judged for claim in read(path).claims)
    except ValueError:
        return True


def differences(old: Report, new: Report) -> Iterator[Difference]:
    """Each claim of either report, in the order of the paper, and after each claim its judged parts."""
    old_claims, new_claims = ({claim.claim: claim for claim in report.claims} for report in (old, new))
    for name in (claim.claim for claim in claims_in([new, old])):
        before, after = old_claims.get(name), new_claims.get(name)
        moved = before is None or after is None or _verdict_moved(before, after)
        yield Difference(name, "", before, after, moved)
        untried = any(entry is not None and entry.stopped and not entry.judged for entry in (before, after))
        old_parts, new_parts = _judged_parts(before), _judged_parts(after)
        for part in dict.fromkeys([*old_parts, *new_parts]):
            part_before, part_after = old_parts.get(part), new_parts.get(part)
            yield Difference(name, part, part_before, part_after, not untried and _moved(part_before, part_after))


def claims_in(reports: Sequence[Report]) -> list[ClaimEntry]:
    """Each claim of the reports once, in the order of the paper. The entry is that of the first report that has it."""
    claims = {claim.claim: claim for report in reversed(reports) for claim in report.claims}
    return in_the_papers_order(claims.values())


def _judged_parts(claim: ClaimEntry | None) -> dict[str, PartEntry]:
    return {part.name: part for part in claim.parts if part.judges} if claim else {}


def _verdict_moved(old: ClaimEntry | PartEntry, new: ClaimEntry | PartEntry) -> bool:
    """Whether the verdict changed. One that was stopped for lack of time has not: the next session goes on with it."""
    return old.verdict != new.verdict and not (old.stopped or new.stopped)


def _moved(old: PartEntry | None, new: PartEntry | None) -> bool:
    if old is None or new is None or _verdict_moved(old, new):
        return True
    if old.estimate is None or new.estimate is None:
        return old.estimate is not new.estimate
    below = old.low is not None and new.estimate < old.low
    above = old.high is not None and new.estimate > old.high
    return below or above


def effect(entry: ClaimEntry | PartEntry | None) -> str:
    """A part's seeds and mean, such as ``7 of 8 seeds, mean 0.61, 95 % t interval 0.44 to 0.779``.

    Empty for a claim, and "absent" for None.
    """
    if entry is None:
        return "absent"
    if not isinstance(entry, PartEntry):
        return ""
    counted = f"{entry.hits} of {len(entry.seeds)} seeds, " if entry.seeds else ""
    return counted + wording.description(entry)


def reports_in(folder: Path, pass_over: Callable[[ValueError], None]) -> list[ListedReport]:
    """All reports in a folder and in those below it, the newest first.

    ``pass_over`` is called with the problem of each other JSON file. Raises ValueError where there is no report.
    """
    listed = []
    for path in sorted(folder.rglob("*.json")):
        try:
            report = _without_runs(read(path))
        except ValueError as error:
            pass_over(error)
            continue
        page = os.fsencode(path.relative_to(folder).with_suffix(".html"))  # a file's name need not be UTF-8
        listed.append(ListedReport(quote(page), report))
    if not listed:
        raise ValueError(f"{folder}: holds no report of bumplab")
    return sorted(listed, key=lambda one: one.report.written, reverse=True)


def _without_runs(report: Report) -> Report:
    """What a history shows of a report: a whole one takes gigabytes at most, and a folder may hold hundreds."""
    claims = []
    for claim in report.claims:
        parts = [replace(part, seeds=_marks_alone(part.seeds)) for part in claim.parts]
        claims.append(replace(claim, parts=parts, controls=[], variations=[], conditions={}, curves={}))
    return replace(report, claims=claims, runs={})


def _marks_alone(seeds: Sequence[SeedEntry]) -> list[SeedEntry]:
    """The same marks in the same number, of few objects."""
    marks: dict[str, SeedEntry] = {}
    return [marks.setdefault(seed.mark, SeedEntry(seed.seed, seed.mark)) for seed in seeds[:MAX_SEEDS]]


def scale_and_subject(report: Report) -> tuple[str, str]:
    """The profile and the subject with its arguments. Verdicts of two reports compare where these are equal."""
    return report.profile, wording.subject_name(report.subject)


def history_page(listed: Sequence[ListedReport]) -> str:
    """A page over reports, the newest first: each claim's verdicts, and what moved last.

    The newest report is compared with the one before it of the same profile and subject.
    """
    templates = environment()
    templates.globals["effect"] = effect
    reports = [one.report for one in listed]
    latest = reports[0]
    before = next((report for report in reports[1:] if scale_and_subject(report) == scale_and_subject(latest)), None)
    return templates.get_template("history.html.j2").render(
        reports=[(one.link, one.report, {claim.claim: claim for claim in one.report.claims}) for one in listed],
        claims=[claim.claim for claim in claims_in(reports)],
        latest=latest,
        before=before,
        differences=[change for change in differences(before, latest) if change.moved] if before else [],
    )
