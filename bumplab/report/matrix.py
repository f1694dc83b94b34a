"""A matrix of reports: the paper's claims down, the subjects across. One page, the same as JSON, and in Markdown."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from bumplab.report import compare, wording
from bumplab.report.document import ClaimEntry, PartEntry, Probability, Report, SubjectEntry
from bumplab.report.rates import chance
from bumplab.report.rendering import environment
from bumplab.runs.progress import replace_bytes, replace_text
from bumplab.runs.sealed import Damaged, read_file
from bumplab.verdicts.judging import Verdict
from bumplab.verdicts.looks import Looks

SCHEMA = 2
"""Version of a matrix's JSON."""
NOT_JUDGED = "not judged"
"""The evidence where a report does not hold the claim."""
Link = Annotated[str, Meta(description="Address relative to the matrix's page; empty without a page.")]


class Cell(Struct, frozen=True, kw_only=True):
    """What one report says of one claim. The defaults are those of a report that does not hold the claim."""

    verdict: Annotated[
        Verdict | Literal["ERROR", "SKIPPED"] | None, Meta(description="Null where the report does not hold the claim.")
    ] = None
    exploratory: Annotated[bool, Meta(description="Whether the error rate does not hold for the verdict.")] = False
    withdrawn: Annotated[str, Meta(description="The verdict that the controls withdrew; else empty.")] = ""
    evidence: Annotated[str, Meta(description="The reason for the verdict, in one line.")] = NOT_JUDGED
    part: Annotated[PartEntry | None, Meta(description="The part that decides; null without a verdict.")] = None
    link: Link = ""


class Column(Struct, frozen=True, kw_only=True):
    """One report, of one subject."""

    heading: Annotated[str, Meta(description="The subject's name and arguments, and what tells the report apart.")]
    subject: Annotated[SubjectEntry | None, Meta(description="Null for the paper's UNet, which is built in.")]
    profile: Annotated[str, Meta(description="The profile's name.")]
    looks: Annotated[Looks, Meta(description="The numbers of seeds at which parts are looked at, and needed evidence.")]
    family_alpha: Annotated[Probability, Meta(description="The error rate of this report alone.")]
    code: Annotated[str, Meta(description="Version and commit of bumplab; may be empty.")]
    written: Annotated[str, Meta(description="Time of writing, ISO 8601 in UTC.")]
    supported: Annotated[int, Meta(ge=0, description="Claims that are SUPPORTED.")]
    judged: Annotated[int, Meta(ge=0, description="Claims with a verdict.")]
    link: Link

    @property
    def seeds(self) -> str:
        """Such as ``3 to 8``."""
        return f"{self.looks.first} to {self.looks.last}"


class Row(Struct, frozen=True):
    """One claim in all reports."""

    claim: Annotated[str, Meta(description="The claim's id.")]
    statement: Annotated[str, Meta(description="What the paper says.")]
    source: Annotated[str, Meta(description="Where the paper says it.")]
    cells: Annotated[list[Cell], Meta(description="One for each of the matrix's columns, in their order.")]


class Matrix(Struct, frozen=True, kw_only=True):
    """Claims in the paper's order, in reports in the order in which they were named."""

    matrix_schema: Annotated[int, Meta(ge=SCHEMA, le=SCHEMA, description="Version of the matrix's form.")] = SCHEMA
    columns: Annotated[list[Column], Meta(description="The reports.")]
    rows: Annotated[list[Row], Meta(description="The claims.")]


def write(paths: Sequence[Path], page: Path) -> Matrix:
    """Writes the matrix of these reports as HTML to ``page``, and as JSON and Markdown beside it.

    Each path is that of a report's HTML or JSON. Raises ValueError in one line for a file that is no report, holds no
    claims or is named twice. The same holds where ``page`` would replace a file that is no matrix. Nothing is written
    then. Raises OSError where a file cannot be written.
    """
    _require_free(page)
    reports = _read(paths)
    matrix = of_reports(reports, [_address(path, page.parent) for path in paths])
    templates = environment()
    same, different = settings(matrix.columns)
    shown = {
        "matrix": matrix,
        "same": same,
        "different": different,
        "error_rate": error_rate(matrix),
        "not_judged": NOT_JUDGED,
    }
    html = templates.get_template("matrix.html.j2").render(shown)
    markdown = templates.get_template("matrix.md.j2").render(shown)
    page.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(page.with_suffix(".json"), msgspec.json.format(msgspec.json.encode(matrix), indent=1))
    replace_text(page.with_suffix(".md"), markdown)
    replace_text(page, html)
    return matrix


