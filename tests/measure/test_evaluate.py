"""The row of a checkpoint is complete, in range and repeatable. A broken network has none."""

import gc
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.config import LAST_TAPS, LAYER_4, TOLERANCE
from bumplab.data.bumps import in_hole, render, training_labels
from bumplab.diffusion.unet import TAPS
from bumplab.measure import evaluate as evaluation
from bumplab.measure.evaluate import SAMPLING_BATCH, draw, evaluate, label_sets
from bumplab.measure.names import MODES, SHOWN, SamplesNotFinite, array_forms, is_possible, row_names
from bumplab.training.loop import start, train

PLAIN = profiles.get("smoke").run(0)
HOLE = profiles.get("smoke").run(0, hole=3.0)
MEASURES = (
    *("umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_generated", "pca_r2", "pca_r2_x", "pca_r2_y"),
    *("dimension", "neighbour_order", "signal"),
)


def sets_of(spec):
    return ("on_grid", "off_grid", "in_hole") if spec.data.hole else ("on_grid", "off_grid")


@pytest.fixture(scope="module")
def checkpoints():
    """Two runs after six and all of their twelve steps: spec, step, network and measurement."""
    measured = []
    for spec in (PLAIN, HOLE):
        for step in (6, 12):
            state = start(spec, "cpu")
            train(state, spec, step)
            measured.append((spec, step, state.network, evaluate(state.network, spec, "cpu", step)))
    return measured


def taps_at(spec, step):
    return (*LAYER_4, *LAST_TAPS) if step == spec.training.steps else LAYER_4


def counts_at(spec, step):
    """Images of each label set. With a hole, the last step has more of them off the grid and in the hole."""
    more = 32 if spec.data.hole and step == spec.training.steps else spec.measure.samples
    return {name: spec.measure.samples if name == "on_grid" else more for name in sets_of(spec)}


def test_the_row_has_every_number(checkpoints):
    shares = [f"{kind}{axis}" for kind in ("accuracy", "ceiling") for axis in ("", "_x", "_y")]
    for spec, step, _, measurement in checkpoints:
        expected = {f"{name}.{key}" for name in sets_of(spec) for key in (*shares, *MODES, "samples")}
        expected |= {f"{tap}.{measure}" for tap in taps_at(spec, step) for measure in MEASURES}
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
        *(("on_grid.samples", 25.0), ("step", 7.0), ("loss", -0.1), ("loss", math.nan), ("up1.dimension", -0.1)),
        *(("on_grid.accuracy", math.nan), ("off_grid.none", -0.01), ("on_grid.ceiling", 1.01)),
        *(("up1.umap_r2_x", 1.01), ("up1.pca_r2", 1.01), ("up1.signal", 1.01), ("up1.neighbour_order", -0.01)),
    ):
        assert not is_possible(name, value, PLAIN, 6), name
    for name, value in (
        *(("on_grid.samples", 24.0), ("step", 6.0), ("loss", 0.0), ("loss", 1e6), ("up1.dimension", 40.0)),
        *(("on_grid.accuracy", 1 + 1e-9), ("up1.pca_r2", -3.0), ("up1.umap_r2", math.nan)),
    ):
        assert is_possible(name, value, PLAIN, 6), name
    assert is_possible("loss", math.nan, PLAIN, 0)


def test_evidence_has_the_documented_shapes(checkpoints):
    for spec, step, _, measurement in checkpoints:
        n, count = spec.data.image_size, spec.measure.samples
        expected = {"embedding.labels": (count, 2)} | {f"{tap}.embedding": (count, 3) for tap in taps_at(spec, step)}
        for name, drawn in counts_at(spec, step).items():
            shown = min(drawn, SHOWN)
            expected |= {f"{name}.{key}": (shown, 2) for key in ("labels", "positions")}
            expected |= {f"{name}.images": (shown, n, n), f"{name}.modes": (shown,)}
        assert {key: value.shape for key, value in measurement.evidence.items()} == expected
        assert measurement.evidence["on_grid.images"].dtype == np.uint8
        forms = {key: (str(value.dtype), value.shape) for key, value in measurement.evidence.items()}
        assert forms == array_forms(spec, step), "a store would refuse this measurement"


def test_the_same_state_measures_the_same(checkpoints):
    """Global generators and earlier measurements do not matter. A network in training stays in training."""
    for spec, step, network, measurement in (checkpoints[0], checkpoints[-1]):
        torch.manual_seed(99)
        np.random.seed(99)
        network.train()
        again = evaluate(network, spec, "cpu", step)
        assert network.training
        assert again.row.keys() == measurement.row.keys()
        assert np.array_equal(list(again.row.values()), list(measurement.row.values()), equal_nan=True), step
        for key, value in measurement.evidence.items():
            assert np.array_equal(again.evidence[key], value, equal_nan=value.dtype.kind == "f"), (step, key)


