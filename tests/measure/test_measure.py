"""The row of a checkpoint is complete, in range and repeatable. What each number is measured on."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.config import LAST_ROLES, LAYER_4, ROLES
from bumplab.data.label_sets import label_sets
from bumplab.measure import accuracy as accuracy_module
from bumplab.measure import measure as module
from bumplab.measure.accuracy import accuracy, detect
from bumplab.measure.detector import quantise
from bumplab.measure.measure import measure
from bumplab.measure.names import MODES, SHOWN, array_forms, is_possible, row_names
from bumplab.measure.representation import Representation
from bumplab.subjects.planted import Planted
from bumplab.subjects.protocol import Drawn
from tests.learners import Perfect, drawn_by, measured, trained

SMOKE = profiles.get("smoke")
PLAIN, HOLE = SMOKE.run(0), SMOKE.run(0, hole=3.0)
SAMPLES, LAST = HOLE.measure.samples, HOLE.training.steps
MEASURES = (
    *("umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_generated", "pca_r2", "pca_r2_x", "pca_r2_y"),
    *("dimension", "neighbour_order", "signal"),
)
SETS = ("on_grid", "off_grid", "in_hole")


def sets_of(spec):
    return SETS if spec.data.hole else SETS[:2]


def roles_at(spec, step):
    return (*LAYER_4, *LAST_ROLES) if step == spec.training.steps else LAYER_4


def counts_at(spec, step):
    """Images of each label set. With a hole, the last step has more of them off the grid and in the hole."""
    more = 32 if spec.data.hole and step == spec.training.steps else spec.measure.samples
    return {name: spec.measure.samples if name == "on_grid" else more for name in sets_of(spec)}


@pytest.fixture(scope="module")
def checkpoints():
    """Two runs of a planted subject after six and all of their twelve steps: spec, step, draws and measurement."""
    found = []
    for spec, step in product((PLAIN, HOLE), (6, 12)):
        drawn = drawn_by(trained(spec, step, Planted()), spec, step)
        found.append((spec, step, drawn, measure(spec, step, label_sets(spec, step == 12), drawn)))
    return found


@pytest.fixture
def represented(monkeypatch):
    """The activations, labels and positions that `represent` gets. Its measures are left out, as UMAP is slow."""
    calls = []

    def represent(activations, labels, generated, seed):
        calls.append((activations, labels, generated))
        return Representation({}, np.zeros((len(labels), 3), np.float32))

    monkeypatch.setattr(module, "represent", represent)
    return calls


def test_the_row_has_every_number(checkpoints):
    shares = [f"{kind}{axis}" for kind in ("accuracy", "ceiling") for axis in ("", "_x", "_y")]
    for spec, step, _, measurement in checkpoints:
        expected = {f"{name}.{key}" for name in sets_of(spec) for key in (*shares, *MODES, "samples")}
        expected |= {f"{role}.{name}" for role in roles_at(spec, step) for name in MEASURES}
        assert set(measurement.row) == expected == row_names(spec, step) - {"step", "loss"}
        assert {name: measurement.row[f"{name}.samples"] for name in sets_of(spec)} == counts_at(spec, step)
        assert {type(value) for value in measurement.row.values()} == {float}


def test_shares_lie_in_0_to_1_and_modes_sum_to_1(checkpoints):
    for spec, step, _, measurement in checkpoints:
        row = measurement.row
        for name in sets_of(spec):
            case = (spec.label(), step, name)
            shares = {key: value for key, value in row.items() if key.startswith(f"{name}.") and "samples" not in key}
            assert all(0 <= value <= 1 for value in shares.values()), case
            assert sum(row[f"{name}.{mode}"] for mode in MODES) == pytest.approx(1), case
            for kind in ("accuracy", "ceiling"):
                assert row[f"{name}.{kind}"] <= min(row[f"{name}.{kind}_x"], row[f"{name}.{kind}_y"]), case
        assert row["off_grid.ceiling"] == 1, "a whole bump was not found"


def test_every_number_of_a_row_is_possible_and_numbers_out_of_range_are_not(checkpoints):
    for spec, step, _, measurement in checkpoints:
        impossible = [name for name, value in measurement.row.items() if not is_possible(name, value, spec, step)]
        assert not impossible, (spec.label(), step)
    for name, value in (
        *(("on_grid.samples", 25.0), ("step", 7.0), ("loss", -0.1), ("loss", math.nan)),
        *(("on_grid.accuracy", math.nan), ("off_grid.none", -0.01), ("on_grid.ceiling", 1.01)),
        *(("layer4-injected.umap_r2_x", 1.01), ("layer4-injected.pca_r2", 1.01), ("layer4-injected.signal", 1.01)),
        *(("layer4-injected.neighbour_order", -0.01), ("layer4-injected.dimension", -0.1)),
    ):
        assert not is_possible(name, value, PLAIN, 6), name
    for name, value in (
        *(("on_grid.samples", 24.0), ("step", 6.0), ("loss", 0.0), ("loss", 1e6), ("layer4-injected.dimension", 40.0)),
        *(("on_grid.accuracy", 1 + 1e-9), ("layer4-injected.pca_r2", -3.0), ("layer4-injected.umap_r2", math.nan)),
    ):
        assert is_possible(name, value, PLAIN, 6), name
    assert is_possible("loss", math.nan, PLAIN, 0)


def test_the_loss_of_a_user_s_subject_is_any_or_none():
    users = replace(PLAIN, subject=replace(PLAIN.subject, name="my_gan.py:gan", source="0" * 64))
    for spec, value in product((users, SMOKE.rendered(PLAIN, "true")), (math.nan, -3.0)):
        assert is_possible("loss", value, spec, spec.training.steps), value
        assert not is_possible("on_grid.accuracy", value, spec, spec.training.steps), value


def test_evidence_has_the_documented_shapes(checkpoints):
    for spec, step, _, measurement in checkpoints:
        n, count = spec.data.image_size, spec.measure.samples
        expected = {"embedding.labels": (count, 2)} | {f"{role}.embedding": (count, 3) for role in roles_at(spec, step)}
        for name, drawn in counts_at(spec, step).items():
            shown = min(drawn, SHOWN)
            expected |= {f"{name}.{key}": (shown, 2) for key in ("labels", "positions")}
            expected |= {f"{name}.images": (shown, n, n), f"{name}.modes": (shown,)}
        assert {key: value.shape for key, value in measurement.evidence.items()} == expected
        assert measurement.evidence["on_grid.images"].dtype == np.uint8
        forms = {key: (str(value.dtype), value.shape) for key, value in measurement.evidence.items()}
        assert forms == array_forms(spec, step), "a store would refuse this measurement"


def test_the_same_draws_measure_the_same(checkpoints):
    """Global generators and earlier measurements do not matter, and are left alone."""
    for spec, step, drawn, measurement in (checkpoints[0], checkpoints[-1]):
        torch.manual_seed(99)
        np.random.seed(99)
        before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
        images = drawn.images.copy()
        again = measure(spec, step, label_sets(spec, step == LAST), drawn)
        assert torch.equal(torch.get_rng_state(), before)
        assert np.array_equal(np.random.get_state()[1], numpy_before)
        assert np.array_equal(drawn.images, images), "measuring changed what was drawn"
        assert again.row.keys() == measurement.row.keys()
        assert np.array_equal(list(again.row.values()), list(measurement.row.values()), equal_nan=True), step
        for key, value in measurement.evidence.items():
            assert np.array_equal(again.evidence[key], value, equal_nan=value.dtype.kind == "f"), (step, key)


def test_a_perfect_generator_reaches_the_ceiling_and_a_shifted_one_is_single_wrong():
    learners = (Perfect(HOLE, lambda labels, shift=shift: labels + np.float32(shift)) for shift in (0.0, 1.5))
    perfect, shifted = (measured(learner, HOLE, 6).row for learner in learners)
    for name in SETS:
        for axis in ("", "_x", "_y"):
            assert perfect[f"{name}.accuracy{axis}"] == perfect[f"{name}.ceiling{axis}"]
        assert perfect[f"{name}.none"] == perfect[f"{name}.several"] == 0
    for name in ("off_grid", "in_hole"):
        assert perfect[f"{name}.correct"] == 1
    assert shifted["in_hole.single-wrong"] == 1
    assert shifted["in_hole.accuracy"] == 0
    assert perfect["layer4-injected.pca_r2"] > 0.99


def test_each_image_is_measured_against_the_label_of_its_own_set(represented):
    """One image in each set is another's: that set alone loses the share of one image."""
    for step, name in product((6, LAST), SETS):
        sets = label_sets(HOLE, step == LAST)
        drawn = drawn_by(Perfect(HOLE), HOLE, step)
        ends = np.cumsum([0, *(len(asked.labels) for asked in sets.values())])
        first, last = ends[list(sets).index(name)], ends[list(sets).index(name) + 1] - 1
        images = drawn.images.copy()
        images[first] = 255
        images[last] = 255
        row = measure(HOLE, step, sets, Drawn(images, drawn.activations)).row
        for other, asked in sets.items():
            blank = row[f"{other}.none"] * len(asked.labels)
            assert blank == pytest.approx(2 if other == name else 0), (step, name, other)


