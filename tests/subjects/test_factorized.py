"""Two learners in place of one. Each sees one coordinate, and exchanges nothing. Their product is the bump."""

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.config import ROLES
from bumplab.data.bumps import join_factors, render_factors, training_labels
from bumplab.randomness import derive
from bumplab.subjects.diffusion import Unet
from bumplab.subjects.factorized import Factorized, FactorizedLearner
from bumplab.subjects.planted import Planted
from bumplab.subjects.protocol import Budget, Drawn, Learner, Subject
from bumplab.subjects.registry import resolve
from bumplab.subjects.state import from_bytes, to_bytes
from tests.learners import drawn_by, measured, started, trained

SMOKE = profiles.get("smoke")
JOINT, HOLE = SMOKE.run(0), SMOKE.run(0, hole=3.0)
SPEC = SMOKE.factorized(replace(JOINT, training=replace(JOINT.training, ema_decay=0.9)))
SUBJECTS = {"unet": Factorized(Unet()), "planted": Factorized(Planted())}
LABELS = np.float32([[3.0, 5.0], [8.0, 8.5], [12.25, 3.5], [6.0, 11.0]])


@dataclass
class Stripes(Subject):
    """Draws the stripe that each half should draw, read off which of its training labels' coordinates is 0."""

    swapped: bool = False
    seen: list = None
    roles = MappingProxyType({"layer4": "its label"})

    def start(self, task, data, device, at=None):
        if self.seen is not None:
            self.seen.append((task, data))
        axis = 0 if data.labels[:, 0].any() else 1
        return StripeLearner(1 - axis if self.swapped else axis)


@dataclass
class StripeLearner(Learner):
    axis: int
    step: int = 0

    def train(self, until, on_step):
        while self.step < until:
            self.step += 1
            on_step(self.step)
        return None if self.axis else 3.0

    def draw(self, labels, seed, recorded=0):
        shown = labels[:, ::-1].copy() if not labels[:, self.axis].any() else labels
        images = render_factors(torch.from_numpy(shown), 16, 1.0)[:, self.axis].numpy()
        return Drawn(images, {"layer4": np.tile(labels[:recorded, :, None], (1, 1, 2))} if recorded else {})

    def state(self):
        return {"step": np.asarray(self.step), "axis": np.asarray(self.axis)}


def test_the_spec_names_it():
    assert type(resolve(SPEC.subject, None)) is Factorized
    assert type(resolve(SPEC.subject, None).subject) is Unet


def test_each_half_is_fed_the_stripes_of_one_coordinate_with_a_seed_of_its_own():
    subject = Stripes(seen=[])
    started(HOLE, Factorized(subject))
    (of_x, x), (of_y, y) = subject.seen
    labels = training_labels(HOLE.data)
    for axis, data in enumerate((x, y)):
        assert np.array_equal(data.labels[:, axis], labels[:, axis].unique())
        assert not data.labels[:, 1 - axis].any()
        stripes = render_factors(torch.from_numpy(data.labels), 16, 1.0)[:, axis]
        assert np.array_equal(data.images(np.arange(len(data.labels))), stripes)
    assert len({of_x.seed, of_y.seed, HOLE.seed}) == 3
    assert replace(of_x, seed=0) == replace(of_y, seed=0)
    assert of_x.steps == HOLE.training.steps
    started(replace(HOLE, seed=1), Factorized(subject))
    assert len({task.seed for task, _ in subject.seen}) == 4


def test_the_product_of_perfect_stripes_reaches_the_ceiling_and_of_swapped_ones_is_elsewhere():
    for step in (6, HOLE.training.steps):
        right, swapped = (measured(started(HOLE, Factorized(Stripes(swap))), HOLE, step).row for swap in (False, True))
        assert right["probe.accuracy"] == right["probe.ceiling"], step
        assert right["probe.correct"] == right["in_hole.correct"] == 1, step
        assert swapped["probe.correct"] < 0.5, step


def stripes_of(learner, labels):
    """The images and activations of each half."""
    seen = []
    for half in learner.halves:
        draw = half.draw
        half.draw = lambda *args, draw=draw: seen.append(draw(*args)) or seen[-1]
    whole = learner.draw(labels, 0, 3)
    for half in learner.halves:
        del half.draw
    return (*seen, whole)


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_half_depends_on_its_own_coordinate_alone(name):
    """Bit for bit, images and activations: the other coordinate's label may be anything."""
    learner = trained(SPEC, 12, SUBJECTS[name])
    base = stripes_of(learner, LABELS)
    for axis in (0, 1):
        labels = LABELS.copy()
        labels[:, 1 - axis] = [15.0, 0.5, 7.0, 2.0]
        moved = stripes_of(learner, labels)
        for role in ROLES:
            assert np.array_equal(moved[axis].activations[role], base[axis].activations[role]), (axis, role)
            assert not np.array_equal(moved[1 - axis].activations[role], base[1 - axis].activations[role]), (axis, role)
        assert np.array_equal(moved[axis].images, base[axis].images), axis
        assert not np.array_equal(moved[1 - axis].images, base[1 - axis].images), axis


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_image_is_the_product_and_activations_stand_side_by_side(name):
    x, y, whole = stripes_of(trained(SPEC, 6, SUBJECTS[name]), LABELS)
    product = join_factors(torch.from_numpy(np.stack([x.images, y.images], axis=1).astype(np.float32)))
    assert np.allclose(whole.images, product.numpy(), atol=1e-3)
    assert not np.array_equal(x.images, y.images)
    assert whole.activations.keys() == set(ROLES)
    for role, rows in whole.activations.items():
        assert np.array_equal(rows, np.concatenate([x.activations[role], y.activations[role]], axis=1)), role
        assert np.array_equal(whole.told[role], np.concatenate([x.told[role], y.told[role]], axis=1)), role