def test_label_sets_belong_to_the_run():
    """Equal at each call, and different between seeds. They lie on the training grid, off it, and deep in the hole."""
    first, again, other = (label_sets(spec) for spec in (HOLE, HOLE, replace(HOLE, seed=1)))
    trained = {tuple(label) for label in training_labels(HOLE.data).tolist()}
    assert tuple(first) == sets_of(HOLE)
    assert tuple(label_sets(PLAIN)) == sets_of(PLAIN)
    for name, labels in first.items():
        assert labels.shape == (HOLE.measure.samples, 2)
        assert torch.equal(labels, again[name])
        assert not torch.equal(labels, other[name])
        share = np.mean([tuple(label) in trained for label in labels.tolist()])
        assert share == (1 if name == "on_grid" else 0)
    assert bool(in_hole(first["in_hole"], 16, 3.0 - 2 * TOLERANCE + 1e-4).all())
    assert not bool(in_hole(first["off_grid"], 16, 3.0).any())


def test_a_perfect_generator_reaches_the_ceiling_and_a_shifted_one_is_single_wrong(perfect_network):
    networks = (perfect_network(HOLE, lambda labels, shift=shift: labels + shift) for shift in (0.0, 1.5))
    perfect, shifted = (evaluate(network, HOLE, "cpu", 6).row for network in networks)
    for name in sets_of(HOLE):
        for axis in ("", "_x", "_y"):
            assert perfect[f"{name}.accuracy{axis}"] == perfect[f"{name}.ceiling{axis}"]
        assert perfect[f"{name}.none"] == perfect[f"{name}.several"] == 0
    for name in ("off_grid", "in_hole"):
        assert perfect[f"{name}.correct"] == 1
    assert shifted["in_hole.single-wrong"] == 1
    assert shifted["in_hole.accuracy"] == 0
    assert perfect["up1.pca_r2"] > 0.99


def test_a_network_of_nan_is_not_measured():
    """Its white images would count as failures to draw a bump, and nobody would see the broken network."""
    for weights in ("head.bias", "up1.change.conv1.weight"):
        network = start(PLAIN, "cpu").network
        torch.nn.init.constant_(network.get_parameter(weights), torch.nan)
        with pytest.raises(SamplesNotFinite, match=r"^48 of 48 samples "):
            evaluate(network, PLAIN, "cpu", 6)


def test_images_and_activations_keep_their_order_over_batches(perfect_network):
    """There are more labels than a sampling batch holds. Each image and activation belongs to its label."""
    labels = 3 + 10 * torch.rand(SAMPLING_BATCH + 10, 2, generator=torch.Generator().manual_seed(0))
    images, taps = draw(perfect_network(PLAIN), PLAIN, labels, "cpu", recorded=len(labels))
    assert images.shape == (len(labels), 16, 16)
    truth = render(labels, 16, 1.0).numpy()
    assert np.abs(images - truth).max() < 2
    for tap in TAPS:
        assert taps[tap].shape == (len(labels), 3)
        assert np.allclose(taps[tap][:, :2], labels.numpy(), atol=1e-5)


def test_a_captured_step_is_made_once_for_a_network_and_serves_a_last_chunk_of_fewer_rows(monkeypatch):
    """A stand-in has fixed inputs, as a graph on a GPU has. It draws the same images and keeps no network alive."""
    state = start(PLAIN, "cpu")
    train(state, PLAIN, 6)
    labels = label_sets(replace(PLAIN, measure=replace(PLAIN.measure, samples=SAMPLING_BATCH + 20)))["on_grid"]
    launched, taps = draw(state.averaged, PLAIN, labels, "cpu", recorded=5)
    sizes, network = [], weakref.ref(state.averaged)  # a graph keeps addresses, not the network

    def capture(function, example):
        inputs = [part.clone() for part in example]
        sizes.append(len(inputs[0]))

        def replay(*values):
            for into, value in zip(inputs, values, strict=True):
                into[: len(value)].copy_(value)
            with torch.inference_mode():
                return network()(*inputs)

        return replay

    monkeypatch.setattr(evaluation, "captures", lambda device: True)
    monkeypatch.setattr(evaluation, "capture", capture)
    for _ in range(2):
        captured, captured_taps = draw(state.averaged, PLAIN, labels, "cpu", recorded=5)
        assert int(abs(captured.astype(int) - launched).max()) <= 1
        assert all(np.allclose(captured_taps[tap], taps[tap], atol=1e-5) for tap in taps)
    assert sizes == [SAMPLING_BATCH]
    del state
    gc.collect()
    assert network() is None
