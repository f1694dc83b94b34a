"""A store that someone else prepared: what is foreign is refused, nothing outside is touched, no reader waits or fills
the memory. Checksums are right here: whoever plants files can compute them."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tracemalloc
import warnings
from dataclasses import replace
from importlib.metadata import version

import cv2
import numpy as np
import pytest
import safetensors.numpy

from bumplab import profiles
from bumplab.runs import board, progress, sealed, space
from bumplab.runs import store as module
from bumplab.runs.board import Board
from bumplab.runs.progress import replace_text, running
from bumplab.runs.sealed import MANIFEST, Damaged, read_file
from bumplab.runs.store import FILES, RunRecord, RunStore, run_key
from tests.folders import nested, reseal
from tests.rows import evidence_of, row_of

SPEC = profiles.get("smoke").run(0)
WEIGHTS = safetensors.numpy.save({"w": np.arange(6, dtype=np.float32)})


def record(checkpoints=None):
    rows = [{**row_of(SPEC, step, 0.25), "loss": 0.5} for step in SPEC.measured_steps()[:checkpoints]]
    environment = {"torch": "2", "umap-learn": version("umap-learn"), "opencv": cv2.__version__}
    return RunRecord(SPEC, rows, {"0/x": np.zeros(3, np.float32)}, {"training": 1.5}, environment)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "store")


@pytest.fixture
def outside(tmp_path):
    """A folder that is none of the store's business, old enough to be tidied away if it were."""
    folder = tmp_path / "outside"
    (folder / "precious").mkdir(parents=True)
    (folder / "precious" / "file").write_text("x")
    os.utime(folder / "precious", (0, 0))
    return folder


def untouched(outside):
    found = {str(path.relative_to(outside)) for path in outside.rglob("*")}
    return found == {"precious", "precious/file"} and (outside / "precious" / "file").read_text() == "x"


def plant(store, name, change):
    """A finished run with one file's content changed by someone else, sealed as if it were ours."""
    store.publish(record(), WEIGHTS)
    folder = store.path(run_key(SPEC))
    reseal(folder, **{name: change((folder / name).read_bytes())})


def plant_rows(store, old, new):
    """The same with ``old`` replaced in the text of its rows."""

    def change(rows):
        assert old.encode() in rows
        return rows.replace(old.encode(), new.encode(), 1)

    plant(store, "rows.json", change)


def test_a_link_in_place_of_a_runs_checkpoints_is_moved_aside(store, outside):
    checkpoints = store.root / "partial" / run_key(SPEC)
    checkpoints.parent.mkdir(parents=True)
    checkpoints.symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        store.save_partial(record(2), WEIGHTS)
    with pytest.warns(UserWarning, match="is a symbolic link"):
        assert store.load_partial(SPEC) is None
    store.save_partial(record(2), WEIGHTS)
    assert len(store.load_partial(SPEC)[0].rows) == 2
    assert untouched(outside)


@pytest.mark.parametrize(
    ("folder", "act"),
    [
        ("results", lambda store: store.load(SPEC)),
        ("results", lambda store: store.publish(record(), WEIGHTS)),
        ("results", lambda store: space.prune(store, older_than=0)),
        ("partial", lambda store: store.save_partial(record(1), WEIGHTS)),
        ("partial", lambda store: store.load_partial(SPEC)),
        ("partial", lambda store: space.stored(store.root)),
        ("locks", lambda store: store.lock(run_key(SPEC))),
        ("damaged", lambda store: store.set_aside(store.root / "results" / "x", "is no run")),
        ("damaged", lambda store: space.prune(store, keep=0)),
        ("progress", lambda store: Board(store.root, "session").open()),
        ("progress", lambda store: space.prune(store, older_than=0)),
    ],
)
def test_nothing_is_read_or_written_through_a_linked_folder(store, outside, folder, act):
    store.root.mkdir()
    (store.root / folder).symlink_to(outside)
    with pytest.raises(OSError, match=f"symbolic link.*{folder}"):
        act(store)
    assert untouched(outside)


