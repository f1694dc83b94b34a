"""The labels that a run is asked to draw. All runs of a seed have one probe, so that conditions can be compared."""

from dataclasses import replace

import numpy as np
import torch

from bumplab import profiles
from bumplab.config import TOLERANCE
from bumplab.data.bumps import in_hole, render, training_labels
from bumplab.data.label_sets import label_sets
from bumplab.measure.names import sample_counts

SMOKE = profiles.get("smoke")
PLAIN, HOLE = SMOKE.run(0), SMOKE.run(0, hole=3.0)
SAMPLES = HOLE.measure.samples


def labels_of(spec, last=False):
    return {name: asked.labels for name, asked in label_sets(spec, last).items()}


def test_label_sets_belong_to_the_run():
    """Equal at each call and checkpoint, and different between seeds. They lie where their names say."""
    first, last, other = labels_of(HOLE), labels_of(HOLE, last=True), labels_of(replace(HOLE, seed=1), last=True)
    label_sets.cache_clear()
    again = labels_of(HOLE, last=True)
    trained = {tuple(label) for label in training_labels(HOLE.data).tolist()}
    assert tuple(first) == ("probe", "in_hole")
    assert tuple(last) == ("probe", "in_hole", "on_grid")
    assert tuple(labels_of(PLAIN, last=True)) == ("probe", "on_grid")
    for name, labels in last.items():
        assert (labels.shape, labels.dtype) == ((SAMPLES, 2), np.float32)
        assert np.array_equal(labels, again[name])
        assert name == "on_grid" or np.array_equal(labels, first[name])
        assert not np.array_equal(labels, other[name])
        share = np.mean([tuple(label) in trained for label in labels.tolist()])
        assert share == (1 if name == "on_grid" else 0)
    assert bool(in_hole(torch.from_numpy(last["in_hole"]), 16, 3.0 - 2 * TOLERANCE + 1e-4).all())
    assert not bool(in_hole(torch.from_numpy(last["probe"]), 16, 3.0).any())


def test_the_sets_are_those_that_are_counted_at_a_checkpoint():
    """The first set is the probe, whose activations are recorded."""
    for spec in (PLAIN, HOLE):
        for step in spec.measured_steps():
            sets = label_sets(spec, step == spec.training.steps)
            assert [*sets] == [*sample_counts(spec, step)], (spec.label(), step)


def test_the_probe_of_a_seed_is_the_same_in_all_conditions():
    probe = labels_of(PLAIN)["probe"]
    conditions = (
        SMOKE.run(0, dx=4.0),
        SMOKE.run(0, dy=4.0),
        SMOKE.run(0, sigma=0.5),
        SMOKE.shuffled(PLAIN),
        SMOKE.factorized(PLAIN),
        SMOKE.untrained(PLAIN),
    )
    for spec in conditions:
        assert np.array_equal(labels_of(spec)["probe"], probe), spec.label()
        assert np.array_equal(labels_of(spec, last=True)["probe"], probe), spec.label()
    outside = ~in_hole(torch.from_numpy(probe), 16, 3.0).numpy()
    assert 0 < outside.sum() < len(probe)
    assert np.array_equal(labels_of(HOLE)["probe"][outside], probe[outside])


def test_the_truth_is_the_image_of_each_label():
    for spec in (HOLE, SMOKE.run(1, sigma=0.5)):
        for name, asked in label_sets(spec, last=True).items():
            expected = render(torch.from_numpy(asked.labels), 16, spec.data.sigma).numpy()
            assert np.array_equal(asked.truth, expected), name
