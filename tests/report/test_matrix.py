"""The matrix of reports: what its cells say, where they lead, and which files it leaves alone."""

import json
import os
import re
from urllib.parse import unquote_to_bytes

import jsonschema
import msgspec
import pytest
from msgspec.structs import replace

from bumplab import __main__ as command
from bumplab.report import document, matrix
from bumplab.report.document import SubjectEntry
from bumplab.verdicts.looks import Looks
from tests.report.planted import (
    ERROR,
    HOSTILE,
    OVERLAP,
    SKIPPED,
    SUBJECT,
    claim_of,
    control_of,
    part_of,
    report_of,
    rows_of,
    shown,
)

ORDER = part_of("order", reason="in 8 of 8 seeds it rises")
PHASES = claim_of("phases", parts=[ORDER], controls=[control_of("c", "CONTRADICTED")])
BUILT_IN = report_of(PHASES, OVERLAP, claim_of("bottleneck", "CONTRADICTED", source="Appendix B.1", exploratory=True))
FOREIGN = report_of(
    ERROR, SKIPPED, replace(PHASES, verdict="INCONCLUSIVE", unchecked="SUPPORTED"), subject=SUBJECT
)  # fmt: skip


def save(folder, report, name="claims", has_page=True):
    """Writes a report as JSON, with an empty page beside it, and gives the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.html"
    path.with_suffix(".json").write_bytes(document.encode(report))
    if has_page:
        path.touch()
    return path


def run(*arguments):
    return command.main(["report", "--matrix", *map(str, arguments)])


@pytest.fixture
def paths(tmp_path):
    return save(tmp_path / "built in", BUILT_IN), save(tmp_path / "foreign", FOREIGN)


@pytest.fixture
def page(tmp_path, paths):
    assert run(*paths, "--to", tmp_path / "new" / "m.html") == 0
    return tmp_path / "new" / "m.html"


def test_claims_are_in_the_papers_order_and_reports_in_the_order_given(page):
    html = page.read_text()
    phases, bottleneck, overlap, hole = rows_of(html, "Claim")
    assert re.search(r"phases .* ✓ SUPPORTED order: in 8 of 8 seeds it rises; controls 1/1 recognised \? INCON", phases)
    assert "? INCONCLUSIVE SUPPORTED before its controls order: in 8" in phases
    assert bottleneck.endswith(f"- SKIPPED {HOSTILE}. Its share of the error rate is not spent.")
    assert "✗ CONTRADICTED EXPLORATORY one: in 2 of 2 seeds" in bottleneck
    assert overlap.endswith("✓ SUPPORTED one: 1.05 u, supported above 0; needs no runs not judged")
    assert hole == f"hole s not judged ! ERROR {HOSTILE}"
    assert re.findall(r'<th scope="col">(?:<a[^>]*>)?(.*?)(?:</a>)?</th>', html)[:3] == [
        "Claim", "the paper&#39;s UNet (built in)", "it&#39;s.py:subject, k=$(id)"
    ]  # fmt: skip
    built_in, foreign = rows_of(html, "Column")
    assert "2 of 3 judged smoke 2 to 5" in built_in
    assert f"A generator. {HOSTILE}. Its roles: layer4 is" in foreign
    assert "0 of 1 judged" in foreign


def test_text_of_others_steers_neither_page_nor_markdown(tmp_path):
    steering, link = "\x1b[2J\u202e", "![x](http://evil/x.png)|"
    hostile = claim_of(f"a{steering}{link}", parts=[part_of(link + steering)], reason=steering)
    report = report_of(hostile, subject=replace(SUBJECT, name=f"{link}:{steering}", description=HOSTILE))
    assert run(save(tmp_path, report), "--to", tmp_path / "m.html") == 0
    html, markdown = ((tmp_path / f"m.{suffix}").read_text() for suffix in ("html", "md"))
    for text in (html, markdown):
        assert not {"\x1b", "\u202e"} & set(text)
        assert not re.search("<script|<img", text)
    assert r"\x1b[2J\u202e" in html
    assert r"!\[x\](http" in markdown
    assert link not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {3}
    assert "default-src 'none'" in html


def test_verdicts_lead_to_the_claim_in_the_page_of_their_report(tmp_path):
    """Wherever the page lies, whatever its name, and only where there is a page."""
    odd = save(tmp_path / os.fsdecode(b"caf\xe9 100% #1?"), report_of(claim_of("a#b c")))
    no_page = save(tmp_path / "no page", FOREIGN, has_page=False)
    to = tmp_path / "deep" / "er" / "m.html"
    assert run(odd, no_page, "--to", to) == 0
    links = set(re.findall(r'href="([^"]+)"', to.read_text())) - {"data:,"}
    page, claim = sorted(links)
    assert claim == f"{page}#a%23b%20c"
    assert page.isascii()
    assert os.path.samefile(os.fsencode(to.parent) + b"/" + unquote_to_bytes(page), odd)
    assert {cell.link for row in of(to).rows for cell in row.cells} == {claim, ""}


def of(page):
    return msgspec.json.decode(page.with_suffix(".json").read_bytes(), type=matrix.Matrix)


def test_its_json_holds_what_the_page_shows_and_every_field_is_described(page):
    read = of(page)
    assert [row.claim for row in read.rows] == ["phases", "bottleneck", "overlap", "hole"]
    assert [cell.verdict for row in read.rows for cell in row.cells] == [
        "SUPPORTED", "INCONCLUSIVE", "CONTRADICTED", "SKIPPED", "SUPPORTED", None, None, "ERROR"
    ]  # fmt: skip
    assert (read.rows[0].cells[0].part, read.rows[0].cells[1].withdrawn) == (ORDER, "SUPPORTED")
    assert [column.subject for column in read.columns] == [None, SUBJECT]
    schema = msgspec.json.schema(matrix.Matrix)
    jsonschema.Draft202012Validator(schema).validate(json.loads(page.with_suffix(".json").read_text()))
    for kind in ("Matrix", "Column", "Row", "Cell"):
        assert all("description" in form for form in schema["$defs"][kind]["properties"].values()), kind


def test_reports_of_one_subject_are_told_apart_by_profile_then_time_then_place():
    other = replace(SUBJECT, arguments={})
    reports = [
        report_of(written="monday"),
        report_of(written="monday", subject=SUBJECT),
        report_of(written="monday", subject=other),
        report_of(written="monday", subject=other, profile="quick"),
        report_of(written="tuesday", subject=other, profile="quick"),
        report_of(written="tuesday", subject=other, profile="quick"),
    ]
    name = "it's.py:subject"
    assert matrix.headings(reports) == [
        "the paper's UNet (built in)",
        f"{name}, k=$(id)",
        f"{name}, profile smoke",
        f"{name}, profile quick, written monday",
        f"{name}, profile quick, written tuesday, report 5",
        f"{name}, profile quick, written tuesday, report 6",
    ]


def test_what_differs_between_columns_is_a_warning(tmp_path):
    other = replace(FOREIGN, profile="quick", looks=Looks(3, 8, 180.0), code="")
    same, different = (save(tmp_path / name, body) for name, body in {"a": FOREIGN, "b": other}.items())
    built_in = save(tmp_path / "c", BUILT_IN)
    assert run(built_in, same, "--to", tmp_path / "m.html") == 0
    text = shown((tmp_path / "m.html").read_text())
    assert "Profiles of all columns: smoke. Seeds of all columns: 2 to 5. Code versions of all columns: 0.1.0" in text
    assert "Warning" not in text
    assert "A column without EXPLORATORY verdicts has any claim falsely SUPPORTED with probability at most 0.05" in text
    assert run(built_in, different, "--to", tmp_path / "m.html") == 0, "an earlier matrix is replaced"
    for suffix in ("html", "md"):
        text = (tmp_path / f"m.{suffix}").read_text()
        for words in ("smoke; quick. ", "2 to 5; 3 to 8. ", "0.1.0 (abc1234+); not recorded. "):
            assert words in text, suffix
        assert text.count("Warning") == 3, suffix


def test_the_error_rate_of_many_columns_is_no_more_than_one():
    registered = report_of(PHASES, OVERLAP)
    many = matrix.of_reports([registered] * 30, [""] * 30)
    assert "the whole matrix has one with probability at most 1." in matrix.error_rate(many)
    assert "whole" not in matrix.error_rate(matrix.of_reports([registered], [""]))


def test_no_error_rate_stands_beside_exploratory_columns():
    registered = report_of(PHASES, family_alpha=0.01)
    some = matrix.error_rate(matrix.of_reports([BUILT_IN, registered, registered], [""] * 3))
    assert "0.05" not in some
    for words in ("A column without EXPLORATORY", "at most 0.01,", "at most 0.02."):
        assert words in some
    assert "whole" not in some
    assert matrix.error_rate(matrix.of_reports([BUILT_IN], [""])) == ""


def test_one_report_is_enough_and_the_page_lies_in_the_working_folder(paths, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(paths[0].with_suffix(".json")) == 0
    assert capsys.readouterr().out == "matrix.html: 3 claims, 1 report\n"
    assert {path.name for path in tmp_path.glob("matrix.*")} == {"matrix.html", "matrix.json", "matrix.md"}


def test_what_a_user_gets_wrong_is_one_line_and_nothing_is_written(paths, tmp_path, capsys):
    good, other = paths
    empty = save(tmp_path / "empty", report_of())
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(good.with_suffix(".json"))
    for name in ("notes.md", "old.html"):
        (tmp_path / name).write_text("mine")
    to = tmp_path / "m.html"
    cases = [
        ([good, good, "--to", to], "this report is named twice: name each once"),
        ([good, good.with_suffix(".json"), "--to", to], "named twice"),
        ([good, tmp_path / "built in" / ".." / "built in" / "claims.html", "--to", to], "named twice"),
        ([good, tmp_path / "none.html", "--to", to], "none.json: cannot be read"),
        ([good, tmp_path / "link.html", "--to", to], "symbolic link"),
        ([good, tmp_path / "bad.html", "--to", to], "is no report of bumplab"),
        ([good, tmp_path, "--to", to], "is no report|cannot be read|is a folder"),
        ([good, empty, "--to", to], "holds no claims"),
        ([good, other, "--to", good], "no matrix: give another with --to FILE.html"),
        ([good, other, "--to", tmp_path / "notes.html"], "no matrix"),
        ([good, other, "--to", tmp_path / "old.html"], "no matrix"),
        ([good, other, "--to", tmp_path / "m.json"], "must end in .html"),
        ([good, other, "--to", ""], "must end in .html"),
    ]
    before = contents(tmp_path)
    for arguments, words in cases:
        assert run(*arguments) == 2, words
        error = capsys.readouterr().err
        assert re.search(words, error), error
        assert error.count("\n") == 1, error
        assert contents(tmp_path) == before, words
    assert command.main(["report", "--schema", "--to", "m.html"]) == 2
    assert "--to m.html: only --matrix takes it" in capsys.readouterr().err


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_through_no_link(paths, tmp_path):
    """Its own files of a folder that someone handed over can be links to others."""
    to, precious = tmp_path / "m.html", tmp_path / "precious"
    assert run(paths[0], "--to", to) == 0
    precious.write_text("x")
    for suffix in (".html", ".md"):
        to.with_suffix(suffix).unlink()
        to.with_suffix(suffix).symlink_to(precious)
    assert run(paths[0], "--to", to) == 0
    assert precious.read_text() == "x"
    assert not to.is_symlink()


def test_many_claims_and_subjects_stay_small(tmp_path):
    claims = [replace(PHASES, claim=f"claim{number}") for number in range(9)]
    reports = []
    for number in range(6):
        report = report_of(*claims, subject=SubjectEntry(name=f"subject{number}.py:s", roles=SUBJECT.roles))
        reports.append(save(tmp_path / str(number), report))
    assert run(*reports, "--to", tmp_path / "m.html") == 0
    assert 8_000 < (tmp_path / "m.html").stat().st_size < 100_000
