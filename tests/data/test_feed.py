"""What a subject is fed: labels with images, batches by step, stripes of one coordinate, no label in the hole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bumplab.config import DataSpec
from bumplab.data.bumps import in_hole, join_factors, render, training_labels
from bumplab.data.feed import Feed

DATA = DataSpec(image_size=16, dx=0.5, dy=2.0)
SHUFFLED = replace(DATA, pairing="shuffled")
DATASETS = st.builds(
    DataSpec,
    image_size=st.just(16),
    dx=st.sampled_from([0.5, 1.0, 4.0]),
    dy=st.sampled_from([0.5, 2.0]),
    sigma=st.sampled_from([0.5, 1.0]),
    hole=st.sampled_from([0.0, 3.0]),
    pairing=st.sampled_from(["true", "shuffled"]),
)
SEEDS = st.integers(0, 2**32 - 1)


def rendered(labels, data):
    return render(torch.from_numpy(labels), data.image_size, data.sigma).numpy()


def all_images(feed):
    return feed.images(np.arange(len(feed.labels)))


def as_sorted_bytes(images):
    """The images in an order that does not depend on the order given."""
    return sorted(image.tobytes() for image in images)


@settings(max_examples=20)
@given(data=DATASETS, seed=SEEDS)
def test_labels_are_the_grid_without_the_hole_and_images_belong_to_them_or_are_permuted(data, seed):
    feed = Feed(data, seed)
    assert (feed.labels.dtype, feed.labels.shape[1]) == (np.float32, 2)
    assert np.array_equal(feed.labels, training_labels(data).numpy())
    assert not in_hole(torch.from_numpy(feed.labels), 16, data.hole or 1e-9).any()
    images, truth = all_images(feed), rendered(feed.labels, data)
    assert (images.dtype, images.shape) == (np.float32, (len(feed.labels), 16, 16))
    assert as_sorted_bytes(images) == as_sorted_bytes(truth), "each training image occurs once"
    at_another = (images != truth).any(axis=(1, 2)).mean()
    assert at_another == 0 if data.pairing == "true" else at_another > 0.8


def test_the_permutation_depends_on_the_seed_alone():
    first, again, other = (all_images(Feed(SHUFFLED, seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    torch.manual_seed(9)
    np.random.seed(9)
    assert np.array_equal(all_images(Feed(SHUFFLED, 0)), first)


@settings(max_examples=20)
@given(data=DATASETS, seed=SEEDS, step=st.integers(0, 10**6))
def test_a_batch_is_pairs_of_the_data_and_equal_for_an_equal_step_alone(data, seed, step):
    feed = Feed(data, seed)
    images, labels = feed.batch(step, 32)
    assert (images.shape, labels.shape, labels.dtype) == ((32, 16, 16), (32, 2), np.float32)
    number_of = {tuple(label): number for number, label in enumerate(feed.labels.tolist())}
    assert np.array_equal(images, feed.images(np.array([number_of[tuple(label)] for label in labels.tolist()])))
    again = Feed(data, seed).batch(step, 32)
    assert np.array_equal(images, again[0])
    assert np.array_equal(labels, again[1])
    for other in (feed.batch(step + 1, 32), Feed(data, (seed + 1) % 2**32).batch(step, 32)):
        assert not np.array_equal(labels, other[1])


def test_batches_draw_all_labels_alike():
    """With replacement: 64 labels, each about 100 times in 6,400 draws. The spread of a count is 10."""
    feed = Feed(DataSpec(16, 2.0, 2.0), 0)
    drawn = np.concatenate([feed.batch(step, 64)[1] for step in range(100)])
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == len(feed.labels) == 64
    assert 50 < counts.min() <= counts.max() < 150
    assert len(np.unique(feed.batch(0, 64)[1], axis=0)) < 64, "without replacement each label would occur once"


@settings(max_examples=20)
@given(data=DATASETS, seed=SEEDS)
def test_stripes_multiply_to_the_bump_and_hide_the_other_coordinate(data, seed):
    feed = Feed(data, seed)
    stripes = []
    for axis, half in enumerate((feed.only("x"), feed.only("y"))):
        labels = feed.labels * (np.arange(2) == axis)
        assert np.array_equal(half.labels, labels if data.pairing == "shuffled" else np.unique(labels, axis=0))
        images, batch = half.batch(3, 8)
        assert images.shape == (8, 16, 16)
        assert (batch[:, 1 - axis] == 0).all()
        drawn = all_images(half)
        stripes.append(drawn if data.pairing == "shuffled" else drawn[nearest(half.labels, labels)])
    assert np.allclose(join_factors(torch.from_numpy(np.stack(stripes, axis=1))).numpy(), all_images(feed), atol=1e-3)
    assert (stripes[0] == stripes[0][:, :1]).all(), "a stripe along a column has equal rows"
    assert (stripes[1] == stripes[1][:, :, :1]).all(), "a stripe along a row has equal columns"


def nearest(known, labels):
    """For each label, the number of the known label that it is."""
    return np.abs(known[None] - labels[:, None]).sum(axis=2).argmin(axis=1)


@pytest.mark.parametrize("axis", [None, "x", "y"])
def test_a_loop_on_a_device_gets_the_same_data(axis):
    for data in (DATA, SHUFFLED):
        feed = Feed(data, 2) if axis is None else Feed(data, 2).only(axis)
        on_device = feed.on("cpu")
        which = np.array([len(feed.labels) // 2, 0, len(feed.labels) // 2, len(feed.labels) - 1])
        assert np.array_equal(on_device.labels.numpy(), feed.labels)
        assert np.array_equal(on_device.images(torch.from_numpy(which)).numpy(), feed.images(which))


def test_a_subject_cannot_spoil_what_others_are_fed():
    feed, images, labels = Feed(DATA, 0), *Feed(DATA, 0).batch(0, 4)
    for array in (*feed.batch(0, 4), feed.labels, feed.images(np.arange(4))):
        array[:] = -1
    assert np.array_equal(feed.batch(0, 4)[0], images)
    assert np.array_equal(feed.batch(0, 4)[1], labels)
    assert np.array_equal(feed.labels, Feed(DATA, 0).labels)


def test_true_images_are_of_any_label_and_not_shuffled():
    labels = np.float32([[3.25, 8.5], [7.0, 4.125]])
    assert np.array_equal(Feed(SHUFFLED, 0).true_images(labels), rendered(labels, SHUFFLED))
