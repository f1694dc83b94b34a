"""The row of a checkpoint is complete, in range and repeatable. What each number is measured on."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.config import ROLES
from bumplab.data.label_sets import label_sets
from bumplab.measure import accuracy as accuracy_module
from bumplab.measure import measure as module
from bumplab.measure.accuracy import accuracy, positions_of_eq_1
from bumplab.measure.detector import quantise
from bumplab.measure.measure import Sample, measure
from bumplab.measure.names import MODES, SHOWN, array_forms, is_possible, row_names, sample_counts
from bumplab.measure.order import flatness, neighbour_r2
from bumplab.measure.representation import linear_r2, umap_embedding
from bumplab.randomness import derive
from bumplab.subjects.planted import Planted
from tests.learners import Perfect, drawn_by, measured, trained

SMOKE = profiles.get("smoke")
PLAIN, HOLE = SMOKE.run(0), SMOKE.run(0, hole=3.0)
SAMPLES, LAST = HOLE.measure.samples, HOLE.training.steps
READINGS = ("activations", "told", "seen", "canvas")


@pytest.fixture(scope="module")
def checkpoints():
    """Two runs of a planted subject at steps 0, 6 and 12, the last: spec, step, draws, measurement."""
    found = []
    for spec, step in product((PLAIN, HOLE), (0, 6, 12)):
        drawn = drawn_by(trained(spec, step, Planted()), spec, step)
        found.append((spec, step, drawn, measure(spec, step, label_sets(spec, step == 12), drawn)))
    return found


@pytest.fixture
def no_umap(monkeypatch):
    """UMAP is slow. In its place stand the first three columns."""
    monkeypatch.setattr(module, "umap_embedding", lambda activations, seed: activations[:, :3].astype(np.float32))


def test_the_row_has_every_number(checkpoints):
    """`tests/runs/test_format.py` lists the names one by one."""
    for spec, step, _, measurement in checkpoints:
        assert set(measurement.row) == row_names(spec, step) - {"step", "loss"}
        counts = sample_counts(spec, step)
        assert {name: measurement.row[f"{name}.samples"] for name in counts} == counts
        assert {type(value) for value in measurement.row.values()} == {float}


def test_shares_lie_in_0_to_1_and_modes_sum_to_1(checkpoints):
    for spec, step, _, measurement in checkpoints:
        row = measurement.row
        for name in sample_counts(spec, step):
            case = (spec.label(), step, name)
            assert sum(row[f"{name}.{mode}"] for mode in MODES) == pytest.approx(1), case
            assert row[f"{name}.correct"] <= min(row[f"{name}.correct_x"], row[f"{name}.correct_y"]), case
            for kind in ("accuracy", "ceiling") if name != "in_hole" else ():
                assert row[f"{name}.{kind}"] <= min(row[f"{name}.{kind}_x"], row[f"{name}.{kind}_y"]), case
        assert row["probe.ceiling"] == 1, "a whole bump was not found"


def test_every_number_of_a_row_is_possible_and_numbers_out_of_range_are_not(checkpoints):
    for spec, step, _, measurement in checkpoints:
        impossible = [name for name, value in measurement.row.items() if not is_possible(name, value, spec, step)]
        assert not impossible, (spec.label(), step)
    for name, value in (
        *(("probe.samples", 25.0), ("step", 7.0), ("loss", -0.1), ("loss", math.nan)),
        *(("probe.accuracy", math.nan), ("probe.none", -0.01), ("probe.ceiling", 1.01), ("probe.error_x", -0.1)),
        *(("probe.correct_y", math.nan), ("layer4.order_x", 1.01), ("layer4.told", 1.01), ("layer4.flatness", 0.34)),
        *(("encoder.signal", 1.01), ("encoder.dimension", -0.1), ("layer4.umap_r2_sd", -0.1), ("image.order", 1.1)),
    ):
        assert not is_possible(name, value, PLAIN, 6), name
    for name, value in (
        *(("probe.samples", 24.0), ("step", 6.0), ("loss", 0.0), ("loss", 1e6), ("layer4.dimension", 40.0)),
        *(("probe.accuracy", 1 + 1e-9), ("layer4.order", -3.0), ("layer4.told", math.nan), ("probe.error", math.nan)),
        *(("probe.error", 12.0), ("image.order", math.nan), ("layer4.flatness", 1 / 3)),
    ):
        assert is_possible(name, value, PLAIN, 6), name
    assert is_possible("loss", math.nan, PLAIN, 0)


def test_the_loss_of_a_user_s_subject_is_any_or_none():
    users = replace(PLAIN, subject=replace(PLAIN.subject, name="my_gan.py:gan", source="0" * 64))
    for spec, value in product((users, SMOKE.rendered(PLAIN, "true")), (math.nan, -3.0)):
        assert is_possible("loss", value, spec, spec.training.steps), value
        assert not is_possible("probe.accuracy", value, spec, spec.training.steps), value


def test_evidence_has_the_documented_shapes(checkpoints):
    for spec, step, _, measurement in checkpoints:
        n, count = spec.data.image_size, spec.measure.samples
        expected = {"embedding.labels": (count, 2), "layer4.embedding": (count, 3)}
        for name, drawn in sample_counts(spec, step).items():
            shown = min(drawn, SHOWN)
            expected |= {f"{name}.{key}": (shown, 2) for key in ("labels", "positions")}
            expected |= {f"{name}.images": (shown, n, n), f"{name}.modes": (shown,)}
        assert {key: value.shape for key, value in measurement.evidence.items()} == expected
        assert measurement.evidence["probe.images"].dtype == np.uint8
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


def test_a_perfect_generator_is_at_the_place_and_a_shifted_one_is_single_wrong(no_umap):
    learners = (Perfect(HOLE, lambda labels, shift=shift: labels + np.float32(shift)) for shift in (0.0, [1.5, 0.5]))
    perfect, shifted = (measured(learner, HOLE, LAST).row for learner in learners)
    for name in ("probe", "in_hole"):
        assert (perfect[f"{name}.correct"], perfect[f"{name}.none"], perfect[f"{name}.several"]) == (1, 0, 0)
        assert perfect[f"{name}.error"] < 0.02
        assert (shifted[f"{name}.correct"], shifted[f"{name}.single-wrong"]) == (0, 1)
        assert (shifted[f"{name}.correct_x"], shifted[f"{name}.correct_y"]) == (0, 1)
        errors = [shifted[f"{name}.error{axis}"] for axis in ("", "_x", "_y")]
        assert errors == pytest.approx([math.hypot(1.5, 0.5), 1.5, 0.5], abs=0.02)
    for name, axis in product(("probe", "on_grid"), ("", "_x", "_y")):
        assert perfect[f"{name}.accuracy{axis}"] == perfect[f"{name}.ceiling{axis}"]
    assert perfect["encoder.pca_r2"] > 0.99


def test_each_image_is_measured_against_the_label_of_its_own_set(no_umap):
    """Two images in each set are blank: that set alone loses their share."""
    for step, name in product((6, LAST), ("probe", "in_hole", "on_grid")):
        sets = label_sets(HOLE, step == LAST)
        if name not in sets:
            continue
        drawn = drawn_by(Perfect(HOLE), HOLE, step)
        images, first = drawn.images.copy(), [*sets].index(name) * SAMPLES
        images[[first, first + SAMPLES - 1]] = 255
        row = measure(HOLE, step, sets, replace(drawn, images=images)).row
        for other, asked in sets.items():
            blank = row[f"{other}.none"] * len(asked.labels)
            assert blank == pytest.approx(2 if other == name else 0), (step, name, other)


def folded(labels):
    """Where bumps are drawn in place of the labels. It is no linear function of them, so its order is another."""
    return np.abs(labels - 7.5) + 4


def planted_readings(step, seed=0):
    """Readings that all differ, with some order. ``images`` show bumps at `folded` places."""
    random = np.random.default_rng(seed)
    labels = label_sets(HOLE)["probe"].labels.astype(float)

    def reading(number):
        return {
            role: labels @ random.standard_normal((2, 8)) + number * random.standard_normal((SAMPLES, 8))
            for role in ROLES
        }

    images = drawn_by(Perfect(HOLE, folded), HOLE, step).images
    return Sample(images, **{name: reading(1 + number) for number, name in enumerate(READINGS)})


def test_each_number_of_the_representation_is_read_of_its_own_reading(no_umap):
    labels = label_sets(HOLE)["probe"].labels.astype(float)

    def order(points, targets=labels):
        return float(neighbour_r2(points, targets).mean())

    for step in (0, 6, LAST):
        drawn = planted_readings(step)
        row = measure(HOLE, step, label_sets(HOLE, step == LAST), drawn).row
        x, y = neighbour_r2(drawn.activations["layer4"], labels)
        expected = {
            "layer4.order": (x + y) / 2,
            "layer4.order_x": x,
            "layer4.order_y": y,
            "layer4.order_drawn": order(drawn.activations["layer4"], folded(labels)),
            "layer4.told": order(drawn.told["layer4"]),
            "layer4.told_x": neighbour_r2(drawn.told["layer4"], labels)[0],
            "layer4.told_y": neighbour_r2(drawn.told["layer4"], labels)[1],
            "layer4.seen": order(drawn.seen["layer4"]),
            "layer4.told_flatness": flatness(drawn.told["layer4"][:, :3].astype(np.float32)),
            "layer4.flatness": flatness(drawn.activations["layer4"][:, :3].astype(np.float32)),
            "image.order": order(drawn.images[:SAMPLES].reshape(SAMPLES, -1)),
        }
        if step in (0, LAST):
            expected["layer4.canvas"] = order(drawn.canvas["layer4"])
        if step == LAST:
            expected |= {f"{role}.order": order(drawn.activations[role]) for role in ROLES}
            expected |= {f"{role}.told": order(drawn.told[role]) for role in ROLES}
        assert len({round(value, 6) for value in expected.values()}) >= 8, "the readings are too much alike"
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=0.02), step


def test_order_drawn_is_of_the_place_in_images_with_one_bump(no_umap):
    """Blank images are left out. Fewer than 11 others give no order."""
    for blank, is_known in ((5, True), (SAMPLES - 11, True), (SAMPLES - 10, False)):
        drawn = planted_readings(6)
        images = drawn.images.copy()
        images[:blank] = 255
        row = measure(HOLE, 6, label_sets(HOLE), replace(drawn, images=images)).row
        labels = label_sets(HOLE)["probe"].labels.astype(float)[blank:]
        expected = float(neighbour_r2(drawn.activations["layer4"][blank:], folded(labels)).mean())
        assert math.isnan(row["layer4.order_drawn"]) == (not is_known), blank
        assert not is_known or row["layer4.order_drawn"] == pytest.approx(expected, abs=0.02), blank


def test_umap_r2_is_the_mean_over_eight_embeddings():
    drawn = planted_readings(LAST)
    labels = label_sets(HOLE)["probe"].labels.astype(float)
    row = measure(HOLE, LAST, label_sets(HOLE, last=True), drawn).row
    seeds = [derive(HOLE.seed, "embedding", number) % 2**32 for number in range(8)]
    by_seed = np.array([linear_r2(umap_embedding(drawn.activations["layer4"], seed), labels) for seed in seeds])
    assert len(set(by_seed[:, 0])) == 8
    assert (row["layer4.umap_r2_x"], row["layer4.umap_r2_y"]) == pytest.approx(tuple(by_seed.mean(axis=0)))
    assert row["layer4.umap_r2"] == pytest.approx(by_seed.mean())
    assert row["layer4.umap_r2_sd"] == pytest.approx(by_seed.mean(axis=1).std(ddof=1))


def test_the_measures_of_a_role_or_reading_that_is_missing_or_broken_are_unknown(checkpoints):
    """All other numbers stay, and so do the shapes of the evidence."""
    spec, step, drawn, measurement = checkpoints[-1]

    def without(reading, role):
        return {reading: {other: rows for other, rows in getattr(drawn, reading).items() if other != role}}

    broken = {role: rows.copy() for role, rows in drawn.activations.items()}
    broken["bottleneck"][3] = np.nan
    layer_4 = {f"layer4.{name}" for name in (
        "order", "order_x", "order_y", "order_drawn", "flatness", "umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_sd",
        "signal", "dimension", "pca_r2",
    )}  # fmt: skip
    for change, unknown in (
        (without("told", "layer4"), {"layer4.told", "layer4.told_x", "layer4.told_y", "layer4.told_flatness"}),
        (without("told", "encoder"), {"encoder.told"}),
        (without("seen", "layer4"), {"layer4.seen"}),
        (without("canvas", "layer4"), {"layer4.canvas"}),
        (without("activations", "layer4"), layer_4),
        ({"activations": broken}, {f"bottleneck.{name}" for name in ("order", "signal", "dimension", "pca_r2")}),
    ):
        again = measure(spec, step, label_sets(spec, last=True), replace(drawn, **change))
        for name, value in again.row.items():
            same = value == measurement.row[name] or (math.isnan(value) and math.isnan(measurement.row[name]))
            assert math.isnan(value) if name in unknown else same, (unknown, name)
        assert {name: value.shape for name, value in again.evidence.items()} == {
            name: value.shape for name, value in measurement.evidence.items()
        }


@pytest.fixture
def strict(monkeypatch):
    """A tolerance so small that label sets differ in their ceilings. The cache keeps none of these ceilings."""
    monkeypatch.setattr(accuracy_module, "TOLERANCE", 0.1)
    module._ceilings.cache_clear()
    yield
    module._ceilings.cache_clear()


def test_the_row_holds_the_ceilings_of_the_asked_labels(strict, no_umap):
    """Also after the ceilings of other specs, which are more than the cache keeps."""
    specs = [HOLE, replace(HOLE, seed=1), SMOKE.run(0), SMOKE.run(0, dx=4.0), SMOKE.run(0, sigma=0.5)]
    specs += [SMOKE.run(0, hole=5.0), SMOKE.run(0, hole=5.0, sigma=0.5)]
    cases = list(product(specs, (6, LAST)))
    ceilings = set()
    for spec, step in [*cases, *reversed(cases)]:
        row = measured(Perfect(spec), spec, step).row
        sets = label_sets(spec, last=step == LAST)
        for name in {"probe", "on_grid"} & sets.keys():
            expected = accuracy(positions_of_eq_1(quantise(sets[name].truth)[0]), sets[name].labels.astype(float))
            ceilings.add((name, tuple(expected.values())))
            for key, share in expected.items():
                assert row[f"{name}.{key.replace('accuracy', 'ceiling')}"] == share, (spec.label(), step, name, key)
    assert len(ceilings) > 8, "too few ceilings differ"


def test_a_run_computes_the_ceiling_of_a_label_set_twice(strict, no_umap):
    """The probe's once for all its checkpoints, and once with the last one, which has one more set."""
    label_sets.cache_clear()
    for step in (0, 2, 4, 6, LAST):
        measured(Perfect(HOLE), HOLE, step)
    assert module._ceilings.cache_info().misses == 3
