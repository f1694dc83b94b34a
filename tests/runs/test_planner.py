"""Workers that share a store train each run once, help each other, and survive each other's death."""

import shutil
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
from bumplab.runs.deadline import Deadline, now
from bumplab.runs.planner import OutOfTime, help_others, obtain, train_if_free
from bumplab.runs.stopping import Stopped
from bumplab.runs.store import RunRecord, RunStore, run_key
from tests.rows import rows_of

ROOT = Path(__file__).parents[2]
SPECS = [profiles.get("smoke").run(seed) for seed in range(5)]

# A worker process. Its `train` logs begin and end, waits for the file "release", and publishes a record made by hand.
WORKER = """
import os, sys, time
from pathlib import Path
from bumplab import profiles
from bumplab.runs.board import Board
from bumplab.runs.planner import obtain
from bumplab.runs.store import RunRecord, RunStore
from tests.rows import rows_of

root = Path(sys.argv[1])
needed, plan = ([profiles.get("smoke").run(int(seed)) for seed in text] for text in sys.argv[2:4])

def note(what, seed):
    with open(root / "log", "a") as file:
        file.write(f"{what} {seed} {os.getpid()}\\n")

def train(spec, store, device):
    note("begin", spec.seed)
    time.sleep(0.1)
    while not (root / "release").exists():
        time.sleep(0.01)
    store.publish(RunRecord(spec, rows_of(spec)), b"")
    note("end", spec.seed)

board = Board(root, "session", str(os.getpid()))
board.begin([], plan)
(root / f"ready-{os.getpid()}").touch()
while not (root / "go").exists():
    time.sleep(0.01)
records = obtain(needed, board, RunStore(root), "cpu", train=train)
assert "torch" not in sys.modules
print(*(record.spec.seed for record in records))
"""


@pytest.fixture
def start_worker(tmp_path):
    """Starts a worker for these seeds, and waits until it trains. At the end, kills the workers that are left."""
    started = []

    def start(needed, plan=""):
        arguments = [sys.executable, "-c", WORKER, str(tmp_path), needed, plan]
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
    """This process's view of the workers' session."""
    return Board(tmp_path, "session")


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def go(root, workers):
    """Lets the workers begin once all are ready."""
    wait_for(lambda: len(list(root.glob("ready-*"))) == workers)
    (root / "go").touch()


def log(root):
    path = root / "log"
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def holding(root, start_worker, plan=""):
    """A worker that trains seed 0 until the file "release" exists."""
    holder = start_worker("0", plan=plan)
    go(root, 1)
    wait_for(lambda: log(root))
    return holder


def planner_sleeps(monkeypatch, during):
    """Calls ``during`` with the seconds where the planner would sleep. Fails after a minute."""
    deadline = time.monotonic() + 60

    def sleep(seconds):
        assert time.monotonic() < deadline, "the planner still waits"
        during(seconds)
        time.sleep(0.01)

    monkeypatch.setattr(planner, "time", types.SimpleNamespace(sleep=sleep))


def by_hand(spec):
    return RunRecord(spec, rows_of(spec))


class Trainer:
    """Publishes records made by hand, and notes their seeds."""

    def __init__(self):
        self.seeds = []

    def __call__(self, spec, store, device):
        self.seeds.append(spec.seed)
        store.publish(by_hand(spec), b"")


@pytest.fixture
def trainer():
    return Trainer()


@pytest.fixture(autouse=True)
def no_endless_wait(monkeypatch):
    """A planner that waits for ever is an error of the test, and does not stop the suite."""
    planner_sleeps(monkeypatch, lambda seconds: None)


def test_each_run_is_trained_once_and_all_workers_get_all(tmp_path, start_worker):
    """Two workers want the runs in the same order, and one in another order."""
    orders = ("012", "012", "210")
    (tmp_path / "release").touch()
    processes = [start_worker(order, plan="012") for order in orders]
    go(tmp_path, len(orders))
    for process, order in zip(processes, orders, strict=True):
        out, _ = process.communicate(timeout=60)
        assert out.split() == list(order)
    assert sorted(seed for event, seed, _ in log(tmp_path) if event == "begin") == ["0", "1", "2"]


def test_a_waiting_worker_helps_with_what_others_want(tmp_path, start_worker, board, store, trainer, monkeypatch):
    holder = holding(tmp_path, start_worker, plan="012")
    planner_sleeps(monkeypatch, lambda seconds: (tmp_path / "release").touch())
    records = obtain(SPECS[:1], board, store, "cpu", train=trainer)
    assert [record.spec.seed for record in records] == [0]
    assert trainer.seeds == [1, 2], "it waits for the other worker only when nothing is left to train"
    assert holder.wait(timeout=60) == 0
    assert [(event, seed) for event, seed, _ in log(tmp_path)] == [("begin", "0"), ("end", "0")]


