"""Workers that share a store train each run once, help each other, and survive each other's death."""

import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bumplab import profiles
from bumplab.runs import planner
from bumplab.runs.board import Board
from bumplab.runs.planner import help_others, obtain, train_if_free
from bumplab.runs.store import RunRecord, RunStore, run_key
from tests.rows import rows_of

ROOT = Path(__file__).parents[2]
SPECS = [profiles.get("smoke").run(seed) for seed in range(3)]

# A worker in a process of its own. Its `execute` notes begin and end in a log and publishes a record made by hand.
WORKER = """
import os, sys, time, types
from pathlib import Path
from bumplab import profiles
from bumplab.runs.board import Board
from bumplab.runs.planner import obtain
from bumplab.runs.store import RunRecord, RunStore
from tests.rows import rows_of

root, seconds = Path(sys.argv[1]), float(sys.argv[2])
needed, plan = ([profiles.get("smoke").run(int(seed)) for seed in text] for text in sys.argv[3:5])

def note(what, seed):
    with open(root / "log", "a") as file:
        file.write(f"{what} {seed} {os.getpid()}\\n")

def execute(spec, store, device):
    note("begin", spec.seed)
    time.sleep(seconds)
    store.publish(RunRecord(spec, rows_of(spec)), b"")
    note("end", spec.seed)

sys.modules["bumplab.runs.execute"] = types.ModuleType("fake")
sys.modules["bumplab.runs.execute"].execute = execute
board = Board(root, "session", str(os.getpid()))
board.begin([], plan)
(root / f"ready-{os.getpid()}").touch()
while not (root / "go").exists():
    time.sleep(0.01)
records = obtain(needed, board, RunStore(root), "cpu")
assert "torch" not in sys.modules
print(*(record.spec.seed for record in records))
"""


@pytest.fixture
def workers(tmp_path):
    """Starts workers; ends those that are left."""
    started = []

    def start(needed, plan="", seconds=0.3):
        arguments = [sys.executable, "-c", WORKER, str(tmp_path), str(seconds), needed, plan]
        started.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


@pytest.fixture
def board(tmp_path):
    """This process's view of the session that the workers belong to."""
    return Board(tmp_path, "session")


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def go(root, workers):
    wait_for(lambda: len(list(root.glob("ready-*"))) == workers)
    (root / "go").touch()


def log(root):
    path = root / "log"
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def by_hand(spec):
    return RunRecord(spec, rows_of(spec))


@pytest.fixture
def fake_execute(monkeypatch):
    """Replaces training in this process; gives the list of trained seeds."""
    trained = []

    def execute(spec, store, device):
        trained.append(spec.seed)
        store.publish(by_hand(spec), b"")

    fake = types.ModuleType("fake")
    fake.execute = execute
    monkeypatch.setitem(sys.modules, "bumplab.runs.execute", fake)
    return trained


@pytest.mark.parametrize("orders", [("012", "210"), ("012", "012"), ("012", "120", "201")])
def test_each_run_is_trained_once_and_all_workers_get_all(tmp_path, workers, orders):
    processes = [workers(order, plan="012") for order in orders]
    go(tmp_path, len(orders))
    for process, order in zip(processes, orders, strict=True):
        out, _ = process.communicate(timeout=60)
        assert out.split() == list(order)
    begun = [seed for what, seed, _ in log(tmp_path) if what == "begin"]
    assert sorted(begun) == ["0", "1", "2"]


def test_a_waiting_worker_helps_with_what_others_want(tmp_path, workers, board, store, fake_execute):
    holder = workers("0", plan="012", seconds=4)
    go(tmp_path, 1)
    wait_for(lambda: log(tmp_path))
    records = obtain(SPECS[:1], board, store, "cpu")
    assert [record.spec.seed for record in records] == [0]
    assert fake_execute == [1, 2]
    assert holder.wait(timeout=60) == 0
    assert [(what, seed) for what, seed, _ in log(tmp_path)] == [("begin", "0"), ("end", "0")]
    help_ended = store.path(run_key(SPECS[2])).stat().st_mtime
    assert help_ended < store.path(run_key(SPECS[0])).stat().st_mtime, "it helped only after it had waited"


def test_the_lock_of_a_killed_worker_does_not_block(tmp_path, workers, board, store, fake_execute):
    victim = workers("0", seconds=600)
    go(tmp_path, 1)
    wait_for(lambda: log(tmp_path))
    assert not train_if_free(SPECS[0], store, "cpu"), "trained what another process is training"
    victim.kill()
    victim.wait()
    assert (tmp_path / "locks" / f"{run_key(SPECS[0])}.lock").exists()
    (record,) = obtain(SPECS[:1], board, store, "cpu")
    assert (record.spec, fake_execute) == (SPECS[0], [0])


def test_results_come_in_the_order_asked_for_even_twice_the_same(board, store, fake_execute):
    asked = [SPECS[i] for i in (2, 0, 2, 1)]
    assert [record.spec for record in obtain(asked, board, store, "cpu")] == asked
    assert fake_execute == [2, 0, 1]


def test_what_is_stored_is_neither_trained_nor_waited_for(board, store, fake_execute):
    for spec in SPECS:
        store.publish(by_hand(spec), b"")
    with store.lock(run_key(SPECS[0])):
        assert len(obtain(SPECS, board, store, "cpu")) == 3
    assert not train_if_free(SPECS[0], store, "cpu")
    assert fake_execute == []


