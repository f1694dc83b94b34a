"""The same session whatever becomes of the terminal, and whoever else plugs in."""

import contextlib
import os
import pty
import subprocess
import sys

import pytest

from bumplab import profiles
from bumplab.pytest_plugin import display
from tests.pytest_plugin.inside import pytest_here
from tests.pytest_plugin.planted import FIRST

STEPS = profiles.get("quick").base.training.steps


def test_a_path_in_an_option_begins_at_the_working_folder_or_at_home(suite, tmp_path, monkeypatch):
    (home := tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(home))
    options = ("--runs-dir=~/runs", "--figures", home / "figures", "-k", "hole")
    ended = suite.run(*options, claims=suite.folder / "claims", report="mine.html", folder=tmp_path)
    assert (tmp_path / "mine.html").is_file(), ended.printed
    assert {path.name for path in home.iterdir() if not path.name.startswith(".")} == {"runs", "figures"}


def test_a_terminal_that_has_gone_costs_neither_verdict_nor_report(suite):
    """A pipe that nobody reads any more, a full disk, and an output that was closed before the session began."""
    reader, pipe = os.pipe()
    os.close(reader)
    for descriptor in (pipe, os.open("/dev/full", os.O_WRONLY)):
        with contextlib.suppress(OSError), open(descriptor, "w") as stdout:  # what it has not written is lost
            ended = suite.run("-k", "hole", stdout=stdout)
        assert ended == (0, ""), descriptor
        assert suite.verdicts() == {"hole": "SUPPORTED"}, descriptor
        suite.path.unlink()
    command = suite.command("-k", "hole", "-p", "bumplab.pytest_plugin.streams")
    ended = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command], cwd=suite.folder, stderr=subprocess.PIPE, text=True, check=False,
        env=suite.environment(), timeout=120,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert suite.verdicts() == {"hole": "SUPPORTED"}


@pytest.mark.slow
def test_the_display_outlives_a_terminal_that_closes_and_a_worker_that_dies(suite):
    """The terminal's closing sends a signal to the session. The claim of the dead worker has an entry all the same."""
    dies = 'runs["a"].spec.seed and runs["a"].last("image.order") and __import__("os")._exit(1)'
    suite.write("sigma", dies, "{'a': profile.run(seed, dx=2.0)}")
    ours, theirs = pty.openpty()
    session = subprocess.Popen(
        suite.command("-k", "density or sigma", "-n", "2"), cwd=suite.folder, stdout=theirs, stderr=theirs,
        env=suite.environment(TERM="xterm", SECONDS="1.0"), start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(1), os.O_RDWR)),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while f"0/{STEPS} steps".encode() not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    assert session.wait(timeout=120) == 1
    assert suite.verdicts() == {"density": "CONTRADICTED", "sigma": "ERROR"}
    assert "worker died" in suite.entries()["sigma"]["reason"]


def test_a_terminal_of_ascii_shows_tables_of_ascii(suite, tmp_path, monkeypatch):
    """While runs train, too: the display's lines go to the standard output that pytest does not capture."""
    monkeypatch.setenv("SECONDS", "0.3")
    monkeypatch.setattr(display, "REFRESH", 0.05)
    monkeypatch.setattr(display, "LINE_EVERY", 0.0)
    with open(tmp_path / "stdout", "w", encoding="ascii") as stdout:
        monkeypatch.setattr(sys, "__stdout__", stdout)
        ended = suite.run("-k", "sigma", encoding="ascii")
    assert ended.status == 0, ended.printed
    assert "sigma|SUPPORTED|" in ended.printed
    assert "\\u" not in ended.printed
    lines = (tmp_path / "stdout").read_text().splitlines()
    assert f"[bumplab] 0 of 3 runs done: d=2 seed {FIRST} at step 0/{STEPS}" in lines
    assert any(line.startswith("[bumplab] 3 of 4 runs done, about ") for line in lines), lines


def test_warnings_as_errors_change_no_verdict(suite):
    suite.run("-k", "hole")
    first = len(suite.trained())
    key = suite.entries()["hole"]["conditions"]["a"][0]["key"]
    (suite.folder / ".runs" / "results" / key / "rows.json").write_text("{")
    ended = suite.run("-k", "hole", "-W", "error", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    assert ended.status == 0, ended.printed
    assert "checksum; moved to" in ended.printed
    assert suite.verdicts() == {"hole": "SUPPORTED"}
    assert [label for label, _ in suite.trained()[first:]] == ["d=1 seed 1000"], "it alone is trained again"
    assert len(list((suite.folder / ".runs" / "damaged").iterdir())) == 1


CONFLICTS = """
def pytest_addoption(parser):
    parser.getgroup("another").addoption("--{0}", action="store_true", help="of another plugin")
"""


def test_another_plugins_option_of_the_same_name_is_one_line_that_names_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("profile", "report", "gpu", "seeds", "accept"):
        (tmp_path / f"another_{name}.py").write_text(CONFLICTS.format(name))
        ended = pytest_here("-p", f"another_{name}", "--collect-only")
        assert ended.status == pytest.ExitCode.USAGE_ERROR, name
        (line,) = ended.printed.strip().splitlines()
        assert line.startswith(f"ERROR: --{name}: "), name
        assert f"plugin another_{name}: " in line, name
        assert f"-p no:another_{name}" in line, name


def test_another_plugins_value_of_the_same_name_is_not_ours(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    options = "".join(f'    add("--its-{name}", dest="{name}", default=7)\n' for name in ("profile", "seeds", "report"))
    (tmp_path / "quiet.py").write_text(f"def pytest_addoption(parser):\n    add = parser.addoption\n{options}")
    ended = pytest_here("-p", "quiet", "--collect-only", "-q", "--profile", "smoke")
    assert ended.status == 0, ended.printed
