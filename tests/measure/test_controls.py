"""What controls measure, how many images the last step draws, and the ceilings."""

from dataclasses import replace
from itertools import product

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
from bumplab.measure.representation import Representation
from bumplab.training.loop import dataset

SMOKE = profiles.get("smoke")
HOLE = SMOKE.run(0, hole=3.0)
SAMPLES, LAST = HOLE.measure.samples, HOLE.training.steps
SETS = ("on_grid", "off_grid", "in_hole")


def measuring(spec, **changes):
    return replace(spec, measure=replace(spec.measure, **changes))


class Unasked(torch.nn.Module):
    def forward(self, *args):
        raise AssertionError("the network was sampled")


@pytest.fixture
def represented(monkeypatch):
    """The activations, labels and positions that `represent` gets. Its measures are left out, as UMAP is slow."""
    calls = []

    def represent(activations, labels, generated, seed):
        calls.append((activations, labels, generated))
        return Representation({}, np.zeros((len(labels), 3), np.float32))

    monkeypatch.setattr(module, "represent", represent)
    return calls


def test_copies_of_the_nearest_training_image_fail_in_the_hole_alone():
    """No image is right in the hole. Off the grid the nearest label is less than a pixel away."""
    for name, size, at_end in (
        ("smoke", 0, False),
        ("smoke", 1, True),
        ("quick", 0, True),
        ("quick", 1, False),
        ("nightly", 0, False),
        ("nightly", 1, True),
    ):
        profile, case = profiles.get(name), (name, size, at_end)
        spec = measuring(profile.run(1, hole=profile.holes[size]), samples=40, last_samples=100, source="nearest-label")
        measured = evaluate(Unasked(), spec, "cpu", spec.training.steps if at_end else 6)
        row = measured.row
        assert row["in_hole.correct"] == row["in_hole.accuracy"] == 0, case
        assert row["in_hole.single-wrong"] == row["in_hole.ceiling"] == 1, case
        assert row["off_grid.accuracy"] >= row["off_grid.ceiling"] - 0.05, case
        assert row["on_grid.accuracy"] == row["on_grid.ceiling"], case
        assert row["in_hole.samples"] == (100 if at_end else 40), case
        drawn_at = nearest_labels(training_labels(spec.data), torch.tensor(measured.evidence["in_hole.labels"]))
        images, _ = quantise(render(drawn_at, spec.data.image_size, 1.0).numpy())
        assert np.array_equal(measured.evidence["in_hole.images"], images), case


def test_true_images_reach_the_ceiling():
    for step in (6, LAST):
        row = evaluate(Unasked(), measuring(HOLE, source="true"), "cpu", step).row
        for name, axis in product(SETS, ("", "_x", "_y")):
            assert row[f"{name}.accuracy{axis}"] == row[f"{name}.ceiling{axis}"], (step, name, axis)
        assert row["off_grid.correct"] == row["in_hole.correct"] == 1, step


def test_without_a_network_the_representation_is_unknown():
    for source in ("nearest-label", "true"):
        row = evaluate(Unasked(), measuring(HOLE, source=source), "cpu", LAST).row
        unknown = {key.split(".")[0] for key, value in row.items() if np.isnan(value)}
        assert unknown == {*LAYER_4, *LAST_TAPS}, source
        assert all(np.isnan(value) for key, value in row.items() if key.split(".")[0] not in SETS), source


def test_a_perfect_factorized_generator_reaches_the_ceiling(perfect_network, represented):
    spec = SMOKE.factorized(HOLE)
    for step in (6, LAST):
        right = evaluate(perfect_network(spec), spec, "cpu", step).row
        swapped = evaluate(perfect_network(spec, lambda asked: asked.flip(1)), spec, "cpu", step).row
        for name in SETS:
            assert right[f"{name}.accuracy"] == right[f"{name}.ceiling"], (step, name)
        assert right["off_grid.correct"] == right["in_hole.correct"] == 1, step
        assert swapped["off_grid.correct"] < 0.5, step


def test_shuffled_runs_are_asked_for_the_true_labels(perfect_network, represented):
    """A network that learns the shuffled pairs is wrong. A network that draws the asked label is right."""
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


def test_labels_added_at_the_last_step_follow_those_of_every_checkpoint():
    """They change neither the earlier labels nor those on the grid."""
    for hole in (0.0, 3.0):
        spec = SMOKE.run(0, hole=hole)
        few, plain, many = (measuring(spec, last_samples=more) for more in (SAMPLES, 0, 90))
        early, last = label_sets(many), label_sets(many, last=True)
        for name, labels in label_sets(plain).items():
            case = (hole, name)
            assert torch.equal(early[name], labels), case
            assert torch.equal(label_sets(plain, last=True)[name], labels), case
            assert torch.equal(label_sets(few, last=True)[name], labels), case
            assert len(last[name]) == (SAMPLES if name == "on_grid" else 90), case
            assert torch.equal(last[name][:SAMPLES], labels), case
            assert name == "on_grid" or len(last[name].unique(dim=0)) == 90, case
        assert tuple(last) == tuple(early), hole


