"""What moved between two reports, and the page over many."""

import copy
import json
import math
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

from bumplab import __main__ as command
from bumplab.report import compare
from tests.folders import nested

HUGE = ("NaN", "Infinity", "-Infinity", "1e999", "1" + 400 * "0", "1" + 5_000 * "0")
HOSTILE = "</script><script>window.hacked = 1</script>"


def part(name="rate", verdict="SUPPORTED", estimate=1.0, low=0.5, high=1.5, judges=True):
    return {
        "name": name, "verdict": verdict, "estimate": estimate, "low": low, "high": high, "effects": [[1.0, 1.0]] * 2,
        "judges": judges, "reason": "r", "unit": "u",
    }  # fmt: skip


def report(*parts, verdict="SUPPORTED", written="2026-01-01", profile="quick", claim="density"):
    claims = [{"claim": claim, "verdict": verdict, "reason": HOSTILE, "parts": list(parts)}]
    return {"schema": 3, "profile": profile, "written": written, "code": HOSTILE, "claims": claims}


def save(folder, name, body):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(body))
    return folder / f"{name}.html"


@pytest.mark.parametrize(
    ("after", "moved"),
    [
        ({}, False),
        ({"estimate": 1.49}, False),
        ({"estimate": 1.51}, True),
        ({"estimate": 0.49}, True),
        ({"estimate": None}, True),
        ({"verdict": "INCONCLUSIVE"}, True),
        ({"low": -9.0, "high": 9.0}, False),
    ],
)
def test_a_part_has_moved_when_its_verdict_is_another_or_its_estimate_outside_the_old_limits(after, moved):
    claim, found = compare.differences(report(part()), report(part(**after)))
    assert (claim.moved, found.moved) == (False, moved)


def test_open_limits_bound_nothing():
    old = part(estimate=1.0, low=None, high=None)
    assert not list(compare.differences(report(old), report(part(estimate=1e6))))[1].moved


def test_claims_and_parts_that_come_and_go_have_moved():
    found = list(compare.differences(report(part("a")), report(part("b"), claim="hole")))
    assert [(d.claim, d.part, d.old is None, d.new is None) for d in found] == [
        ("density", "", False, True), ("density", "a", False, True),
        ("hole", "", True, False), ("hole", "b", True, False),
    ]  # fmt: skip
    assert all(d.moved for d in found)


def test_parts_that_are_only_shown_are_not_compared():
    assert len(list(compare.differences(report(part(judges=False)), report(part(judges=False))))) == 1