def test_a_text_is_not_written_through_a_link_that_lay_in_wait(tmp_path, outside):
    (tmp_path / f".x.json-{os.getpid()}").symlink_to(outside / "precious" / "file")
    replace_text(tmp_path / "x.json", "new")
    assert (tmp_path / "x.json").read_text() == "new"
    assert untouched(outside)


LOAD = """
import json, sys, warnings
from pathlib import Path
from bumplab.config import RunSpec
from bumplab.measure.names import row_names
from bumplab.runs import board, progress, sealed, space
from bumplab.runs.progress import running
from bumplab.runs.store import RunStore
warnings.simplefilter("ignore")
root = Path(sys.argv[1])
spec = RunSpec.from_dict(json.loads(sys.argv[2]))
print(running(root), [run.label for run in space.stored(root)], RunStore(root).load(spec))
"""


@pytest.mark.parametrize("name", [*sorted(FILES), MANIFEST])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(store, name):
    store.publish(record(), WEIGHTS)
    path = store.path(run_key(SPEC)) / name
    path.unlink()
    os.mkfifo(path)
    (store.root / "progress").mkdir()
    os.mkfifo(store.root / "progress" / "x.json")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(store.root), SPEC.to_json()], capture_output=True, text=True, timeout=60
    )
    label = "unknown" if name == "spec.json" else SPEC.label()
    assert done.stdout.strip() == f"[] ['{label}'] None", done.stderr
    assert len(list((store.root / "damaged").iterdir())) == 1


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "link", "large"])
def test_only_a_regular_file_of_bounded_size_is_read(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind("x")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        (tmp_path / "y").write_text("y")
        path.symlink_to(tmp_path / "y")
    else:
        with open(path, "wb") as file:
            file.truncate(1 << 40)  # takes no space, and would take all memory
    with pytest.raises(Damaged, match="x "):
        read_file(path, 100)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_over_its_limit_is_refused_unread_and_never_written(store, name, monkeypatch):
    store.publish(record(), WEIGHTS)
    with open(store.path(run_key(SPEC)) / name, "r+b") as file:
        file.truncate(FILES[name] + 1)
    with pytest.warns(UserWarning, match=f"{name} has {FILES[name] + 1} bytes, more than the {FILES[name]} allowed"):
        assert store.load(SPEC) is None
    monkeypatch.setitem(module.FILES, name, 1)
    with pytest.raises(OSError, match=f"{name} of .* would have over 1 bytes"):
        store.publish(record(), WEIGHTS)
    assert not store.has(SPEC)


def test_the_limits_leave_room_for_a_paper_scale_run():
    spec = profiles.get("paper").run(0)
    rows = [{f"a.rather.long.name.{k}": 0.12345678901234567 for k in range(150)}] * len(spec.measured_steps())
    assert 4 * len(json.dumps(rows)) < FILES["rows.json"]
    images = 3 * 25 * spec.data.image_size**2 * len(rows)
    embeddings = 2 * 3 * 2 * spec.measure.samples * len(rows)
    assert 4 * (images + embeddings) < FILES["evidence.safetensors"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", '"0.5"', "true", "[1]", "{}"])
@pytest.mark.parametrize("where", ["rows", "seconds"])
def test_what_is_no_finite_number_is_no_measurement(store, value, where):
    old = '"loss": 0.5' if where == "rows" else '"training": 1.5'
    plant_rows(store, old, f"{old.split(':')[0]}: {value}")
    with pytest.warns(UserWarning, match="where a finite number or null belongs"):
        assert store.load(SPEC) is None


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        *(("on_grid.accuracy", value, 0) for value in (None, 1.35, -0.1)),
        *(("off_grid.ceiling", value, 12) for value in (None, 2)),
        *(("on_grid.samples", value, 6) for value in (None, 0, 23, 24.5)),
        ("off_grid.correct", None, 6),
        ("loss", None, 12),
    ],
)
def test_what_was_counted_is_a_share_of_what_was_drawn(store, name, value, step):
    """Unknown it would count as never reached: a claim came out SUPPORTED by it."""

    def change(data):
        body = json.loads(data)
        next(row for row in body["rows"] if row["step"] == step)[name] = value
        return json.dumps(body).encode()

    plant(store, "rows.json", change)
    with pytest.warns(UserWarning, match=f"has .* for {name} at step {step}, which no run has"):
        assert store.load(SPEC) is None


