"""The store returns what was published, moves aside what is damaged, and loses nothing in a crash.

Files made on purpose to harm are in test_hostile.py.
"""

import errno
import math
import os
import shutil
import warnings
from dataclasses import replace
from itertools import count, product

import numpy as np
import pytest
import safetensors.numpy
from filelock import Timeout

from bumplab import profiles
from bumplab.runs import store as store_module
from bumplab.runs.sealed import MANIFEST, seal
from bumplab.runs.store import FILES, RunRecord, RunStore, run_key
from tests.folders import assert_refused, assert_set_aside
from tests.rows import row_of

SPEC = profiles.get("smoke").run(0)
KEY = run_key(SPEC)
pytestmark = pytest.mark.usefixtures("no_sync")
WEIGHTS = safetensors.numpy.save({"w": np.arange(6, dtype=np.float32)})


def make_record(spec=SPEC, checkpoints=None, **changes):
    rows = []
    for step in spec.measured_steps()[:checkpoints]:
        rows.append(row_of(spec, step, step / 13) | {"loss": math.nan if step == 0 else 0.5})
    evidence = {f"{row['step']:g}/x": np.arange(12, dtype=np.float16).reshape(3, 4) + row["step"] for row in rows}
    evidence["0/modes"] = np.array([0, 3, 255], dtype=np.uint8)
    return RunRecord(spec, rows, evidence, {"training": 1.5}, {"torch": "2", "threads": 1}, **changes)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


def assert_equal(loaded, record):
    assert loaded.spec == record.spec
    assert [list(row) for row in loaded.rows] == [sorted(row) for row in record.rows]
    for row, expected in zip(loaded.rows, record.rows, strict=True):
        np.testing.assert_array_equal([row[k] for k in row], [expected[k] for k in row])
    assert loaded.evidence.keys() == record.evidence.keys()
    for name, value in record.evidence.items():
        assert loaded.evidence[name].dtype == value.dtype
        np.testing.assert_array_equal(loaded.evidence[name], value)
    assert (loaded.seconds, loaded.environment, loaded.failed) == (record.seconds, record.environment, record.failed)


def test_what_is_published_is_loaded(store):
    record = make_record()
    record.evidence["0/view"] = np.arange(12.0).reshape(3, 4).T  # not contiguous
    assert store.load(SPEC) is None
    assert not store.has(SPEC)
    store.publish(record, WEIGHTS)
    assert store.has(SPEC)
    assert_equal(store.load(SPEC), record)
    assert math.isnan(store.load(SPEC).rows[0]["loss"])
    assert store.load(replace(SPEC, seed=1)) is None


def test_a_failed_run_keeps_its_reason(store):
    store.publish(make_record(checkpoints=1, failed="the loss is nan"), WEIGHTS)
    assert_equal(store.load(SPEC), make_record(checkpoints=1, failed="the loss is nan"))


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)


def replace_by_link(path):
    path.rename(path.parents[2] / "copy")
    path.symlink_to(path.parents[2] / "copy")


def replace_folder_by_file(path):
    shutil.rmtree(path.parent)
    path.parent.write_bytes(b"x")


def replace_folder_by_link(path):
    path.parent.rename(path.parents[2] / "target")
    path.parent.symlink_to(path.parents[2] / "target")


def replace_folder_by_dangling_link(path):
    shutil.rmtree(path.parent)
    path.parent.symlink_to("nowhere")


