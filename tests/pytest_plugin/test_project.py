"""The same session however the project is reached, whatever becomes of the terminal, and whoever else plugs in."""

import json
import os
import pty
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from bumplab.report.compare import holds_verdicts
from bumplab.verdicts.suite import OURS, ids
from tests.pytest_plugin.test_listing import pytest_here

CLAIMS = ids(OURS)


def run(suite, *arguments, cwd=None, stdout=subprocess.PIPE, **environment):
    """The suite's session as a user starts it elsewhere: its options are all given here."""
    command = [sys.executable, "-m", "pytest", "--profile", "smoke", "--seeds", "2", "--max-seeds", "3", *arguments]
    return subprocess.run(
        [*map(str, command)], cwd=cwd or suite.folder, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
        env=suite.environment() | environment, timeout=120,
    )  # fmt: skip


def test_the_report_lies_in_the_project_however_it_is_reached(suite, tmp_path):
    (link := tmp_path / "link").symlink_to(suite.folder)
    (tmp_path / "other.ini").write_text("[pytest]\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    report = suite.folder / "reports" / "claims-smoke-subset.html"
    ways = [
        ((link / "claims", "-k", "hole"), tmp_path),
        (("--rootdir", "/", suite.folder / "claims", "-k", "hole"), elsewhere),
        (("-c", tmp_path / "other.ini", link / "claims", "-n", "2", "-k", "hole"), elsewhere),
    ]
    for arguments, cwd in ways:
        done = run(suite, *arguments, cwd=cwd)
        assert f"report: {report} " in done.stdout, (arguments, done.stdout + done.stderr)
        report.unlink()
    assert len(suite.trained()) == 3, "all found the same runs"
    assert list(elsewhere.iterdir()) == []


def test_a_path_in_an_option_begins_at_the_working_folder_or_at_home(suite, tmp_path):
    (home := tmp_path / "home").mkdir()
    place = ("--report", "mine.html", "--runs-dir=~/runs", "--figures", home / "figures")
    done = run(suite, suite.folder / "claims", "-k", "hole", *place, cwd=tmp_path, HOME=str(home))
    assert (tmp_path / "mine.html").is_file(), done.stdout + done.stderr
    assert {path.name for path in home.iterdir() if not path.name.startswith(".")} == {"runs", "figures"}
    assert (
        "--report ~nobody-of-this-name/a.html: "
        in run(suite, "claims", "--report", "~nobody-of-this-name/a.html").stderr
    )


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def closed_terminal():
    ours, theirs = pty.openpty()
    os.close(ours)
    return theirs


def full_disk():
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize(("terminal", "workers"), [(closed_pipe, ()), (closed_terminal, ("-n", "2")), (full_disk, ())])
def test_a_terminal_that_has_gone_costs_neither_verdict_nor_report(suite, terminal, workers):
    stdout = terminal()
    done = run(suite, "claims", "-k", "hole or overlap", "--report", "report.html", *workers, stdout=stdout)
    os.close(stdout)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert {claim: entry["verdict"] for claim, entry in suite.entries().items()} == {
        "hole": "SUPPORTED",
        "overlap": "SUPPORTED",
    }


def test_a_session_whose_output_was_closed_before_it_began(suite):
    shell = 'exec "$@" >&-'
    arguments = [*suite.command("-k", "overlap"), "-p", "bumplab.pytest_plugin.streams"]
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *arguments], cwd=suite.folder, stderr=subprocess.PIPE, text=True, check=False,
        env=suite.environment(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert suite.entries()["overlap"]["verdict"] == "SUPPORTED"


def test_a_terminal_of_ascii_shows_tables_of_ascii(suite):
    """While runs train, too: the display's bars and names are drawn with what there is."""
    ascii_alone = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = run(suite, "claims", "-k", "hole", "--report", "report.html", SECONDS="2", **ascii_alone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hole |SUPPORTED|" in done.stdout
    assert "\\u" not in done.stdout


def test_the_display_outlives_a_terminal_that_closes_while_runs_train(suite):
    """The session's own terminal: who leads a session is told by a signal when it closes."""
    ours, theirs = pty.openpty()
    command = [*suite.command("-k", "hole")]
    session = subprocess.Popen(
        command, cwd=suite.folder, stdout=theirs, stderr=theirs, env=suite.environment(seconds=1.5) | {"TERM": "xterm"},
        start_new_session=True, preexec_fn=lambda: os.close(os.open(os.ttyname(1), os.O_RDWR)),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"0/12 steps" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    assert session.wait(timeout=120) == 0
    assert suite.entries()["hole"]["verdict"] == "SUPPORTED"


def test_warnings_as_errors_change_no_verdict(suite):
    suite.run("-k", "hole")
    (rows,) = (suite.folder / ".runs" / "results").glob(f"{suite.key('hole', 10)}/rows.json")
    rows.write_text("{")
    done = suite.run("-k", "hole", "-W", "error", "-n", "2")
    assert done.returncode == 0, done.stdout
    assert "does not match its checksum; moved to" in done.stdout
    assert suite.entries()["hole"]["verdict"] == "SUPPORTED"


CONFLICTS = """
def pytest_addoption(parser):
    parser.getgroup("another").addoption("--{0}", action="store_true", help="of another plugin")
"""


def test_another_plugins_option_of_the_same_name_is_one_line_that_names_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("profile", "report", "gpu", "seeds", "accept"):
        (tmp_path / f"another_{name}.py").write_text(CONFLICTS.format(name))
        status, printed = pytest_here("-p", f"another_{name}", "--collect-only")
        assert status == pytest.ExitCode.USAGE_ERROR
        (line,) = printed.strip().splitlines()
        assert line.startswith(f"ERROR: --{name}: is also an option of the plugin another_{name}: ")
        assert f"-p no:another_{name}" in line


def test_another_plugins_value_of_the_same_name_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    options = "".join(f'    add("--its-{name}", dest="{name}", default=7)\n' for name in ("profile", "seeds", "report"))
    (tmp_path / "quiet.py").write_text(f"def pytest_addoption(parser):\n    add = parser.addoption\n{options}")
    status, printed = pytest_here("-p", "quiet", "--collect-only", "-q", "--profile", "smoke")
    assert status == 0, printed


def test_junit_holds_names_times_and_reasons_alone(suite):
    suite.run("-k", "hole or density", "--junit-xml", "junit.xml", "-n", "2")
    root = ElementTree.parse(suite.folder / "junit.xml").getroot()
    assert {element.tag for element in root.iter()} == {"testsuites", "testsuite", "testcase", "skipped"}
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert set(cases) == {"test_hole", "test_density"}
    assert cases["test_density"].find("skipped").get("message") == "CONTRADICTED, as accepted: planted"
    assert (suite.folder / "junit.xml").stat().st_size < 2_000


def test_a_report_with_verdicts_is_not_replaced_by_one_without(suite):
    suite.run("-k", "overlap")
    before = suite.report()
    suite.write("overlap", '__import__("_thread").interrupt_main()', "{}")
    done = suite.run("-k", "overlap", "--figures", "figures")
    assert "report.html is kept, as this session reached no verdict" in done.stdout, done.stdout
    assert suite.report() == before
    for written in (suite.folder / "report.json", suite.folder / "report.html"):
        assert holds_verdicts(suite.folder / "report.html"), "what cannot be read may hold verdicts"
        written.unlink()
    suite.write("overlap", "1 / 0", "{}")
    for _ in range(2):  # one without a verdict may take the place of another
        suite.run("-k", "overlap")
        assert suite.entries()["overlap"]["verdict"] == "ERROR"
        assert not holds_verdicts(suite.folder / "report.html")


@pytest.mark.parametrize(
    ("stop", "status"),
    [('__import__("_thread").interrupt_main()', 2), ('__import__("pytest").exit("s", returncode=7)', 7)],
)
def test_a_stopped_session_leaves_the_report_on_all_claims_alone(suite, stop, status):
    """All claims are asked for, and one stops the session: what was found before is a report on some claims."""
    for claim in CLAIMS:
        suite.write(claim, stop if claim == "overlap" else "1.0", "{}")
    done = run(suite, "claims")
    assert done.returncode == status
    report = suite.folder / "reports" / "claims-smoke-subset.json"
    verdicts = {claim["claim"]: claim["verdict"] for claim in json.loads(report.read_text())["claims"]}
    assert (verdicts.keys(), verdicts["coupling"], verdicts["overlap"]) == (set(CLAIMS), "SUPPORTED", "ERROR")
    assert not (suite.folder / "reports" / "claims-smoke.html").exists()


def test_what_changes_nothing_is_said_to(suite):
    """The tap that is not read, beside a choice that changes every effect."""
    done = suite.run("-k", "sigma", "--vary", "tap=up1", "--vary", "prediction=epsilon")
    idle = {variation["name"]: variation["idle"] for variation in suite.entries()["sigma"]["variations"]}
    assert idle == {"tap=up1": True, "prediction=epsilon": False}
    assert "tap=up1 (changed" in done.stdout
    assert "prediction=epsilon (changed" not in done.stdout
    page = (suite.folder / "report.html").read_text()
    assert page.count("changed nothing: ") == 1


def test_effects_that_are_undefined_both_times_are_not_equal(suite):
    suite.write("sigma", "undefined()", "{'a': profile.run(seed, dx=2.0)}")
    suite.run("-k", "sigma", "--vary", "weight_decay=0.5")
    (varied,) = suite.entries()["sigma"]["variations"]
    assert (varied["idle"], varied["parts"][0]["effects"]) == (False, [None, None])
