"""The store gives back what was published, names and refuses what was damaged, and executes nothing."""

import errno
import hashlib
import json
import math
import os
import pickle
import shutil
import warnings
import zipfile
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import safetensors.numpy
from filelock import Timeout

from bumplab import profiles
from bumplab.config import DataSpec, RunSpec
from bumplab.runs import store as module
from bumplab.runs.sealed import MANIFEST, seal
from bumplab.runs.store import FILES, RunRecord, RunStore, run_key
from tests.folders import reseal
from tests.rows import row_of

SPEC = profiles.get("smoke").run(0)
WEIGHTS = safetensors.numpy.save({"w": np.arange(6, dtype=np.float32)})


def make_record(spec=SPEC, checkpoints=None, **changes):
    rows = [
        row_of(spec, s, s / 13) | {"step": s, "loss": math.nan if s == 0 else 0.5}
        for s in spec.measured_steps()[:checkpoints]
    ]
    evidence = {f"{row['step']}/x": np.arange(12, dtype=np.float16).reshape(3, 4) + row["step"] for row in rows}
    evidence["0/modes"] = np.array([0, 3, 255], dtype=np.uint8)
    return RunRecord(spec, rows, evidence, {"training": 1.5}, {"torch": "2", "threads": 1}, **changes)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("cuda", [True, False])
@pytest.mark.parametrize("asked", ["bf16", "float32"])
def test_what_a_run_was_computed_in(asked, cuda, exact, bf16):
    spec = replace(SPEC, training=replace(SPEC.training, precision=asked))
    environment = {"instructions": "cuda" if cuda else "AVX2", "exact": exact, "bf16": bf16}
    products = "bf16" if asked == "bf16" and bf16 else "TF32" if cuda and not exact else "float32"
    libraries = {"umap-learn": "0.5", "opencv": "5.0"}
    assert module.arithmetic(spec, environment | libraries) == f"{products}, with umap-learn 0.5 and OpenCV 5.0"
    assert module.arithmetic(spec, {}) == "float32, with umap-learn of some version and OpenCV of some version"


def leaves(part, path=()):
    for field in fields(part):
        value = getattr(part, field.name)
        yield from leaves(value, (*path, field.name)) if is_dataclass(value) else [((*path, field.name), value)]


def with_leaf(part, path, value):
    inner = value if len(path) == 1 else with_leaf(getattr(part, path[0]), path[1:], value)
    return replace(part, **{path[0]: inner})


# a run in which every field has another valid value, but for those that constrain each other
OTHER = {
    "image_size": 24, "hole": 3.0, "attention_heads": 2, "norm_groups": 2, "schedule": "cosine", "prediction": "v",
    "sampler": "ancestral", "precision": "bf16", "ema_decay": 0.5, "weight_decay": 0.5, "timesteps": 2000,
    "pairing": "shuffled", "kind": "factorized", "source": "true", "last_samples": 1000,
}  # fmt: skip


@pytest.mark.parametrize("path", [path for path, _ in leaves(RunSpec())], ids=".".join)
def test_the_key_changes_with_every_field(path):
    base = with_leaf(RunSpec(), ("diffusion",), replace(RunSpec().diffusion, sampler="ddim", sampler_steps=20))
    value = dict(leaves(base))[path]
    other = OTHER.get(path[-1], value * 2 if not isinstance(value, str) else None)
    if path[-1] == "seed":
        other = 1
    changed = with_leaf(base, path, other)
    assert other != value
    assert run_key(changed) != run_key(base)
    assert run_key(with_leaf(changed, path, value)) == run_key(base)


def test_the_key_tells_neither_1_from_1_0_nor_one_process_from_another():
    assert run_key(RunSpec(data=DataSpec(dx=1, sigma=2))) == run_key(RunSpec(data=DataSpec(dx=1.0, sigma=2.0)))
    assert run_key(SPEC) == run_key(RunSpec.from_dict(json.loads(SPEC.to_json())))
    assert set(run_key(SPEC)) <= set("0123456789abcdef")


def test_the_key_changes_with_the_results_format(monkeypatch):
    before = run_key(SPEC)
    monkeypatch.setattr(module, "RESULTS_FORMAT", module.RESULTS_FORMAT + 1)
    assert run_key(SPEC) != before


