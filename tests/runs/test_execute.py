"""A run that is killed and resumed is the run that was never killed; a diverged run is a result."""

import random
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from bumplab import profiles
from bumplab.config import LAST_TAPS, LAYER_4
from bumplab.diffusion.generator import build
from bumplab.measure.names import SamplesNotFinite
from bumplab.runs import execute as module
from bumplab.runs.board import Board
from bumplab.runs.execute import execute
from bumplab.runs.planner import obtain
from bumplab.runs.progress import ProgressFile, running
from bumplab.runs.store import RunRecord, RunStore, Unreadable, run_key
from bumplab.training import checkpoint, speed
from bumplab.training.loop import start, train
from tests.rows import rows_of

SMOKE = profiles.get("smoke").run(3)
# two taps are embedded at each checkpoint: few checkpoints, an averaged network, and more steps than checkpoints
SPEC = replace(
    SMOKE,
    training=replace(SMOKE.training, steps=12, ema_decay=0.5),
    measure=replace(SMOKE.measure, every=3, samples=24),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store of a run that nobody interrupted."""
    store = RunStore(tmp_path_factory.mktemp("whole"))
    execute(SPEC, store, "cpu")
    return store


def assert_same_run(store, whole):
    weights = [(s.path(run_key(SPEC)) / "weights.safetensors").read_bytes() for s in (store, whole)]
    assert weights[0] == weights[1]
    found, expected = store.load(SPEC), whole.load(SPEC)
    assert [row["step"] for row in found.rows] == SPEC.measured_steps()
    for row, other in zip(found.rows, expected.rows, strict=True):
        assert row.keys() == other.keys()
        np.testing.assert_array_equal(list(row.values()), list(other.values()))  # NaN equals NaN
    assert found.evidence.keys() == expected.evidence.keys()
    for name, value in expected.evidence.items():
        np.testing.assert_array_equal(found.evidence[name], value)


def test_a_run_is_published_whole_and_cleaned_up(whole):
    record = whole.load(SPEC)
    assert record.failed is None
    assert [row["step"] for row in record.rows] == [0, 3, 6, 9, 12]
    assert np.isfinite([row["loss"] for row in record.rows[1:]]).all()
    assert set(record.seconds) == {"training", "measuring", "storing"}
    assert record.environment["threads"] == 1
    assert running(whole.root) == []
    assert whole.load_partial(SPEC) is None
    taps = [{key.split(".")[0] for key in row if "umap_r2" in key} for row in record.rows]
    assert taps == [{*LAYER_4}] * 4 + [{*LAYER_4, *LAST_TAPS}], "the bottleneck is measured when training ends"


@pytest.mark.parametrize("control", ["factorized", "shuffled"])
def test_the_weights_of_a_control_are_published_as_they_were_trained(tmp_path, control):
    spec = getattr(profiles.get("smoke"), control)(replace(SMOKE, measure=replace(SMOKE.measure, every=12)))
    store = RunStore(tmp_path)
    execute(spec, store, "cpu")
    assert [row["step"] for row in store.load(spec).rows] == [0, 12]
    state = start(spec, "cpu")
    train(state, spec, 12)
    published = safetensors.torch.load((store.path(run_key(spec)) / "weights.safetensors").read_bytes())
    expected = dict(state.network.named_parameters())
    assert published.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in published.items())
    build(spec).load_state_dict(published)


def test_a_run_measured_on_rendered_images_is_published_with_what_is_unknown(tmp_path):
    spec, store = profiles.get("smoke").rendered(SMOKE, "true"), RunStore(tmp_path)
    execute(spec, store, "cpu")
    record = store.load(spec)
    assert [row["step"] for row in record.rows] == [0, 1]
    for row in record.rows:
        assert row["off_grid.correct"] == 1
        assert np.isnan(row["up1.umap_r2"])


KILLED = """
import sys
from pathlib import Path
from bumplab.config import RunSpec
from bumplab.runs.execute import execute
from bumplab.runs.store import RunStore
import json
store, spec = RunStore(Path(sys.argv[1])), RunSpec.from_dict(json.loads(sys.argv[2]))
with store.lock("test"):
    execute(spec, store, "cpu")
"""


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path, whole):
    store, delay = RunStore(tmp_path), random.uniform(0, 0.15)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), SPEC.to_json()])
    partial = tmp_path / "partial" / run_key(SPEC)
    deadline = time.monotonic() + 120
    while not any(path.name >= "000000003" for path in partial.glob("[0-9]*")):
        assert process.poll() is None, "it ended before its second checkpoint was seen"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.wait()
    assert not store.has(SPEC), f"killed too late, {delay:.3f} s after its second checkpoint"
    record, _ = store.load_partial(SPEC)
    assert 2 <= len(record.rows) < len(SPEC.measured_steps())

    execute(SPEC, store, "cpu")
    assert_same_run(store, whole)


def test_a_run_interrupted_between_checkpoints_and_while_storing_ends_the_same(tmp_path, whole, monkeypatch):
    """Interrupted three times in one run: in training, before a checkpoint is stored, and before it is published."""
    store, trained = RunStore(tmp_path), []
    moments = iter(["train", "save_partial", "publish"])

    def update(self, step):
        trained.append(step)
        if moment == "train" and step == 5:
            raise KeyboardInterrupt

    def interrupt_at(name, when):
        original = getattr(RunStore, name)

        def method(self, record, weights):
            if moment == name and when(record):
                raise KeyboardInterrupt
            original(self, record, weights)

        monkeypatch.setattr(RunStore, name, method)

    monkeypatch.setattr(ProgressFile, "update", update)
    interrupt_at("save_partial", lambda record: len(record.rows) == 4)
    interrupt_at("publish", lambda record: True)
    for moment in moments:  # noqa: B007 read by the functions above
        with pytest.raises(KeyboardInterrupt):
            execute(SPEC, store, "cpu")
        assert not store.has(SPEC)
    moment = None
    execute(SPEC, store, "cpu")
    assert_same_run(store, whole)
    repeated = sorted(step for step in set(trained) if trained.count(step) > 1)
    assert set(repeated) <= {3, 4, 5, 6, 7, 8, 9, 12}, "more was repeated than the steps since the last checkpoint"


def test_a_checkpoint_without_moments_is_not_resumed_from(tmp_path, whole):
    """Right checksums, wrong tensors: training starts again."""
    store = RunStore(tmp_path)
    first = whole.load(SPEC)
    record = RunRecord(SPEC, first.rows[:2], {}, {}, first.environment)
    store.save_partial(record, (whole.path(run_key(SPEC)) / "weights.safetensors").read_bytes())
    with pytest.warns(UserWarning, match="checkpoint tensor"):
        resumed, state = module._resume(SPEC, store, "cpu")
    assert (resumed.rows, state.step) == ([], 0)


DIVERGING = replace(
    SMOKE,
    training=replace(SMOKE.training, learning_rate=1e30, steps=6),
    measure=replace(SMOKE.measure, every=3, samples=24),
)
EVERY_STEP = replace(DIVERGING, measure=replace(DIVERGING.measure, every=1))


def no_training(*args):
    raise AssertionError("trained again")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [(DIVERGING, "the loss is"), (EVERY_STEP, "at step 1 48 of 48 samples hold NaN")],
    ids=["between checkpoints", "just before a checkpoint"],
)
def test_a_diverged_run_is_a_failed_result_and_not_trained_again(tmp_path, monkeypatch, spec, reason):
    store = RunStore(tmp_path)
    board = Board(tmp_path, "session")
    (record,) = obtain([spec], board, store, "cpu")
    assert record.failed
    assert reason in record.failed
    assert 1 <= len(record.rows) < len(spec.measured_steps())
    assert running(tmp_path) == []
    monkeypatch.setattr(module, "execute", no_training)
    (again,) = obtain([spec], board, store, "cpu")
    assert again.failed == record.failed


def test_a_run_whose_samples_are_not_finite_is_a_failed_result(tmp_path):
    """The first step leaves weights of some 1e25, which are finite, and its loss is; what they draw is not."""
    spec = replace(EVERY_STEP, training=replace(EVERY_STEP.training, learning_rate=1e25))
    store = RunStore(tmp_path)
    execute(spec, store, "cpu")
    record = store.load(spec)
    assert record.failed == "at step 1 48 of 48 samples hold NaN or infinity"
    assert [row["step"] for row in record.rows] == [0]


def test_samples_that_are_not_finite_before_training_are_an_error(tmp_path, monkeypatch):
    """A stored run without a row would be refused and trained again, for ever."""
    monkeypatch.setattr("bumplab.measure.evaluate.sample", lambda denoise, noise, *rest: noise * torch.nan)
    with pytest.raises(SamplesNotFinite):
        execute(SPEC, RunStore(tmp_path), "cpu")
    assert not RunStore(tmp_path).has(SPEC)


def measuring(name, value, step):
    """The measurement as it is, but for one number at this step."""

    def measured(network, spec, device, at, really=module.evaluate):
        measurement = really(network, spec, device, at)
        return replace(measurement, row=measurement.row | ({name: value} if at == step else {}))

    return measured


@pytest.mark.parametrize(("name", "value"), [("on_grid.accuracy", 1.25), ("up1.pca_r2", 1.5), ("up1.dimension", -1.0)])
def test_a_number_that_its_reader_would_refuse_ends_the_run_at_its_first_checkpoint(tmp_path, monkeypatch, name, value):
    monkeypatch.setattr(module, "evaluate", measuring(name, value, 0))
    with pytest.raises(Unreadable, match=rf"cannot be stored: rows.json has {value:g} for {name} at step 0") as raised:
        execute(SPEC, RunStore(tmp_path), "cpu")
    assert "\n" not in str(raised.value)
    assert RunStore(tmp_path).load_partial(SPEC) is None


def test_after_some_training_it_is_a_failed_result_and_nothing_trains_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "evaluate", measuring("off_grid.correct", 1.25, 6))
    board, store = Board(tmp_path, "session"), RunStore(tmp_path)
    (record,) = obtain([SPEC], board, store, "cpu")
    assert "rows.json has 1.25 for off_grid.correct at step 6" in record.failed
    assert [row["step"] for row in record.rows] == [0, 3]
    assert {name.partition("/")[0] for name in store.load(SPEC).evidence} == {"0", "3"}
    monkeypatch.setattr(module, "execute", no_training)
    (again,) = obtain([SPEC], board, store, "cpu")
    assert again.failed == record.failed


def test_evidence_that_outgrows_its_file_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "start", no_training)
    large = replace(
        SPEC, measure=replace(SPEC.measure, samples=100_000, every=1), training=replace(SPEC.training, steps=999)
    )
    with pytest.raises(OSError, match=r"would have \d+ bytes, more than the \d+ that are read: raise `every`"):
        execute(large, RunStore(tmp_path), "cpu")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["umap-learn", "opencv"])
def test_a_run_is_measured_by_one_version_of_what_decides_its_numbers(tmp_path, library):
    """Another UMAP may draw other maps of the same network, another OpenCV find bumps elsewhere."""
    store, state = RunStore(tmp_path), start(SPEC, "cpu")
    environment = speed.describe("cpu") | {library: "0.4"}
    record = RunRecord(SPEC, rows_of(SPEC, 1), environment=environment)
    store.save_partial(record, safetensors.torch.save(checkpoint.to_tensors(state)))
    with pytest.raises(OSError, match=r"computed in float32, with .* 0\.4.* up to step 0, and here it would"):
        module._resume(SPEC, store, "cpu")


def test_the_environment_names_every_library_that_a_number_depends_on():
    said = speed.describe("cpu")
    assert said.keys() >= {"torch", "numpy", "scipy", "scikit-learn", "umap-learn", "pynndescent", "numba", "opencv"}
    assert said["opencv"] == cv2.__version__


def test_a_run_says_where_it_began(tmp_path, monkeypatch):
    """Who doubts a seed must be able to tell that two versions of torch, or two numbers of threads, are behind it."""
    speed.configure("cpu")
    store, here = RunStore(tmp_path), speed.describe("cpu")
    tensors = safetensors.torch.save(checkpoint.to_tensors(start(SPEC, "cpu")))
    elsewhere = here | {"torch": "1.0", "threads": 64}
    store.save_partial(RunRecord(SPEC, rows_of(SPEC, 2), environment=elsewhere), tensors)

    def described():
        return module._described(module._resume(SPEC, store, "cpu")[0], "cpu")

    assert described() == here | {"before": "threads 64, torch 1.0 up to step 3"}
    store.save_partial(RunRecord(SPEC, rows_of(SPEC, 3), environment=described()), tensors)
    assert described() == here | {"before": "threads 64, torch 1.0 up to step 3"}, "taken up where it was"
    monkeypatch.setattr(speed, "describe", lambda device: here | {"threads": 2})
    assert described()["before"] == "threads 64, torch 1.0 up to step 3; threads 1 up to step 6"
    execute(SPEC, store, "cpu")
    assert store.load(SPEC).environment["before"] == "threads 64, torch 1.0 up to step 3; threads 1 up to step 6"


@pytest.mark.parametrize("before", [False, True])
def test_a_run_goes_on_only_in_the_arithmetic_in_which_it_began(tmp_path, monkeypatch, before):
    """A checkpoint of a processor that has bf16, or has not, taken up by one that has not, or has."""
    spec = replace(SPEC, training=replace(SPEC.training, precision="bf16"))
    store, state = RunStore(tmp_path), start(spec, "cpu")
    weights = safetensors.torch.save(checkpoint.to_tensors(state))
    environment = speed.describe("cpu") | {"bf16": before}
    store.save_partial(RunRecord(spec, rows_of(spec, 1), environment=environment), weights)
    monkeypatch.setattr(speed, "has_bf16", lambda device: before)
    assert len(module._resume(spec, store, "cpu")[0].rows) == 1
    monkeypatch.setattr(speed, "has_bf16", lambda device: not before)
    with pytest.raises(OSError, match=r"was computed in (bf16|float32), with .* up to step 0, and here "):
        module._resume(spec, store, "cpu")
    monkeypatch.setattr(speed, "has_bf16", lambda device: before)
    assert len(module._resume(spec, store, "cpu")[0].rows) == 1, "and it is kept"