def test_the_activations_of_each_role_are_those_of_the_images_on_the_grid(represented):
    """One row for each image, in order. The planted activations are (x, y, x - y) plus the number of the role."""
    on_grid = label_sets(HOLE)["on_grid"].labels
    for step in (6, LAST):
        represented.clear()
        measured(Perfect(HOLE, at=lambda labels: (labels + 8) / 2), HOLE, step)
        assert len(represented) == (4 if step == LAST else 2), step
        for role, (activations, labels, generated) in zip(roles_at(HOLE, step), represented, strict=True):
            assert activations.shape == (SAMPLES, 3), step
            assert np.allclose(activations[:, :2] - ROLES.index(role), on_grid), (step, role)
            assert np.allclose(labels, on_grid), step
            assert generated.shape == (SAMPLES, 2), step
            assert np.nanmedian(np.abs(generated - (on_grid + 8) / 2)) < 0.5, "where bumps were drawn, not asked for"


def test_activations_of_any_shape_are_one_row_for_each_image(represented):
    drawn = drawn_by(Perfect(HOLE), HOLE, 6)
    deep = {role: np.tile(rows[:, :, None, None], (1, 1, 2, 2)) for role, rows in drawn.activations.items()}
    measure(HOLE, 6, label_sets(HOLE), Drawn(drawn.images, deep))
    assert {activations.shape for activations, _, _ in represented} == {(SAMPLES, 12)}


