"""Which runs fit before the end of a session, and what it lacks in the end."""

from dataclasses import replace

import pytest

from bumplab import profiles
from bumplab.runs import deadline as module
from bumplab.runs.board import Board
from bumplab.runs.deadline import NEVER, Deadline
from bumplab.runs.stopping import StopsOfSession
from bumplab.runs.store import RunRecord, RunStore
from tests.rows import rows_of

SHORT = [profiles.get("smoke").run(seed) for seed in range(4)]
LONG = [replace(spec, training=replace(spec.training, steps=24)) for spec in SHORT]


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The time in seconds, which stands still."""
    clock = [1_000.0]
    monkeypatch.setattr(module, "now", lambda: clock[0])
    return clock


@pytest.fixture
def store(tmp_path):
    """It holds one short run of 60 s and one of 100 s, one that failed early, and one long run of 200 s."""
    store = RunStore(tmp_path)
    for spec, seconds in ((SHORT[0], 60.0), (SHORT[1], 100.0), (LONG[0], 200.0)):
        store.publish(RunRecord(spec, rows_of(spec), seconds={"training": seconds - 1, "measuring": 1.0}), b"")
    failed = RunRecord(LONG[1], rows_of(LONG[1], 1), seconds={"training": 0.1}, failed="the loss is nan")
    store.publish(failed, b"")
    return store


@pytest.fixture
def board(tmp_path):
    board = Board(tmp_path, "session")
    board.ask([*SHORT, *LONG])
    return board


def test_a_run_begins_where_it_ends_in_time_and_the_longest_is_first(store, board, clock):
    session = Deadline(10.0)
    runs = [SHORT[2], LONG[2], SHORT[3], LONG[3], SHORT[0]]
    for left, fitting in (
        (200.0, [LONG[2], LONG[3], SHORT[2], SHORT[3]]),
        (199.0, [SHORT[2], SHORT[3]]),
        (80.0, [SHORT[2], SHORT[3]]),
        (79.0, []),
        (-1.0, []),
    ):
        clock[0] = session.ends - left
        assert session.in_time(runs, store, board) == fitting, left
    assert NEVER.in_time(runs, store, board) == runs


def test_a_run_of_unknown_time_begins_and_none_does_when_the_time_is_over(store, board, clock):
    unknown = replace(SHORT[0], training=replace(SHORT[0].training, steps=99))
    session = Deadline(10.0)
    clock[0] = session.ends - 1.0
    assert session.in_time([SHORT[2], unknown], store, board) == [unknown]
    clock[0] = session.ends
    assert session.in_time([SHORT[2], unknown], store, board) == []


def test_a_run_that_no_such_session_can_hold_is_trained_over_several(store, board, clock):
    session = Deadline(3.0)
    assert session.in_time([LONG[2]], store, board) == [LONG[2]]
    clock[0] = session.ends - 1.0
    assert session.in_time([LONG[2], SHORT[2]], store, board) == [LONG[2]]


def test_a_run_that_was_begun_takes_the_rest_of_its_time(store, board, clock):
    record = RunRecord(LONG[2], rows_of(LONG[2], LONG[2].measured_steps().index(12) + 1))
    store.save_partial(record, b"")
    session = Deadline(10.0)
    clock[0] = session.ends - 100.0
    assert session.in_time([LONG[2], LONG[3]], store, board) == [LONG[2]], "12 of 24 steps are done"
    assert session.missing([LONG[2]], store, board, workers=1) == "1 of 1 run is missing (about 2 min)"


def test_what_is_missing_is_counted_with_its_time(store, board):
    session = Deadline(10.0)
    assert session.missing(SHORT[:2], store, board, workers=1) == ""
    runs = [*SHORT, SHORT[3], LONG[2]]
    assert session.missing(runs, store, board, workers=1) == "3 of 5 runs are missing (about 6 min)"
    assert session.missing(runs, store, board, workers=6) == "3 of 5 runs are missing (about 60 s)"
    unknown = replace(SHORT[0], training=replace(SHORT[0].training, steps=99))
    assert session.missing([*runs, unknown], store, board, workers=1) == "4 of 6 runs are missing"


def test_a_run_stops_at_the_deadline_or_when_no_open_question_needs_it(board, clock):
    later, session = replace(SHORT[0], seed=99), Deadline(1.0)
    board.begin([], [], {"question": [later, SHORT[0]]})
    assert not StopsOfSession(board, session)(later)
    board.settle(["question"])
    assert StopsOfSession(board, session)(later)
    assert not (stops := StopsOfSession(board, session))(SHORT[0]), "a worker asked for it"
    clock[0] = session.ends
    assert stops(SHORT[0])
