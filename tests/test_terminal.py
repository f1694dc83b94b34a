"""The text of a store or a report cannot steer a terminal, and a closed terminal stops no program."""

import io
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bumplab import profiles
from bumplab.__main__ import main
from bumplab.pytest_plugin import display
from bumplab.runs.board import Board
from bumplab.runs.progress import Progress
from bumplab.runs.store import RunRecord, RunStore
from bumplab.terminal import Steady, cell, line, printable, uncaptured_stdout
from tests.report.test_compare import part, report, save
from tests.rows import rows_of

STEERING = "\x1b[2J\x9b2J\x00\x07\r\x7f\u202e"
SPEC = profiles.get("smoke").run(0)


@given(st.text(st.characters()))  # lone surrogates too: names of files have them
def test_nothing_but_lines_and_what_can_be_printed_is_left(text):
    safe = printable(text)
    assert all(unicodedata.category(c)[0] != "C" for c in safe.replace("\n", ""))
    assert safe.encode().decode() == safe
    assert safe.count("\n") == text.count("\n")
    assert cell(text).plain == line(text) == safe.replace("\n", r"\n")


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], include_characters=" ")))
def test_what_can_be_printed_stays_as_it_is(text):
    text = "".join(filter(str.isprintable, text))
    assert printable(text) == text


def test_each_character_is_shown_as_its_code():
    assert printable(STEERING) == r"\x1b[2J\x9b2J\x00\x07\r\x7f\u202e"


def checked(text):
    """The text, which must hold the escapes and no character that steers."""
    assert not set(text.replace("\n", "")) & {c for c in STEERING if not c.isprintable()}
    assert r"\x1b[2J" in text
    return text


def test_names_in_a_store_and_in_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    rows = [{**row, STEERING: 1.0} for row in rows_of(SPEC)]
    RunStore(tmp_path).publish(RunRecord(SPEC, rows), b"")
    assert main(["train", SPEC.to_json(), "--runs-dir", str(tmp_path)]) == 0
    assert checked(capsys.readouterr().out).startswith("stored: ")
    (tmp_path / "damaged" / STEERING.replace("\x00", "")).mkdir(parents=True)
    assert main(["runs", "--runs-dir", str(tmp_path)]) == 0
    assert "2 runs, " in checked(capsys.readouterr().out)
    assert main(["runs", "--runs-dir", f"nowhere/{STEERING}"]) == 2
    checked(capsys.readouterr().err)


def test_texts_of_a_report(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    old = report(part(STEERING), written=f"{STEERING} old", claim=STEERING, profile=STEERING)
    save(tmp_path, "old", old)
    save(tmp_path, "new", report(part(), written=STEERING))
    assert main(["report", "--compare", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == 0
    assert checked(capsys.readouterr().out).count(printable(STEERING)) == 5


@pytest.mark.parametrize("label", [f"{STEERING}[/x]", 3])
def test_the_name_of_a_run_under_way(tmp_path, monkeypatch, label):
    run = Progress("k", label, 3, 12, 2.0)
    console = Console(file=io.StringIO(), width=200)
    console.print(display._table([run], "1 of 2 runs done"))
    monkeypatch.setattr(display, "running", lambda root: [run])
    monkeypatch.setattr(display, "REFRESH", 0.01)
    monkeypatch.setattr(display, "LINE_EVERY", 0.0)
    monkeypatch.setattr(display.ProgressDisplay, "_status", lambda *_: "1 of 2 runs done")
    shower = display.ProgressDisplay(Board(tmp_path, "session"))
    shower._stream, shower.live, lines = io.StringIO(), None, []
    shower._stream.flush = lambda: (lines.append(shower._stream.getvalue()), shower._stop.set())
    shower.start()
    shower._thread.join(10)
    for text in (console.file.getvalue(), lines[0]):
        assert printable(label) in text
        assert not set(text.replace("\n", "")) & {c for c in STEERING if not c.isprintable()}


def test_why_a_damaged_run_is_set_aside(tmp_path):
    store = RunStore(tmp_path)
    store.publish(RunRecord(SPEC, rows_of(SPEC)), b"")
    with pytest.warns(UserWarning, match="moved to") as warned:
        store.set_aside(store.path(RunRecord(SPEC).key), STEERING)
    assert printable(STEERING) in str(warned[0].message)
    assert STEERING not in str(warned[0].message)


@given(text=st.text(st.characters(codec="utf-8"), max_size=40), encoding=st.sampled_from(["ascii", "latin-1", "utf-8"]))
def test_a_steady_stream_writes_what_its_encoding_has_and_escapes_the_rest(text, encoding):
    inner = io.TextIOWrapper(buffer := io.BytesIO(), encoding=encoding, newline="\n")
    stream = Steady(inner)
    stream.write(text)
    stream.flush()
    assert buffer.getvalue().decode(encoding) == text.encode(encoding, "backslashreplace").decode(encoding)
    assert stream.encoding == encoding


class Gone(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error, self.calls = error, 0

    def write(self, text):
        self.calls += 1
        raise self.error

    flush = close = lambda self, *_: self.write("")


def test_a_steady_stream_never_fails_its_writer():
    for error in (BrokenPipeError(), OSError(5, "Input/output error"), ValueError("closed file"), BlockingIOError()):
        gone = Gone(error)
        stream = Steady(gone)
        assert stream.write("x" * 5) == 5, error
        stream.flush()
        print("more", file=stream, flush=True)
        assert gone.calls, error


def test_a_pipe_that_was_closed_is_no_error_at_the_end_either():
    """Python flushes standard output once more at its end and would exit with 120."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bumplab", "--help"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_our_own_standard_output_is_none_where_there_is_no_descriptor(monkeypatch):
    for console in (io.StringIO(), None):  # a notebook's, and that of a program without a window
        monkeypatch.setattr(sys, "__stdout__", console)
        stream = uncaptured_stdout()
        assert isinstance(stream, Steady)
        assert stream.write("") == 0
        stream.close()
