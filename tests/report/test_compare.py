"""What moved between two reports, and the page over many."""

import json
import os
import re
import subprocess
import sys
import tracemalloc
from functools import partial
from html import unescape
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from msgspec.structs import replace

from bumplab import __main__ as command
from bumplab.report import compare, document
from bumplab.report.document import SCHEMA
from bumplab.report.rendering import environment
from tests.folders import nested
from tests.report import planted
from tests.report.planted import claim_of, report_of

HUGE = ("NaN", "Infinity", "-Infinity", "1e999", "1" + 400 * "0", "1" + 5_000 * "0")
HOSTILE = "</script><script>window.hacked = 1</script>"


def part(name="rate", verdict="SUPPORTED", **changes):
    return planted.part_of(name, verdict, **{"seeds": planted.seeds_of(1.0, -1.0)} | changes)


COUNTED = "1 of 2 seeds, mean {} u, 95 % t interval 0.5 to 1.5"


def report(*parts, verdict="SUPPORTED", claim="density", **fields):
    return report_of(claim_of(claim, verdict, parts=list(parts)), **{"written": "2026-01-01", "code": HOSTILE} | fields)


def save(folder, name, body):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_bytes(document.encode(body))
    return folder / f"{name}.html"


def lines_of(capsys):
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_part_has_moved_when_its_verdict_is_another_or_its_mean_outside_the_old_interval():
    changes = [
        ({}, False),
        ({"estimate": 1.49}, False),
        ({"estimate": 1.51}, True),
        ({"estimate": 0.49}, True),
        ({"estimate": None}, True),
        ({"verdict": "INCONCLUSIVE"}, True),
        ({"low": -9.0, "high": 9.0}, False),
    ]
    for change, moved in changes:
        of_claim, of_part = compare.differences(report(part()), report(part(**change)))
        assert (of_claim.moved, of_part.moved) == (False, moved), change
    open_limits = report(part(low=None, high=None))
    assert not list(compare.differences(open_limits, report(part(estimate=1e6))))[1].moved
    undefined = report(part(estimate=None))
    assert [change.moved for change in compare.differences(undefined, report(part()))] == [False, True]
    assert [change.moved for change in compare.differences(undefined, undefined)] == [False, False]


def test_what_was_stopped_for_lack_of_time_has_not_moved():
    """A claim that is open after five seeds, and one whose first look lacks runs."""
    before = report(part())
    stopped = claim_of("density", "INCONCLUSIVE", parts=[part(verdict="INCONCLUSIVE", stopped=True)])
    untried = replace(planted.SKIPPED, claim="density")
    for entry in (stopped, untried):
        for is_stopped in (True, False):
            after = report_of(replace(entry, stopped=is_stopped))
            claim, _ = changes = list(compare.differences(before, after))
            assert claim.moved is not is_stopped
            if is_stopped:
                assert not any(change.moved for change in changes), entry.verdict


def test_claims_and_parts_that_come_and_go_have_moved():
    old, new = report(part("a")), report(part("b"), part("shown", judges=False), claim="hole")
    changes = list(compare.differences(old, new))
    assert [(d.claim, d.part, d.old is None, d.new is None) for d in changes] == [
        ("density", "", False, True), ("density", "a", False, True),
        ("hole", "", True, False), ("hole", "b", True, False),
    ], "in the order of the paper; what is only shown is not compared"  # fmt: skip
    assert all(change.moved for change in changes)


def test_the_command_prints_both_and_marks_what_moved(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "220")
    old = save(tmp_path, "old", report(part(), part("same"), written="[/x]"))  # no markup of the terminal's library
    moved = report(part(verdict="CONTRADICTED", estimate=-1.0), part("same"), verdict="CONTRADICTED", profile="quick")
    assert command.main(["report", "--compare", str(old), str(save(tmp_path, "new", moved))]) == 0
    lines = lines_of(capsys)
    assert "density SUPPORTED CONTRADICTED moved" in lines
    assert f"rate SUPPORTED {COUNTED.format(1)} CONTRADICTED {COUNTED.format(-1)} moved" in lines
    assert f"same SUPPORTED {COUNTED.format(1)} SUPPORTED {COUNTED.format(1)}" in lines
    assert "smoke and quick" in lines[0], "verdicts of two profiles may differ"
    other = save(tmp_path, "other", report(part(), claim="hole"))
    assert command.main(["report", "--compare", str(old), str(other)]) == 0
    lines = lines_of(capsys)
    assert "density SUPPORTED absent" in lines, "as in the report of a single claim beside that of all"
    assert sum("moved" in line for line in lines) == 1, "the head of the column"


def test_reports_of_two_subjects_say_so(tmp_path, capsys):
    built_in = save(tmp_path, "built-in", report(part()))
    foreign = save(tmp_path, "foreign", report(part(), subject=planted.SUBJECT))
    assert command.main(["report", "--compare", str(built_in), str(foreign)]) == 0
    assert "subjects differ: the paper's UNet (built in) and it's.py:subject, k=$(id);" in " ".join(lines_of(capsys))
    assert command.main(["report", "--compare", str(foreign), str(foreign)]) == 0
    assert "differ" not in capsys.readouterr().out


