"""Controls that show true images in place of a subject's: what they draw, and how they are measured."""

from dataclasses import replace
from itertools import product

import numpy as np
import torch

from bumplab import profiles
from bumplab.config import ROLES
from bumplab.data.bumps import nearest_labels, render, training_labels
from bumplab.data.feed import Feed
from bumplab.measure.detector import quantise
from bumplab.subjects.protocol import Drawn
from bumplab.subjects.rendered import Rendered
from tests.learners import measured, started

SMOKE = profiles.get("smoke")
HOLE = SMOKE.run(0, hole=3.0)
SETS = ("probe", "in_hole", "on_grid")


def measuring(spec, **changes):
    return replace(spec, measure=replace(spec.measure, **changes))


def measured_on(spec, how, step):
    return measured(started(spec, Rendered(how)), spec, step)


def test_copies_of_the_nearest_training_image_fail_in_the_hole_alone():
    """No image is right in the hole. Outside it the nearest label is less than a pixel away."""
    for name, size, at_end in (
        ("smoke", 0, False),
        ("smoke", 1, True),
        ("quick", 0, True),
        ("quick", 1, False),
        ("nightly", 0, False),
        ("nightly", 1, True),
    ):
        profile, case = profiles.get(name), (name, size, at_end)
        spec = measuring(profile.run(1, hole=profile.holes[size]), samples=40)
        measurement = measured_on(spec, "nearest-label", spec.training.steps if at_end else 6)
        row = measurement.row
        assert (row["in_hole.correct"], row["in_hole.single-wrong"]) == (0, 1), case
        assert row["in_hole.error"] > 1, case
        assert row["probe.correct"] >= 0.95, case
        assert not at_end or row["on_grid.accuracy"] == row["on_grid.ceiling"], case
        drawn_at = nearest_labels(training_labels(spec.data), torch.tensor(measurement.evidence["in_hole.labels"]))
        images, _ = quantise(render(drawn_at, spec.data.image_size, 1.0).numpy())
        assert np.array_equal(measurement.evidence["in_hole.images"], images), case


def test_true_images_reach_the_ceiling():
    for step in (6, HOLE.training.steps):
        row = measured_on(HOLE, "true", step).row
        for name, axis in product(("probe", "on_grid")[: 1 if step == 6 else 2], ("", "_x", "_y")):
            assert row[f"{name}.accuracy{axis}"] == row[f"{name}.ceiling{axis}"], (step, name, axis)
        assert row["probe.correct"] == row["in_hole.correct"] == 1, step
        assert max(row["probe.error"], row["in_hole.error"]) < 0.02, step


def test_true_images_are_those_of_the_asked_labels_also_where_the_pairs_are_shuffled():
    row = measured_on(SMOKE.shuffled(HOLE), "true", HOLE.training.steps).row
    assert row["on_grid.accuracy"] == row["on_grid.ceiling"]
    assert row["probe.correct"] == 1


def test_a_subject_that_learns_the_shuffled_pairs_is_wrong():
    """The ceilings are those of the true labels."""
    spec = SMOKE.shuffled(HOLE)
    feed = Feed(spec.data, spec.seed)

    class Learned:
        def draw(self, labels, seed, recorded=0):
            nearest = np.linalg.norm(labels[:, None] - feed.labels, axis=2).argmin(axis=1)
            return Drawn(feed.images(nearest))

    wrong, right = measured(Learned(), spec, 12).row, measured_on(spec, "true", 12).row
    for name in SETS:
        assert wrong[f"{name}.correct"] < 0.2
    for name in ("probe", "on_grid"):
        assert wrong[f"{name}.ceiling"] == right[f"{name}.ceiling"]


def test_without_a_network_the_representation_is_unknown():
    for how in ("nearest-label", "true"):
        row = measured_on(HOLE, how, HOLE.training.steps).row
        unknown = {key.split(".")[0] for key, value in row.items() if np.isnan(value)}
        assert unknown == {*ROLES}, how
        assert all(np.isnan(value) for key, value in row.items() if key.split(".")[0] in ROLES), how


def test_training_changes_nothing_and_there_is_no_state():
    learner = started(HOLE, Rendered("true"))
    labels = np.float32([[3.0, 4.5], [8.0, 2.25]])
    before = learner.draw(labels, 0)
    assert learner.train(5, lambda step: None) is None
    after = learner.draw(labels, 1)
    assert np.array_equal(before.images, after.images)
    assert (before.activations, after.activations, learner.state()) == ({}, {}, {})
