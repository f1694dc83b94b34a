"""The board: what one worker of a session asks for, the others read."""

import os
import threading
import time
from dataclasses import replace

import pytest
from filelock import FileLock

from bumplab import profiles
from bumplab.runs import board as board_module
from bumplab.runs.board import FORGOTTEN, Board
from bumplab.runs.sealed import read_file

SPECS = [profiles.get("smoke").run(seed) for seed in range(3)]
CLAIMS = [{"claim": "density", "statement": "s"}, {"claim": "hole", "statement": "s"}]


def test_what_is_asked_for_is_read_by_all_each_run_once_and_in_order(tmp_path):
    one, two, reader = (Board(tmp_path, "session", worker) for worker in ("gw0", "gw1", "main"))
    one.begin(CLAIMS[:1], [SPECS[2], SPECS[0]])
    two.begin(CLAIMS, [SPECS[0]])
    assert reader.wanted() == [SPECS[2], SPECS[0]]
    assert reader.claims() == CLAIMS
    two.ask(SPECS)
    assert reader.wanted() == one.wanted() == [SPECS[2], SPECS[0], SPECS[1]]


def test_claims_that_need_no_run_are_on_the_board_too(tmp_path):
    Board(tmp_path, "session").begin(CLAIMS, [])
    reader = Board(tmp_path, "session", "reader")
    assert (reader.claims(), reader.wanted()) == (CLAIMS, [])


def test_runs_for_later_come_by_seed_and_the_longest_first_while_a_question_is_open(tmp_path):
    """Two workers have collected the same questions, and share a run between two of them."""
    one, two, reader = (Board(tmp_path, "session", worker) for worker in ("gw0", "gw1", "main"))
    longer = replace(SPECS[0], training=replace(SPECS[0].training, steps=99))
    for worker in (one, two):
        worker.begin([], [], {"a": [SPECS[2], SPECS[0]], "b": [SPECS[0], longer]})
    assert reader.later() == [longer, SPECS[0], SPECS[2]]
    two.settle(["a"])
    assert reader.later() == one.later() == [longer, SPECS[0]], "what one worker has settled is open for none"
    assert [one.is_in_vain(spec) for spec in (SPECS[2], SPECS[0], SPECS[1])] == [True, False, False]
    one.expect("b", [SPECS[1]])
    two.expect("b", [])
    assert reader.later() == [SPECS[1]]
    one.settle(["b"])
    assert reader.later() == []
    assert reader.is_in_vain(SPECS[1])
    two.ask([SPECS[1]])
    assert not reader.is_in_vain(SPECS[1]), "a worker waits for it"
    assert reader.wanted() == [SPECS[1]]


def test_asking_again_writes_nothing(tmp_path):
    board = Board(tmp_path, "session")
    board.ask(SPECS)
    (file,) = board.folder.iterdir()
    file.unlink()
    board.ask(SPECS[:2])
    assert not file.exists()


def test_sessions_do_not_see_each_other(tmp_path):
    Board(tmp_path, "one").begin(CLAIMS, SPECS)
    other = Board(tmp_path, "two")
    other.open()
    assert (other.wanted(), other.claims(), other.others_at_work()) == ([], [], False)
    assert Board(tmp_path, "one").wanted() == SPECS


def test_a_worker_is_at_work_until_it_has_no_claim_left(tmp_path):
    """A look that kept the lock would make the looking worker seem busy to everyone, for ever."""
    one, two, three = (Board(tmp_path, "session", worker) for worker in ("gw0", "gw1", "gw2"))
    assert not two.others_at_work()
    one.begin([], [])
    assert two.others_at_work()
    one.finish()
    for _ in range(2):
        assert not two.others_at_work()
        assert not three.others_at_work()


def test_begin_waits_for_another_worker_that_looks(tmp_path):
    """A restarted worker takes a lock that another worker may be trying just then."""
    board, done = Board(tmp_path, "session", "gw0"), threading.Event()
    board.open()

    def begin():
        board.begin([], [])
        done.set()

    with FileLock(board.folder / "gw0.lock"):
        thread = threading.Thread(target=begin, daemon=True)
        thread.start()
        assert not done.wait(0.2)
    assert done.wait(10)


def test_a_full_disk_stops_no_worker_that_begins_and_one_that_asks(tmp_path, monkeypatch):
    def full(path, text):
        raise OSError("No space left on device")

    monkeypatch.setattr(board_module, "replace_text", full)
    board = Board(tmp_path, "session")
    board.begin(CLAIMS, SPECS[:1])
    with pytest.raises(OSError, match="No space"):
        board.ask(SPECS)


def test_a_torn_file_or_one_that_goes_while_it_is_read_is_passed_over(tmp_path, monkeypatch):
    """A power cut tears a file. A session that ends removes it."""
    board = Board(tmp_path, "session")
    board.begin(CLAIMS, SPECS[:1])
    for text in (b"", b"\x00" * 100, b'{"claims": [', b"\xff\xfe"):
        (board.folder / "a.json").write_bytes(text)
        assert (board.wanted(), board.claims()) == (SPECS[:1], CLAIMS), text

    def read_late(path, limit):
        if path.name == "a.json":
            path.unlink()
        return read_file(path, limit)

    monkeypatch.setattr(board_module, "read_file", read_late)
    assert (board.wanted(), board.claims()) == (SPECS[:1], CLAIMS)


def test_open_removes_forgotten_sessions_and_nothing_else(tmp_path):
    """A worker that outlives its killed controller is still at work."""
    old, recent, working = (Board(tmp_path, name, "gw0") for name in ("old", "recent", "working"))
    for session in (old, recent):
        session.ask(SPECS)
    working.begin([], [])
    run = tmp_path / "progress" / "run.json"
    run.write_text("{}")

    def names_after_open(session):
        for path, age in ((old, 10), (recent, -60), (working, 10)):
            then = time.time() - FORGOTTEN - age
            if path.folder.exists():
                os.utime(path.folder, (then, then))
        os.utime(run, (0, 0))
        board = Board(tmp_path, session)
        board.open()
        names = sorted(path.name for path in (tmp_path / "progress").iterdir())
        board.close()
        assert not board.folder.exists()
        return names

    assert names_after_open("new") == ["new", "recent", "run.json", "working"]
    working.finish()
    assert names_after_open("newer") == ["newer", "recent", "run.json"]