@pytest.mark.parametrize("waits", [True, False])
def test_a_worker_with_nothing_to_do_trains_runs_of_later_looks(
    tmp_path, start_worker, board, store, trainer, monkeypatch, waits
):
    """One waits for a run that another trains; one has no claim left. A look of another claim comes first."""
    holder = holding(tmp_path, start_worker)
    other = Board(tmp_path, "session", "other")
    other.begin([], [SPECS[3]], {"open": [SPECS[2], SPECS[1], SPECS[0]], "settled": [SPECS[4]]})
    Board(tmp_path, "session", "third").settle(["settled"])

    def release(seconds):
        assert trainer.seeds == [3, 1, 2], "it waits only when nothing is left to train"
        (tmp_path / "release").touch()
        other.finish()

    planner_sleeps(monkeypatch, release)
    if waits:
        obtain(SPECS[:1], board, store, "cpu", train=trainer)
    else:
        help_others(board, store, "cpu", train=trainer)
    assert holder.wait(timeout=60) == 0
    assert trainer.seeds == [3, 1, 2], "seed 0 is the other's, and no open question asks for seed 4"


def test_a_run_trained_for_a_later_look_is_not_trained_again(tmp_path, start_worker, board, store, trainer):
    """Its own worker comes to the look, and asks for it."""
    other = Board(tmp_path, "session", "other")
    other.begin([], [], {"open": SPECS[:2]})

    def train_and_finish(spec, store, device):
        trainer(spec, store, device)
        other.finish()

    help_others(board, store, "cpu", train=train_and_finish)
    obtain(SPECS[:2], other, store, "cpu", train=trainer)
    assert trainer.seeds == [0, 1]


def test_a_stopped_run_goes_on_later_and_frees_its_lock(board, store, trainer):
    """The trainer stops it twice."""
    stops = iter([True, True, False])

    def train(spec, store, device):
        if next(stops):
            raise Stopped
        trainer(spec, store, device)

    assert [record.spec for record in obtain(SPECS[:1], board, store, "cpu", train=train)] == SPECS[:1]
    assert (trainer.seeds, list(stops)) == ([0], [])


def test_where_nothing_fits_before_the_deadline_what_is_missing_is_raised(
    tmp_path, start_worker, board, store, trainer, monkeypatch
):
    """Seed 1 is stored. While another process trains seed 0, the worker waits for it."""
    store.publish(replace(by_hand(SPECS[1]), seconds={"training": 200.0}), b"")
    holder = holding(tmp_path, start_worker, plan="01")
    waits = []

    def release(seconds):
        waits.append(seconds)
        (tmp_path / "release").touch()
        holder.wait(timeout=60)

    planner_sleeps(monkeypatch, release)
    deadline = Deadline(10.0, now() + 60.0)
    with pytest.raises(OutOfTime) as raised:
        obtain(SPECS[:3], board, store, "cpu", train=trainer, deadline=deadline)
    assert raised.value.missing == [SPECS[2]]
    assert (trainer.seeds, waits) == ([], [planner.POLL])
    other = Board(tmp_path, "session", "other")
    other.begin([], SPECS)
    help_others(board, store, "cpu", train=trainer, deadline=Deadline(10.0, now() - 1))
    assert board.others_at_work()
    assert trainer.seeds == [], "a helper leaves when the time is over"


def test_the_lock_of_a_killed_worker_does_not_block(tmp_path, start_worker, board, store, trainer):
    victim = holding(tmp_path, start_worker)
    assert not train_if_free(SPECS[0], store, "cpu", train=trainer), "trained what another process is training"
    victim.kill()
    victim.wait()
    help_others(board, store, "cpu", train=trainer)
    assert trainer.seeds == [], "helped the dead"
    assert (tmp_path / "locks" / f"{run_key(SPECS[0])}.lock").exists()
    (record,) = obtain(SPECS[:1], board, store, "cpu", train=trainer)
    assert (record.spec, trainer.seeds) == (SPECS[0], [0])


def test_results_come_in_the_order_asked_for_even_twice_the_same_and_without_evidence(board, store, trainer):
    """A claim judges rows. The evidence of a hundred runs would take gigabytes."""
    store.publish(replace(by_hand(SPECS[0]), evidence={"0/x": np.zeros(1000)}), b"")
    asked = [SPECS[i] for i in (2, 0, 2, 1)]
    records = obtain(asked, board, store, "cpu", train=trainer)
    assert [record.spec for record in records] == asked
    assert [record.rows for record in records] == [rows_of(spec) for spec in asked]
    assert [record.evidence for record in records] == [{}] * 4
    assert trainer.seeds == [2, 1]