def assert_equal(found, record):
    assert found.spec == record.spec
    assert [list(row) for row in found.rows] == [sorted(row) for row in record.rows]
    for row, expected in zip(found.rows, record.rows, strict=True):
        np.testing.assert_array_equal([row[k] for k in row], [expected[k] for k in row])
    assert found.evidence.keys() == record.evidence.keys()
    for name, value in record.evidence.items():
        assert found.evidence[name].dtype == value.dtype
        np.testing.assert_array_equal(found.evidence[name], value)
    assert (found.seconds, found.environment, found.failed) == (record.seconds, record.environment, record.failed)


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
    found = store.load(SPEC)
    assert found.failed == "the loss is nan"
    assert len(found.rows) == 1


def refuse(store, folder):
    """The damaged result is warned about by name, moved aside, absent, and can be published anew."""
    with pytest.warns(UserWarning, match=run_key(SPEC)):
        assert store.load(SPEC) is None
    assert not os.path.lexists(folder)
    assert len(list((store.root / "damaged").iterdir())) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.load(SPEC) is None
        store.publish(make_record(), WEIGHTS)
        assert_equal(store.load(SPEC), make_record())


@pytest.mark.parametrize("name", [*sorted(FILES), MANIFEST])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "symlink"])
def test_a_damaged_result_is_named_moved_aside_and_replaced(store, name, damage):
    store.publish(make_record(), WEIGHTS)
    folder = store.path(run_key(SPEC))
    content = (folder / name).read_bytes()
    if damage == "truncate":
        (folder / name).write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        (folder / name).write_bytes(content[:5] + bytes([content[5] ^ 1]) + content[6:])
    else:
        (folder / name).unlink()
        if damage == "symlink":
            (store.root / "copy").write_bytes(content)
            (folder / name).symlink_to(store.root / "copy")
    refuse(store, folder)


@pytest.mark.parametrize("kind", ["file", "dangling link", "link"])
def test_what_is_not_a_folder_is_moved_aside(store, kind):
    folder = store.path(run_key(SPEC))
    folder.parent.mkdir(parents=True)
    if kind == "file":
        folder.write_bytes(b"x")
    else:
        target = store.root / "target"
        if kind == "link":
            target.mkdir()
        folder.symlink_to(target)
    refuse(store, folder)


@pytest.mark.parametrize("name", [*sorted(FILES), MANIFEST])
def test_a_file_that_its_disk_cannot_read_is_damage_and_stops_nobody(store, monkeypatch, name):
    store.publish(make_record(), WEIGHTS)
    folder, fstat, bad = store.path(run_key(SPEC)), os.fstat, []

    def failing(descriptor):
        if bad and os.path.samestat(fstat(descriptor), bad[0]):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return fstat(descriptor)

    bad.append((folder / name).stat())
    monkeypatch.setattr(os, "fstat", failing)
    with pytest.warns(UserWarning, match=f"{name} cannot be read from its disk .*is trained again when it is needed"):
        assert store.load(SPEC) is None
    assert not folder.exists()


def test_what_becomes_of_a_run_with_a_damaged_checkpoint_is_said(store):
    store.save_partial(make_record(checkpoints=1), WEIGHTS)
    (folder,) = (store.root / "partial" / run_key(SPEC)).iterdir()
    (folder / "rows.json").write_bytes(b"")
    with pytest.warns(UserWarning, match="the run goes on from an earlier checkpoint, or from the start$"):
        assert store.load_partial(SPEC) is None


def test_a_dangling_link_where_damage_goes_is_in_nobodys_way(store):
    store.publish(make_record(), WEIGHTS)
    folder = store.path(run_key(SPEC))
    (folder / "rows.json").write_bytes(b"")
    link = store.root / "damaged" / f"results-{run_key(SPEC)}-0"
    link.parent.mkdir()
    link.symlink_to(store.root / "nowhere")
    with pytest.warns(UserWarning, match=f"moved to .*results-{run_key(SPEC)}-1"):
        assert store.load(SPEC) is None
    assert link.is_symlink()


def test_a_file_in_place_of_a_runs_checkpoints_is_moved_aside(store):
    checkpoints = store.root / "partial" / run_key(SPEC)
    checkpoints.parent.mkdir(parents=True)
    checkpoints.write_text("x")
    with pytest.warns(UserWarning, match="is not a folder; moved to"):
        assert store.load_partial(SPEC) is None
    store.save_partial(make_record(checkpoints=1), WEIGHTS)
    assert_equal(store.load_partial(SPEC)[0], make_record(checkpoints=1))


