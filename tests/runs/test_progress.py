"""Progress files: what a trainer writes is what others read, and nothing else."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from bumplab.config import MOST
from bumplab.runs import progress as module
from bumplab.runs.progress import INTERVAL, STALE, Progress, ProgressFile, replace_bytes, replace_text, running


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
    assert running(tmp_path) == []
    with ProgressFile(tmp_path, "k1", "d=1 seed 0", first=6, steps=12) as file:
        assert running(tmp_path) == [Progress("k1", "d=1 seed 0", 6, 12, 1_000.0)]
        clock.now += 2
        file.update(10)
        (read,) = running(tmp_path)
        assert (read.step, read.updated) == (10, 1_002.0)
        with ProgressFile(tmp_path, "k0", "a", 0, 10):
            assert [progress.label for progress in running(tmp_path)] == ["a", "d=1 seed 0"]


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


def test_a_stale_file_is_ignored(tmp_path, clock):
    ProgressFile(tmp_path, "k1", "a", 0, 10).update(0)
    clock.now += STALE - 1
    assert len(running(tmp_path)) == 1
    clock.now += 2
    assert running(tmp_path) == []
    clock.now -= 3 * STALE
    assert running(tmp_path) == [], "a clock was set back"


def test_other_and_torn_files_are_ignored(tmp_path):
    """The display divides by the steps, adds them up, and sorts by the label."""
    with ProgressFile(tmp_path, "k1", "a", 0, 10) as file:
        folder, content = file.path.parent, asdict(file.progress) | {"key": "k2"}
        (folder / ".half.json-1").write_text(json.dumps(content))
        texts = [b"", b"{", b"\xff\xfe", b"null", b"[]", b"{}", b'{"key": 1, "other": 2}', b"\x00", b"[" * 100_000]
        texts += [b"x" * (1 << 20), json.dumps(content).encode() + b" " * module.PROGRESS_BYTES]
        changes = [
            *({"step": value} for value in (-1, 11, "1", 1.5, True, math.nan, None)),
            *({"steps": value} for value in (0, "10", True, 10**400, MOST["steps"] + 1)),
            *({"updated": value} for value in ("now", True, math.nan, math.inf, 1e300, 10**400, -(10**400))),
            *({name: value} for name in ("key", "label") for value in (1, ["k2"], None, True, "\ud800")),
            {"step": 0, "steps": 0},
        ]
        texts += [json.dumps(content | changed).encode() for changed in changes]
        texts.append(b'{"other": ' + b"[" * 60_000)
        for text in texts:
            (folder / "other.json").write_bytes(text)
            assert [progress.key for progress in running(tmp_path)] == ["k1"], text[:200]
        (folder / "other.json").write_text(json.dumps(content | {"step": 10}))
        assert sorted(progress.key for progress in running(tmp_path)) == ["k1", "k2"]


def test_a_replaced_file_has_the_new_content_and_leaves_no_other_file(tmp_path):
    for text in ("old, and longer", "new"):
        replace_text(tmp_path / "page.html", text)
        replace_bytes(tmp_path / "page.png", text.encode())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"page.html": "new", "page.png": "new"}


FULL = Path("/dev/full")
"""Linux has this file for trying a full disk: it takes no byte."""


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_ends_training_that_begins_and_no_other(tmp_path, clock, monkeypatch):
    def open_full(path, mode):
        open(path, mode).close()
        return open(FULL, "wb")

    with monkeypatch.context() as patch:
        patch.setattr(module, "open", open_full, raising=False)
        with pytest.raises(OSError, match="No space left"), ProgressFile(tmp_path, "k1", "a", 0, 10):
            pass
    assert list((tmp_path / "progress").iterdir()) == []
    with ProgressFile(tmp_path, "k1", "a", 0, 10) as file:
        with monkeypatch.context() as patch:
            patch.setattr(module, "open", open_full, raising=False)
            clock.now += 2
            file.update(4)
        assert [progress.step for progress in running(tmp_path)] == [0]
        assert list((tmp_path / "progress").iterdir()) == [file.path]
        clock.now += 2
        file.update(5)
        assert [progress.step for progress in running(tmp_path)] == [5]
        assert list((tmp_path / "progress").iterdir()) == [file.path]
