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
from bumplab.config import ROLES
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
    assert (TRAINING, MEASUREMENT, RESULTS_FORMAT) == (3, 3, 5)


def test_the_keys_of_stored_runs():
    smoke = profiles.get("smoke")
    averaged = replace(SPEC, training=replace(SPEC.training, ema_decay=0.9))
    assert [run_key(spec) for spec in (SPEC, averaged, smoke.shuffled(SPEC))] == [
        "0da1c21aee1dafb3db44",
        "f16b173ae671ef48e0a6",
        "a784e400672bbda6d9da",
    ]


OF_A_SET = (
    *("none", "several", "single-wrong", "correct", "correct_x", "correct_y"),
    *("error", "error_x", "error_y", "samples"),
)
OF_EQ_1 = ("accuracy", "accuracy_x", "accuracy_y", "ceiling", "ceiling_x", "ceiling_y", "ceiling_correct")
OF_LAYER_4 = (
    "order",
    "order_x",
    "order_y",
    "order_drawn",
    "told",
    "told_x",
    "told_y",
    "told_flatness",
    "seen",
    "flatness",
)
AT_LAST = ("umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_sd")
OF_A_ROLE = ("order", "told", "signal", "dimension", "pca_r2")


def test_the_names_of_a_runs_numbers():
    """A stored run that lacks one is refused. With one name more, all runs of this format would be trained again."""
    for hole, step in product((0.0, 3.0), SPEC.measured_steps()):
        is_last = step == SPEC.training.steps
        names = {"step", "loss", "image.order"} | {f"layer4.{name}" for name in OF_LAYER_4}
        names |= {f"probe.{name}" for name in (*OF_A_SET, *OF_EQ_1)}
        if hole:
            names |= {f"in_hole.{name}" for name in OF_A_SET}
        if step in (0, SPEC.training.steps):
            names.add("layer4.canvas")
        if is_last:
            names |= {f"on_grid.{name}" for name in (*OF_A_SET, *OF_EQ_1)} | {f"layer4.{name}" for name in AT_LAST}
            names |= {f"{role}.{name}" for role in ROLES for name in OF_A_ROLE}
        assert row_names(profiles.get("smoke").run(0, hole=hole), step) == names, (hole, step)


def test_a_runs_numbers(tmp_path):
    """They depend on labels, first weights, noise, objective, optimizer, sampler and all measures but UMAP's.

    Processors differ in the last digits of float32. Tolerances are 20 times the difference after 12 steps.
    """
    store = RunStore(tmp_path)
    execute(SPEC, store, "cpu")
    record = store.load(SPEC)
    first, *middle, last = record.rows
    assert [set(row) for row in record.rows] == [row_names(SPEC, step) for step in SPEC.measured_steps()]
    losses = [row["loss"] for row in (*middle, last)]
    assert losses == pytest.approx([2.03369, 1.70981, 1.61858, 1.35840], rel=1e-4)
    assert (first["probe.ceiling"], last["on_grid.ceiling"]) == pytest.approx((1, 19 / 24))
    for name, at_first, at_last in (
        ("layer4.order", -0.0862, -0.1417),
        ("layer4.told", -0.1234, -0.1431),
        ("layer4.seen", -0.2277, -0.0693),
        ("layer4.canvas", 0.0053, -0.1060),
        ("image.order", -0.1484, -0.1815),
    ):
        assert (first[name], last[name]) == pytest.approx((at_first, at_last), abs=2e-2), name
    assert last["layer4.signal"] == pytest.approx(0.020447, rel=1e-2)
    assert last["layer4.dimension"] == pytest.approx(15.522, rel=2e-2)
    assert last["layer4.pca_r2"] == pytest.approx(-0.8147, abs=2e-2)
    assert last["bottleneck.signal"] == pytest.approx(1.4563e-4, rel=2e-2)
    weights = safetensors.numpy.load((store.path(record.key) / "weights.safetensors").read_bytes())
    assert sum(float((w.astype(float) ** 2).sum()) for w in weights.values()) == pytest.approx(806.656, rel=1e-4)
    for name, mean, most in (
        ("0/probe.labels", 8.22358, 1e-5),
        ("12/on_grid.labels", 7.51042, 1e-5),
        ("0/probe.images", 70.131, 0.05),
        ("12/probe.images", 88.997, 0.5),
        ("12/on_grid.images", 86.251, 0.5),
    ):
        assert float(record.evidence[name].astype(float).mean()) == pytest.approx(mean, abs=most), name


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
    labels = label_sets(spec, last=True)["on_grid"].labels
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
    settings = {"n_components": 3, "random_state": 7, "n_jobs": 1, "n_epochs": 100, "metric": "precomputed"}
    assert made == [umap.UMAP().get_params() | settings]
    assert (embedding.shape, embedding.dtype) == ((24, 3), np.float32)


def test_the_numbers_of_other_runs():
    """Other conditions and controls have labels in a hole, shuffled images, or a network for each axis."""
    smoke = profiles.get("smoke")
    holed = smoke.run(0, hole=5.0)
    sets = {name: asked.labels.astype(float).mean() for name, asked in label_sets(holed, last=True).items()}
    assert sets == pytest.approx({"probe": 7.864660, "in_hole": 8.059471, "on_grid": 7.833333}, abs=1e-5)
    assert len(training_labels(holed.data)) == 924
    shown = Feed(smoke.shuffled(SPEC).data, 0).images(np.arange(3))
    drawn_at = torch.tensor([[0.5, 8.0], [9.5, 5.0], [13.5, 8.0]])
    assert np.array_equal(shown, render(drawn_at, 16, 1.0).numpy())
    weights = trained(smoke.factorized(SPEC), 3).state()
    of_weights = [array.astype(float) for name, array in weights.items() if ".weights." in name]
    assert sum(array.size for array in of_weights) == 184_658
    assert sum((array**2).sum() for array in of_weights) == pytest.approx(1597.20711, rel=1e-6)
    rendered = smoke.rendered(holed, "nearest-label")
    copied = drawn_by(started(rendered), rendered, 0).images[-rendered.measure.samples :]
    assert copied.astype(float).mean() == pytest.approx(242.5114, abs=1e-3)


def test_the_detectors_numbers():
    """Counts of images by mode. Each shows a bump, from deep to invisible, and another half as deep, in noise."""
    for noise, modes in ((12, (149, 34, 0, 217)), (50, (287, 4, 3, 106))):
        random = np.random.default_rng(0)
        asked, others = random.uniform(3, 14, (2, 400, 2))
        depth = np.linspace(1, 0, 400)[:, None, None]
        darkness = sum(255 - render(torch.from_numpy(at), 16, 1.0).numpy() for at in (asked, asked, others)) * depth / 2
        images, _ = quantise(255 - darkness + random.normal(0, noise, darkness.shape))
        counts = np.bincount(failure_modes(detect(images, 1.0), asked), minlength=len(MODES))
        assert np.abs(counts - modes).max() <= 1, (noise, counts)