def test_each_damaged_result_is_kept(store):
    for _ in range(3):
        store.publish(make_record(), WEIGHTS)
        (store.path(run_key(SPEC)) / "rows.json").write_bytes(b"")
        with pytest.warns(UserWarning, match="rows.json"):
            store.load(SPEC)
    assert len(list((store.root / "damaged").iterdir())) == 3


def test_the_result_of_another_spec_is_refused(store):
    other = replace(SPEC, seed=1)
    store.publish(make_record(other), WEIGHTS)
    store.path(run_key(other)).rename(store.path(run_key(SPEC)))
    refuse(store, store.path(run_key(SPEC)))


def body_with(**changes):
    def change(folder):
        body = json.loads((folder / "rows.json").read_text())
        return {"rows.json": json.dumps({**body, **changes}).encode()}

    return change


@pytest.mark.parametrize(
    "change",
    [
        body_with(format=module.RESULTS_FORMAT + 1),
        body_with(rows=[]),
        body_with(rows=[{"step": 5.0}]),
        body_with(rows=[{"loss": 1.0}]),
        body_with(rows=[{"step": "six"}]),
        body_with(rows=[[1, 2]]),
        body_with(seconds=3),
        lambda folder: {"rows.json": b"[]"},
        lambda folder: {"rows.json": b"{"},
        lambda folder: {"rows.json": b"\xff"},
        lambda folder: {"evidence.safetensors": b""},
        lambda folder: {"spec.json": b"{}"},
    ],
)
def test_a_result_of_another_shape_is_refused_even_with_right_checksums(store, change):
    store.publish(make_record(), WEIGHTS)
    folder = store.path(run_key(SPEC))
    reseal(folder, **change(folder))
    refuse(store, folder)


def without(folder, row, name):
    """Takes a number out of a stored row, as only someone else can: what lacks one is not written."""
    body = json.loads((folder / "rows.json").read_bytes())
    del body["rows"][row][name]
    reseal(folder, **{"rows.json": json.dumps(body).encode()})


@pytest.mark.parametrize("name", ["loss", "on_grid.accuracy", "off_grid.samples", "up1.pca_r2"])
@pytest.mark.parametrize("row", [0, -1])
@pytest.mark.parametrize("failed", [None, "the loss is nan"])
def test_a_result_that_lacks_a_measurement_is_refused_even_with_right_checksums(store, name, row, failed):
    """Its reader would meet a KeyError, in this session and in every later one."""
    record = make_record(failed=failed)
    store.publish(record, WEIGHTS)
    without(store.path(record.key), row, name)
    with pytest.warns(UserWarning, match=f"rows.json lacks {name} at step {record.rows[row]['step']}"):
        assert store.load(SPEC) is None
    store.publish(make_record(), WEIGHTS)
    assert_equal(store.load(SPEC), make_record())


def test_a_checkpoint_that_lacks_a_measurement_is_not_resumed_from(store):
    record = make_record(checkpoints=2)
    store.save_partial(record, WEIGHTS)
    without(store.root / "partial" / record.key / "000000006", 0, "loss")
    with pytest.warns(UserWarning, match="rows.json lacks loss at step 0"):
        assert store.load_partial(SPEC) is None