def test_what_is_stored_is_neither_trained_nor_waited_for(board, store, trainer):
    """A failed run counts as stored."""
    whole = by_hand(SPECS[0])
    store.publish(replace(whole, rows=whole.rows[:1], failed="the loss is nan"), b"")
    for spec in SPECS[1:3]:
        store.publish(by_hand(spec), b"")
    with store.lock(run_key(SPECS[0])):
        records = obtain(SPECS[:3], board, store, "cpu", train=trainer)
    assert [record.failed for record in records] == ["the loss is nan", None, None]
    assert not train_if_free(SPECS[0], store, "cpu", train=trainer)
    assert trainer.seeds == []


def test_what_another_published_before_the_lock_was_had_is_not_trained_again(store, monkeypatch, trainer):
    lock = RunStore.lock

    def lock_late(self, key):
        self.publish(by_hand(SPECS[0]), b"")
        return lock(self, key)

    monkeypatch.setattr(RunStore, "lock", lock_late)
    assert not train_if_free(SPECS[0], store, "cpu", train=trainer)
    assert trainer.seeds == []


def test_a_plan_is_not_trained_for_a_worker_that_needs_nothing(board, store, trainer):
    board.ask(SPECS[:3])
    assert obtain([], board, store, "cpu", train=trainer) == []
    assert trainer.seeds == []


def test_a_damaged_result_is_left_to_the_worker_that_needs_it_and_trained_again(board, store, trainer):
    """A helper could not publish the run: something lies at its path. Its reader moves that aside."""
    for spec in SPECS[:3]:
        store.publish(by_hand(spec), b"")
    (store.path(run_key(SPECS[1])) / "rows.json").write_bytes(b"{}")
    shutil.rmtree(store.path(run_key(SPECS[2])))
    store.path(run_key(SPECS[2])).write_text("no folder")
    assert not any(train_if_free(spec, store, "cpu", train=trainer) for spec in SPECS[:3])
    with pytest.warns(UserWarning, match="moved to"):
        records = obtain(SPECS[:3], board, store, "cpu", train=trainer)
    assert [record.spec.seed for record in records] == [0, 1, 2]
    assert trainer.seeds == [1, 2]


def test_an_error_in_training_is_raised_and_frees_the_lock(board, store, monkeypatch, trainer):
    def broken(spec, store, device):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        obtain(SPECS[:1], board, store, "cpu", train=broken)
    assert len(obtain(SPECS[:1], board, store, "cpu", train=trainer)) == 1


def test_what_is_needed_is_on_the_board_before_it_is_trained(tmp_path, board, store, monkeypatch, trainer):
    """Other workers read it while this one trains the first run."""
    seen = []

    def look_and_train(spec, store, device):
        seen.append(Board(tmp_path, "session", "another").wanted())
        trainer(spec, store, device)

    for _ in range(2):
        obtain(SPECS[1:3], board, store, "cpu", train=look_and_train)
    assert seen == [SPECS[1:3]] * 2


def test_a_helper_stays_while_another_may_ask_and_then_leaves(tmp_path, board, store, monkeypatch, trainer):
    """While the helper sleeps, another worker does nothing, wants a run, does nothing, wants two, and is done."""
    other = Board(tmp_path, "session", "other")
    other.begin([], [])
    life = iter([lambda: None, lambda: other.ask(SPECS[:1]), lambda: None, lambda: other.ask(SPECS[1:3]), other.finish])
    planner_sleeps(monkeypatch, lambda seconds: next(life)())
    help_others(board, store, "cpu", train=trainer)
    assert trainer.seeds == [0, 1, 2]
    assert not list(life)


def test_a_helper_leaves_what_no_claim_will_ask_for(tmp_path, board, store, trainer):
    """With `-x` the other worker stopped before it came to the claims of its first plan."""
    other = Board(tmp_path, "session", "other")
    other.begin([], SPECS[:3])
    other.finish()
    help_others(board, store, "cpu", train=trainer)
    assert trainer.seeds == []


def test_a_helper_leaves_to_others_what_they_train(tmp_path, start_worker, board, store, trainer, monkeypatch):
    holder = holding(tmp_path, start_worker)
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        (tmp_path / "release").touch()
        assert holder.wait(timeout=60) == 0

    planner_sleeps(monkeypatch, sleep)
    help_others(board, store, "cpu", train=trainer)
    assert trainer.seeds == []
    assert waits == [planner.POLL]


def test_a_trainer_gets_the_device(tmp_path, board, store, monkeypatch):
    trained = []

    def train(spec, store, device):
        trained.append((spec.seed, device))
        store.publish(by_hand(spec), b"")

    obtain(SPECS[:2], board, store, "cuda:1", train)
    other = Board(tmp_path, "session", "other")
    other.begin([], SPECS[:3])
    planner_sleeps(monkeypatch, lambda seconds: other.finish())
    help_others(board, store, "cuda:1", train)
    assert trained == [(0, "cuda:1"), (1, "cuda:1"), (2, "cuda:1")]