def test_the_activations_are_those_of_the_images_on_the_grid(perfect_network, represented, monkeypatch):
    """One row for each image, in order, whatever number of images is drawn at a time."""
    on_grid = label_sets(HOLE)["on_grid"].numpy()
    for batch, step in ((256, 6), (256, LAST), (SAMPLES, LAST), (16, 6), (7, LAST)):
        monkeypatch.setattr(module, "SAMPLING_BATCH", batch)
        represented.clear()
        row = evaluate(perfect_network(HOLE), HOLE, "cpu", step).row
        assert len(represented) == (4 if step == LAST else 2), (batch, step)
        for activations, labels, generated in represented:
            assert activations.shape == (SAMPLES, 3), (batch, step)
            assert np.allclose(activations[:, :2], on_grid), (batch, step)
            assert np.allclose(labels, on_grid), (batch, step)
            assert generated.shape == (SAMPLES, 2), (batch, step)
            assert np.nanmedian(np.abs(generated - on_grid)) < 0.5, (batch, step)
        assert row["off_grid.correct"] == row["in_hole.correct"] == 1, f"images in the wrong set: {(batch, step)}"


def test_each_tap_is_measured_on_its_own_activations(perfect_network, represented, monkeypatch):
    network = perfect_network(HOLE)
    forward = network.forward

    def tagged(x, t, labels, record=None):
        """Records the number of a tap as its activations."""
        numbers = {tap: float(k) for k, tap in enumerate((*LAYER_4, *LAST_TAPS))}
        record_number = record and (lambda tap, activation: record(tap, torch.full_like(activation, numbers[tap])))
        return forward(x, t, labels, record_number)

    monkeypatch.setattr(network, "forward", tagged)
    evaluate(network, HOLE, "cpu", LAST)
    assert [float(activations.mean()) for activations, _, _ in represented] == [0, 1, 2, 3]


def test_nothing_is_recorded_unless_asked(perfect_network):
    labels = label_sets(HOLE)["off_grid"]
    assert draw(perfect_network(HOLE), HOLE, labels, "cpu")[1] == {}


@pytest.fixture
def strict(monkeypatch):
    """A tolerance so small that label sets differ in their ceilings. The cache keeps none of these ceilings."""
    monkeypatch.setattr(accuracy_module, "TOLERANCE", 0.1)
    module._ceilings.cache_clear()
    yield
    module._ceilings.cache_clear()


def ceiling_of(spec, labels):
    images, _ = quantise(render(labels, spec.data.image_size, spec.data.sigma).numpy())
    return accuracy(detect(images, spec.data.sigma).positions, labels.double().numpy())


def test_each_spec_has_its_own_ceilings(strict):
    """Also after the ceilings of other specs, which are more than the cache keeps."""
    specs = [HOLE, replace(HOLE, seed=1), SMOKE.run(0), SMOKE.run(0, dx=4.0), SMOKE.run(0, sigma=0.5)]
    specs += [SMOKE.run(0, hole=5.0), measuring(HOLE, samples=30), measuring(HOLE, last_samples=60)]
    expected = {
        (spec, last): {name: ceiling_of(spec, labels) for name, labels in label_sets(spec, last).items()}
        for spec, last in product(specs, (False, True))
    }
    ceilings = [tuple(ceiling.values()) for sets in expected.values() for ceiling in sets.values()]
    assert len(set(ceilings)) > len(ceilings) / 2, "too few ceilings differ"
    for spec, last in [*expected, *reversed(expected)]:
        assert module._ceilings(spec, last) == expected[spec, last], (spec.label(), last)


def test_the_row_holds_the_ceilings_of_the_asked_labels(strict):
    spec = measuring(HOLE, source="nearest-label", last_samples=60)
    for step in (6, LAST):
        row = evaluate(Unasked(), spec, "cpu", step).row
        for name, labels in label_sets(spec, last=step == LAST).items():
            for key, share in ceiling_of(spec, labels).items():
                assert row[f"{name}.{key.replace('accuracy', 'ceiling')}"] == share, (step, name, key)


def test_a_run_computes_its_ceilings_twice(strict):
    """Once for all its checkpoints, and once for the last one, which may have more labels."""
    for step in (0, 2, 4, 6, LAST):
        evaluate(Unasked(), measuring(HOLE, source="true"), "cpu", step)
    assert module._ceilings.cache_info().misses == 2
