"""The board: what one worker of a session asks for the others read, and nothing else is taken for it."""

import json
import os
import threading
import time

import pytest

from bumplab import profiles
from bumplab.runs.board import FORGOTTEN, SESSION, Board, at_work
from bumplab.runs.space import prune, sessions_at_work
from bumplab.runs.store import RunStore

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


def test_claims_that_need_no_run_are_told_too(tmp_path):
    Board(tmp_path, "session").begin(CLAIMS, [])
    assert Board(tmp_path, "session", "reader").claims() == CLAIMS


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
    one, two = Board(tmp_path, "session", "gw0"), Board(tmp_path, "session", "gw1")
    assert not two.others_at_work()
    one.begin([], [])
    assert two.others_at_work()
    one.finish()
    assert not two.others_at_work()


def test_looking_whether_another_is_at_work_takes_nothing_from_it(tmp_path):
    """A probe that kept the lock would make the prober look busy to everyone, for ever."""
    one, two, three = (Board(tmp_path, "session", worker) for worker in ("gw0", "gw1", "gw2"))
    one.begin([], [])
    one.finish()
    for _ in range(2):
        assert not two.others_at_work()
        assert not three.others_at_work()


def test_begin_waits_for_a_probe(tmp_path):
    """A restarted worker takes up a lock that another may be probing just then."""
    from filelock import FileLock

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


@pytest.mark.parametrize(
    "garbage",
    [
        b"", b"{", b"\xff\xfe", b"null", b"[]", b"{}", b'{"runs": 1, "claims": 2}', b"[" * 100_000,
        b'{"runs": [null, 1, "x", {}, {"seed": 1}], "claims": [null, "x", {}, {"claims": 1}]}',
    ],
)  # fmt: skip
def test_garbage_is_ignored(tmp_path, garbage):
    board = Board(tmp_path, "session")
    board.begin(CLAIMS, SPECS[:1])
    (board.folder / "a.json").write_bytes(garbage)
    assert (board.wanted(), board.claims()) == (SPECS[:1], CLAIMS)


@pytest.mark.parametrize(
    ("part", "field", "value"), [("training", "steps", 0), ("model", "width", []), ("data", "dx", "1"), ("seed", 0, -1)]
)
def test_a_spec_that_is_not_allowed_is_ignored(tmp_path, part, field, value):
    given = json.loads(SPECS[0].to_json())
    if part == "seed":
        given["seed"] = value
    else:
        given[part][field] = value
    board = Board(tmp_path, "session")
    board.open()
    (board.folder / "gw0.json").write_text(json.dumps({"claims": [], "runs": [given, json.loads(SPECS[1].to_json())]}))
    assert board.wanted() == [SPECS[1]]


def test_open_removes_forgotten_sessions_and_nothing_else(tmp_path):
    old, recent, board = (Board(tmp_path, name) for name in ("old", "recent", "new"))
    for other in (old, recent):
        other.ask(SPECS)
    (tmp_path / "progress" / "run.json").write_text("{}")
    long_ago = time.time() - FORGOTTEN - 10
    os.utime(old.folder, (long_ago, long_ago))
    os.utime(tmp_path / "progress" / "run.json", (long_ago, long_ago))
    board.open()
    assert sorted(path.name for path in (tmp_path / "progress").iterdir()) == ["new", "recent", "run.json"]
    board.close()
    assert not board.folder.exists()


@pytest.fixture
def elsewhere(tmp_path):
    """A session of another store, whose worker is at work."""
    other = Board(tmp_path / "elsewhere", "session", "gw0")
    other.open()
    other.begin(CLAIMS, SPECS)
    yield other.folder
    other.finish()


def test_a_linked_session_is_not_at_work_here(tmp_path, elsewhere):
    """What is behind a link is another store's: it neither holds this one up nor is tidied away."""
    root = tmp_path / "store"
    (root / "progress").mkdir(parents=True)
    link = root / "progress" / "linked"
    link.symlink_to(elsewhere)
    assert at_work(elsewhere)
    assert not at_work(link)
    assert sessions_at_work(root) == 0
    assert prune(RunStore(root), keep=0) == []
    os.utime(elsewhere, (0, 0))
    Board(root, "new").open()
    assert link.is_symlink()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["gw0.json", "gw0.lock", SESSION]


@pytest.mark.parametrize("there", [True, False])
def test_a_linked_lock_in_a_session_is_passed_over(tmp_path, elsewhere, there):
    board = Board(tmp_path / "store", "session")
    board.open()
    target = elsewhere / ("gw0.lock" if there else "none.lock")
    (board.folder / "gw0.lock").symlink_to(target)
    assert not board.others_at_work()
    assert target.exists() == there
    board.begin(CLAIMS, SPECS)
    assert board.others_at_work(), "the session's own worker is still seen"
    board.finish()