def test_a_report_of_skipped_claims_and_errors_holds_no_verdict(tmp_path):
    for claims, holds in (((planted.SKIPPED, planted.ERROR), False), ((planted.SKIPPED, claim_of("density")), True)):
        assert compare.holds_verdicts(save(tmp_path, "claims", report_of(*claims))) is holds


def test_a_folder_without_a_name_is_not_this_one(capsys):
    for option in ("report --history", "runs --runs-dir"):
        with pytest.raises(SystemExit, match="2"):
            command.main([*option.split(), ""])
        assert "must name a folder" in capsys.readouterr().err, option


REASON = planted.part_of().reason


def no_reports():
    """Texts of no report, each with a word of its message."""
    text = document.encode(report(part())).decode()
    body = json.loads(text)
    yield from (
        ("{", "truncated"),
        ("[]", "object"),
        (f'{{"schema": {SCHEMA}}}', "profile"),
        ("[" * 100_000, "is no report"),
    )
    yield (
        text.replace(f'"schema": {SCHEMA}', '"schema": 6'),
        "bad.json: is a report of schema 6",
    )
    yield text.replace('"purpose": "test"', f'"purpose": {"[" * 100_000}'), "is no report"
    yield text.replace(f'"reason": "{REASON}"', '"reason": "\\ud800 is half a pair"'), "is no report"
    yield text.replace(f'"reason": "{REASON}"', '"reason": "\xe9"').encode("latin-1"), "utf-8"
    for number in HUGE:
        yield text.replace('"estimate": 1.0', f'"estimate": {number}'), "is no report"
    for wrong in ({"low": "a"}, {"verdict": "MAYBE" * 100}, {"judges": None}, {"name": ["x"]}, {"seeds": 3}, 1):
        planted_part = {**body["claims"][0]["parts"][0], **wrong} if isinstance(wrong, dict) else wrong
        yield json.dumps({**body, "claims": [{**body["claims"][0], "parts": [planted_part]}]}), "claims[0].parts[0]"


def test_what_is_no_report_is_one_line_and_exit_code_2(tmp_path, capsys):
    path = tmp_path / "bad.json"
    for text, words in no_reports():
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert command.main(["report", "--compare", str(tmp_path / "bad.html"), str(path)]) == 2, text[:60]
        error = capsys.readouterr().err
        assert words in error
        assert (error.count("\n"), len(error) < 400) == (1, True), error[:500]


def test_a_missing_report_and_an_empty_folder_say_what_to_give(tmp_path, capsys):
    assert command.main(["report", "--compare", "none.html", "none.html"]) == 2
    assert "give a report's .html or .json" in capsys.readouterr().err
    assert command.main(["report", "--history", str(tmp_path)]) == 2
    assert "holds no report" in capsys.readouterr().err


PLANTED = {
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("good.json"),
    "folder": Path.mkdir,
    "large": lambda path: (path.touch(), os.truncate(path, compare.MOST_BYTES + 1)),
    "nan": lambda path: path.write_text('{"schema": 3, "elapsed": NaN}'),
}