def test_the_measures_of_a_role_without_usable_activations_are_unknown(checkpoints):
    """A role that a subject does not have, or that holds NaN. All other numbers stay."""
    spec, step, drawn, measurement = checkpoints[-1]
    broken = {role: rows.copy() for role, rows in drawn.activations.items() if role != "encoder"}
    broken["bottleneck"][3] = np.nan
    again = measure(spec, step, label_sets(spec, last=True), Drawn(drawn.images, broken))
    for name, value in again.row.items():
        unknown = name.split(".")[0] in ("encoder", "bottleneck")
        assert math.isnan(value) if unknown else value == measurement.row[name], name
    assert {name: value.shape for name, value in again.evidence.items()} == {
        name: value.shape for name, value in measurement.evidence.items()
    }


# --- ceilings --------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(monkeypatch):
    """A tolerance so small that label sets differ in their ceilings. The cache keeps none of these ceilings."""
    monkeypatch.setattr(accuracy_module, "TOLERANCE", 0.1)
    module._ceiling.cache_clear()
    yield
    module._ceiling.cache_clear()


def ceiling_of(spec, asked):
    images, _ = quantise(asked.truth)
    return accuracy(detect(images, spec.data.sigma).positions, asked.labels.astype(float))


def test_the_row_holds_the_ceilings_of_the_asked_labels(strict, represented):
    """Also after the ceilings of other specs, which are more than the cache keeps."""
    specs = [HOLE, replace(HOLE, seed=1), SMOKE.run(0), SMOKE.run(0, dx=4.0), SMOKE.run(0, sigma=0.5)]
    specs += [SMOKE.run(0, hole=5.0), replace(HOLE, measure=replace(HOLE.measure, last_samples=60))]
    cases = list(product(specs, (6, LAST)))
    ceilings = set()
    for spec, step in [*cases, *reversed(cases)]:
        row = measured(Perfect(spec), spec, step).row
        for name, asked in label_sets(spec, last=step == LAST).items():
            expected = ceiling_of(spec, asked)
            ceilings.add((name, tuple(expected.values())))
            for key, share in expected.items():
                assert row[f"{name}.{key.replace('accuracy', 'ceiling')}"] == share, (spec.label(), step, name, key)
    assert len(ceilings) > 15, "too few ceilings differ"


def test_a_run_computes_the_ceiling_of_a_label_set_twice(strict, represented):
    """Once for all its checkpoints, and once for the last one, which may have more labels."""
    label_sets.cache_clear()
    for step in (0, 2, 4, 6, LAST):
        measured(Perfect(HOLE), HOLE, step)
    assert module._ceiling.cache_info().misses == 2 * len(SETS)