def test_a_damaged_result_is_named_moved_aside_kept_and_replaced(store):
    (store.root / "damaged").mkdir()
    (store.root / "damaged" / f"results-{KEY}-0").symlink_to("nowhere")  # a taken name is passed over
    damages = (truncate, flip, os.unlink, replace_by_link)
    of_folders = (replace_folder_by_file, replace_folder_by_link, replace_folder_by_dangling_link)
    cases = [(damage, name) for damage in damages for name in ("rows.json", MANIFEST)]
    cases += [(damage, "rows.json") for damage in of_folders]
    for number, (damage, name) in enumerate(cases, start=1):
        store.publish(make_record(), WEIGHTS)
        damage(store.path(KEY) / name)
        words = ["is not a folder"] if damage in of_folders else [name] if damage is not os.unlink else []
        assert_refused(store, SPEC, (damage, name), f"results-{KEY}-{number}", "trained again", *words)
        assert len(list((store.root / "damaged").iterdir())) == 1 + number, (damage, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.publish(make_record(), WEIGHTS)
        assert_equal(store.load(SPEC), make_record())


def test_a_file_that_its_disk_cannot_read_is_damage_and_stops_nobody(store, monkeypatch):
    fstat, bad = os.fstat, []

    def failing(descriptor):
        if bad and os.path.samestat(fstat(descriptor), bad[0]):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", failing)
    for name in (*FILES, MANIFEST):
        store.publish(make_record(), WEIGHTS)
        bad[:] = [(store.path(KEY) / name).stat()]
        assert_refused(store, SPEC, name, f"{name} cannot be read from its disk")


def test_the_result_of_another_spec_is_refused(store):
    other = replace(SPEC, seed=1)
    store.publish(make_record(other), WEIGHTS)
    store.path(run_key(other)).rename(store.path(KEY))
    assert_refused(store, SPEC, "another seed", "spec.json")


def test_the_newest_checkpoint_is_used_and_older_ones_dropped(store):
    assert store.load_partial(SPEC) is None
    for checkpoints in (1, 2):
        store.save_partial(make_record(checkpoints=checkpoints), WEIGHTS)
    record, weights = store.load_partial(SPEC)
    assert_equal(record, make_record(checkpoints=2))
    assert weights == WEIGHTS
    assert [path.name for path in store.checkpoints(KEY).iterdir()] == ["000000003"]


def test_a_damaged_newest_checkpoint_falls_back_to_an_older_whole_one_then_to_the_start(store):
    folder = store.checkpoints(KEY)
    store.save_partial(make_record(checkpoints=1), WEIGHTS)
    shutil.copytree(folder, store.root / "kept")
    store.save_partial(make_record(checkpoints=2), WEIGHTS)
    shutil.copytree(store.root / "kept", folder, dirs_exist_ok=True)  # as if killed before the older one was dropped
    assert len(store.load_partial(SPEC)[0].rows) == 2
    (folder / "000000003" / "weights.safetensors").write_bytes(WEIGHTS[:-1])
    with pytest.warns(UserWarning, match="000000003: weights.safetensors does not match"):
        record, _ = store.load_partial(SPEC)
    assert_equal(record, make_record(checkpoints=1))
    (folder / "000000000" / "rows.json").write_bytes(b"")
    assert_set_aside(lambda: store.load_partial(SPEC), folder / "000000000", "oldest", "rows.json", "from the start")


def test_publishing_drops_the_checkpoints_and_what_killed_writers_left(store):
    other = replace(SPEC, seed=1)
    for spec in (SPEC, other):
        store.save_partial(make_record(spec, checkpoints=1), WEIGHTS)
    orphan = store.path(KEY).with_name(f".tmp-{KEY}-1")
    orphan.mkdir(parents=True)
    store.publish(make_record(), WEIGHTS)
    assert store.load_partial(SPEC) is None
    assert store.load_partial(other) is not None
    assert not orphan.exists()
    assert not (store.root / "damaged").exists()


def test_a_result_that_is_published_during_a_load_is_never_moved_aside(tmp_path, monkeypatch):
    """Its trainer publishes just before any one of the reader's calls of the system."""
    for was_damaged in (False, True):
        for call in count():
            store, calls = RunStore(tmp_path / f"{call}-{was_damaged}"), iter(range(call, -1, -1))
            load_while_published(store, calls, was_damaged, monkeypatch)
            assert store.load(SPEC) is not None, (call, was_damaged)
            moved = [path.read_text() for path in (store.root / "damaged").glob("*/rows.json")]
            assert set(moved) <= {""}, (call, was_damaged)
            if next(calls, None) is not None:
                break  # the reader made fewer calls
        assert call > (10 if was_damaged else 0)


def load_while_published(store, calls, was_damaged, monkeypatch):
    """Publishes the run before the call of the reader at which ``calls`` gives 0."""
    folder = store.path(KEY)
    if was_damaged:
        store.publish(make_record(), WEIGHTS)
        (folder / "rows.json").write_text("")

    def publish():
        try:
            with store.lock(KEY):
                shutil.rmtree(folder, ignore_errors=True)
                store.publish(make_record(), WEIGHTS)
        except Timeout:
            pass  # the reader looks at it with the lock held

    def interrupted(original):
        def function(path, *args, **kwargs):
            if str(path).startswith(str(folder)) and next(calls, None) == 0:
                publish()
            return original(path, *args, **kwargs)

        return function

    with monkeypatch.context() as patch, warnings.catch_warnings():
        for name in ("stat", "lstat", "open", "listdir", "scandir", "rename"):
            patch.setattr(os, name, interrupted(getattr(os, name)))
        warnings.simplefilter("ignore")
        store.load(SPEC)
    publish()


def test_a_disk_that_fills_at_any_write_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    """Writes four files, the manifest and the folder. The old checkpoint goes only when the new files are on disk."""
    room = [0]

    def full(descriptor, fsync=os.fsync):
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        fsync(descriptor)

    for writes, is_last in product(range(6), (False, True)):
        store = RunStore(tmp_path / f"{writes}-{is_last}")
        store.save_partial(make_record(checkpoints=1), WEIGHTS)
        room[0] = writes
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            write = store.publish if is_last else store.save_partial
            record = make_record(checkpoints=None if is_last else 2)
            with pytest.raises(OSError, match="No space"):
                write(record, WEIGHTS)
        assert store.load(SPEC) is None, (writes, is_last)
        record, weights = store.load_partial(SPEC)
        assert [row["step"] for row in record.rows] == SPEC.measured_steps()[:1], (writes, is_last)
        assert weights == WEIGHTS, (writes, is_last)


def test_room_that_a_killed_writer_took_is_freed_before_more_is_written(store, monkeypatch):
    store.save_partial(make_record(checkpoints=1), WEIGHTS)
    orphan = store.checkpoints(KEY) / f".tmp-{SPEC.measured_steps()[1]:09d}-{2**22 + 1}"  # no process has this number
    orphan.mkdir()
    orphan_existed = []

    def watched_seal(*args):
        orphan_existed.append(orphan.exists())
        seal(*args)

    monkeypatch.setattr(store_module, "seal", watched_seal)
    store.save_partial(make_record(checkpoints=2), WEIGHTS)
    assert orphan_existed == [False]


def test_each_folder_that_exists_is_tried_before_anything_is_trained(store, monkeypatch):
    store.require_writable()
    assert list(store.root.iterdir()) == []
    folders = [store.root / name for name in ("results", "partial", "locks", "progress")]
    for folder in folders:
        folder.mkdir()
    store.require_writable()
    assert not any(list(folder.iterdir()) for folder in folders)

    def forbidden(dir):
        if dir == forbidden_folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(dir))
        return open(os.devnull)

    monkeypatch.setattr(store_module, "TemporaryFile", forbidden)
    for forbidden_folder in folders:
        with pytest.raises(PermissionError, match=forbidden_folder.name):
            store.require_writable()
