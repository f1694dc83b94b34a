"""The numbers of the current code. Stored runs outlive the code that made them.

Code that changes what a run draws must raise `TRAINING`, which is part of every key. Code that changes a number of
equal draws must raise `MEASUREMENT`. Otherwise one claim mixes runs of before and after. Where a test here fails and
the change is meant, raise one of them and write the new numbers here.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import safetensors.numpy
import torch
import umap

from bumplab import profiles
from bumplab.data.bumps import render, training_labels
from bumplab.data.feed import Feed
from bumplab.data.label_sets import label_sets
from bumplab.measure.accuracy import detect, failure_modes
from bumplab.measure.detector import quantise
from bumplab.measure.names import MEASUREMENT, MODES, row_names
from bumplab.measure.representation import umap_embedding
from bumplab.runs.execute import execute
from bumplab.runs.record import RESULTS_FORMAT, TRAINING
from bumplab.runs.store import RunStore, run_key
from tests.learners import drawn_by, started, trained

SPEC = profiles.get("smoke").run(0)


def test_the_versions_are_those_whose_numbers_are_below():
    assert (TRAINING, MEASUREMENT, RESULTS_FORMAT) == (2, 1, 3)


def test_the_keys_of_stored_runs():
    """A run of the built-in subject keeps the key that it had before there were other subjects."""
    smoke = profiles.get("smoke")
    averaged = replace(SPEC, training=replace(SPEC.training, ema_decay=0.9))
    assert [run_key(spec) for spec in (SPEC, averaged, smoke.shuffled(SPEC))] == [
        "7a161b10a4e32d913eed",
        "26650a07ffd5299c6324",
        "c78b147b7ec8c9eb7363",
    ]


OF_A_SET = (
    *("accuracy", "accuracy_x", "accuracy_y", "ceiling", "ceiling_x", "ceiling_y"),
    *("none", "several", "single-wrong", "correct", "samples"),
)
OF_A_ROLE = (
    *("umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_generated", "pca_r2", "pca_r2_x", "pca_r2_y"),
    *("dimension", "neighbour_order", "signal"),
)


def test_the_names_of_a_runs_numbers():
    """A stored run that lacks one is refused. With one name more, all runs of this format would be trained again."""
    for hole, step in product((0.0, 3.0), SPEC.measured_steps()):
        sets = ["on_grid", "off_grid", "in_hole"][: 3 if hole else 2]
        roles = ["layer4", "layer4-injected", "encoder", "bottleneck"][: 4 if step == SPEC.training.steps else 2]
        of_sets = {f"{labels}.{name}" for labels in sets for name in OF_A_SET}
        of_roles = {f"{role}.{name}" for role in roles for name in OF_A_ROLE}
        names = row_names(profiles.get("smoke").run(0, hole=hole), step)
        assert names == {"step", "loss"} | of_sets | of_roles, (hole, step)


def test_a_runs_numbers(tmp_path):
    """They depend on labels, first weights, noise, objective, optimizer, sampler and all measures but UMAP's.

    Processors differ in the last digits of float32. Tolerances are 20 times the difference after 12 steps.
    """
    store = RunStore(tmp_path)
    execute(SPEC, store, "cpu")
    record = store.load(SPEC)
    first, middle, last = record.rows
    assert [set(row) for row in record.rows] == [row_names(SPEC, step) for step in SPEC.measured_steps()]
    assert (middle["loss"], last["loss"]) == pytest.approx((1.87175, 1.48849), rel=1e-4)
    assert first["on_grid.ceiling"] == pytest.approx(19 / 24)
    assert first["layer4.signal"] == pytest.approx(0.31397, rel=1e-3)
    assert first["layer4.dimension"] == pytest.approx(11.370, rel=1e-2)
    assert first["layer4.pca_r2"] == pytest.approx(-1.0548, abs=1e-2)
    assert last["layer4.neighbour_order"] == pytest.approx(0.549, abs=2e-2)
    assert last["bottleneck.signal"] == pytest.approx(1.5175e-4, rel=2e-2)
    weights = safetensors.numpy.load((store.path(record.key) / "weights.safetensors").read_bytes())
    assert sum(float((w.astype(float) ** 2).sum()) for w in weights.values()) == pytest.approx(806.656, rel=1e-4)
    means = {name: float(record.evidence[name].astype(float).mean()) for name in record.evidence if "grid" in name}
    assert means["0/on_grid.labels"] == pytest.approx(7.51042, abs=1e-5)
    assert means["0/off_grid.labels"] == pytest.approx(7.60602, abs=1e-5)
    assert means["0/on_grid.images"] == pytest.approx(67.719, abs=0.05)
    assert means["12/on_grid.images"] == pytest.approx(86.437, abs=0.5)


def test_the_numbers_of_the_choices_that_smoke_does_not_make():
    """Choices of the profile paper, without bf16: the linear schedule, epsilon, the ancestral sampler, an average."""
    diffusion = replace(SPEC.diffusion, schedule="linear", prediction="epsilon", sampler="ancestral", sampler_steps=20)
    spec = replace(SPEC, diffusion=diffusion, training=replace(SPEC.training, ema_decay=0.9))
    learner = started(spec)
    assert learner.train(12, lambda step: None) == pytest.approx(1.10700, rel=1e-3)
    vectors = learner.training.weights.vectors
    squares = {name: float((vector.double() ** 2).sum()) for name, vector in vectors.items()}
    assert squares["weights"] == pytest.approx(807.7640, rel=1e-5)
    assert squares["averaged"] == pytest.approx(806.9090, rel=1e-5)
    assert squares["exp_avg"] == pytest.approx(1.84747, rel=1e-3)
    labels = label_sets(spec)["on_grid"].labels
    images, finite = quantise(learner.draw(labels, spec.seed).images)
    assert finite.all()
    assert (images.mean(), images.std()) == pytest.approx((60.6019, 76.7632), abs=0.05)


def test_umap_is_the_packages_own(monkeypatch):
    """Its coordinates differ between processors, so its settings are held. A run's environment has its version."""
    made = []

    class Watched(umap.UMAP):
        def fit_transform(self, *args, **options):
            made.append(self.get_params())
            return super().fit_transform(*args, **options)

    monkeypatch.setattr(umap, "UMAP", Watched)
    embedding = umap_embedding(np.random.default_rng(0).normal(size=(24, 8)), 7)
    settings = {"n_components": 3, "random_state": 7, "n_jobs": 1}
    assert made == [umap.UMAP().get_params() | settings]
    assert (embedding.shape, embedding.dtype) == ((24, 3), np.float32)


