"""What is listed is what is on disk. What is removed is the oldest, and never what is in use."""

import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import Timeout

from bumplab import profiles
from bumplab.__main__ import main
from bumplab.runs import board, space
from bumplab.runs.board import Board
from bumplab.runs.store import RunRecord, RunStore, run_key
from tests.folders import nested
from tests.rows import rows_of

SPECS = [profiles.get("smoke").run(seed) for seed in range(4)]
KEYS = [run_key(spec) for spec in SPECS]
LABELS = [*(spec.label() for spec in SPECS[:3]), f"{SPECS[3].label()}, step 0"]
DAY = 86_400
pytestmark = pytest.mark.usefixtures("no_sync")


def aged(path, days):
    then = time.time() - days * DAY
    for file in path.rglob("*"):
        os.utime(file, (then, then))


def filled(root):
    """A store of finished runs 40, 30 and 20 days old, and a checkpoint 10 days old."""
    store = RunStore(root)
    for spec, days in zip(SPECS, (40, 30, 20), strict=False):
        store.publish(RunRecord(spec, rows_of(spec)), bytes(1000 * days))
        aged(store.path(run_key(spec)), days)
    store.save_partial(RunRecord(SPECS[3], rows_of(SPECS[3], 1)), b"x")
    aged(store.root / "partial", 10)
    return store


@pytest.fixture
def store(tmp_path):
    return filled(tmp_path / "store")


def labels(runs):
    return [run.label for run in runs]


def test_all_runs_are_listed_the_oldest_first(store):
    runs = space.stored(store.root)
    assert labels(runs) == LABELS
    assert [run.key for run in runs] == KEYS
    assert [run.state for run in runs] == ["finished"] * 3 + ["unfinished"]
    assert [round(run.age / DAY) for run in runs] == [40, 30, 20, 10]
    for run in runs:
        assert run.size == sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file()), run
    assert runs[0].size > 40_000
    assert space.stored(store.root / "empty") == []


def test_old_runs_go(tmp_path):
    for days, gone in ((50, 0), (35, 1), (25, 2), (0, 4)):
        store = filled(tmp_path / str(days))
        assert labels(space.prune(store, older_than=days * DAY)) == LABELS[:gone], days
        assert labels(space.stored(store.root)) == LABELS[gone:], days
        assert [store.load(spec) is None for spec in SPECS[:3]] == [k < gone for k in range(3)], days
        assert not list(store.root.glob("*/.tmp-*")), days


def test_a_run_is_as_old_as_its_newest_file(store):
    os.utime(store.path(KEYS[0]) / "rows.json")
    assert labels(space.prune(store, older_than=25 * DAY)) == LABELS[1:2]


def test_the_oldest_go_until_the_rest_is_small_enough(store):
    sizes = [run.size for run in space.stored(store.root)]
    assert labels(space.prune(store, keep=0, dry=True)) == LABELS
    assert space.prune(store, keep=sum(sizes)) == []
    assert labels(space.prune(store, keep=sum(sizes) - 1)) == LABELS[:1]
    assert labels(space.prune(store, keep=sizes[3])) == LABELS[1:3]
    assert labels(space.stored(store.root)) == LABELS[3:]


