"""Progress files: what a trainer writes is what others read, and nothing else is taken for it."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from bumplab.runs import progress as module
from bumplab.runs.progress import INTERVAL, STALE, Progress, ProgressFile, replace_text, running


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_what_a_trainer_writes_is_read(tmp_path, clock):
    with ProgressFile(tmp_path, "k1", "d=1 seed 0", first=6, steps=12) as file:
        assert running(tmp_path) == [Progress("k1", "d=1 seed 0", 6, 12, 1_000.0)]
        clock.now += 2
        file.update(10)
        (read,) = running(tmp_path)
        assert (read.step, read.updated) == (10, 1_002.0)


def test_writes_are_at_most_one_an_interval(tmp_path, clock, monkeypatch):
    written = []
    monkeypatch.setattr(module, "replace_text", lambda path, text: written.append(json.loads(text)["step"]))
    with ProgressFile(tmp_path, "k1", "a", 0, 1000) as file:
        for step in range(1, 101):
            clock.now += INTERVAL / 10
            file.update(step)
    assert written[0] == 0
    assert 10 <= len(written) <= 11


def test_the_file_is_removed_at_the_end_and_after_an_error(tmp_path):
    with ProgressFile(tmp_path, "k1", "a", 0, 10):
        assert len(running(tmp_path)) == 1
    assert running(tmp_path) == []

    def interrupted():
        with ProgressFile(tmp_path, "k1", "a", 0, 10):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "progress").iterdir()) == []


def test_runs_are_listed_by_label(tmp_path):
    with ProgressFile(tmp_path, "k1", "b", 0, 10), ProgressFile(tmp_path, "k2", "a", 0, 10):
        assert [p.label for p in running(tmp_path)] == ["a", "b"]


def test_a_stale_file_is_ignored(tmp_path, clock):
    file = ProgressFile(tmp_path, "k1", "a", 0, 10)
    file.update(0)
    clock.now += STALE - 1
    assert len(running(tmp_path)) == 1
    clock.now += 2
    assert running(tmp_path) == []


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe", b"null", b"[]", b"{}", b'{"key": 1, "other": 2}'])
def test_garbage_is_ignored(tmp_path, garbage):
    with ProgressFile(tmp_path, "k1", "a", 0, 10) as file:
        (file.path.parent / "garbage.json").write_bytes(garbage)
        (file.path.parent / "plan.json").write_text('{"seeds": 3}')
        (file.path.parent / ".half.json-1").write_text(json.dumps(asdict(file.progress)))
        assert [p.key for p in running(tmp_path)] == ["k1"]


@pytest.mark.parametrize(
    "given",
    [
        *({"step": step} for step in (-1, 11, "1", 1.5, True, math.nan)),
        *({"steps": steps} for steps in (0, "10", 10**401)),
        *({"key": key} for key in (["k2"], None)),
        *({"updated": updated} for updated in (1e300, 10**401, "now", math.nan)),
        {"step": 0, "steps": 0},
    ],
)
def test_numbers_that_no_run_has_are_ignored(tmp_path, given):
    """Whoever shows them divides by them and adds them up."""
    with ProgressFile(tmp_path, "k1", "a", 0, 10) as file:
        text = json.dumps(asdict(file.progress) | {"key": "k2"} | given)
        (file.path.parent / "k2.json").write_text(text)
        assert [p.key for p in running(tmp_path)] == ["k1"]


def test_no_progress_folder_means_no_runs(tmp_path):
    assert running(tmp_path) == []


def test_replaced_text_is_the_new_text_and_leaves_no_other_file(tmp_path):
    for text in ("old, and longer", "new"):
        replace_text(tmp_path / "page.html", text)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("page.html", "new")]


FULL = Path("/dev/full")
"""A file that takes no byte: what Linux has for trying a full disk."""


@pytest.fixture
def full_disk(monkeypatch):
    """Files are made, and no byte is written to them; returns the way back."""

    def opened(path, mode):
        open(path, mode).close()
        return open(FULL, "wb")

    monkeypatch.setattr(module, "open", opened, raising=False)
    return monkeypatch.undo


needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@needs_full
def test_a_full_disk_stops_no_training_and_is_left_as_it_was(tmp_path, clock, request):
    with ProgressFile(tmp_path, "k1", "a", 0, 10) as file:
        undo = request.getfixturevalue("full_disk")
        clock.now += 2
        file.update(4)
        assert [p.step for p in running(tmp_path)] == [0]
        assert list((tmp_path / "progress").iterdir()) == [file.path]
        undo()
        file.progress.updated = 0.0
        file.update(5)
        assert [p.name for p in (tmp_path / "progress").iterdir()] == ["k1.json"]


@needs_full
def test_a_disk_that_is_full_at_the_start_is_an_error(tmp_path, full_disk):
    with pytest.raises(OSError, match="No space left"), ProgressFile(tmp_path, "k1", "a", 0, 10):
        pass
    assert list((tmp_path / "progress").iterdir()) == []