@pytest.mark.parametrize("name", SUBJECTS)
def test_each_half_sees_the_stripe_of_its_own_coordinate(name):
    """The stripe is that of the bump, as dark as the bump's darkest pixel. Of white it is white."""
    learner, labels = trained(SPEC, 6, SUBJECTS[name]), LABELS.round()
    bumps = render_factors(torch.from_numpy(labels), 16, 1.0)
    seen = learner.see(join_factors(bumps).numpy(), labels, 5)
    for axis, half in enumerate(learner.halves):
        own = labels * (np.arange(2) == axis)
        expected = half.see(bumps[:, axis].numpy(), own.astype(np.float32), derive(5, "factor", axis) % 2**32)
        for role, rows in expected.items():
            width = rows.shape[1]
            assert np.allclose(seen[role][:, axis * width : (axis + 1) * width], rows, atol=1e-4), (axis, role)


def test_activations_of_any_shape_and_none_can_be_joined():
    learner = started(JOINT, Factorized(Stripes()))
    assert learner.draw(LABELS, 0).activations == {}
    rows = learner.draw(LABELS, 0, 3).activations["layer4"]
    assert rows.shape == (3, 8)
    assert np.array_equal(rows[:, ::2], np.concatenate([LABELS[:3] * [1, 0], LABELS[:3] * [0, 1]], axis=1))


@pytest.mark.parametrize("name", SUBJECTS)
def test_it_goes_on_from_its_state_through_a_file_bit_for_bit(name):
    subject = SUBJECTS[name]
    whole = trained(SPEC, 12, subject)
    half = trained(SPEC, 6, subject).state()
    assert {key.split(".")[0] for key in half} == {"x", "y"}
    resumed = trained(SPEC, 12, subject, at=(6, from_bytes(to_bytes(half))))
    assert to_bytes(resumed.state()) == to_bytes(whole.state())
    one, other = (drawn_by(learner, SPEC, 12) for learner in (resumed, whole))
    assert np.array_equal(one.images, other.images)
    weights = subject.weights(whole)
    assert {key.split(".")[0] for key in weights} == {"x", "y"}
    for axis, learner in zip("xy", whole.halves, strict=True):
        for key, array in subject.subject.weights(learner).items():
            assert np.array_equal(weights[f"{axis}.{key}"], array), key


def test_the_halves_differ_and_equal_seeds_repeat():
    first, again, other = (trained(replace(SPEC, seed=seed), 3, SUBJECTS["unet"]).state() for seed in (0, 0, 1))
    assert all(np.array_equal(array, again[name]) for name, array in first.items())
    assert not np.array_equal(first["x.weights.head.weight"], other["x.weights.head.weight"])
    assert not np.array_equal(first["x.weights.head.weight"], first["y.weights.head.weight"])


def test_the_loss_is_the_mean_of_both_and_each_step_counts_once():
    steps = []
    learner = started(SPEC, SUBJECTS["unet"])
    alone = [half.train(4, lambda step: None) for half in started(SPEC, SUBJECTS["unet"]).halves]
    assert learner.train(4, steps.append) == pytest.approx(sum(alone) / 2)
    assert steps == [1, 2, 3, 4]
    assert learner.train(4, steps.append) is None
    mixed = started(SPEC, Factorized(Stripes()))
    assert mixed.train(2, steps.append) == 3.0, "a half without a loss does not count"


def test_it_learns():
    spec = replace(SPEC, training=replace(SPEC.training, batch_size=16, learning_rate=2e-2, ema_decay=0.0))
    learner = started(spec, SUBJECTS["unet"])
    first, *_, last = [learner.train(until, lambda step: None) for until in range(10, 51, 10)]
    assert last < first / 2


def test_it_promises_what_its_halves_promise():
    class Choosy(Planted):
        random, resumes, reads, version, libraries = False, "approximately", ("training",), "2", ("numpy",)

        def budget(self, budget):
            return replace(budget, steps=7)

        def describe(self):
            return "choosy"

    ours, theirs = Factorized(Choosy()), Choosy()
    for member in ("roles", "random", "resumes", "reads", "version", "libraries"):
        assert getattr(ours, member) == getattr(theirs, member), member
    assert (ours.budget(Budget(1, 1, 1, 1.0)).steps, ours.describe()) == (7, "choosy")


@dataclass
class Bright(Learner):
    """Draws whiter than white, as a regression may."""

    def draw(self, labels, seed, recorded=0):
        return Drawn(np.full((len(labels), 4, 4), 400.0))


def test_grey_values_out_of_range_are_clipped_before_they_are_multiplied():
    images = FactorizedLearner(Bright(), Bright()).draw(np.zeros((2, 2), np.float32), 0).images
    assert (images == 255).all(), "two white stripes make a white image"
