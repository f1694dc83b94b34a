"""What is listed is what is on disk; what is removed is the oldest, and never what is in use."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import Timeout

from bumplab import profiles
from bumplab.__main__ import main
from bumplab.runs import board, space
from bumplab.runs.board import Board
from bumplab.runs.store import RunRecord, RunStore
from tests.folders import nested
from tests.rows import rows_of

SPECS = [profiles.get("smoke").run(seed) for seed in range(4)]
DAY = 86_400


def record_of(spec, checkpoints=None):
    return RunRecord(spec, rows_of(spec, checkpoints))


def aged(path, days):
    then = time.time() - days * DAY
    for file in path.rglob("*"):
        os.utime(file, (then, then))


@pytest.fixture
def store(tmp_path):
    """Finished runs 40, 30 and 20 days old, and a checkpoint 10 days old."""
    store = RunStore(tmp_path / "store")
    for spec, days in zip(SPECS, (40, 30, 20), strict=False):
        store.publish(record_of(spec), bytes(1000 * days))
        aged(store.path(record_of(spec).key), days)
    store.save_partial(record_of(SPECS[3], 1), b"x")
    aged(store.root / "partial", 10)
    return store


def names(runs):
    return [run.label for run in runs]


LABELS = [*(spec.label() for spec in SPECS[:3]), f"{SPECS[3].label()}, step 0"]


def test_all_runs_are_listed_the_oldest_first(store):
    runs = space.stored(store.root)
    assert names(runs) == LABELS
    assert [run.state for run in runs] == ["finished"] * 3 + ["unfinished"]
    assert [round(run.age / DAY) for run in runs] == [40, 30, 20, 10]
    assert runs[0].size == sum(file.stat().st_size for file in runs[0].path.iterdir()) > 40_000


@pytest.mark.parametrize(("days", "gone"), [(50, 0), (35, 1), (25, 2), (0, 4)])
def test_what_is_old_goes(store, days, gone):
    assert names(space.prune(store, older_than=days * DAY)) == LABELS[:gone]
    assert names(space.stored(store.root)) == LABELS[gone:]
    assert [store.load(spec) is None for spec in SPECS[:3]] == [k < gone for k in range(3)]


def test_the_oldest_go_until_the_rest_is_small_enough(store):
    sizes = [run.size for run in space.stored(store.root)]
    assert space.prune(store, keep=sum(sizes)) == []
    assert names(space.prune(store, keep=sum(sizes) - 1)) == LABELS[:1]
    assert names(space.prune(store, keep=sizes[3])) == LABELS[1:3]


def test_a_dry_run_removes_nothing(store):
    assert names(space.prune(store, keep=0, dry=True)) == LABELS
    assert names(space.stored(store.root)) == LABELS


def test_a_run_that_another_process_trains_stays(store):
    key = record_of(SPECS[3]).key
    hold = (
        "import sys; from pathlib import Path; from bumplab.runs.store import RunStore; "
        f"lock = RunStore(Path({str(store.root)!r})).lock({key!r}); lock.acquire(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert names(space.prune(store, keep=0)) == LABELS[:3]
        holder.kill()
    assert names(space.prune(store, keep=0)) == LABELS[3:]


@pytest.mark.parametrize("of", ["results", "partial", "damaged"])
def test_what_another_process_removed_since_it_was_listed_is_passed_over(store, monkeypatch, of):
    """Its trainer published it, or another prune was faster; nothing of the rest is kept for that."""
    with pytest.warns(UserWarning, match="made so"):
        store.set_aside(store.path(record_of(SPECS[2]).key), "made so")
    (gone, *_) = (run for run in space.stored(store.root) if run.path.parent.name == of)
    rename = Path.rename

    def late(path, target):
        if path == gone.path:
            shutil.rmtree(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    assert {run.path for run in space.prune(store, keep=0)}.isdisjoint({gone.path})
    assert space.stored(store.root) == []


def test_a_run_is_held_while_it_is_removed(store, monkeypatch):
    """Else a trainer could take it up between the look and the removal, and lose it while it trains."""
    rename, held = Path.rename, []

    def looked(path, target):
        with pytest.raises(Timeout):
            store.lock(path.name).acquire()
        held.append(path.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", looked)
    space.prune(store, keep=0)
    assert sorted(held) == sorted(record_of(spec).key for spec in SPECS)


def test_nothing_goes_while_a_session_is_at_work(store):
    board = Board(store.root, "session")
    board.open()
    board.begin([], [])
    with pytest.raises(ValueError, match=r"1 session at work on it: wait, or stop it$"):
        space.prune(store, keep=0)
    assert names(space.stored(store.root)) == LABELS
    board.finish()
    assert not board.others_at_work(), "workers would help each other for ever"
    with pytest.raises(ValueError, match="1 session at work"):  # its report is not written yet
        space.prune(store, keep=0)
    board.close()
    assert names(space.prune(store, keep=0)) == LABELS


def test_links_and_what_is_no_run_are_counted_and_removed_but_not_followed(store, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x" * 10_000)
    (store.root / "results" / "link").symlink_to(outside)
    (store.root / "results" / "inner").mkdir()
    (store.root / "results" / "inner" / "link").symlink_to(outside)
    (store.root / "results" / "file").write_text("no folder")
    runs = {run.key: run for run in space.stored(store.root)}
    assert runs["link"].size < 1000
    assert runs["inner"].label == "unknown"
    space.prune(store, keep=0)
    assert space.stored(store.root) == []
    assert (outside / "kept").exists()


def test_runs_of_another_version_are_listed_as_passed_over(store):
    """Under the names that another results format gave them: a finished one, and a checkpoint."""
    for spec, folder, name in ((SPECS[0], "results", "0" * 20), (SPECS[3], "partial", "1" * 20)):
        place = store.root / folder / record_of(spec).key
        place.rename(place.with_name(name))
    assert [(run.label, run.state) for run in space.stored(store.root)] == list(
        zip(LABELS, ("passed over", "finished", "finished", "passed over"), strict=True)
    )
    assert names(space.prune(store, keep=0)) == LABELS


def test_what_a_kill_left_of_checkpoints_is_left_over_and_not_another_versions(store):
    """Killed at the first checkpoint, or between a run's result and the removal of its checkpoints."""
    shutil.copytree(store.path(record_of(SPECS[1]).key), store.root / "partial" / record_of(SPECS[1]).key / ("0" * 9))
    (store.root / "partial" / ("a" * 20) / ".tmp-000000000-1").mkdir(parents=True)
    found = {run.path: run.state for run in space.stored(store.root) if run.path.parent.name == "partial"}
    assert sorted(found.values()) == ["left over", "left over", "unfinished"]
    space.prune(store, older_than=0)
    assert space.stored(store.root) == []