def _require_free(page: Path) -> None:
    """Raises ValueError unless the names of the matrix's files are free, or those of an earlier matrix."""
    if page.suffix != ".html":
        raise ValueError(f"--to {page}: must end in .html")
    if not any(os.path.lexists(page.with_suffix(suffix)) for suffix in (".html", ".json", ".md")):
        return
    try:
        msgspec.json.decode(read_file(page.with_suffix(".json"), compare.MOST_BYTES), type=Matrix)
    except (OSError, Damaged, ValueError, RecursionError) as error:
        problem = "is that of a file, or lies beside one, that is no matrix"
        raise ValueError(f"{page}: this name {problem}: give another with --to FILE.html") from error


def _read(paths: Sequence[Path]) -> list[Report]:
    """The reports without their runs, which no matrix shows."""
    reports: dict[str, Report] = {}
    for path in paths:
        report = compare.read(path)
        if not report.claims:
            raise ValueError(f"{path}: holds no claims: give a report with at least one")
        file = os.path.realpath(path.with_suffix(".json"))
        if file in reports:
            raise ValueError(f"{path}: this report is named twice: name each once")
        reports[file] = replace(report, runs={})
    return list(reports.values())


def _address(report: Path, folder: Path) -> str:
    """The address of the report's page from this folder. Empty where there is no page beside the JSON."""
    page = report.with_suffix(".html")
    return quote(os.fsencode(os.path.relpath(page, folder))) if page.is_file() else ""


def of_reports(reports: Sequence[Report], links: Sequence[str]) -> Matrix:
    """The matrix of these reports. ``links`` has the address of each report's page, empty where it has none."""
    columns = []
    for heading, report, link in zip(headings(reports), reports, links, strict=True):
        judged = [claim for claim in report.claims if claim.judged]
        column = Column(
            heading=heading,
            subject=report.subject,
            profile=report.profile,
            looks=report.looks,
            family_alpha=chance(report),
            code=report.code,
            written=report.written,
            supported=sum(claim.verdict == "SUPPORTED" for claim in judged),
            judged=len(judged),
            link=link,
        )
        columns.append(column)
    entries = [{claim.claim: claim for claim in report.claims} for report in reports]
    rows = []
    for claim in compare.claims_in(reports):
        cells = [_cell(of_report.get(claim.claim), link) for of_report, link in zip(entries, links, strict=True)]
        rows.append(Row(claim.claim, claim.statement, claim.source, cells))
    return Matrix(columns=columns, rows=rows)


def _cell(claim: ClaimEntry | None, link: str) -> Cell:
    if claim is None:
        return Cell()
    return Cell(
        verdict=claim.verdict,
        exploratory=claim.exploratory,
        withdrawn=wording.withdrawn(claim),
        evidence=wording.evidence(claim),
        part=wording.deciding(claim),
        link=f"{link}#{quote(claim.claim, safe='')}" if link else "",
    )


def headings(reports: Sequence[Report]) -> list[str]:
    """The subject of each report, with its arguments.

    Where two are alike, the profile follows, then the time of writing, then the report's place in the list.
    """
    texts = [wording.subject_name(report.subject) for report in reports]
    for details in (
        [f"profile {report.profile}" for report in reports],
        [f"written {report.written}" for report in reports],
        [f"report {place}" for place in range(1, len(reports) + 1)],
    ):
        counts = Counter(texts)
        texts = [f"{text}, {more}" if counts[text] > 1 else text for text, more in zip(texts, details, strict=True)]
    return texts


def settings(columns: Sequence[Column]) -> tuple[list[str], list[str]]:
    """Profile, seeds and code of the reports in words: those that all share, and warnings of those that differ."""
    codes = [column.code or "not recorded" for column in columns]
    named = {
        "Profiles": ([column.profile for column in columns], "A verdict holds at its profile only."),
        "Seeds": ([column.seeds for column in columns], "Fewer seeds give less evidence."),
        "Code versions": (codes, "Verdicts may differ for that reason."),
    }
    same, different = [], []
    for name, (values, consequence) in named.items():
        distinct = list(dict.fromkeys(values))
        if len(distinct) == 1:
            same.append(f"{name} of all columns: {distinct[0]}.")
        else:
            different.append(f"{name} differ: {'; '.join(distinct)}. {consequence}")
    return same, different


def error_rate(matrix: Matrix) -> str:
    """The bound on false verdicts, of each column without exploratory verdicts and of all of them."""
    explored = [any(row.cells[i].exploratory for row in matrix.rows) for i in range(len(matrix.columns))]
    pairs = zip(matrix.columns, explored, strict=True)
    rates = [column.family_alpha for column, is_explored in pairs if not is_explored]
    if not rates:
        return ""
    each = " or ".join(f"{rate:.3g}" for rate in dict.fromkeys(rates))
    text = (
        f"A column {'without EXPLORATORY verdicts ' if any(explored) else ''}has any claim falsely SUPPORTED with "
        f"probability at most {each}, whatever the distribution of effects between seeds."
    )
    if len(rates) == 1:
        return text
    columns = "these columns together have" if any(explored) else "the whole matrix has"
    return f"{text} By the union bound, {columns} one with probability at most {min(1.0, sum(rates)):.3g}."
