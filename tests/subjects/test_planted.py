"""`Planted` draws and encodes what it says, at the step that it says."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bumplab import profiles
from bumplab.config import ROLES, TOLERANCE
from bumplab.data.bumps import render
from bumplab.data.feed import Feed
from bumplab.measure.detector import predict_label
from bumplab.measure.order import neighbour_r2
from bumplab.subjects.planted import DIMENSIONS, Planted
from bumplab.subjects.protocol import Task

SPEC = profiles.get("smoke").run(0)
TASK = Task.of(SPEC, ROLES)
INSIDE = np.random.default_rng(0).uniform(4, 13, size=(400, 2)).astype(np.float32)


def trained(until, task=TASK, **parameters):
    learner = Planted(**parameters).start(task, Feed(SPEC.data, SPEC.seed), "cpu")
    learner.train(until, lambda step: None)
    return learner


def share_right(learner):
    images = np.round(learner.draw(INSIDE, seed=0).images).astype(np.uint8)
    positions = np.array([predict_label(image) for image in images])
    return (np.abs(positions - INSIDE) < TOLERANCE).all(axis=1).mean()


def test_the_share_of_right_bumps_rises_from_0_through_a_half_to_1():
    shares = [share_right(trained(step, half=10)) for step in (0, 5, 10, 20, 100)]
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[2] == pytest.approx(0.5, abs=0.1)
    assert shares[-1] == 1.0


def test_a_right_bump_is_the_true_image_and_half_of_the_wrong_images_are_blank():
    true = render(torch.from_numpy(INSIDE), 16, 0.5).numpy()
    assert np.allclose(trained(1000, sigma=0.5).draw(INSIDE, seed=0).images, true, atol=1e-3)
    untrained = trained(0).draw(INSIDE, seed=0).images
    blank = (untrained == 255).all(axis=(1, 2))
    assert blank.mean() == pytest.approx(0.5, abs=0.1)


def test_activations_hold_the_label_more_clearly_with_each_step():
    def explained(step):
        drawn = trained(step).draw(INSIDE, seed=0, recorded=300)
        assert drawn.activations.keys() == set(ROLES)
        shares = []
        for array in drawn.activations.values():
            assert array.shape == (300, DIMENSIONS)
            known = np.column_stack([array, np.ones(300)])
            fit = known @ np.linalg.lstsq(known, INSIDE[:300], rcond=None)[0]
            shares.append(
                1 - np.square(fit - INSIDE[:300]).sum() / np.square(INSIDE[:300] - INSIDE[:300].mean(0)).sum()
            )
        return shares

    untrained, late = explained(0), explained(100)
    assert max(untrained) < 0.5
    assert min(late) > 0.99


def test_it_is_told_the_label_and_sees_the_image():
    """Of true images under one label it knows the image, and of white images the label."""
    learner = trained(100)
    true = render(torch.from_numpy(INSIDE), 16, 1.0).numpy()
    told = learner.draw(INSIDE, seed=0, recorded=len(INSIDE)).told
    seen = learner.see(true, np.full_like(INSIDE, 8.5), 0)
    canvas = learner.see(np.full_like(true, 255), INSIDE, 0)
    blank = learner.see(np.full_like(true, 255), np.full_like(INSIDE, 8.5), 0)
    for role in ROLES:
        for reading in (told, seen, canvas):
            assert neighbour_r2(reading[role], INSIDE).min() > 0.9, role
        assert neighbour_r2(blank[role], INSIDE).max() < 0.3, role


@given(st.integers(0, 30), st.integers(0, 2**63 - 1))
def test_a_learner_goes_on_from_its_state_as_it_would_have(step, seed):
    learner = trained(step)
    again = Planted().start(TASK, Feed(SPEC.data, SPEC.seed), "cpu", at=(step, learner.state()))
    losses = [one.train(step + 5, lambda step: None) for one in (learner, again)]
    assert losses[0] == losses[1]
    drawn = [one.draw(INSIDE[:30], seed, recorded=5) for one in (learner, again)]
    assert np.array_equal(drawn[0].images, drawn[1].images)
    assert all(np.array_equal(drawn[0].activations[role], drawn[1].activations[role]) for role in ROLES)