def test_a_run_is_as_old_as_its_newest_file(store):
    os.utime(store.path(record_of(SPECS[0]).key) / "rows.json")
    assert names(space.prune(store, older_than=25 * DAY)) == LABELS[1:2]


def test_a_step_that_is_a_link_is_not_read(store, tmp_path):
    (checkpoint,) = (store.root / "partial" / record_of(SPECS[3]).key).iterdir()
    checkpoint.rename(tmp_path / "elsewhere")
    checkpoint.symlink_to(tmp_path / "elsewhere")
    assert names(space.stored(store.root))[-1] == "unknown"


@pytest.mark.parametrize("place", ["results", "partial", "damaged"])
def test_folders_too_deep_stop_neither_command(store, capsys, place):
    deep, where = store.root / place / ("a" * 20), ["--runs-dir", str(store.root)]
    with nested(deep):
        assert main(["runs", *where]) == 0
        assert "5 runs" in capsys.readouterr().out
        assert main(["prune", *where, "--older-than", "0"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "1 could not be removed" in said
        assert [run.path for run in space.stored(store.root)] == [deep]


def test_a_folder_named_as_the_lock_of_prune_goes(store):
    (store.root / "results" / "prune").mkdir()
    space.prune(store, older_than=0)
    assert space.stored(store.root) == []


def test_a_prune_that_was_stopped_is_waited_for_not_for_ever(store, monkeypatch, capsys):
    monkeypatch.setattr(board, "PATIENCE", 0.1)
    with board.pruning(store.root):
        with pytest.raises(OSError, match="runs are being removed, for over 0 s: wait for python -m bumplab prune"):
            Board(store.root, "new").open()
        assert main(["prune", "--keep-gb", "0", "--runs-dir", str(store.root)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_session_that_ends_while_one_looks_is_not_at_work(store, monkeypatch):
    Board(store.root, "ending").open()

    class Gone:
        def __init__(self, *args, **options):
            raise FileNotFoundError

    monkeypatch.setattr(board, "FileLock", Gone)
    assert space.sessions_at_work(store.root) == 0


def test_damaged_folders_are_listed_and_removed(store):
    with pytest.warns(UserWarning, match="made so"):
        store.set_aside(store.path(record_of(SPECS[0]).key), "made so")
    (damaged,) = (run for run in space.stored(store.root) if run.state == "damaged")
    assert damaged.label == LABELS[0]
    assert names(space.prune(store, older_than=35 * DAY)) == LABELS[:1]


def test_what_a_killed_writer_left_behind_goes_unless_it_lives(store):
    key = record_of(SPECS[2]).key
    pending = store.root / "results" / f".tmp-{key}-123"
    pending.mkdir()
    (pending / "weights.safetensors").write_bytes(b"x" * 100)
    aged(pending, 60)
    (found,) = (run for run in space.stored(store.root) if run.state == "left over")
    assert (found.key, found.size) == (key, 100)
    assert [run.path for run in space.prune(store, older_than=50 * DAY)] == [pending]
    assert not pending.exists()
    assert store.load(SPECS[2]) is not None


def test_what_a_living_writer_has_not_finished_stays(store):
    key = record_of(SPECS[2]).key
    pending = store.root / "results" / f".tmp-{key}-123"
    pending.mkdir()
    with store.lock(key):
        assert names(space.prune(store, keep=0)) == [LABELS[0], LABELS[1], LABELS[3]]
        assert pending.exists()


def test_a_session_that_begins_while_runs_go_finds_what_is_left(store, monkeypatch):
    """It waits: what it finds stored is not removed before its report."""
    began, found = threading.Event(), []

    def session():
        board = Board(store.root, "session")
        began.set()
        board.open()
        found.extend(names(space.stored(store.root)))
        board.close()

    thread = threading.Thread(target=session)

    def removed(run, of, really=space._remove):
        if not began.is_set():
            thread.start()
            began.wait(10)
            time.sleep(0.3)
        return really(run, of)

    monkeypatch.setattr(space, "_remove", removed)
    assert names(space.prune(store, older_than=25 * DAY)) == LABELS[:2]
    thread.join(10)
    assert found == LABELS[2:]


def test_what_someone_else_put_into_a_store_stops_neither_command(store, tmp_path, capsys):
    """Numbers of 401 digits, checkpoints that are none, links, locks that are folders, names too long for a lock."""
    huge = store.root / "results" / "huge" / "spec.json"
    huge.parent.mkdir()
    huge.write_text(SPECS[0].to_json().replace('"dx":0.5', f'"dx":{10**400}'))
    (store.root / "partial" / "x" / "9x").mkdir(parents=True)
    (store.root / "progress" / "old" / "y.lock").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "spec.json").write_text(SPECS[0].to_json())
    (store.root / "results" / "link").symlink_to(tmp_path / "outside")
    (store.root / "results" / ("n" * 253)).mkdir()
    place = ["--runs-dir", str(store.root)]
    assert main(["runs", *place]) == 0
    assert names(run for run in space.stored(store.root) if run.path.name in ("huge", "x", "link")) == ["unknown"] * 3
    capsys.readouterr()
    assert main(["prune", *place, "--keep-gb", "0"]) == 2
    said = capsys.readouterr()
    assert "7 runs" in said.out
    assert said.err.count("\n") == 1
    assert "1 could not be removed: [Errno 36] File name too long" in said.err
    assert [run.path.name for run in space.stored(store.root)] == ["n" * 253]


def test_a_run_that_may_not_be_removed_can_still_be_read_and_the_next_goes(store, monkeypatch, capsys):
    def rmtree(path, really=shutil.rmtree, **options):
        if record_of(SPECS[0]).key in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        really(path, **options)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    assert main(["prune", "--runs-dir", str(store.root), "--older-than", "25"]) == 2
    said = capsys.readouterr()
    assert "1 could not be removed: [Errno 13] Permission denied" in said.err
    assert LABELS[1] in said.out
    assert store.load(SPECS[0]) is not None
    assert names(space.stored(store.root)) == [LABELS[0], *LABELS[2:]]


@pytest.mark.parametrize("amount", ["-1", "x", "nan", "inf", "1e300"])
def test_an_amount_is_one_that_can_be(store, capsys, amount):
    with pytest.raises(SystemExit):
        main(["prune", "--runs-dir", str(store.root), "--keep-gb", amount])
    assert f"{amount}: must be a number from 0 to 1e+06" in capsys.readouterr().err


def test_the_commands_say_what_they_did(store, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    place = ["--runs-dir", str(store.root)]
    assert main(["runs", *place]) == 0
    assert LABELS[0] in (said := capsys.readouterr().out)
    assert "4 runs, " in said
    assert main(["prune", *place, "--older-than", "35", "--dry-run"]) == 0
    assert "would be removed; nothing was" in capsys.readouterr().out
    assert main(["prune", *place, "--older-than", "35"]) == 0
    assert "1 run, " in capsys.readouterr().out
    assert len(space.stored(store.root)) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prune"], "say what may go, with --older-than DAYS, --keep-gb GB or both"),
        (["runs", "--runs-dir", "nowhere"], "--runs-dir nowhere: is no folder"),
    ],
)
def test_bad_input_is_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".runs").mkdir()
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("days", ["-1", "nan", "x"])
def test_an_amount_is_a_number_of_at_least_0(days, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["prune", "--older-than", days])
    assert "--older-than" in capsys.readouterr().err