class Plant:
    """Unpickled, it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def hostile(kind, tmp_path):
    bomb = pickle.dumps(Plant(tmp_path / "executed"))
    if kind == "pickle":
        return bomb
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w") as file:  # what torch.save and numpy's npz are
        file.writestr("archive/data.pkl", bomb)
        file.writestr("x.npy", bomb)
    return archive.read_bytes()


@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_a_pickle_as_evidence_is_refused_and_not_executed(store, tmp_path, kind):
    store.publish(make_record(), WEIGHTS)
    folder = store.path(run_key(SPEC))
    content = hostile(kind, tmp_path)
    reseal(folder, **{"evidence.safetensors": content})
    sums = json.loads((folder / MANIFEST).read_text())
    assert sums["evidence.safetensors"]["sha256"] == hashlib.sha256(content).hexdigest()
    refuse(store, folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kind", ["pickle", "zip"])
def test_a_pickle_as_weights_is_refused_and_not_executed(store, tmp_path, kind):
    """Weights are read where training resumes; of a finished run they are not read at all."""
    from bumplab.runs.execute import _resume

    store.save_partial(make_record(checkpoints=2), WEIGHTS)
    (folder,) = (store.root / "partial" / run_key(SPEC)).iterdir()
    reseal(folder, **{"weights.safetensors": hostile(kind, tmp_path)})
    with pytest.warns(UserWarning, match=run_key(SPEC)):
        record, state = _resume(SPEC, store, "cpu")
    assert (record.rows, state.step) == ([], 0)
    assert not folder.exists()
    assert not (tmp_path / "executed").exists()


def test_the_newest_checkpoint_is_used_and_older_ones_dropped(store):
    assert store.load_partial(SPEC) is None
    for count in (1, 2):
        store.save_partial(make_record(checkpoints=count), WEIGHTS)
    found, weights = store.load_partial(SPEC)
    assert_equal(found, make_record(checkpoints=2))
    assert weights == WEIGHTS
    assert [path.name for path in (store.root / "partial" / run_key(SPEC)).iterdir()] == ["000000006"]


def test_a_damaged_newest_checkpoint_falls_back_to_an_older_whole_one(store):
    folder = store.root / "partial" / run_key(SPEC)
    store.save_partial(make_record(checkpoints=1), WEIGHTS)
    shutil.copytree(folder, store.root / "kept")
    store.save_partial(make_record(checkpoints=2), WEIGHTS)
    shutil.copytree(store.root / "kept", folder, dirs_exist_ok=True)  # as if killed before the older one was dropped
    assert len(store.load_partial(SPEC)[0].rows) == 2
    (folder / "000000006" / "weights.safetensors").write_bytes(WEIGHTS[:-1])
    with pytest.warns(UserWarning, match="weights.safetensors"):
        found, _ = store.load_partial(SPEC)
    assert_equal(found, make_record(checkpoints=1))


def test_publishing_drops_the_checkpoints_and_what_killed_writers_left(store):
    other = replace(SPEC, seed=1)
    for spec in (SPEC, other):
        store.save_partial(make_record(spec, checkpoints=1), WEIGHTS)
    orphan = store.path(run_key(SPEC)).with_name(f".tmp-{run_key(SPEC)}-1")
    orphan.mkdir(parents=True)
    store.publish(make_record(), WEIGHTS)
    assert store.load_partial(SPEC) is None
    assert store.load_partial(other) is not None
    assert not orphan.exists()
    assert not (store.root / "damaged").exists()


@pytest.mark.parametrize("before", ["nothing", "damaged"])
@pytest.mark.parametrize("call", range(24))
def test_a_result_that_appears_while_one_looks_is_never_moved_aside(tmp_path, monkeypatch, before, call):
    """Whatever the reader does, its trainer publishes just before the reader's next call of the system."""
    store, calls = RunStore(tmp_path), iter(range(call, -1, -1))
    folder = store.path(run_key(SPEC))
    if before == "damaged":
        store.publish(make_record(), WEIGHTS)
        (folder / "rows.json").write_text("")

    def publish():
        try:
            with store.lock(run_key(SPEC)):
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

    for name in ("stat", "lstat", "open", "listdir", "scandir", "rename"):
        monkeypatch.setattr(os, name, interrupted(getattr(os, name)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store.load(SPEC)
    monkeypatch.undo()
    publish()
    assert store.load(SPEC) is not None
    aside = list((tmp_path / "damaged").glob("*/rows.json"))
    assert all(path.read_text() == "" for path in aside), "a whole result was moved aside"


@pytest.mark.parametrize("last", [False, True], ids=["a checkpoint", "the result"])
@pytest.mark.parametrize("room_for", range(6))
def test_a_disk_that_fills_at_any_write_leaves_the_checkpoint_before(store, room_for, last, monkeypatch):
    """Four files, the manifest, the folder: the old one goes only once the new one, or the result, is on disk."""
    store.save_partial(make_record(checkpoints=1), WEIGHTS)
    left = [room_for]

    def full(descriptor, fsync=os.fsync):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            (store.publish if last else store.save_partial)(make_record(checkpoints=None if last else 2), WEIGHTS)
    assert store.load(SPEC) is None
    record, weights = store.load_partial(SPEC)
    assert ([row["step"] for row in record.rows], weights) == (SPEC.measured_steps()[:1], WEIGHTS)


def test_room_that_a_killed_writer_took_is_freed_before_more_is_written(store, monkeypatch):
    store.save_partial(make_record(checkpoints=1), WEIGHTS)
    partial = store.root / "partial" / run_key(SPEC)
    orphan = partial / f".tmp-{SPEC.measured_steps()[1]:09d}-{2**22 + 1}"  # no process has this number
    orphan.mkdir()
    there = []
    monkeypatch.setattr(module, "seal", lambda *given: (there.append(orphan.exists()), seal(*given)))
    store.save_partial(make_record(checkpoints=2), WEIGHTS)
    assert there == [False]