def test_what_a_representation_is_may_be_unknown_and_so_may_the_loss_before_training(store):
    found = record()
    found.rows[0] |= {"loss": np.nan, "up1.umap_r2": np.nan, "up1-features.dimension": np.nan}
    store.publish(found, WEIGHTS)
    assert np.isnan(store.load(SPEC).rows[0]["up1.umap_r2"])


NO_LINES = ["x" * 1001, "", "two\nlines", "two\r\nlines", "a\u2028b", "\ud800"]


@pytest.mark.parametrize(
    "given",
    [
        {"environment": {"threads": 10**400}},
        {"environment": {f"{name}": 1 for name in range(1_001)}},
        *({"failed": text} for text in (*NO_LINES, 3, True, ["x"])),
        *({"environment": {"torch": text}} for text in (*NO_LINES, None, ["x"])),
        *({"environment": {name: 1}} for name in NO_LINES),
    ],
)
def test_a_reason_and_what_trained_are_lines_of_text(store, given):
    """An empty reason made a run that ends early pass as whole; two lines forge one in a log."""
    plant(store, "rows.json", lambda data: json.dumps(json.loads(data) | given).encode())
    with pytest.warns(UserWarning, match=r"a reason or an environment that is none|cannot be read \(Unicode"):
        assert store.load(SPEC) is None


