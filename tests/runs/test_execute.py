"""A run that is killed and resumed is the run that was never killed. A diverged run is a result."""

import random
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import safetensors.numpy

from bumplab import profiles
from bumplab.config import ROLES
from bumplab.diffusion import denoising, speed
from bumplab.diffusion.sampler import sample
from bumplab.measure import libraries
from bumplab.measure.names import SamplesNotFinite
from bumplab.runs import execute as module
from bumplab.runs.board import Board
from bumplab.runs.execute import execute
from bumplab.runs.planner import obtain
from bumplab.runs.progress import ProgressFile, running
from bumplab.runs.record import Unreadable, arithmetic
from bumplab.runs.stopping import Stopped
from bumplab.runs.store import RunRecord, RunStore, run_key
from bumplab.subjects.diffusion import Unet
from bumplab.subjects.registry import resolve
from bumplab.subjects.state import to_bytes
from tests.folders import assert_set_aside
from tests.learners import started, trained
from tests.rows import made_up, rows_of

SMOKE = profiles.get("smoke").run(3)
# few checkpoints, as a tap is embedded at each; an averaged network; more steps than checkpoints
SPEC = replace(
    SMOKE,
    training=replace(SMOKE.training, steps=12, ema_decay=0.5),
    measure=replace(SMOKE.measure, every=16, samples=24),
)
STEPS = [0, 4, 8, 12]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store of a run that nobody interrupted."""
    store = RunStore(tmp_path_factory.mktemp("whole"))
    execute(SPEC, store, "cpu")
    return store


def assert_same_run(store, whole):
    weights = [(s.path(run_key(SPEC)) / "weights.safetensors").read_bytes() for s in (store, whole)]
    assert weights[0] == weights[1]
    record, expected = store.load(SPEC), whole.load(SPEC)
    assert [row["step"] for row in record.rows] == STEPS
    for row, other in zip(record.rows, expected.rows, strict=True):
        assert row.keys() == other.keys()
        np.testing.assert_array_equal(list(row.values()), list(other.values()))  # NaN equals NaN
    assert record.evidence.keys() == expected.evidence.keys()
    for name, value in expected.evidence.items():
        np.testing.assert_array_equal(record.evidence[name], value)


@pytest.fixture
def made_up_rows(monkeypatch):
    """Measures nothing: each number is 0.5. Returns a dictionary of other numbers by step."""
    changed = {}

    def measure(spec, step, sets, drawn):
        measurement = made_up(spec, step, sets, drawn)
        return replace(measurement, row=measurement.row | changed.get(step, {}))

    monkeypatch.setattr(module, "measure", measure)
    return changed


def test_a_run_is_published_whole_and_cleaned_up(whole):
    record = whole.load(SPEC)
    assert record.failed is None
    assert [row["step"] for row in record.rows] == STEPS
    assert np.isfinite([row["loss"] for row in record.rows[1:]]).all()
    assert set(record.seconds) == {"training", "drawing", "measuring", "storing"}
    assert all(seconds > 0 for seconds in record.seconds.values())
    assert record.environment["threads"] == 1
    assert {name.partition("/")[0] for name in record.evidence} == {str(step) for step in STEPS}
    assert running(whole.root) == []
    assert whole.load_partial(SPEC) is None
    roles = [{name.split(".")[0] for name in row} & {*ROLES} for row in record.rows]
    assert roles == [{"layer4"}] * (len(STEPS) - 1) + [{*ROLES}], "the bottleneck is measured when training ends"


def test_the_weights_of_a_control_are_published_as_they_were_trained(tmp_path, made_up_rows):
    for control in ("factorized", "shuffled"):
        spec = getattr(profiles.get("smoke"), control)(replace(SMOKE, measure=replace(SMOKE.measure, every=48)))
        store = RunStore(tmp_path / control)
        execute(spec, store, "cpu")
        assert [row["step"] for row in store.load(spec).rows] == [0, 12], control
        published = safetensors.numpy.load((store.path(run_key(spec)) / "weights.safetensors").read_bytes())
        expected = resolve(spec.subject, None).weights(trained(spec, 12))
        assert published.keys() == expected.keys(), control
        assert all(np.array_equal(value, expected[name]) for name, value in published.items()), control


def test_a_run_measured_on_rendered_images_is_published_with_what_is_unknown(tmp_path):
    spec, store = profiles.get("smoke").rendered(SMOKE, "true"), RunStore(tmp_path)
    execute(spec, store, "cpu")
    record = store.load(spec)
    assert [row["step"] for row in record.rows] == [0, 1]
    for row in record.rows:
        assert row["probe.correct"] == 1
        assert np.isnan(row["layer4.order"])


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


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path, whole):
    store, delay = RunStore(tmp_path), random.uniform(0, 0.15)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), SPEC.to_json()])
    deadline = time.monotonic() + 120
    while not any(path.name >= "000000004" for path in store.checkpoints(run_key(SPEC)).glob("[0-9]*")):
        assert process.poll() is None, "it ended before its second checkpoint was seen"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.wait()
    assert not store.has(SPEC), f"killed too late, {delay:.3f} s after its second checkpoint"
    record, _ = store.load_partial(SPEC)
    assert 2 <= len(record.rows) < len(STEPS)

    execute(SPEC, store, "cpu")
    assert_same_run(store, whole)


def test_a_run_that_is_stopped_after_a_step_keeps_its_checkpoint_and_ends_the_same(tmp_path, whole):
    """It is stopped between two checkpoints, as by ``--minutes``, and leaves no sign that it is training."""
    store, steps = RunStore(tmp_path), []

    def stops(spec):
        steps.append(spec)
        return len(steps) == 6

    with pytest.raises(Stopped):
        execute(SPEC, store, "cpu", stops=stops)
    assert (len(steps), store.has(SPEC), running(store.root)) == (6, False, [])
    record, _ = store.load_partial(SPEC)
    assert [row["step"] for row in record.rows] == [0, 4]
    execute(SPEC, store, "cpu", stops=stops)
    assert steps == [SPEC] * (6 + 8), "it went on from step 4"
    assert_same_run(store, whole)


def test_a_run_interrupted_between_checkpoints_and_while_storing_ends_the_same(tmp_path, whole, monkeypatch):
    """Interrupted three times in one run: in training, before a checkpoint is stored, and before it is published."""
    store, trained = RunStore(tmp_path), []
    moments = iter(["train", "save_partial", "publish"])

    def update(self, step):
        trained.append(step)
        if moment == "train" and step == 6:
            raise KeyboardInterrupt

    def interrupt_at(name, when):
        original = getattr(RunStore, name)

        def method(self, record, weights):
            if moment == name and when(record):
                raise KeyboardInterrupt
            original(self, record, weights)

        monkeypatch.setattr(RunStore, name, method)

    monkeypatch.setattr(ProgressFile, "update", update)
    interrupt_at("save_partial", lambda record: len(record.rows) == 3)
    interrupt_at("publish", lambda record: True)
    for moment in moments:  # noqa: B007 read by the functions above
        with pytest.raises(KeyboardInterrupt):
            execute(SPEC, store, "cpu")
        assert not store.has(SPEC)
    moment = None
    execute(SPEC, store, "cpu")
    assert_same_run(store, whole)
    repeated = {step for step in trained if trained.count(step) > 1}
    assert repeated <= {4, 5, 6, 7, 8, 12}, "more was repeated than the steps since the last checkpoint"


def test_a_checkpoint_without_moments_is_not_resumed_from(tmp_path, whole):
    """Its checksums are right and its tensors are not. Training starts again."""
    store = RunStore(tmp_path)
    record = whole.load(SPEC)
    record = RunRecord(SPEC, record.rows[:2], {}, {}, record.environment)
    store.save_partial(record, (whole.path(run_key(SPEC)) / "weights.safetensors").read_bytes())
    resumed = []
    folder = store.checkpoints(run_key(SPEC)) / "000000004"
    assert_set_aside(lambda: resumed.append(resume(SPEC, store)), folder, "", "checkpoint tensor")
    assert (resumed[0][0].rows, resumed[0][1].training.step) == ([], 0)


def resume(spec, store):
    """The record and the learner of the newest sound checkpoint."""
    return module._resume(spec, Unet(), store, "cpu")


DIVERGING = replace(
    SMOKE,
    training=replace(SMOKE.training, learning_rate=1e30, steps=6),
    measure=replace(SMOKE.measure, every=12, samples=24),
)
EVERY_STEP = replace(DIVERGING, measure=replace(DIVERGING.measure, every=1))
FINITE_WEIGHTS = replace(EVERY_STEP, training=replace(EVERY_STEP.training, learning_rate=1e25))


def no_training(*args):
    raise AssertionError("trained again")


def test_a_diverged_run_is_a_failed_result_and_not_trained_again(tmp_path, monkeypatch):
    """It diverges between checkpoints or just before one. At 1e25 loss and weights are finite, and samples are not."""
    for name, spec, reason in (
        ("between", DIVERGING, "the loss is"),
        ("before", EVERY_STEP, "at step 1 24 of 24 samples hold NaN or infinity"),
        ("finite", FINITE_WEIGHTS, "at step 1 24 of 24 samples hold NaN or infinity"),
    ):
        board, store = Board(tmp_path / name, "session"), RunStore(tmp_path / name)
        (record,) = obtain([spec], board, store, "cpu")
        assert record.failed, name
        assert record.failed.startswith(reason), name
        assert [row["step"] for row in record.rows] == [0], name
        assert running(tmp_path / name) == []
        with monkeypatch.context() as patch:
            patch.setattr(module, "execute", no_training)
            (again,) = obtain([spec], board, store, "cpu")
        assert again.failed == record.failed, name


def test_samples_that_are_not_finite_before_training_are_an_error(tmp_path, monkeypatch):
    """A stored run without a row would be refused and trained again, for ever."""
    monkeypatch.setattr(denoising, "sample", lambda *arguments: sample(*arguments) * np.nan)
    with pytest.raises(SamplesNotFinite, match="before any training"):
        execute(SPEC, RunStore(tmp_path), "cpu")
    assert not RunStore(tmp_path).has(SPEC)


def test_a_number_out_of_range_ends_the_run_at_its_first_checkpoint(tmp_path, made_up_rows):
    for name, value in (
        ("probe.accuracy", 1.25),
        ("layer4.order", 1.5),
        ("layer4.flatness", -1.0),
    ):
        made_up_rows[0] = {name: value}
        with pytest.raises(Unreadable, match=rf"{value:g} for {name} at step 0") as raised:
            execute(SPEC, RunStore(tmp_path), "cpu")
        assert "\n" not in str(raised.value), name
        assert RunStore(tmp_path).load_partial(SPEC) is None, name
        assert not RunStore(tmp_path).has(SPEC), name


def test_a_number_out_of_range_after_some_training_is_a_failed_result(tmp_path, monkeypatch, made_up_rows):
    made_up_rows[8] = {"probe.correct": 1.25}
    board, store = Board(tmp_path, "session"), RunStore(tmp_path)
    (record,) = obtain([SPEC], board, store, "cpu")
    assert "1.25 for probe.correct at step 8" in record.failed
    assert [row["step"] for row in record.rows] == [0, 4]
    assert {name.partition("/")[0] for name in store.load(SPEC).evidence} == {"0", "4"}
    monkeypatch.setattr(module, "execute", no_training)
    (again,) = obtain([SPEC], board, store, "cpu")
    assert again.failed == record.failed


def test_evidence_that_outgrows_its_file_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(Unet, "start", no_training)
    large = replace(
        SPEC, measure=replace(SPEC.measure, samples=100_000, every=1), training=replace(SPEC.training, steps=999)
    )
    with pytest.raises(OSError, match=r"would have \d+ bytes.*raise `every`"):
        execute(large, RunStore(tmp_path), "cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_keeps_the_environments_of_earlier_machines(tmp_path, monkeypatch, made_up_rows):
    """A seed that is in doubt may come from two versions of torch, or from two numbers of threads."""
    speed.configure("cpu")
    store, here = RunStore(tmp_path), speed.describe("cpu") | libraries.versions()
    assert here.keys() >= {"torch", "numpy", "scipy", "scikit-learn", "umap-learn", "pynndescent", "numba", "opencv"}
    assert here["opencv"] == cv2.__version__
    state = to_bytes(started(SPEC).state())
    elsewhere = here | {"torch": "1.0", "threads": 64}
    store.save_partial(RunRecord(SPEC, rows_of(SPEC, 2), environment=elsewhere), state)

    def current():
        return module._current_environment(resume(SPEC, store)[0], "cpu")

    assert current() == here | {"before": "threads 64, torch 1.0 up to step 4"}
    store.save_partial(RunRecord(SPEC, rows_of(SPEC, 3), environment=current()), state)
    assert current() == here | {"before": "threads 64, torch 1.0 up to step 4"}, "resumed on the same machine"
    monkeypatch.setattr(speed, "describe", lambda device: here | {"threads": 2})
    before = "threads 64, torch 1.0 up to step 4; threads 1 up to step 8"
    assert current()["before"] == before
    execute(SPEC, store, "cpu")
    assert store.load(SPEC).environment["before"] == before


def test_a_run_goes_on_only_in_the_arithmetic_in_which_it_began(tmp_path, monkeypatch):
    """Only one processor has bf16, or the machines have two versions of UMAP or OpenCV."""
    spec = replace(SPEC, training=replace(SPEC.training, precision="bf16"))
    state, here = to_bytes(started(spec).state()), speed.describe("cpu") | libraries.versions()
    for name, old, new in (("bf16", True, False), ("bf16", False, True), ("umap-learn", "0.4", "0.5"),
                           ("opencv", "4", "5")):  # fmt: skip
        store = RunStore(tmp_path / f"{name}-{old}")
        began, other = here | {name: old}, here | {name: new}
        store.save_partial(RunRecord(spec, rows_of(spec, 1), environment=began), state)
        for environment in (began, other, began):  # the checkpoint is kept
            monkeypatch.setattr(module, "versions", dict)
            monkeypatch.setattr(speed, "describe", lambda device, environment=environment: environment)
            if environment is began:
                assert len(resume(spec, store)[0].rows) == 1, name
            else:
                with pytest.raises(OSError, match="up to step 0") as raised:
                    resume(spec, store)
                assert arithmetic(spec, began) in str(raised.value), name
                assert arithmetic(spec, other) in str(raised.value), name
