"""One checkpoint to one row: complete, in range, repeatable, and robust to a broken network."""

import gc
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
from bumplab.measure.names import MODES, SHOWN, SamplesNotFinite, array_forms, row_names
from bumplab.training.loop import start, train

PLAIN = profiles.get("smoke").run(0)
HOLE = profiles.get("smoke").run(0, hole=3.0)
MEASURES = (
    *("umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_generated", "pca_r2", "pca_r2_x", "pca_r2_y"),
    *("dimension", "neighbour_order", "signal"),
)


def sets_of(spec):
    return ("on_grid", "off_grid", "in_hole") if spec.data.hole else ("on_grid", "off_grid")


CASES = {"plain": (PLAIN, 6), "hole": (HOLE, 6), "plain, last step": (PLAIN, 12), "hole, last step": (HOLE, 12)}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def measured(request):
    """A run after six or all of its twelve steps, the step, and its measurement there."""
    spec, step = request.param
    state = start(spec, "cpu")
    train(state, spec, step)
    return spec, step, state.network, evaluate(state.network, spec, "cpu", step)


def taps_at(spec, step):
    return (*LAYER_4, *LAST_TAPS) if step == spec.training.steps else LAYER_4


def counts_at(spec, step):
    """Images of each label set: with a hole, more of those not on the grid at the last step."""
    more = 32 if spec.data.hole and step == spec.training.steps else spec.measure.samples
    return {name: spec.measure.samples if name == "on_grid" else more for name in sets_of(spec)}


def test_the_row_has_every_number(measured):
    spec, step, _, measurement = measured
    shares = [f"{kind}{axis}" for kind in ("accuracy", "ceiling") for axis in ("", "_x", "_y")]
    expected = {f"{name}.{key}" for name in sets_of(spec) for key in (*shares, *MODES, "samples")}
    expected |= {f"{tap}.{measure}" for tap in taps_at(spec, step) for measure in MEASURES}
    assert set(measurement.row) == expected == row_names(spec, step) - {"step", "loss"}
    assert {name: measurement.row[f"{name}.samples"] for name in sets_of(spec)} == counts_at(spec, step)
    assert {type(value) for value in measurement.row.values()} == {float}


def test_shares_lie_in_0_to_1_and_modes_sum_to_1(measured):
    spec, _, _, measurement = measured
    row = measurement.row
    for name in sets_of(spec):
        shares = {key: value for key, value in row.items() if key.startswith(f"{name}.") and "samples" not in key}
        assert all(0 <= value <= 1 for value in shares.values())
        assert sum(row[f"{name}.{mode}"] for mode in MODES) == pytest.approx(1)
        for kind in ("accuracy", "ceiling"):
            assert row[f"{name}.{kind}"] <= min(row[f"{name}.{kind}_x"], row[f"{name}.{kind}_y"])
    assert row["off_grid.ceiling"] == 1, "whole bumps are always found"


def test_evidence_has_the_documented_shapes(measured):
    spec, step, _, measurement = measured
    n, count = spec.data.image_size, spec.measure.samples
    expected = {"embedding.labels": (count, 2)} | {f"{tap}.embedding": (count, 3) for tap in taps_at(spec, step)}
    for name, drawn in counts_at(spec, step).items():
        shown = min(drawn, SHOWN)
        expected |= {f"{name}.{key}": (shown, 2) for key in ("labels", "positions")}
        expected |= {f"{name}.images": (shown, n, n), f"{name}.modes": (shown,)}
    assert {key: value.shape for key, value in measurement.evidence.items()} == expected
    assert measurement.evidence["on_grid.images"].dtype == np.uint8
    forms = {key: (str(value.dtype), value.shape) for key, value in measurement.evidence.items()}
    assert forms == array_forms(spec, step), "else a store refuses what was measured"


def test_the_same_state_measures_the_same(measured):
    """Whatever the global generators hold and whatever was measured before."""
    spec, step, network, measurement = measured
    torch.manual_seed(99)
    np.random.seed(99)
    again = evaluate(network, spec, "cpu", step)
    assert again.row.keys() == measurement.row.keys()
    assert np.array_equal(list(again.row.values()), list(measurement.row.values()), equal_nan=True)
    for key, value in measurement.evidence.items():
        assert np.array_equal(again.evidence[key], value, equal_nan=value.dtype.kind == "f")


def test_label_sets_are_the_runs_own():
    """The same at each call, others by seed; on the training grid, off it, and out of reach in the hole."""
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


@pytest.mark.parametrize("weights", ["head.bias", "up1.change.conv1.weight"])
def test_a_network_of_nan_is_not_measured(weights):
    """White images would score as honest failures: nobody would see that there is nothing to measure."""
    network = start(PLAIN, "cpu").network
    torch.nn.init.constant_(network.get_parameter(weights), torch.nan)
    with pytest.raises(SamplesNotFinite, match=r"(\d+) of \1 samples hold NaN or infinity"):
        evaluate(network, PLAIN, "cpu", 6)


def test_images_and_activations_keep_their_order_over_batches(perfect_network):
    """More labels than fit one sampling batch: each image and activation belongs to its own label."""
    labels = 3 + 10 * torch.rand(SAMPLING_BATCH + 10, 2, generator=torch.Generator().manual_seed(0))
    images, taps = draw(perfect_network(PLAIN), PLAIN, labels, "cpu", recorded=len(labels))
    assert images.shape == (len(labels), 16, 16)
    truth = render(labels, 16, 1.0).numpy()
    assert np.abs(images - truth).max() < 2
    for tap in TAPS:
        assert taps[tap].shape == (len(labels), 3)
        assert np.allclose(taps[tap][:, :2], labels.numpy(), atol=1e-5)


def test_a_captured_step_is_made_once_a_network_and_serves_a_last_chunk_of_fewer_rows(monkeypatch):
    """By a stand-in with a graph's fixed inputs, which a GPU has: it draws the same and does not keep the network."""
    state = start(PLAIN, "cpu")
    train(state, PLAIN, 6)
    labels = label_sets(replace(PLAIN, measure=replace(PLAIN.measure, samples=SAMPLING_BATCH + 20)))["on_grid"]
    launched, taps = draw(state.averaged, PLAIN, labels, "cpu", recorded=5)
    made, network = [], weakref.ref(state.averaged)  # a graph keeps addresses, not the network

    def capture(function, example):
        inputs = [part.clone() for part in example]
        made.append(len(inputs[0]))

        def replay(*given):
            for into, value in zip(inputs, given, strict=True):
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
    assert made == [SAMPLING_BATCH]
    del state
    gc.collect()
    assert network() is None