def tensors(dtype, shape, size):
    head = json.dumps({"weights": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    return len(head).to_bytes(8, "little") + head + bytes(size)


@pytest.mark.parametrize("given", [("F8_E8M0", [4], 4), ("F4", [4], 2), ("F6_E2M3", [4], 3), ("F32", [0, 2**63], 0)])
def test_a_checkpoint_of_weights_that_none_can_load_is_moved_aside(store, given):
    from bumplab.runs.execute import _resume

    store.save_partial(record(1), tensors(*given))
    with pytest.warns(UserWarning, match="weights cannot be read"):
        assert _resume(SPEC, store, "cpu")[0].rows == []


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e308", "-1e308"])
def test_a_number_whose_square_no_float_holds_is_refused(store, number):
    """An interval of such numbers goes from -inf to nan."""
    plant_rows(store, '"loss": 0.5', f'"loss": {number}')
    with pytest.warns(UserWarning, match=f"holds {number[:1]}.* where a finite number or null belongs"):
        assert store.load(SPEC) is None


@pytest.mark.parametrize("changed", [{"failed": 3}, {"failed": ["<b>"]}, {"environment": []}, {"environment": None}])
def test_a_reason_is_text_and_an_environment_has_names(store, changed):
    plant(store, "rows.json", lambda rows: json.dumps(json.loads(rows) | changed).encode())
    with pytest.warns(UserWarning, match="gives a reason or an environment that is none"):
        assert store.load(SPEC) is None


@pytest.mark.parametrize(
    ("shape", "offsets", "extra"),
    [
        ([1 << 40], [0, 1 << 42], 0),  # far beyond the file
        ([1 << 32, 1 << 32], [0, 0], 0),  # a product that wraps round to 0
        ([1 << 62, 0], [0, 0], 0),
        ([4], [0, 8], 8),  # 16 bytes declared, 8 there
        ([2], [0, 8], 64),  # bytes that belong to no array
    ],
)
def test_evidence_that_declares_another_shape_than_it_has_is_refused(store, shape, offsets, extra):
    header = json.dumps({"0/x": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    plant(store, "evidence.safetensors", lambda _: len(header).to_bytes(8, "little") + header + bytes(extra))
    with pytest.warns(UserWarning, match="evidence cannot be read"):
        assert store.load(SPEC) is None


def test_evidence_is_whole_or_absent(store):
    """A report would stop at what is missing: of a step all arrays are there, or none, as in `record`."""
    whole = evidence_of(SPEC)
    store.publish(replace(record(), evidence=whole), WEIGHTS)
    assert store.load(SPEC).evidence.keys() == whole.keys()
    shutil.rmtree(store.path(run_key(SPEC)))
    for name in whole:
        plant(store, "evidence.safetensors", lambda _, name=name: saved({k: v for k, v in whole.items() if k != name}))
        with pytest.warns(UserWarning, match=f"lacks {name.split('/')[1]} at step {name.split('/')[0]}, or has it in"):
            assert store.load(SPEC) is None


@pytest.mark.parametrize("name", ["0/on_grid.images", "12/off_grid.modes", "12/embedding.labels", "0/up1.embedding"])
@pytest.mark.parametrize("change", [lambda a: a[:-1], lambda a: a[..., None], lambda a: a.astype(np.float64)])
def test_evidence_of_another_form_is_refused(store, name, change):
    arrays = evidence_of(SPEC)
    plant(store, "evidence.safetensors", lambda _: saved(arrays | {name: change(arrays[name])}))
    with pytest.warns(UserWarning, match=r"or has it in another form"):
        assert store.load(SPEC) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("0/on_grid.modes", 4), ("12/off_grid.labels", np.inf), ("0/embedding.labels", np.nan)],
)
def test_evidence_that_names_no_mode_or_no_place_is_refused(store, name, value):
    arrays = evidence_of(SPEC)
    arrays[name].flat[-1] = value
    plant(store, "evidence.safetensors", lambda _: saved(arrays))
    with pytest.warns(UserWarning, match="that none can be"):
        assert store.load(SPEC) is None


def saved(arrays):
    return safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


@pytest.mark.parametrize("length", [1 << 20, (1 << 63) - 1, (1 << 64) - 1])
def test_evidence_with_a_header_longer_than_the_file_is_refused(store, length):
    plant(store, "evidence.safetensors", lambda _: length.to_bytes(8, "little") + b"{}")
    with pytest.warns(UserWarning, match=r"evidence cannot be read|names arrays in \d+ bytes"):
        assert store.load(SPEC) is None


def many_arrays(head):
    """A sound safetensors file of empty arrays whose names take at least so many bytes."""
    names = (f'"{k:07d}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for k in range(head // 50 + 1))
    text = f"{{{','.join(names)}}}".encode()
    return len(text).to_bytes(8, "little") + text


def test_evidence_of_a_million_empty_arrays_is_refused_unread(store, monkeypatch):
    """Small on disk, they would take the memory: each is an object with a name."""
    plant(store, "evidence.safetensors", lambda _: many_arrays(1 << 22))
    monkeypatch.setattr(safetensors.numpy, "load", None)
    with pytest.warns(UserWarning, match=r"evidence.safetensors names arrays in \d+ bytes, more than the 4194304"):
        assert store.load(SPEC) is None


def test_weights_of_a_million_empty_arrays_are_refused_unread(store, monkeypatch):
    from bumplab.runs import execute

    monkeypatch.setattr(execute.safetensors.torch, "load", None)
    store.save_partial(record(1), WEIGHTS)
    (folder,) = (store.root / "partial" / run_key(SPEC)).iterdir()
    reseal(folder, **{"weights.safetensors": many_arrays(1 << 22)})
    with pytest.warns(UserWarning, match="more than the 4194304 allowed"):
        assert execute._resume(SPEC, store, "cpu")[0].rows == []


def test_a_run_of_more_names_than_are_read_is_not_written(store):
    """Its own reader would refuse it, and it would be trained for ever. What is stored stays."""
    store.save_partial(record(1), WEIGHTS)
    with pytest.raises(OSError, match=r"weights.safetensors of .* or 4194304 of names: measure less often"):
        store.save_partial(record(2), many_arrays(1 << 22))
    assert len(store.load_partial(SPEC)[0].rows) == 1
    with pytest.raises(OSError, match="measure less often"):
        store.publish(record(), many_arrays(1 << 22))
    assert not store.has(SPEC)


@pytest.mark.parametrize("failed", ["never happened", None])
@pytest.mark.parametrize("checkpoints", [1, 3])
def test_only_what_ends_early_has_failed(store, failed, checkpoints):
    """A whole run that says so would count as a failed seed, and so would one that goes on from such a checkpoint."""
    found = replace(record(checkpoints), failed=failed)
    whole = checkpoints == len(SPEC.measured_steps())
    store.publish(found, WEIGHTS)
    if whole == (failed is None):
        assert store.load(SPEC).failed == failed
    else:
        with pytest.warns(UserWarning, match="says that a whole run failed" if whole else "ends before the run does"):
            assert store.load(SPEC) is None
    store.save_partial(found, WEIGHTS)
    if failed is None:
        assert store.load_partial(SPEC) is not None
    else:
        with pytest.warns(UserWarning, match="is a checkpoint of a run that failed"):
            assert store.load_partial(SPEC) is None


@pytest.mark.parametrize("steps", [[], [0, 5, 12], [0, 0, 12], [6, 12], [0, 6, 12, 12]])
@pytest.mark.parametrize("failed", ["x", None])
def test_rows_are_those_of_the_steps_that_are_measured(store, steps, failed):
    rows = [row_of(SPEC, min(SPEC.measured_steps(), key=lambda at: abs(at - step)), 0.25) for step in steps]
    rows = [row | {"step": float(step), "loss": 0.5} for row, step in zip(rows, steps, strict=True)]
    change = {"rows": rows, "failed": failed}
    plant(store, "rows.json", lambda data: json.dumps(json.loads(data) | change).encode())
    with pytest.warns(UserWarning, match="has other steps than its spec"):
        assert store.load(SPEC) is None
    store.save_partial(record(1), WEIGHTS)
    (folder,) = (store.root / "partial" / run_key(SPEC)).iterdir()
    rows_text = json.dumps(json.loads((folder / "rows.json").read_bytes()) | change)
    reseal(folder, **{"rows.json": rows_text.encode()})
    with pytest.warns(UserWarning, match="has other steps than its spec"):
        assert store.load_partial(SPEC) is None


def test_reading_a_run_takes_no_more_than_its_size(store):
    """Not its limit: a gigabyte, which a machine may not have."""
    store.publish(record(), WEIGHTS)
    tracemalloc.start()
    try:
        assert store.load(SPEC) is not None
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


def test_the_memory_that_a_foreign_store_takes_is_bounded():
    assert sum(FILES.values()) < 1.4e9
    assert max(module.HEAD, sealed.MANIFEST_LIMIT, progress.LIMIT) <= 1 << 22
    assert board.LIMIT <= 1 << 26


def test_a_damaged_file_forges_no_line_of_a_warning(store):
    store.save_partial(record(1), tensors("F32\nERROR forged", [4], 16))
    from bumplab.runs.execute import _resume

    with pytest.warns(UserWarning, match="weights cannot be read") as said:
        _resume(SPEC, store, "cpu")
    assert all("\n" not in str(warning.message) for warning in said)


def test_what_is_too_deep_among_checkpoints_stops_no_training(store):
    with nested(store.root / "partial" / run_key(SPEC) / "x"):
        store.save_partial(record(1), WEIGHTS)
        store.save_partial(record(2), WEIGHTS)
        assert len(store.load_partial(SPEC)[0].rows) == 2
        store.publish(record(), WEIGHTS)
        assert store.load(SPEC) is not None


def test_a_head_leaves_room_for_a_paper_scale_run():
    steps = len(profiles.get("paper").run(0).measured_steps())
    longest = '"320000/up1-features.embedding":{"dtype":"F16","shape":[500,3],"data_offsets":[1234567890,1234567890]},'
    assert 4 * steps * 20 * len(longest) < module.HEAD
    assert len(safetensors.numpy.load(many_arrays(1000))) > 10, "they are sound"


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "0/\x00", "0/<script>"])
def test_names_of_arrays_are_never_paths(store, name):
    """Whatever they are called, arrays stay in memory: nothing appears beside the store."""
    before = {path.name for path in store.root.parent.iterdir()} | {"store"}
    plant(store, "evidence.safetensors", lambda _: safetensors.numpy.save({name: np.zeros(1, np.uint8)}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = store.load(SPEC)
    assert found is None or set(found.evidence) == {name}
    assert {path.name for path in store.root.parent.iterdir()} == before


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "null", '{"key": 1}', "x" * (1 << 20), "\x00"])
def test_a_foreign_progress_file_is_no_progress(tmp_path, text):
    (tmp_path / "progress").mkdir()
    (tmp_path / "progress" / "x.json").write_text(text)
    assert running(tmp_path) == []


def test_a_checkpoint_of_another_name_is_moved_aside_and_not_waited_for(store):
    store.save_partial(record(1), WEIGHTS)
    (checkpoint,) = (store.root / "partial" / run_key(SPEC)).iterdir()
    checkpoint.rename(checkpoint.with_name("000000099"))
    with pytest.warns(UserWarning, match="is not the checkpoint that its name says"):
        assert store.load_partial(SPEC) is None
    assert not list(checkpoint.parent.iterdir())


@pytest.mark.parametrize("text", ["NaN", "1e999", "[]", "null"])
def test_an_environment_that_no_report_can_hold_is_refused(store, text):
    plant_rows(store, '"torch": "2"', f'"torch": {text}')
    with pytest.warns(UserWarning, match="moved to"):
        assert store.load(SPEC) is None


def test_an_old_session_that_is_at_work_is_not_forgotten(tmp_path):
    board = Board(tmp_path, "old", "gw0")  # a worker that outlives its killed controller
    board.begin([], [])
    os.utime(board.folder, (0, 0))
    Board(tmp_path, "new").open()
    assert board.folder.is_dir()
    board.finish()
    os.utime(board.folder, (0, 0))
    Board(tmp_path, "newer").open()
    assert not board.folder.exists()


@pytest.mark.parametrize("seconds", ["1e10", "-1.0"])
def test_seconds_that_no_run_takes_are_refused(store, seconds):
    """Times are added up over runs and told as minutes."""
    plant_rows(store, '"training": 1.5', f'"training": {seconds}')
    with pytest.warns(UserWarning, match="seconds that no run takes"):
        assert store.load(SPEC) is None


def test_a_finished_run_that_was_cut_short_is_refused_though_its_checksums_are_right(store):
    store.publish(record(1), WEIGHTS)
    with pytest.warns(UserWarning, match="ends before the run does"):
        assert store.load(SPEC) is None


def test_runs_are_listed_though_one_is_replaced_meanwhile(store, monkeypatch):
    """A checkpoint gives way to the next while its size is taken."""
    store.publish(record(), WEIGHTS)
    store.save_partial(record(1), WEIGHTS)
    files = space._files

    def replaced(path):
        for file in files(path):
            if path.parent.name == "partial" and path.exists():
                shutil.rmtree(path)
            yield file

    monkeypatch.setattr(space, "_files", replaced)
    assert [run.state for run in space.stored(store.root)] == ["finished"]
