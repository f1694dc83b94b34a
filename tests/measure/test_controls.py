"""What is measured where a control says so, how much of it at the last step, and against which ceiling."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.config import LAST_TAPS, LAYER_4
from bumplab.data.bumps import nearest_labels, render, training_labels
from bumplab.measure import accuracy as accuracy_module
from bumplab.measure import evaluate as module
from bumplab.measure.accuracy import accuracy, detect
from bumplab.measure.detector import quantise
from bumplab.measure.evaluate import draw, evaluate, label_sets
from bumplab.training.loop import dataset

SMOKE = profiles.get("smoke")
HOLE = SMOKE.run(0, hole=3.0)
SAMPLES, LAST = HOLE.measure.samples, HOLE.training.steps
SETS = ("on_grid", "off_grid", "in_hole")
steps = pytest.mark.parametrize("step", [6, LAST])


def measuring(spec, **changes):
    return replace(spec, measure=replace(spec.measure, **changes))


class Unasked(torch.nn.Module):
    def forward(self, *args):
        raise AssertionError("the network was sampled")


@pytest.fixture
def represented(monkeypatch):
    """The activations and labels that `represent` is given, in place of its measures (and of UMAP's time)."""
    given = []

    def represent(activations, labels, generated, seed):
        given.append((activations, labels))
        return {}, np.zeros((len(labels), 3), np.float32)

    monkeypatch.setattr(module, "represent", represent)
    return given


@steps
@pytest.mark.parametrize("profile", ["smoke", "quick", "nightly"])
@pytest.mark.parametrize("size", [0, 1])
def test_copies_of_the_nearest_training_image_fail_in_the_hole_alone(profile, size, step):
    """None is right in the hole, not one; off the grid the nearest label is less than a pixel away."""
    profile = profiles.get(profile)
    spec = measuring(profile.run(1, hole=profile.holes[size]), samples=40, last_samples=200, source="nearest-label")
    step = spec.training.steps if step == LAST else step
    measured = evaluate(Unasked(), spec, "cpu", step)
    row = measured.row
    assert row["in_hole.correct"] == row["in_hole.accuracy"] == 0
    assert row["in_hole.single-wrong"] == row["in_hole.ceiling"] == 1
    assert row["off_grid.accuracy"] >= row["off_grid.ceiling"] - 0.05
    assert row["on_grid.accuracy"] == row["on_grid.ceiling"]
    assert row["in_hole.samples"] == (200 if step == spec.training.steps else 40)
    drawn_at = nearest_labels(training_labels(spec.data), torch.tensor(measured.evidence["in_hole.labels"]))
    images, _ = quantise(render(drawn_at, spec.data.image_size, 1.0).numpy())
    assert np.array_equal(measured.evidence["in_hole.images"], images)


@steps
def test_true_images_reach_the_ceiling(step):
    row = evaluate(Unasked(), measuring(HOLE, source="true"), "cpu", step).row
    for name in SETS:
        for axis in ("", "_x", "_y"):
            assert row[f"{name}.accuracy{axis}"] == row[f"{name}.ceiling{axis}"]
    assert row["off_grid.correct"] == row["in_hole.correct"] == 1


@pytest.mark.parametrize("source", ["nearest-label", "true"])
def test_without_a_network_the_representation_is_unknown(source):
    row = evaluate(Unasked(), measuring(HOLE, source=source), "cpu", LAST).row
    assert {key.split(".")[0] for key, value in row.items() if np.isnan(value)} == {*LAYER_4, *LAST_TAPS}
    assert all(np.isnan(value) for key, value in row.items() if key.split(".")[0] not in SETS)


@steps
def test_a_perfect_factorized_generator_reaches_the_ceiling(step, perfect_network, represented):
    spec = SMOKE.factorized(HOLE)
    right, swapped = (
        evaluate(perfect_network(spec, at), spec, "cpu", step).row
        for at in (lambda asked: asked, lambda asked: asked.flip(1))
    )
    for name in SETS:
        assert right[f"{name}.accuracy"] == right[f"{name}.ceiling"]
    assert right["off_grid.correct"] == right["in_hole.correct"] == 1
    assert swapped["off_grid.correct"] < 0.5


def test_shuffled_runs_are_asked_for_the_true_labels(perfect_network, represented):
    """Who learns the shuffled pairs is wrong, and who draws where it is asked to is right."""
    spec = SMOKE.shuffled(HOLE)
    labels, drawn_at = dataset(spec)
    sets = label_sets(spec)
    assert all(torch.equal(sets[name], asked) for name, asked in label_sets(HOLE).items())
    right = evaluate(perfect_network(spec), spec, "cpu", 6).row
    assert right["on_grid.accuracy"] == right["on_grid.ceiling"]
    assert right["off_grid.correct"] == 1

    def learned(asked):
        return drawn_at[torch.cdist(asked, labels).argmin(dim=1)]

    wrong = evaluate(perfect_network(spec, learned), spec, "cpu", 6).row
    assert wrong["on_grid.accuracy"] < 0.2
    assert wrong["off_grid.correct"] < 0.2
    for name in SETS:
        assert wrong[f"{name}.ceiling"] == right[f"{name}.ceiling"]


@pytest.mark.parametrize("hole", [0.0, 3.0])
def test_more_labels_follow_those_of_every_checkpoint_at_the_last(hole):
    """Whatever their number, what is asked before the last step, and on the grid, stays the same."""
    spec = SMOKE.run(0, hole=hole)
    few, plain, many = (measuring(spec, last_samples=more) for more in (SAMPLES, 0, 90))
    early, last = label_sets(many), label_sets(many, last=True)
    for name, labels in label_sets(plain).items():
        assert torch.equal(early[name], labels)
        assert torch.equal(label_sets(plain, last=True)[name], labels)
        assert torch.equal(label_sets(few, last=True)[name], labels)
        assert len(last[name]) == (SAMPLES if name == "on_grid" else 90)
        assert torch.equal(last[name][:SAMPLES], labels)
        assert name == "on_grid" or len(last[name].unique(dim=0)) == 90
    assert tuple(last) == tuple(early)


@steps
@pytest.mark.parametrize("batch", [256, SAMPLES, 16, 7])
def test_the_activations_are_those_of_the_images_on_the_grid(step, batch, perfect_network, represented, monkeypatch):
    """One row for each, in order, however many images are drawn at a time."""
    monkeypatch.setattr(module, "SAMPLING_BATCH", batch)
    row = evaluate(perfect_network(HOLE), HOLE, "cpu", step).row
    on_grid = label_sets(HOLE)["on_grid"].numpy()
    assert len(represented) == (4 if step == LAST else 2)
    for activations, labels in represented:
        assert activations.shape == (SAMPLES, 3)
        assert np.allclose(activations[:, :2], on_grid)
        assert np.allclose(labels, on_grid)
    assert row["off_grid.correct"] == row["in_hole.correct"] == 1, "images went to the wrong set"


def test_each_tap_is_measured_on_its_own_activations(perfect_network, represented, monkeypatch):
    network = perfect_network(HOLE)
    forward = network.forward

    def tagged(x, t, labels, record=None):
        """Each tap's activations are its number."""
        numbers = {tap: float(k) for k, tap in enumerate((*LAYER_4, *LAST_TAPS))}
        own = record and (lambda tap, activation: record(tap, torch.full_like(activation, numbers[tap])))
        return forward(x, t, labels, own)

    monkeypatch.setattr(network, "forward", tagged)
    evaluate(network, HOLE, "cpu", LAST)
    assert [float(activations.mean()) for activations, _ in represented] == [0, 1, 2, 3]


def test_nothing_is_recorded_unless_asked(perfect_network):
    labels = label_sets(HOLE)["off_grid"]
    assert draw(perfect_network(HOLE), HOLE, labels, "cpu")[1] == {}


@pytest.fixture
def strict(monkeypatch):
    """A tolerance so small that no two label sets have the same ceiling; no ceiling worked out with it is kept."""
    monkeypatch.setattr(accuracy_module, "TOLERANCE", 0.1)
    module._ceilings.cache_clear()
    yield
    module._ceilings.cache_clear()


def ceiling_of(spec, labels):
    images, _ = quantise(render(labels, spec.data.image_size, spec.data.sigma).numpy())
    return accuracy(detect(images, spec.data.sigma).positions, labels.double().numpy())


def test_ceilings_are_each_specs_own_whatever_was_measured_before(strict):
    """Asked for in turn, three times over, more of them than are kept: as worked out from the true images each time."""
    specs = [HOLE, replace(HOLE, seed=1), SMOKE.run(0), SMOKE.run(0, dx=4.0), SMOKE.run(0, sigma=0.5)]
    specs += [SMOKE.run(0, hole=5.0), measuring(HOLE, samples=30), measuring(HOLE, last_samples=400)]
    expected = {
        (spec, last): {name: ceiling_of(spec, labels) for name, labels in label_sets(spec, last).items()}
        for spec in specs
        for last in (False, True)
    }
    shares = [tuple(share.values()) for sets in expected.values() for share in sets.values()]
    assert len(set(shares)) > len(shares) / 2, "too alike to be told apart"
    for spec, last in list(expected) * 3:
        assert module._ceilings(spec, last) == expected[spec, last]


@steps
def test_the_row_holds_the_ceilings_of_the_very_labels_that_were_asked(step, strict):
    spec = measuring(HOLE, source="nearest-label", last_samples=200)
    row = evaluate(Unasked(), spec, "cpu", step).row
    for name, labels in label_sets(spec, last=step == LAST).items():
        for key, share in ceiling_of(spec, labels).items():
            assert row[f"{name}.{key.replace('accuracy', 'ceiling')}"] == share


def test_a_run_works_out_its_ceilings_twice(strict):
    """Once for all its checkpoints and once for the last, where there are more labels."""
    for step in (0, 2, 4, 6, LAST):
        evaluate(Unasked(), measuring(HOLE, source="true"), "cpu", step)
    assert module._ceilings.cache_info().misses == 2