def test_the_command_prints_both_and_marks_what_moved(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    old = save(tmp_path, "old", report(part(), part("same"), written="[/x]"))  # no markup of the terminal's library
    new = save(
        tmp_path, "new", report(part(verdict="CONTRADICTED", estimate=-1.0), part("same"), verdict="CONTRADICTED")
    )
    assert command.main(["report", "--compare", str(old), str(new)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "density SUPPORTED CONTRADICTED moved" in lines
    assert "rate SUPPORTED 1 (0.5 to 1.5) CONTRADICTED -1 (0.5 to 1.5) moved" in lines
    assert "same SUPPORTED 1 (0.5 to 1.5) SUPPORTED 1 (0.5 to 1.5)" in lines


def test_a_claim_that_one_report_is_not_about_is_absent_and_has_not_moved(tmp_path, capsys, monkeypatch):
    """As in the report of a single claim beside that of all."""
    monkeypatch.setenv("COLUMNS", "160")
    old, new = (save(tmp_path, name, report(part(), claim=name)) for name in ("density", "hole"))
    assert command.main(["report", "--compare", str(old), str(new)]) == 0
    said = capsys.readouterr().out
    assert "density SUPPORTED absent" in [" ".join(line.split()) for line in said.splitlines()]
    assert said.count("moved") == 1, "the head of the column"


@pytest.mark.parametrize("option", ["report --history", "runs --runs-dir"])
def test_a_folder_without_a_name_is_not_this_one(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main([*option.split(), ""])
    assert "must name a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no report"),
        ("[]", "is no report"),
        ('{"schema": 3}', "is no report"),
        ('{"schema": 99, "claims": [], "profile": "p", "written": "w"}', "schema 99: must be one of 2, 3"),
        ('{"schema": 3, "profile": "p", "written": "w", "claims": [{"claim": "c", "parts": [1]}]}', "is no report"),
        ("[" * 100_000, "is no report"),
        *(
            (json.dumps(report({**part(), **wrong})), "is no report")
            for wrong in ({"low": "a"}, {"verdict": "MAYBE"}, {"judges": None}, {"name": ["x"]}, {"effects": 3})
        ),
        *((json.dumps(report(part())).replace("1.0", number), f"{number:.20} is no finite number") for number in HUGE),
        (json.dumps(report(part("\ud800"))), "is no report"),
        *(
            (json.dumps(body | {"claims": [body["claims"][0] | {"estimate": given}]}), "a claim in the form of a part")
            for body in [report(part())]
            for given in (1, None, "x")
        ),
    ],
)
def test_what_is_no_report_is_one_line_and_exit_code_2(tmp_path, capsys, text, said):
    (tmp_path / "bad.json").write_text(text)
    assert command.main(["report", "--compare", str(tmp_path / "bad.html"), str(tmp_path / "bad.json")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_missing_report_and_an_empty_folder_say_what_to_give(tmp_path, capsys):
    assert command.main(["report", "--compare", "none.html", "none.html"]) == 2
    assert "give a report's .html or .json" in capsys.readouterr().err
    assert command.main(["report", "--history", str(tmp_path)]) == 2
    assert "holds no report" in capsys.readouterr().err


PLANTED = {
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to("good.json"),
    "a folder": Path.mkdir,
    "a large file": lambda path: (path.touch(), os.truncate(path, compare.LARGEST + 1)),
    "no number": lambda path: path.write_text(json.dumps(report(part(estimate=math.nan)))),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_is_no_file_of_ours_is_not_waited_for_and_named(tmp_path, plant):
    save(tmp_path, "good", report(part()))
    plant(tmp_path / "bad.json")
    ask = [sys.executable, "-m", "bumplab", "report"]
    run = partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    compared = run([*ask, "--compare", "good.json", "bad.html"])
    assert (compared.returncode, compared.stderr.count("\n")) == (2, 1)
    assert compared.stderr.startswith("python -m bumplab: bad.json: ")
    listed = run([*ask, "--history", "."])
    assert (listed.returncode, listed.stdout) == (0, "index.html: 1 reports\n")
    assert listed.stderr == compared.stderr.replace("python -m bumplab", "passed over")
    (tmp_path / "good.json").unlink()
    alone = run([*ask, "--history", "."])
    assert alone.returncode == 2
    assert "bad.json: " in alone.stderr.splitlines()[0]
    assert alone.stderr.splitlines()[1] == "python -m bumplab: .: holds no report of bumplab"


def test_the_history_has_every_report_and_says_what_moved_within_the_newest_profile(tmp_path, capsys):
    save(tmp_path / "monday", "claims", report(part(), written="2026-01-01"))
    save(tmp_path / "tuesday", "claims", report(part(estimate=7.0, verdict="INCONCLUSIVE"), written="2026-01-02"))
    save(tmp_path, "other", report(part(), written="2026-01-01T12", profile="smoke"))
    (tmp_path / "settings.json").write_text('{"not": "a report"}')
    assert command.main(["report", "--history", str(tmp_path)]) == 0
    html = (tmp_path / "index.html").read_text()
    assert re.findall(r'href="([^"]+\.html)"', html) == ["tuesday/claims.html", "other.html", "monday/claims.html"]
    assert HOSTILE not in html
    assert HOSTILE in unescape(html)
    moved = " ".join(re.sub("<[^>]*>", " ", html.partition("What moved last")[2]).split())
    assert "2026-01-01 against 2026-01-02" in moved
    assert "density rate SUPPORTED 1 (0.5 to 1.5) INCONCLUSIVE 7 (0.5 to 1.5)" in moved


def test_the_history_links_to_a_report_whatever_its_name(tmp_path):
    """Also one that is no UTF-8, or means something in an address."""
    folder = tmp_path / os.fsdecode(b"caf\xe9 100% #1?")
    save(folder, "claims", report(part()))
    assert command.main(["report", "--history", str(tmp_path)]) == 0
    (link,) = re.findall(r'href="([^"]+\.html)"', (tmp_path / "index.html").read_text())
    assert os.fsencode(folder / "claims.html") == os.fsencode(tmp_path) + b"/" + unquote_to_bytes(link)
    assert link.isascii()
    assert not {"?", "#"} & set(link)


@pytest.mark.slow
def test_a_history_keeps_of_a_report_what_it_shows(tmp_path):
    """All of one may take gigabytes, and there may be hundreds."""
    for number in range(3):
        body = report(part()) | {"runs": [[] for _ in range(200_000)]}
        body["claims"][0]["controls"] = [[] for _ in range(200_000)]
        body["claims"][0]["parts"][0]["effects"] = [[1.0, 1.0] for _ in range(200_000)]
        save(tmp_path, f"large{number}", body)
    tracemalloc.start()
    try:
        found = compare.reports_in(tmp_path, lambda error: None)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
    assert len(found) == 3
    assert "SUPPORTED" in compare.history_page(found)


def test_a_history_of_folders_too_deep_is_one_line(tmp_path, capsys):
    with nested(tmp_path / "deep"):
        assert command.main(["report", "--history", str(tmp_path)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_history_in_which_nothing_moved_says_so():
    same = [{**copy.deepcopy(report(part(), written=str(day))), "link": f"{day}.html"} for day in (2, 1)]
    assert "Nothing: since 1 every verdict" in compare.history_page(same)
    assert "no earlier report" in compare.history_page(same[:1])
