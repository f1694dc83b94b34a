"""The labels that a run is asked to draw: they belong to the run, and stay the same at every checkpoint."""

from dataclasses import replace

import numpy as np
import torch

from bumplab import profiles
from bumplab.config import TOLERANCE
from bumplab.data.bumps import in_hole, render, training_labels
from bumplab.data.label_sets import label_sets

SMOKE = profiles.get("smoke")
PLAIN, HOLE = SMOKE.run(0), SMOKE.run(0, hole=3.0)
SAMPLES = HOLE.measure.samples


def measuring(spec, **changes):
    return replace(spec, measure=replace(spec.measure, **changes))


def labels_of(spec, last=False):
    return {name: asked.labels for name, asked in label_sets(spec, last).items()}


def test_label_sets_belong_to_the_run():
    """Equal at each call, and different between seeds. They lie on the training grid, off it, and deep in the hole."""
    first, other = labels_of(HOLE), labels_of(replace(HOLE, seed=1))
    label_sets.cache_clear()
    again = labels_of(HOLE)
    trained = {tuple(label) for label in training_labels(HOLE.data).tolist()}
    assert tuple(first) == ("on_grid", "off_grid", "in_hole")
    assert tuple(labels_of(PLAIN)) == ("on_grid", "off_grid")
    for name, labels in first.items():
        assert (labels.shape, labels.dtype) == ((SAMPLES, 2), np.float32)
        assert np.array_equal(labels, again[name])
        assert not np.array_equal(labels, other[name])
        share = np.mean([tuple(label) in trained for label in labels.tolist()])
        assert share == (1 if name == "on_grid" else 0)
    assert bool(in_hole(torch.from_numpy(first["in_hole"]), 16, 3.0 - 2 * TOLERANCE + 1e-4).all())
    assert not bool(in_hole(torch.from_numpy(first["off_grid"]), 16, 3.0).any())


def test_shuffled_runs_are_asked_for_the_true_labels():
    shuffled = label_sets(SMOKE.shuffled(HOLE))
    for name, asked in label_sets(HOLE).items():
        assert np.array_equal(shuffled[name].labels, asked.labels), name
        assert np.array_equal(shuffled[name].truth, asked.truth), name


def test_the_truth_is_the_image_of_each_label():
    for spec in (HOLE, SMOKE.run(1, sigma=0.5)):
        for name, asked in label_sets(spec, last=True).items():
            expected = render(torch.from_numpy(asked.labels), 16, spec.data.sigma).numpy()
            assert np.array_equal(asked.truth, expected), name


def test_labels_added_at_the_last_step_follow_those_of_every_checkpoint():
    """They change neither the earlier labels nor those on the grid."""
    for hole in (0.0, 3.0):
        spec = SMOKE.run(0, hole=hole)
        few, plain, many = (measuring(spec, last_samples=more) for more in (SAMPLES, 0, 90))
        early, last = labels_of(many), labels_of(many, last=True)
        for name, labels in labels_of(plain).items():
            case = (hole, name)
            assert np.array_equal(early[name], labels), case
            assert np.array_equal(labels_of(plain, last=True)[name], labels), case
            assert np.array_equal(labels_of(few, last=True)[name], labels), case
            assert len(last[name]) == (SAMPLES if name == "on_grid" else 90), case
            assert np.array_equal(last[name][:SAMPLES], labels), case
            assert name == "on_grid" or len(np.unique(last[name], axis=0)) == 90, case
        assert tuple(last) == tuple(early), hole