def test_what_another_published_before_the_lock_was_had_is_not_trained_again(store, monkeypatch, fake_execute):
    lock = RunStore.lock

    def lock_late(self, key):
        self.publish(by_hand(SPECS[0]), b"")
        return lock(self, key)

    monkeypatch.setattr(RunStore, "lock", lock_late)
    assert not train_if_free(SPECS[0], store, "cpu")
    assert fake_execute == []


def test_a_plan_is_not_trained_for_a_worker_that_needs_nothing(board, store, fake_execute):
    board.ask(SPECS)
    assert obtain([], board, store, "cpu") == []
    assert fake_execute == []


def test_a_damaged_result_is_trained_again(board, store, fake_execute):
    for spec in SPECS:
        store.publish(by_hand(spec), b"")
    (store.path(run_key(SPECS[1])) / "rows.json").write_bytes(b"{}")
    with pytest.warns(UserWarning, match=run_key(SPECS[1])):
        records = obtain(SPECS, board, store, "cpu")
    assert [record.spec.seed for record in records] == [0, 1, 2]
    assert fake_execute == [1]


def test_what_lies_in_a_results_place_is_left_to_who_needs_the_run(board, store, fake_execute):
    """A helper does not train what could not be published; who needs it reads it, moves it aside and trains."""
    place = store.path(run_key(SPECS[0]))
    place.parent.mkdir(parents=True)
    place.write_text("no folder")
    assert not train_if_free(SPECS[0], store, "cpu")
    with pytest.warns(UserWarning, match="is not a folder; moved to"):
        assert [record.spec.seed for record in obtain(SPECS[:1], board, store, "cpu")] == [0]
    assert fake_execute == [0]


def test_a_failed_run_counts_as_trained(board, store, fake_execute):
    whole = by_hand(SPECS[0])
    failed = replace(whole, rows=whole.rows[:1], failed="the loss is nan")
    store.publish(failed, b"")
    (record,) = obtain(SPECS[:1], board, store, "cpu")
    assert (record.failed, fake_execute) == ("the loss is nan", [])


def test_an_error_in_training_is_raised_and_frees_the_lock(board, store, monkeypatch, fake_execute):
    def broken(spec, store, device):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["bumplab.runs.execute"], "execute", broken)
        with pytest.raises(RuntimeError, match="out of memory"):
            obtain(SPECS[:1], board, store, "cpu")
    assert len(obtain(SPECS[:1], board, store, "cpu")) == 1


def test_what_is_needed_is_asked_for_before_it_is_trained(tmp_path, board, store, monkeypatch, fake_execute):
    """Other workers read it while this one is busy with the first of them."""
    execute, seen = sys.modules["bumplab.runs.execute"].execute, []

    def look_and_execute(spec, store, device):
        seen.append(Board(tmp_path, "session", "another").wanted())
        execute(spec, store, device)

    monkeypatch.setattr(sys.modules["bumplab.runs.execute"], "execute", look_and_execute)
    obtain(SPECS[1:], board, store, "cpu")
    assert seen[0] == SPECS[1:]
    obtain(SPECS[1:], board, store, "cpu")
    assert len(seen) == 2


def test_a_helper_stays_while_another_may_ask_and_then_leaves(tmp_path, board, store, monkeypatch, fake_execute):
    """Another worker's life is played while the helper sleeps: nothing, a wish, nothing, a wish, no claim left."""
    other = Board(tmp_path, "session", "other")
    other.begin([], [])
    life = iter([lambda: None, lambda: other.ask(SPECS[:1]), lambda: None, lambda: other.ask(SPECS[1:]), other.finish])
    monkeypatch.setattr(planner.time, "sleep", lambda seconds: next(life)() if seconds >= 0.1 else None)
    help_others(board, store, "cpu")
    assert fake_execute == [0, 1, 2]
    assert not list(life)


def test_a_helper_neither_waits_nor_trains_for_the_dead(tmp_path, workers, board, store, fake_execute):
    victim = workers("0", plan="01", seconds=600)
    go(tmp_path, 1)
    wait_for(lambda: log(tmp_path))
    victim.kill()
    victim.wait()
    help_others(board, store, "cpu")
    assert fake_execute == []


def test_a_helper_leaves_what_no_claim_will_ask_for(tmp_path, board, store, fake_execute):
    """`-x`: the other worker stopped before it came to the claims that its first plan was for."""
    other = Board(tmp_path, "session", "other")
    other.begin([], SPECS)
    other.finish()
    help_others(board, store, "cpu")
    assert fake_execute == []


def test_a_helper_leaves_to_others_what_they_train(tmp_path, workers, board, store, fake_execute):
    holder = workers("0", seconds=2)
    go(tmp_path, 1)
    wait_for(lambda: log(tmp_path))
    help_others(board, store, "cpu")
    assert fake_execute == []
    assert holder.wait(timeout=60) == 0


def test_what_a_claim_obtains_is_without_evidence(tmp_path):
    """Of a hundred runs it would take gigabytes, and a claim judges rows."""
    store = RunStore(tmp_path)
    store.publish(replace(by_hand(SPECS[0]), evidence={"0/x": np.zeros(1000)}), b"")
    (found,) = obtain([SPECS[0]], Board(tmp_path, "session"), store, "cpu")
    assert found.evidence == {}
    assert found.rows == by_hand(SPECS[0]).rows
