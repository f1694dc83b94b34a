"""One checkpoint to one row: complete, in range, repeatable, and robust to a broken network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.config import LAYER_4, TOLERANCE
from bumplab.data.bumps import in_hole, render, training_labels
from bumplab.diffusion.objective import to_unit
from bumplab.diffusion.schedule import alphas_cumprod
from bumplab.measure.accuracy import MODES
from bumplab.measure.evaluate import SAMPLING_BATCH, draw, evaluate, label_sets
from bumplab.training.loop import start, train

PLAIN = profiles.get("smoke").run(0)
HOLE = profiles.get("smoke").run(0, hole=3.0)
MEASURES = (
    *("umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_generated", "pca_r2", "pca_r2_x", "pca_r2_y"),
    *("dimension", "neighbour_order"),
)


def sets_of(spec):
    return ("on_grid", "off_grid", "in_hole") if spec.data.hole else ("on_grid", "off_grid")


@pytest.fixture(scope="module", params=[PLAIN, HOLE], ids=["plain", "hole"])
def measured(request):
    """A run after six steps, and its measurement."""
    state = start(request.param, "cpu")
    train(state, request.param, 6)
    return request.param, state.network, evaluate(state.network, request.param, "cpu")


def test_the_row_has_every_number(measured):
    spec, _, measurement = measured
    shares = [f"{kind}{axis}" for kind in ("accuracy", "ceiling") for axis in ("", "_x", "_y")]
    expected = {f"{name}.{key}" for name in sets_of(spec) for key in (*shares, *MODES)}
    expected |= {f"{tap}.{measure}" for tap in LAYER_4 for measure in MEASURES}
    assert set(measurement.row) == expected
    assert {type(value) for value in measurement.row.values()} == {float}


def test_shares_lie_in_0_to_1_and_modes_sum_to_1(measured):
    spec, _, measurement = measured
    row = measurement.row
    for name in sets_of(spec):
        assert all(0 <= value <= 1 for key, value in row.items() if key.startswith(f"{name}."))
        assert sum(row[f"{name}.{mode}"] for mode in MODES) == pytest.approx(1)
        for kind in ("accuracy", "ceiling"):
            assert row[f"{name}.{kind}"] <= min(row[f"{name}.{kind}_x"], row[f"{name}.{kind}_y"])
    assert row["off_grid.ceiling"] == 1, "whole bumps are always found"


def test_evidence_has_the_documented_shapes(measured):
    spec, _, measurement = measured
    n, count = spec.data.image_size, spec.measure.samples
    expected = {"embedding.labels": (count, 2)} | {f"{tap}.embedding": (count, 3) for tap in LAYER_4}
    for name in sets_of(spec):
        expected |= {f"{name}.{key}": (count, 2) for key in ("labels", "positions")}
        expected |= {f"{name}.images": (count, n, n), f"{name}.modes": (count,)}
    assert {key: value.shape for key, value in measurement.evidence.items()} == expected
    assert measurement.evidence["on_grid.images"].dtype == np.uint8


def test_the_same_state_measures_the_same(measured):
    """Whatever the global generators hold and whatever was measured before."""
    spec, network, measurement = measured
    torch.manual_seed(99)
    np.random.seed(99)
    again = evaluate(network, spec, "cpu")
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


class Perfect(torch.nn.Module):
    """Answers with the exact v of the asked image, seen through ``labels``."""

    def __init__(self, spec, shift=0.0):
        super().__init__()
        self.spec, self.shift = spec, shift

    def forward(self, x, t, labels, record=None):
        level = alphas_cumprod(self.spec.diffusion.schedule, self.spec.diffusion.timesteps)[t[0]].float()
        x0 = to_unit(render(labels + self.shift, self.spec.data.image_size, self.spec.data.sigma))
        if record is not None:
            for tap in LAYER_4:
                record(tap, (labels @ torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]]))[:, :, None, None])
        return (level.sqrt() * x - x0) / (1 - level).sqrt()


def test_a_perfect_generator_reaches_the_ceiling_and_a_shifted_one_is_single_wrong():
    perfect, shifted = (evaluate(Perfect(HOLE, shift), HOLE, "cpu").row for shift in (0.0, 1.5))
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
def test_a_network_of_nan_scores_zero_without_an_exception(weights):
    network = start(PLAIN, "cpu").network
    torch.nn.init.constant_(network.get_parameter(weights), torch.nan)
    row = evaluate(network, PLAIN, "cpu").row
    for name in sets_of(PLAIN):
        assert row[f"{name}.accuracy"] == row[f"{name}.accuracy_x"] == row[f"{name}.accuracy_y"] == 0
        assert row[f"{name}.none"] == 1
    assert np.isnan(row["up1.umap_r2"])


def test_images_and_activations_keep_their_order_over_batches():
    """More labels than fit one sampling batch: each image and activation belongs to its own label."""
    labels = 3 + 10 * torch.rand(SAMPLING_BATCH + 10, 2, generator=torch.Generator().manual_seed(0))
    images, taps = draw(Perfect(PLAIN), PLAIN, labels, "cpu")
    assert images.shape == (len(labels), 16, 16)
    truth = render(labels, 16, 1.0).numpy()
    assert np.abs(images - truth).max() < 2
    for tap in LAYER_4:
        assert np.allclose(taps[tap][:, :2], labels.numpy(), atol=1e-5)