def test_a_run_that_another_process_trains_stays_until_that_process_is_killed(store):
    orphan = store.root / "results" / f".tmp-{KEYS[3]}-123"  # its writer is alive, as the lock says
    orphan.mkdir()
    (orphan / "rows.json").write_text("half")
    hold = (
        "import sys; from pathlib import Path; from bumplab.runs.store import RunStore; "
        f"lock = RunStore(Path({str(store.root)!r})).lock({KEYS[3]!r}); lock.acquire(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert labels(space.prune(store, keep=0)) == LABELS[:3]
        assert orphan.exists()
        holder.kill()
    assert {run.path for run in space.prune(store, keep=0)} == {store.checkpoints(KEYS[3]), orphan}


def test_a_run_that_another_process_removed_since_it_was_listed_is_passed_over(tmp_path, monkeypatch):
    """Its trainer published it, or another prune was faster. The other runs are removed all the same."""
    for folder in ("results", "partial", "damaged"):
        store = filled(tmp_path / folder)
        with pytest.warns(UserWarning, match="made so"):
            store.set_aside(store.path(KEYS[2]), "made so")
        gone = next(run.path for run in space.stored(store.root) if run.path.parent.name == folder)

        def rename_too_late(path, target, really=Path.rename, gone=gone):
            if path == gone:
                shutil.rmtree(path)
            return really(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename_too_late)
            removed = [run.path for run in space.prune(store, keep=0)]
        assert gone not in removed, folder
        assert len(removed) == 3, folder
        assert space.stored(store.root) == [], folder


def test_runs_are_listed_though_one_is_replaced_meanwhile(store, monkeypatch):
    """A checkpoint is replaced by the next one while its size is taken."""
    files_below = space._files_below

    def replaced(path):
        for file in files_below(path):
            if path.parent.name == "partial" and path.exists():
                shutil.rmtree(path)
            yield file

    monkeypatch.setattr(space, "_files_below", replaced)
    assert labels(space.stored(store.root)) == LABELS[:3]


def test_a_run_is_held_while_it_is_removed(store, monkeypatch):
    """Otherwise a trainer could begin on it after the look, and lose it while it trains."""
    rename, held = Path.rename, []

    def rename_while_held(path, target):
        with pytest.raises(Timeout):
            store.lock(path.name).acquire()
        held.append(path.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_while_held)
    space.prune(store, keep=0)
    assert sorted(held) == sorted(KEYS)


def test_nothing_goes_while_a_session_is_at_work(store):
    board = Board(store.root, "session")
    board.open()
    board.begin([], [])
    with pytest.raises(ValueError, match="1 session at work"):
        space.prune(store, keep=0)
    assert labels(space.prune(store, keep=0, dry=True)) == LABELS
    board.finish()
    assert not board.others_at_work(), "workers would help each other for ever"
    with pytest.raises(ValueError, match="1 session at work"):  # its report is not written yet
        space.prune(store, keep=0)
    other = Board(store.root, "other")
    other.open()
    with pytest.raises(ValueError, match="2 sessions at work"):
        space.prune(store, keep=0)
    for session in (board, other):
        session.close()
    assert labels(space.prune(store, keep=0)) == LABELS


def test_a_session_that_begins_while_runs_go_finds_what_is_left(store, monkeypatch):
    """It waits: what it finds stored is not removed before its report."""
    began, listed = threading.Event(), []

    def session():
        board = Board(store.root, "session")
        began.set()
        board.open()
        listed.extend(labels(space.stored(store.root)))
        board.close()

    thread = threading.Thread(target=session)

    def removed(run, of, really=space._remove):
        if not began.is_set():
            thread.start()
            began.wait(10)
            time.sleep(0.3)
        return really(run, of)

    monkeypatch.setattr(space, "_remove", removed)
    assert labels(space.prune(store, older_than=25 * DAY)) == LABELS[:2]
    thread.join(10)
    assert listed == LABELS[2:]


def test_a_prune_that_was_stopped_is_waited_for_not_for_ever(store, monkeypatch, capsys):
    monkeypatch.setattr(board, "PATIENCE", 0.1)
    with board.pruning(store.root):
        with pytest.raises(OSError, match="for over 0 s: wait for python -m bumplab prune"):
            Board(store.root, "new").open()
        assert main(["prune", "--keep-gb", "0", "--runs-dir", str(store.root)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_session_that_ends_while_one_looks_is_not_at_work(store, monkeypatch):
    Board(store.root, "ending").open()

    def gone(*args, **options):
        raise FileNotFoundError

    monkeypatch.setattr(board, "FileLock", gone)
    assert space.sessions_at_work(store.root) == 0


def test_links_and_files_that_are_no_run_are_counted_and_removed_but_not_followed(store, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x" * 10_000)
    (store.root / "results" / "link").symlink_to(outside)
    (store.root / "results" / "inner").mkdir()
    (store.root / "results" / "inner" / "link").symlink_to(outside)
    (store.root / "results" / "file").write_text("no folder")
    runs = {run.key: run for run in space.stored(store.root)}
    assert runs["link"].size < 1000
    assert {runs[name].label for name in ("link", "inner", "file")} == {"unknown"}
    assert {runs[name].state for name in ("link", "inner", "file")} == {"passed over"}
    assert len(space.prune(store, keep=0)) == 7
    assert space.stored(store.root) == []
    assert (outside / "kept").exists()


def test_runs_of_another_version_are_listed_as_passed_over(store):
    """A finished run and a checkpoint have the names that another results format gave them."""
    store.path(KEYS[0]).rename(store.path("0" * 20))
    store.checkpoints(KEYS[3]).rename(store.checkpoints("1" * 20))
    states = ("passed over", "finished", "finished", "passed over")
    assert [(run.label, run.state) for run in space.stored(store.root)] == list(zip(LABELS, states, strict=True))
    assert labels(space.prune(store, keep=0)) == LABELS


def test_what_a_kill_left_is_left_over_and_goes(store):
    """Killed while it wrote a result or a first checkpoint, or between a result and the removal of its checkpoints."""
    shutil.copytree(store.path(KEYS[1]), store.checkpoints(KEYS[1]) / ("0" * 9))
    (store.checkpoints("a" * 20) / ".tmp-000000000-1").mkdir(parents=True)
    orphan = store.root / "results" / f".tmp-{KEYS[2]}-123"
    orphan.mkdir()
    (orphan / "weights.safetensors").write_bytes(b"x" * 100)
    aged(orphan, 60)
    runs = {run.path: run for run in space.stored(store.root)}
    left_over = [path for path, run in runs.items() if run.state == "left over"]
    assert set(left_over) == {orphan, store.checkpoints(KEYS[1]), store.checkpoints("a" * 20)}
    assert runs[store.checkpoints(KEYS[3])].state == "unfinished"
    assert (runs[orphan].key, runs[orphan].size) == (KEYS[2], 100)
    assert [run.path for run in space.prune(store, older_than=50 * DAY)] == [orphan]
    assert store.load(SPECS[2]) is not None
    space.prune(store, older_than=0)
    assert space.stored(store.root) == []


def test_damaged_folders_are_listed_and_removed(store):
    with pytest.warns(UserWarning, match="made so"):
        store.set_aside(store.path(KEYS[0]), "made so")
    (damaged,) = (run for run in space.stored(store.root) if run.state == "damaged")
    assert (damaged.label, damaged.key) == (LABELS[0], f"results-{KEYS[0]}-0")
    assert labels(space.prune(store, older_than=35 * DAY)) == LABELS[:1]


def test_what_someone_else_put_into_a_store_stops_neither_command(store, capsys):
    """A number of 401 digits, a step that is none, a lock that is a folder, names of other locks, endless folders.

    A name that is no key takes no lock: ``prune`` is held already, and another would leave a file for ever.
    """
    huge = store.root / "results" / "huge" / "spec.json"
    huge.parent.mkdir()
    huge.write_text(SPECS[0].to_json().replace('"dx":0.5', f'"dx":{10**400}'))
    (store.root / "partial" / "x" / "9x").mkdir(parents=True)
    (store.root / "progress" / "old" / "y.lock").mkdir(parents=True)
    for name in ("n" * 253, "prune"):
        (store.root / "results" / name).mkdir()
    where = ["--runs-dir", str(store.root)]
    too_deep = [store.root / folder / ("a" * 20) for folder in space.STATES]
    with ExitStack() as stack:
        for path in too_deep:
            stack.enter_context(nested(path))
        assert main(["runs", *where]) == 0
        assert labels(run for run in space.stored(store.root) if run.path.name in ("huge", "x")) == ["unknown"] * 2
        capsys.readouterr()
        assert main(["prune", *where, "--older-than", "0"]) == 2
        printed = capsys.readouterr()
        assert "7 runs" in printed.out
        assert printed.err.count("\n") == 1
        assert "4 could not be removed: " in printed.err
        assert all(str(path) in printed.err for path in too_deep)
        assert "[Errno 36] File name too long" in printed.err
        assert {run.path for run in space.stored(store.root)} == {*too_deep, store.path("n" * 253)}
    locks = {path.stem for path in (store.root / "locks").iterdir()}
    assert locks <= {*KEYS, "a" * 20, "prune"}


def test_a_run_that_may_not_be_removed_can_still_be_read_and_the_next_goes(store, monkeypatch, capsys):
    def rmtree(path, really=shutil.rmtree, **options):
        if KEYS[0] in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        really(path, **options)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert main(["prune", "--runs-dir", str(store.root), "--older-than", "25"]) == 2
    printed = capsys.readouterr()
    assert "1 could not be removed: [Errno 13] Permission denied" in printed.err
    assert LABELS[1] in printed.out
    assert store.load(SPECS[0]) is not None
    assert labels(space.stored(store.root)) == [LABELS[0], *LABELS[2:]]


def test_amounts_are_numbers_from_0(store, capsys):
    for option in ("--keep-gb", "--older-than"):
        for amount in ("-1", "x", "nan", "inf", "1e300"):
            with pytest.raises(SystemExit, match="2"):
                main(["prune", "--runs-dir", str(store.root), option, amount])
            error = capsys.readouterr().err
            assert option in error, (option, amount)
            assert f"{amount}: must be a number from 0 to 1e+06" in error, (option, amount)


def test_the_commands_print_what_they_did(store, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "160")
    where = ["--runs-dir", str(store.root)]
    assert main(["runs", *where]) == 0
    printed = capsys.readouterr().out
    assert LABELS[0] in printed
    assert "4 runs, " in printed
    assert main(["prune", *where, "--older-than", "35", "--dry-run"]) == 0
    assert "would be removed; nothing was" in capsys.readouterr().out
    assert main(["prune", *where, "--older-than", "35"]) == 0
    assert "1 run, " in capsys.readouterr().out
    assert len(space.stored(store.root)) == 3
    monkeypatch.chdir(tmp_path)
    for arguments, words in ((["prune"], "--older-than DAYS, --keep-gb GB"), (["runs", "--runs-dir", "no"], "no: is")):
        assert main(arguments) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert words in error, arguments