def test_the_numbers_of_other_runs():
    """Other conditions and controls have labels in a hole, shuffled images, or a network for each axis."""
    smoke = profiles.get("smoke")
    holed = smoke.run(0, hole=5.0)
    sets = {name: asked.labels.astype(float).mean() for name, asked in label_sets(holed, last=True).items()}
    assert sets == pytest.approx({"on_grid": 7.833333, "off_grid": 8.427797, "in_hole": 7.980217}, abs=1e-5)
    assert len(training_labels(holed.data)) == 924
    shown = Feed(smoke.shuffled(SPEC).data, 0).images(np.arange(3))
    drawn_at = torch.tensor([[0.5, 8.0], [9.5, 5.0], [13.5, 8.0]])
    assert np.array_equal(shown, render(drawn_at, 16, 1.0).numpy())
    weights = trained(smoke.factorized(SPEC), 3).state()
    of_weights = [array.astype(float) for name, array in weights.items() if ".weights." in name]
    assert sum(array.size for array in of_weights) == 184_658
    assert sum((array**2).sum() for array in of_weights) == pytest.approx(1596.7287, rel=1e-6)
    rendered = smoke.rendered(holed, "nearest-label")
    copied = drawn_by(started(rendered), rendered, 0).images[-rendered.measure.samples :]
    assert copied.astype(float).mean() == pytest.approx(242.5104, abs=1e-3)


def test_the_detectors_numbers():
    """Counts of images by mode. Each shows a bump, from deep to invisible, and another half as deep, in noise."""
    for noise, modes in ((12, (149, 34, 166, 51)), (50, (287, 4, 103, 6))):
        random = np.random.default_rng(0)
        asked, others = random.uniform(3, 14, (2, 400, 2))
        depth = np.linspace(1, 0, 400)[:, None, None]
        darkness = sum(255 - render(torch.from_numpy(at), 16, 1.0).numpy() for at in (asked, asked, others)) * depth / 2
        images, _ = quantise(255 - darkness + random.normal(0, noise, darkness.shape))
        counts = np.bincount(failure_modes(detect(images, 1.0), asked), minlength=len(MODES))
        assert np.abs(counts - modes).max() <= 1, (noise, counts)