def test_what_is_no_file_of_ours_is_not_waited_for_and_named(tmp_path, capsys, monkeypatch):
    save(tmp_path, "good", report(part()))
    for name, plant in PLANTED.items():
        plant(tmp_path / f"{name}.json")
    history = [sys.executable, "-m", "bumplab", "report", "--history", "."]
    run = partial(subprocess.run, history, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    listed = run()  # in a process of its own, which may be stopped where it waits for the pipe
    assert (listed.returncode, listed.stdout) == (0, "index.html: 1 report\n"), listed.stderr
    problems = listed.stderr.splitlines()
    assert [problem.split(".json: ")[0] for problem in problems] == [f"passed over: {name}" for name in sorted(PLANTED)]
    monkeypatch.chdir(tmp_path)
    for name, problem in zip(sorted(PLANTED), problems, strict=True):
        assert command.main(["report", "--compare", "good.json", f"{name}.html"]) == 2
        assert capsys.readouterr().err == problem.replace("passed over", "python -m bumplab") + "\n"
    (tmp_path / "good.json").unlink()
    assert command.main(["report", "--history", "."]) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert last == "python -m bumplab: .: holds no report of bumplab"


def test_the_history_has_every_report_and_says_what_moved_within_the_newest_profile(tmp_path, capsys):
    monday, tuesday = report(part()), report(part(estimate=7.0, verdict="INCONCLUSIVE"), written="2026-01-02")
    save(tmp_path / "monday", "claims", monday)
    save(tmp_path / "tuesday", "claims", tuesday)
    save(tmp_path, "other", report(part(), written="2026-01-01T12", profile="quick", claim="hole"))
    (tmp_path / "settings.json").write_text('{"not": "a report"}')
    assert command.main(["report", "--history", str(tmp_path)]) == 0
    html = (tmp_path / "index.html").read_text()
    assert re.findall(r'href="([^"]+\.html)"', html) == ["tuesday/claims.html", "other.html", "monday/claims.html"]
    assert HOSTILE not in html
    assert HOSTILE in unescape(html)
    assert html.index('"col">density<') < html.index('"col">hole<'), "in the order of the newest"
    moved = " ".join(re.sub("<[^>]*>", " ", html.partition("What moved last")[2]).split())
    assert "2026-01-01 against 2026-01-02" in moved
    assert f"density rate SUPPORTED {COUNTED.format(1)} INCONCLUSIVE {COUNTED.format(7)}" in moved


def test_the_history_links_to_a_report_whatever_its_name(tmp_path):
    """Also one that is no UTF-8, or means something in an address."""
    folder = tmp_path / os.fsdecode(b"caf\xe9 100% #1?")
    save(folder, "claims", report(part()))
    assert command.main(["report", "--history", str(tmp_path)]) == 0
    (link,) = re.findall(r'href="([^"]+\.html)"', (tmp_path / "index.html").read_text())
    assert os.fsencode(folder / "claims.html") == os.fsencode(tmp_path) + b"/" + unquote_to_bytes(link)
    assert link.isascii()
    assert not {"?", "#"} & set(link)


def test_a_history_holds_little_of_each_report(tmp_path):
    (tmp_path / "full.json").write_bytes(document.encode(planted.REPORT))
    (listed,) = compare.reports_in(tmp_path, pytest.fail)
    for claim, full in zip(listed.report.claims, planted.REPORT.claims, strict=True):
        assert (claim.claim, claim.verdict, claim.unchecked) == (full.claim, full.verdict, full.unchecked)
        assert (claim.controls, claim.variations, claim.conditions) == ([], [], {})
        assert [compare.effect(part) for part in claim.parts] == [compare.effect(part) for part in full.parts]


@pytest.mark.slow
def test_a_history_keeps_of_a_report_what_it_shows(tmp_path):
    """All of one may take gigabytes, and there may be hundreds."""
    many = planted.control_of("control", "CONTRADICTED", parts=[part()])
    large = report(part(seeds=planted.seeds_of(*[1.0] * 200_000)))
    run = document.RunEntry("run", {}, [{"step": 1.0} for _ in range(200_000)], {}, {}, None)
    claim = replace(large.claims[0], controls=[many] * 2_000)
    for number in range(3):
        save(tmp_path, f"large{number}", replace(large, claims=[claim], runs={"0" * 20: run}))
    tracemalloc.start()
    try:
        listed = compare.reports_in(tmp_path, lambda error: None)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
    assert len(listed) == 3
    assert "SUPPORTED" in compare.history_page(listed)


def test_a_history_of_folders_too_deep_is_one_line(tmp_path, capsys):
    with nested(tmp_path / "deep"):
        assert command.main(["report", "--history", str(tmp_path)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_text_of_others_steers_neither_history_nor_markdown():
    steering, link = "\x1b[2J\u202e", "![x](http://evil/x.png)"
    (listed,) = [compare.ListedReport("a.html", report(part(), claim=f"a{steering}", written=steering))]
    page = compare.history_page([listed])
    assert not [
        character for character in steering if character != "[" and not character.isalnum() and character in page
    ]
    assert r"\x1b[2J\u202e" in page
    markdown = environment().get_template("summary.md.j2").render(report=report(part(link), claim=steering))
    assert link not in markdown
    assert r"!\[x\](http" in markdown
    assert "\x1b" not in markdown


def test_a_history_compares_a_report_with_the_last_one_of_its_subject():
    subjects = (planted.SUBJECT, None, replace(planted.SUBJECT, arguments={}), planted.SUBJECT)
    for end, words in ((4, "is that of day 3"), (3, "no earlier report")):
        listed = [
            compare.ListedReport(f"{day}.html", report(part(), written=f"day {day}", subject=subject))
            for day, subject in enumerate(subjects[:end])
        ]
        assert words in " ".join(compare.history_page(listed).split()), "the newest is of day 0"


def test_a_history_marks_exploratory_verdicts():
    explored = report_of(claim_of("phases", exploratory=True), claim_of("density"))
    page = compare.history_page([compare.ListedReport("x.html", explored)])
    assert page.partition("<tbody>")[2].partition("</tbody>")[0].count("EXPLORATORY") == 1
    assert "1 report," in page


def test_a_history_in_which_nothing_moved_says_so():
    same = [compare.ListedReport(f"{day}.html", report(part(), written=f"day {day}")) for day in (2, 1)]
    assert "Nothing. " in compare.history_page(same)
    assert "no earlier report" in compare.history_page(same[:1])
