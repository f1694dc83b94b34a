"""A store made by others. It is refused, runs no code, changes nothing outside, and takes bounded time and memory.

Checksums are right here: whoever makes files can compute them. Damage by accident is in test_store.py and
test_sealed.py.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.metadata import version

import cv2
import numpy as np
import pytest
import safetensors.numpy

from bumplab import profiles
from bumplab.runs import execute, space
from bumplab.runs.board import Board, at_work
from bumplab.runs.locks import require_locks
from bumplab.runs.planner import train_if_free
from bumplab.runs.progress import replace_text
from bumplab.runs.sealed import MANIFEST
from bumplab.runs.store import FILES, RESULTS_FORMAT, RunRecord, RunStore, require_real_folders, run_key
from bumplab.subjects import state
from bumplab.subjects.diffusion import Unet
from tests.folders import assert_refused, assert_set_aside, nested, reseal
from tests.rows import evidence_of, row_of

SPEC = profiles.get("smoke").run(0)
KEY = run_key(SPEC)
pytestmark = pytest.mark.usefixtures("no_sync")
WEIGHTS = safetensors.numpy.save({"w": np.arange(6, dtype=np.float32)})


def record_of(checkpoints=None, **changes):
    rows = [{**row_of(SPEC, step, 0.25), "loss": 0.5} for step in SPEC.measured_steps()[:checkpoints]]
    environment = {"torch": "2", "umap-learn": version("umap-learn"), "opencv": cv2.__version__}
    return RunRecord(SPEC, rows, {"0/x": np.zeros(3, np.float32)}, {"training": 1.5}, environment, **changes)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "store")


@pytest.fixture
def outside(tmp_path):
    """A folder outside the store, old enough to be tidied away. At the end it is as it was."""
    folder = tmp_path / "outside"
    (folder / "precious").mkdir(parents=True)
    for name in ("file", "x.lock"):
        (folder / "precious" / name).write_text("x")
    os.utime(folder / "precious", (0, 0))
    yield folder
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == {
        "precious", "precious/file", "precious/x.lock",
    }  # fmt: skip
    assert {path.read_text() for path in (folder / "precious").iterdir()} == {"x"}


def plant(store, name, content):
    """Publishes a run in which someone else has replaced one file."""
    store.publish(record_of(), WEIGHTS)
    reseal(store.path(KEY), **{name: content})


def plant_rows(store, change):
    """Publishes a run in whose rows.json ``change`` has changed the content, as JSON."""
    store.publish(record_of(), WEIGHTS)
    body = json.loads((store.path(KEY) / "rows.json").read_bytes())
    change(body)
    reseal(store.path(KEY), **{"rows.json": json.dumps(body).encode()})


def plant_checkpoint(store, **files):
    """Stores a checkpoint in which someone else has replaced files. Returns its folder."""
    store.save_partial(record_of(1), WEIGHTS)
    (folder,) = store.checkpoints(KEY).iterdir()
    reseal(folder, **files)
    return folder


def saved(arrays):
    return safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def with_header(header, size=0):
    """A safetensors file with this header, followed by ``size`` bytes."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def many_arrays(size):
    """A valid safetensors file of empty arrays, with a header of at least ``size`` bytes."""
    entry = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    return with_header({f"{k:07d}": entry for k in range(size // 50 + 1)})


def test_files_of_another_form_are_refused(store):
    cases = [
        *(("rows.json", content) for content in (b"[]", b"{", b"\xff", b"null", b"[" * 100_000, b"")),
        *(("spec.json", content) for content in (b"{}", replace(SPEC, seed=1).to_json().encode())),
        ("evidence.safetensors", b""),
    ]
    for name, content in cases:
        plant(store, name, content)
        assert_refused(store, SPEC, (name, content[:20]), name.split(".")[0])
    for changed in (
        {"format": RESULTS_FORMAT + 1}, {"rows": []}, {"rows": [{"step": 5.0}]}, {"rows": [{"loss": 1.0}]},
        {"rows": [{"step": "six"}]}, {"rows": [[1, 2]]}, {"rows": None}, {"seconds": 3},
    ):  # fmt: skip
        plant_rows(store, lambda body, changed=changed: body.update(changed))
        assert_refused(store, SPEC, changed, "rows")


def test_rows_are_those_of_the_measured_steps(store):
    for steps in ([], [0, 5, 12], [0, 0, 12], [6, 12], [0, 6, 12, 12], [12, 6, 0]):
        rows = []
        for step in steps:
            nearest = min(SPEC.measured_steps(), key=lambda measured, step=step: abs(measured - step))
            rows.append(row_of(SPEC, nearest, 0.25) | {"step": float(step), "loss": 0.5})
        for failed in ("x", None):
            plant_rows(store, lambda body, rows=rows, failed=failed: body.update(rows=rows, failed=failed))
            assert_refused(store, SPEC, (steps, failed), "steps")


def test_only_a_run_that_ends_early_has_failed(store):
    """A whole run with a reason would count as a failed seed. Training would go on from a failed checkpoint."""
    for checkpoints in (1, 3):
        is_whole = checkpoints == len(SPEC.measured_steps())
        for failed in ("never happened", None):
            changed = record_of(checkpoints, failed=failed)
            store.publish(changed, WEIGHTS)
            if is_whole == (failed is None):
                assert store.load(SPEC).failed == failed
                shutil.rmtree(store.path(KEY))
            else:
                assert_refused(store, SPEC, (checkpoints, failed), "failed" if is_whole else "ends")
            store.save_partial(changed, WEIGHTS)
            (folder,) = store.checkpoints(KEY).iterdir()
            if failed is None:
                assert store.load_partial(SPEC) is not None
                shutil.rmtree(folder)
            else:
                assert_set_aside(lambda: store.load_partial(SPEC), folder, (checkpoints, failed), "failed")


def test_a_number_is_finite_and_its_square_too(store):
    """Intervals of larger numbers go from -inf to nan. Reports add up seconds."""
    values = ("NaN", "Infinity", "-Infinity", "1e999", '"0.5"', "true", "[1]", "{}", "1" + "0" * 400, "1e308", "-1e308")
    for entry in ('"loss": 0.5', '"training": 1.5'):
        for value in values:
            store.publish(record_of(), WEIGHTS)
            text = (store.path(KEY) / "rows.json").read_text()
            assert entry in text
            changed = text.replace(entry, f"{entry.split(':')[0]}: {value}", 1)
            reseal(store.path(KEY), **{"rows.json": changed.encode()})
            assert_refused(store, SPEC, (entry, value), "finite")
    for seconds in (1e10, 1e9, -1.0, None):
        plant_rows(store, lambda body, seconds=seconds: body["seconds"].update(training=seconds))
        assert_refused(store, SPEC, seconds, "finite" if seconds is None else "seconds")
    plant_rows(store, lambda body: body["seconds"].update(training=0))
    assert store.load(SPEC).seconds == {"training": 0}


def test_what_was_counted_is_a_share_of_what_was_drawn(store):
    """An unknown share would count as a level that was never reached. It made a claim SUPPORTED."""
    cases = [
        *(("probe.accuracy", value, 0) for value in (None, 1.35, -0.1)),
        *(("on_grid.ceiling", value, -1) for value in (None, 2)),
        *(("probe.samples", value, 1) for value in (None, 0, 23, 24.5)),
        ("probe.correct", None, 1),
        ("loss", None, 2),
    ]
    for name, value, row in cases:
        plant_rows(store, lambda body, name=name, value=value, row=row: body["rows"][row].update({name: value}))
        assert_refused(store, SPEC, (name, value), name, f"at step {SPEC.measured_steps()[row]}")
    changed = record_of()
    changed.rows[0] |= {"loss": np.nan, "layer4.order": np.nan, "probe.error": np.nan}
    store.publish(changed, WEIGHTS)
    assert np.isnan(store.load(SPEC).rows[0]["layer4.order"]), "a representation may be unknown"


def test_a_run_that_lacks_a_number_is_refused(store):
    """Its reader would meet a KeyError, in this session and in every later one."""
    for name in ("loss", "probe.accuracy", "probe.samples", "layer4.told"):
        for row in (0, -1):
            for failed in (None, "the loss is nan"):

                def change(body, name=name, row=row, failed=failed):
                    del body["rows"][row][name]
                    body["failed"] = failed

                plant_rows(store, change)
                step = SPEC.measured_steps()[row]
                assert_refused(store, SPEC, (name, row, failed), f"lacks {name} at step {step}")
    store.save_partial(record_of(2), WEIGHTS)
    (folder,) = store.checkpoints(KEY).iterdir()
    body = json.loads((folder / "rows.json").read_bytes())
    del body["rows"][0]["loss"]
    reseal(folder, **{"rows.json": json.dumps(body).encode()})
    assert_set_aside(lambda: store.load_partial(SPEC), folder, "a checkpoint", "lacks loss at step 0")


def test_a_reason_and_an_environment_are_lines_of_text(store):
    """With an empty reason a run that ended early would pass as whole. Two lines would forge a log."""
    texts = ["x" * 1001, "\u00e9" * 501, "", "two\nlines", "two\r\nlines", "a\u2028b", "\ud800"]
    cases = [
        *({"failed": value} for value in (*texts, 3, True, ["x"], ["<b>"])),
        *(
            {"environment": {"torch": value}}
            for value in (*texts, None, ["x"], [], float("inf"), float("nan"), 10**400)
        ),
        *({"environment": {name: 1}} for name in texts),
        *({"environment": value} for value in ([], None, "x", {f"{name}": 1 for name in range(1_001)})),
    ]
    for changed in cases:
        plant_rows(store, lambda body, changed=changed: body.update(changed))
        assert_refused(store, SPEC, str(changed)[:50], "rows")
    changed = {"environment": {f"{name}": True for name in range(999)} | {"x" * 1000: "x" * 1000}}
    plant_rows(store, lambda body: body.update(changed))
    assert store.load(SPEC).environment == changed["environment"]


def test_evidence_of_another_size_than_it_declares_is_refused(store):
    for shape, offsets, size in (
        ([1 << 40], [0, 1 << 42], 0),  # far beyond the file
        ([1 << 32, 1 << 32], [0, 0], 0),  # a product that overflows to 0
        ([1 << 62, 0], [0, 0], 0),
        ([4], [0, 8], 8),  # declares 16 bytes, and has 8
        ([2], [0, 8], 64),  # bytes that belong to no array
    ):
        content = with_header({"0/x": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}, size)
        plant(store, "evidence.safetensors", content)
        assert_refused(store, SPEC, shape, "evidence")
    for length in (1 << 20, (1 << 22) + 1, (1 << 63) - 1, (1 << 64) - 1):
        plant(store, "evidence.safetensors", length.to_bytes(8, "little") + b"{}")
        assert_refused(store, SPEC, length, "evidence")


def test_evidence_of_a_step_is_whole_and_in_form_or_absent(store):
    """A report would stop at an array that is missing."""
    whole = evidence_of(SPEC)
    store.publish(replace(record_of(), evidence=whole), WEIGHTS)
    assert store.load(SPEC).evidence.keys() == whole.keys()
    shutil.rmtree(store.path(KEY))
    for name in whole:
        if name.startswith("6/"):
            continue  # the middle step has the arrays of the first
        step, array = name.split("/")
        plant(store, "evidence.safetensors", saved({k: v for k, v in whole.items() if k != name}))
        assert_refused(store, SPEC, name, f"{array} at step {step}")
    for name in ("0/probe.images", "12/on_grid.modes", "12/embedding.labels", "0/layer4.embedding"):
        for array in (whole[name][:-1], whole[name][..., None], whole[name].astype(np.float64)):
            plant(store, "evidence.safetensors", saved(whole | {name: array}))
            assert_refused(store, SPEC, (name, array.shape), name.split("/")[1])
    for name, value in (("0/probe.modes", 4), ("12/on_grid.labels", np.inf), ("0/embedding.labels", np.nan)):
        array = whole[name].copy()
        array.flat[-1] = value
        plant(store, "evidence.safetensors", saved(whole | {name: array}))
        assert_refused(store, SPEC, name, name.split("/")[1])


def test_names_of_arrays_are_never_paths(store):
    store.root.mkdir()
    before = set(store.root.parent.iterdir())
    for name in ("../../escaped", "/tmp/escaped-from-bumplab", "0/\x00", "0/<script>"):
        plant(store, "evidence.safetensors", saved({name: np.zeros(1, np.uint8)}))
        assert set(store.load(SPEC).evidence) == {name}
        assert set(store.root.parent.iterdir()) == before, name
        assert not os.path.exists("/tmp/escaped-from-bumplab")
        shutil.rmtree(store.path(KEY))


class MakesFolder:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_refused_and_not_executed(store, tmp_path):
    bomb, archive = pickle.dumps(MakesFolder(tmp_path / "executed")), tmp_path / "archive"
    with zipfile.ZipFile(archive, "w") as file:  # the form of torch.save and of numpy's npz
        file.writestr("archive/data.pkl", bomb)
        file.writestr("x.npy", bomb)
    for content in (bomb, archive.read_bytes()):
        plant(store, "evidence.safetensors", content)
        assert_refused(store, SPEC, content[:10], "evidence")
        assert_weights_refused(store, content)
    assert not (tmp_path / "executed").exists()


def assert_weights_refused(store, content, *words):
    """A checkpoint with these weights is moved aside, and training begins again."""
    folder = plant_checkpoint(store, **{"weights.safetensors": content})
    begun = []
    assert_set_aside(
        lambda: begun.append(execute._resume(SPEC, Unet(), store, "cpu")), folder, content[:100], "weights", *words
    )
    loaded, learner = begun[0]
    assert (loaded.rows, learner.training.step) == ([], 0)


def test_weights_that_cannot_be_loaded_are_refused(store):
    """Some have a type that torch lacks. One has a type with a second line, which would forge a line of a log."""
    cases = (("F8_E8M0", [4], 4), ("F4", [4], 2), ("F6_E2M3", [4], 3), ("F32", [0, 2**63], 0), ("F32\nERROR", [4], 16))
    for dtype, shape, size in cases:
        header = {"weights": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}
        assert_weights_refused(store, with_header(header, size), "cannot be read")


def test_a_header_of_a_million_names_is_neither_parsed_nor_written(store, monkeypatch):
    """The file is small on disk, but each name is an object in memory."""
    content = many_arrays(1 << 22)
    assert len(safetensors.numpy.load(many_arrays(1000))) > 10, "such a file is valid"
    store.save_partial(record_of(1), WEIGHTS)
    with pytest.raises(OSError, match=r"weights.safetensors .*measure less often"):
        store.save_partial(record_of(2), content)
    assert len(store.load_partial(SPEC)[0].rows) == 1
    with pytest.raises(OSError, match="measure less often"):
        store.publish(record_of(), content)
    assert not store.has(SPEC)
    monkeypatch.setattr(state, "load", None)
    assert_weights_refused(store, content, "4194304")
    plant(store, "evidence.safetensors", content)
    monkeypatch.setattr(safetensors.numpy, "load", None)
    assert_refused(store, SPEC, "a million arrays", "evidence.safetensors", "4194304")


def test_a_file_over_its_limit_is_neither_read_nor_written(store, monkeypatch):
    for name, limit in FILES.items():
        store.publish(record_of(), WEIGHTS)
        with open(store.path(KEY) / name, "r+b") as file:
            file.truncate(limit + 1)
        assert_refused(store, SPEC, name, f"{name} has {limit + 1} bytes")
        with monkeypatch.context() as patch:
            patch.setitem(FILES, name, 1)
            with pytest.raises(OSError, match=f"{name} of .* over 1 bytes"):
                store.publish(record_of(), WEIGHTS)
        assert not store.has(SPEC), name


LOAD = """
import json, sys, warnings
from pathlib import Path
from bumplab.config import RunSpec
from bumplab.runs import space
from bumplab.runs.progress import running
from bumplab.runs.store import RunStore
warnings.simplefilter("ignore")
spec = RunSpec.from_dict(json.loads(sys.argv[1]))
for root in map(Path, sys.argv[2:]):
    print(running(root), [run.label for run in space.stored(root)], RunStore(root).load(spec))
"""


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    roots = []
    for name in (*FILES, MANIFEST):
        store = RunStore(tmp_path / name)
        store.publish(record_of(), WEIGHTS)
        (store.path(KEY) / name).unlink()
        (store.root / "progress").mkdir()
        for pipe in (store.path(KEY) / name, store.root / "progress" / "x.json"):
            os.mkfifo(pipe)
        roots.append(store.root)
    command = [sys.executable, "-c", LOAD, SPEC.to_json(), *map(str, roots)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    labels = [SPEC.label() if root.name != "spec.json" else "unknown" for root in roots]
    assert done.stdout.splitlines() == [f"[] ['{label}'] None" for label in labels], done.stderr
    assert [len(list((root / "damaged").iterdir())) for root in roots] == [1] * len(roots)


def test_a_linked_folder_of_a_store_ends_every_command(tmp_path, outside):
    for name in ("results", "partial", "locks", "progress", "damaged"):
        store = RunStore(tmp_path / name)
        store.root.mkdir()
        (store.root / name).symlink_to(outside)
        for begin in (
            lambda store: require_real_folders(store.root),
            lambda store: store.require_writable(),
            lambda store: require_locks(store.root),
            lambda store: space.stored(store.root),
            lambda store: space.prune(store, older_than=0),
        ):
            with pytest.raises(OSError, match=f"symbolic link.*{name}"):
                begin(store)
        assert os.listdir(store.root) == [name]


def test_a_link_among_the_checkpoints_is_moved_aside(store, outside):
    """Otherwise `save_partial` would remove what lies behind it, as older checkpoints."""
    folder = store.checkpoints(KEY)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(outside)
    assert_set_aside(lambda: store.load_partial(SPEC), folder, "a link", "is not a folder")
    folder.write_text("x")
    assert_set_aside(lambda: store.load_partial(SPEC), folder, "a file", "is not a folder")
    folder.mkdir()
    (folder / "000000006").symlink_to(outside)
    (folder / "other").symlink_to(outside)
    assert_set_aside(lambda: store.load_partial(SPEC), folder / "000000006", "a linked step", "is not a folder")
    store.save_partial(record_of(2), WEIGHTS)
    assert len(store.load_partial(SPEC)[0].rows) == 2


def test_folders_nested_too_deeply_stop_no_training_and_no_session(store):
    """Python cannot remove them: it would need a call within a call for each."""
    session = store.root / "progress" / "old"
    with nested(store.checkpoints(KEY) / "x"), nested(session):
        for checkpoints in (1, 2):
            store.save_partial(record_of(checkpoints), WEIGHTS)
            assert len(store.load_partial(SPEC)[0].rows) == checkpoints
        store.publish(record_of(), WEIGHTS)
        assert store.load(SPEC) is not None
        os.utime(session, (0, 0))
        board = Board(store.root, "new")
        board.open()
        board.close()


def test_links_to_runs_outside_are_not_read(store, tmp_path):
    """A list of the runs would print the label of what lies behind the link."""
    elsewhere = RunStore(tmp_path / "elsewhere")
    elsewhere.publish(record_of(), WEIGHTS)
    elsewhere.save_partial(record_of(1), WEIGHTS)
    (step,) = elsewhere.checkpoints(KEY).iterdir()
    targets = {
        store.path(KEY): elsewhere.path(KEY),
        store.root / "damaged" / "x": elsewhere.path(KEY),
        store.checkpoints("a" * 20): step.parent,
        store.checkpoints(KEY) / step.name: step,
    }
    for link, target in targets.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    assert {(run.key, run.label) for run in space.stored(store.root)} == {
        (KEY, "unknown"), ("x", "unknown"), ("a" * 20, "unknown"),
    }  # fmt: skip
    assert len(space.prune(store, keep=0)) == len(targets)
    assert elsewhere.load(SPEC) is not None
    assert elsewhere.load_partial(SPEC) is not None


def test_a_checkpoint_of_another_name_is_moved_aside(store):
    folder = plant_checkpoint(store).rename(store.checkpoints(KEY) / "000000099")
    assert_set_aside(lambda: store.load_partial(SPEC), folder, "another step", "holds another step")


def test_a_lock_is_not_taken_through_a_link(tmp_path, outside):
    """filelock would empty the file behind it, or make one anywhere."""
    for target in (outside / "precious" / "x.lock", outside / "absent"):
        store = RunStore(tmp_path / f"store-{target.name}")
        (store.root / "locks").mkdir(parents=True)
        for name in ("probe", KEY):
            (store.root / "locks" / f"{name}.lock").symlink_to(target)
        for take in (
            lambda store: require_locks(store.root),
            lambda store: store.lock(KEY).acquire(),
            lambda store: train_if_free(SPEC, store, "cpu"),
        ):
            with pytest.raises(OSError, match="symbolic links"):
                take(store)
        assert not store.has(SPEC)


def test_a_link_among_the_sessions_is_neither_at_work_nor_removed(tmp_path, store, outside):
    elsewhere = Board(tmp_path / "elsewhere", "session", "gw0")
    elsewhere.open()
    elsewhere.begin([], [])
    link = store.root / "progress" / "linked"
    link.parent.mkdir(parents=True)
    for target in (elsewhere.folder, outside / "precious"):
        link.symlink_to(target)
        assert space.sessions_at_work(store.root) == 0
        assert space.prune(store, keep=0) == []
        Board(store.root, "new").open()
        assert link.is_symlink()
        link.unlink()
    session = Board(store.root, "session")
    session.open()
    (session.folder / "gw0.lock").symlink_to(elsewhere.folder / "gw0.lock")
    (session.folder / "gw1.lock").mkdir()
    assert at_work(elsewhere.folder)
    assert not session.others_at_work()
    elsewhere.finish()


def test_a_text_is_not_written_through_a_link_that_has_its_temporary_name(tmp_path, outside):
    """A process has a small number in a container, so that others can guess it."""
    (tmp_path / f".x.json-{os.getpid()}").symlink_to(outside / "precious" / "file")
    replace_text(tmp_path / "x.json", "new")
    assert (tmp_path / "x.json").read_text() == "new"
