"""Stored draws are measured again where the measurement has changed: nothing is trained, and damage costs no run."""

import hashlib
import json
import shutil
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

from bumplab import profiles
from bumplab.config import SubjectSpec
from bumplab.measure import libraries
from bumplab.measure.names import MEASUREMENT
from bumplab.runs import again, draws, record, store
from bumplab.runs.again import measured_again
from bumplab.runs.board import Board
from bumplab.runs.execute import execute
from bumplab.runs.planner import obtain
from bumplab.runs.sealed import seal
from bumplab.runs.store import RunStore, run_key
from bumplab.subjects.planted import Planted, PlantedLearner
from bumplab.subjects.protocol import Diverged
from bumplab.subjects.registry import Named
from tests.folders import reseal

USERS = Named(SubjectSpec("planted.py:subject", source=64 * "0"), Planted())
SPEC = replace(profiles.get("smoke").run(0, hole=3.0), subject=USERS.spec)
SPEC = replace(SPEC, measure=replace(SPEC.measure, every=48, samples=20))
KEY = run_key(SPEC)
pytestmark = pytest.mark.usefixtures("no_sync")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The store of a run with draws of both of its checkpoints."""
    made = RunStore(tmp_path_factory.mktemp("whole"))
    execute(SPEC, made, "cpu", USERS)
    return made


@pytest.fixture
def copy(whole, tmp_path):
    """A copy of the store, to be changed."""
    shutil.copytree(whole.root, tmp_path / "store")
    return RunStore(tmp_path / "store")


@pytest.fixture
def newer(monkeypatch):
    """Code with a later version of the measurement than the code that stored the run."""
    for module in (again, record, store):
        monkeypatch.setattr(module, "MEASUREMENT", MEASUREMENT + 1)


def no_training(*arguments):
    raise AssertionError("trained")


def obtained(copy):
    (found,) = obtain([SPEC], Board(copy.root, "session"), copy, "cpu", train=no_training)
    return found


def assert_same_numbers(one, other):
    assert [row.keys() for row in one.rows] == [row.keys() for row in other.rows]
    for row, expected in zip(one.rows, other.rows, strict=True):
        np.testing.assert_array_equal(list(row.values()), [expected[name] for name in row])  # NaN equals NaN
    assert one.evidence.keys() == other.evidence.keys()
    for name, array in one.evidence.items():
        assert array.dtype == other.evidence[name].dtype
        np.testing.assert_array_equal(array, other.evidence[name])


@contextmanager
def one_warning(*words):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    (message,) = (str(warning.message) for warning in caught)
    assert all(word in message for word in (KEY, "its numbers stay", *words)), message
    assert "\n" not in message


def test_a_run_keeps_the_draws_of_each_checkpoint(whole):
    found = whole.load(SPEC)
    assert list(found.draws) == SPEC.measured_steps()
    assert whole.is_current(found)
    assert draws.bytes_on_disk(whole.root, KEY) > 2 * 40 * 16 * 16
    for step, checksum in found.draws.items():
        drawn = draws.load(whole.root, KEY, step, checksum, SPEC)
        assert np.array_equal(drawn.images[:20], found.evidence[f"{step}/probe.images"][:20]), step


def test_a_run_measured_again_has_the_same_numbers_bit_for_bit(copy, newer):
    """The rows, with the losses that no draw holds, and the evidence."""
    before = copy.load(SPEC)
    assert not copy.is_current(before)
    after = measured_again(before, copy)
    assert_same_numbers(after, before)
    assert after.measurement == before.measurement + 1
    assert replace(after, rows=[], evidence={}, environment={}, measurement=0) == replace(
        before, rows=[], evidence={}, environment={}, measurement=0
    )
    stored = copy.load(SPEC)
    assert copy.is_current(stored)
    assert_same_numbers(stored, before)


def test_the_planner_measures_again_and_trains_nothing(copy, newer, monkeypatch):
    """Once: the next session reads what was stored. The numbers are those of the new measurement."""

    def measure(spec, step, sets, drawn):
        measured = real(spec, step, sets, drawn)
        return replace(measured, row=measured.row | {"probe.accuracy": 0.25})

    real = again.measure
    monkeypatch.setattr(again, "measure", measure)
    before = copy.load(SPEC)
    found = obtained(copy)
    assert [row["probe.accuracy"] for row in found.rows] == [0.25, 0.25]
    assert [row["probe.ceiling"] for row in found.rows] == [row["probe.ceiling"] for row in before.rows]
    monkeypatch.setattr(again, "measure", no_training)
    assert [row["probe.accuracy"] for row in obtained(copy).rows] == [0.25, 0.25]
    assert found.arithmetic == before.arithmetic.replace(f", measured as in version {MEASUREMENT}", "")
    assert found.arithmetic != before.arithmetic, "one claim never mixes two measurements"


def test_another_version_of_a_library_measures_again(copy, monkeypatch):
    """umap-learn or OpenCV. numpy changes last digits alone, and does not."""
    installed = libraries.versions()
    for library, measures in (("numpy", False), ("umap-learn", True), ("opencv", True)):
        for module in (again, store):
            monkeypatch.setattr(module, "versions", lambda library=library: installed | {library: "0.0"})
        before = copy.load(SPEC)
        assert copy.is_current(before) is not measures, library
        if measures:
            after = obtained(copy)
            assert after.environment[library] == "0.0"
            assert after.environment["torch"] == before.environment["torch"]
            assert len(list((copy.root / "measured" / KEY).iterdir())) == 1, "older measurements are removed"


def test_without_opencv_stored_numbers_are_read_as_they_are(copy, newer, monkeypatch):
    def missing():
        raise ImportError("libGL.so.1")

    monkeypatch.setattr(store, "versions", missing)
    assert obtained(copy).measurement == MEASUREMENT


def test_a_run_that_is_measured_by_another_process_is_waited_for(copy, newer, monkeypatch):
    before = copy.load(SPEC)
    with RunStore(copy.root).lock(KEY):
        assert measured_again(before, copy) is None
    first = measured_again(before, copy)
    monkeypatch.setattr(again, "measure", no_training)
    assert_same_numbers(measured_again(before, copy), first)


def file_of(place, step=12):
    return place.root / "draws" / KEY / f"{step:09d}.safetensors"


DAMAGE = {
    "missing": lambda file: file.unlink(),
    "torn": lambda file: file.write_bytes(file.read_bytes()[:-5]),
    "another step's": lambda file: file.write_bytes(file.with_name("000000000.safetensors").read_bytes()),
    "all missing": lambda file: shutil.rmtree(file.parent),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a link": lambda file: (file.rename(file.parent / "x"), file.symlink_to(file.parent / "x")),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_draws_that_cannot_be_used_cost_one_warning_and_the_old_numbers_stay(name, copy, newer):
    before = copy.load(SPEC)
    DAMAGE[name](file_of(copy))
    with one_warning("draws of step "):
        found = obtained(copy)
    assert_same_numbers(replace(found, evidence=before.evidence), before)
    assert found.measurement == before.measurement
    assert not (copy.root / "measured").exists()
    assert not (copy.root / "damaged").exists(), "the run itself is whole"


def test_hostile_draws_with_right_checksums_cost_one_warning(copy, newer):
    arrays = safetensors.numpy.load(file_of(copy).read_bytes())
    for changed in (arrays | {"images": arrays["images"][:3]}, {"images": arrays["images"].astype(np.float32)}, {}):
        content = safetensors.numpy.save(changed)
        file_of(copy).write_bytes(content)
        body = json.loads((copy.path(KEY) / "rows.json").read_bytes())
        body["draws"]["12"] = hashlib.sha256(content).hexdigest()
        reseal(copy.path(KEY), **{"rows.json": json.dumps(body).encode()})
        with one_warning("another form"):
            assert obtained(copy).measurement == MEASUREMENT


def test_checksums_of_draws_are_checked_as_all_else_in_rows_json(copy):
    whole_body = json.loads((copy.path(KEY) / "rows.json").read_bytes())
    content = {name: (copy.path(KEY) / name).read_bytes() for name in store.FILES}
    for changed in (
        {"draws": {"3": "0" * 64}},
        {"draws": {"12": "0" * 63}},
        {"draws": {"12": "../" * 22}},
        {"draws": {"12": 7}},
        {"draws": ["12"]},
        {"draws": None},
        {"measurement": 0},
        {"measurement": "1"},
        {"measurement": 10**9},
        {"measurement": True},
    ):
        shutil.rmtree(copy.path(KEY), ignore_errors=True)
        seal(copy.path(KEY), content | {"rows.json": json.dumps(whole_body | changed).encode()})
        with pytest.warns(UserWarning, match="moved to"):
            assert copy.load(SPEC) is None, changed


def test_numbers_that_only_the_new_measurement_has_are_measured_from_old_draws(copy, newer, monkeypatch):
    """Without the draws, such a run is set aside and trained again: a claim would miss the number."""
    real_names, real_measure, real_possible = record.row_names, again.measure, record.is_possible
    monkeypatch.setattr(record, "row_names", lambda spec, step: real_names(spec, step) | {"probe.new"})
    monkeypatch.setattr(record, "is_possible", lambda name, *rest: name == "probe.new" or real_possible(name, *rest))

    def measure(*arguments):
        measured = real_measure(*arguments)
        return replace(measured, row=measured.row | {"probe.new": 7.0})

    monkeypatch.setattr(again, "measure", measure)
    shutil.copytree(copy.root, copy.root.with_name("without"))
    assert [row["probe.new"] for row in obtained(copy).rows] == [7.0, 7.0]
    without = RunStore(copy.root.with_name("without"))
    draws.remove(without.root, KEY)
    with pytest.warns(UserWarning, match="cannot be measured again"), pytest.raises(AssertionError, match="trained"):
        obtained(without)
    assert [folder.name for folder in (without.root / "damaged").iterdir()] == [f"results-{KEY}-0"]


def test_a_run_with_some_of_its_draws_stays_as_it_is(copy, newer):
    found = copy.load(SPEC)
    partial = replace(found, draws={0: found.draws[0]})
    with one_warning("draws of step 12 were not kept"):
        assert measured_again(partial, copy) is partial


def test_a_damaged_measurement_is_dropped_and_made_again(copy, newer):
    before = copy.load(SPEC)
    measured_again(before, copy)
    (folder,) = (copy.root / "measured" / KEY).iterdir()
    for damage in (
        lambda: (folder / "rows.json").write_bytes(b"{}"),
        lambda: shutil.rmtree(folder),
        lambda: reseal(folder, **{"rows.json": (copy.path(KEY) / "rows.json").read_bytes()}),  # another measurement's
    ):
        damage()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert copy.load(SPEC).measurement == MEASUREMENT
            assert obtained(copy).measurement == MEASUREMENT + 1


def test_a_measurement_is_neither_read_nor_removed_through_a_linked_folder(copy, newer, tmp_path):
    measured_again(copy.load(SPEC), copy)
    linked, outside = copy.root / "measured" / KEY, tmp_path / "outside"
    linked.rename(outside)
    (folder,) = outside.iterdir()
    for damage in (lambda: None, lambda: (folder / "rows.json").write_bytes(b"{}")):
        damage()
        linked.unlink(missing_ok=True)
        linked.symlink_to(outside)
        assert copy.load(SPEC).measurement == MEASUREMENT
        assert folder.is_dir()
    assert obtained(copy).measurement == MEASUREMENT + 1
    assert (folder / "rows.json").read_bytes() == b"{}"
    assert not linked.is_symlink()


def test_over_the_limit_no_draws_are_kept_and_numbers_stay_as_they_are(tmp_path, newer):
    small = RunStore(tmp_path, draws_bytes=1000)
    execute(SPEC, small, "cpu", USERS)
    found = small.load(SPEC)
    assert found.draws == {}
    assert draws.bytes_on_disk(tmp_path, KEY) == 0
    assert small.is_current(found), "it cannot be measured again"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert obtained(small).measurement == found.measurement


class Breaking(Planted):
    """Breaks down after its first checkpoint."""

    def start(self, task, data, device, at=None):
        class Learner(PlantedLearner):
            def train(self, until, on_step):
                if until > 6:
                    raise Diverged("the loss is nan")
                return super().train(until, on_step)

        return Learner(self, task, 0)


def test_a_failed_run_is_measured_again_as_a_failed_run(tmp_path, newer):
    spec = replace(SPEC, measure=replace(SPEC.measure, every=24))
    failing = RunStore(tmp_path)
    execute(spec, failing, "cpu", replace(USERS, subject=Breaking()))
    before = failing.load(spec)
    assert (before.failed, len(before.rows), list(before.draws)) == ("the loss is nan", 2, [0, 6])
    after = measured_again(before, failing)
    assert (after.failed, len(after.rows)) == (before.failed, 2)
    assert_same_numbers(failing.load(spec), before)


@pytest.mark.parametrize("moment", ["save", "save_partial", "publish"])
def test_a_run_killed_about_its_draws_ends_with_all_of_them(tmp_path, whole, newer, monkeypatch, moment):
    """Before the draws of a step are written, between them and the checkpoint, and before the run is published."""
    place, owner = RunStore(tmp_path), draws if moment == "save" else RunStore
    original, calls = getattr(owner, moment), []

    def interrupted(*arguments):
        calls.append(moment)
        if len(calls) == (1 if moment == "publish" else 2):
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(owner, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(SPEC, place, "cpu", USERS)
    assert not place.has(SPEC)
    execute(SPEC, place, "cpu", USERS)
    found, expected = place.load(SPEC), whole.load(SPEC)
    assert found.draws == expected.draws
    assert_same_numbers(measured_again(found, place), expected)


def test_draws_of_an_earlier_attempt_are_removed_where_a_run_starts_anew(tmp_path, whole):
    place = RunStore(tmp_path)
    draws.save(tmp_path, KEY, 7, draws.load(whole.root, KEY, 0, whole.load(SPEC).draws[0], SPEC))
    execute(SPEC, place, "cpu", USERS)
    assert sorted(path.name for path in (tmp_path / "draws" / KEY).iterdir()) == [
        "000000000.safetensors",
        "000000012.safetensors",
    ]


def test_a_measurement_of_an_earlier_training_does_not_answer_for_the_new_run(copy, newer):
    old = measured_again(copy.load(SPEC), copy)
    assert copy.load(SPEC).measurement == old.measurement
    trained_anew = replace(old, draws=dict.fromkeys(old.draws, 64 * "1"), measurement=MEASUREMENT)
    assert copy.load_measured(trained_anew) is None
    copy.forget_draws(KEY)
    assert not (copy.root / "measured" / KEY).exists()
