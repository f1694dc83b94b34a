"""The measures of a representation on planted manifolds, planes and noise."""

import numpy as np
import pytest
import skdim
from hypothesis import given, settings
from hypothesis import strategies as st

from bumplab.measure.representation import (
    intrinsic_dimension,
    linear_r2,
    pca_r2,
    signal,
    umap_embedding,
)

random = np.random.default_rng(0)
LABELS = random.uniform(0, 32, (300, 2))
PLANE = LABELS @ random.standard_normal((2, 200)) + 0.5 * random.standard_normal((300, 200))
"""Positions on a plane in 200 dimensions, with a little noise."""
NOISE = random.standard_normal((300, 200))


@given(seed=st.integers(0, 2**32), scale=st.floats(0.1, 10))
def test_linear_r2_is_one_on_linear_data(seed, scale):
    features = np.random.default_rng(seed).standard_normal((40, 3))
    targets = scale * features @ np.array([[1.0, 0.5], [-2.0, 1.0], [0.0, 3.0]]) + [7.0, -1.0]
    assert linear_r2(features, targets) == pytest.approx([1.0, 1.0], abs=1e-9)


def test_linear_r2_is_near_zero_on_noise_and_per_column():
    assert np.abs(linear_r2(NOISE[:, :3], LABELS)).max() < 0.05
    x_only = linear_r2(LABELS[:, :1], LABELS)
    assert x_only[0] == pytest.approx(1.0)
    assert abs(x_only[1]) < 0.05


def test_linear_r2_of_the_planted_share():
    """The features explain half of the variance."""
    draws = np.random.default_rng(1).standard_normal((20_000, 2))
    assert linear_r2(draws[:, :1], draws.sum(axis=1, keepdims=True)) == pytest.approx([0.5], abs=0.02)


def test_r2_of_a_constant_position_is_unknown():
    targets = np.column_stack([LABELS[:, 0], np.full(300, 4.0)])
    r2 = linear_r2(PLANE[:, :3], targets)
    assert np.isfinite(r2[0])
    assert np.isnan(r2[1])
    assert np.isnan(pca_r2(PLANE, targets))


def test_pca_r2_is_high_on_a_plane_and_low_on_noise():
    """Cross-validated R^2 stays low on noise with many components. In-sample R^2 rises."""
    assert pca_r2(PLANE, LABELS) > 0.95
    assert pca_r2(NOISE, LABELS) <= 0.1
    assert pca_r2(NOISE[:24], LABELS[:24]) <= 0.1
    assert linear_r2(NOISE[:24, :10], LABELS[:24]).max() > 0.2


def test_pca_r2_works_with_few_images_or_dimensions():
    for shape in ((24, 2), (24, 200), (20, 1), (8, 50)):
        activations = np.random.default_rng(2).standard_normal(shape)
        assert np.isfinite(pca_r2(activations, LABELS[: shape[0]])), shape


def test_pca_r2_of_labels_at_random_points_is_not_above_chance():
    """Copies of a label stay in one fold. Scattered over the folds, these 16 labels read 0.4 to 0.7."""
    for seed in range(3):
        random = np.random.default_rng(seed)
        which = random.integers(16, size=300)
        labels = np.array([[4.0 * x, 4.0 * y] for x in range(4) for y in range(4)])[which]
        points = random.standard_normal((16, 64))[which] + 0.01 * random.standard_normal((300, 64))
        assert pca_r2(points, labels) < 0.3, seed
    four = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 4.0]])[which % 4]
    assert np.isnan(pca_r2(points, four)), "four labels do not make five folds"


def manifold(dimension, count=2_000, ambient=60):
    """A curved manifold: uniform points, their sines and cosines, rotated into ``ambient`` dimensions."""
    local = np.random.default_rng(dimension).uniform(0, 1, (count, dimension))
    curved = np.concatenate([local, np.sin(2 * local), np.cos(2 * local)], axis=1)
    return curved @ np.linalg.qr(np.random.default_rng(9).standard_normal((ambient, ambient)))[0][: curved.shape[1]]


def test_intrinsic_dimension_of_planted_manifolds():
    for dimension in (1, 2, 5):
        estimate = intrinsic_dimension(manifold(dimension))
        assert estimate == pytest.approx(dimension, rel=0.2)
        assert estimate == pytest.approx(skdim.id.TwoNN().fit(manifold(dimension)).dimension_, rel=0.05), dimension


@settings(max_examples=10)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_intrinsic_dimension_ignores_scale_and_shift(scale, shift):
    data = manifold(2, 300)
    assert intrinsic_dimension(data * scale + shift) == pytest.approx(intrinsic_dimension(data), rel=1e-3)


def test_intrinsic_dimension_with_copies_of_points():
    data = manifold(2, 1_000)
    few_copies = np.concatenate([data, data[:100]])
    assert intrinsic_dimension(few_copies) == pytest.approx(2, rel=0.3)
    assert np.isnan(intrinsic_dimension(np.zeros((50, 8))))
    thrice = np.repeat(data[:20], 3, axis=0)
    assert intrinsic_dimension(thrice) == pytest.approx(intrinsic_dimension(data[:20]), rel=1e-6)
    assert np.isnan(intrinsic_dimension(data[:9]))


def test_intrinsic_dimension_of_a_lattice_is_unknown():
    """On a lattice first and second neighbours are equally far. Their ratio is 1, and gives no dimension."""
    lattice = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), axis=-1).reshape(-1, 2)
    assert np.isnan(intrinsic_dimension(lattice))


def test_signal_is_the_share_of_power_that_differs_between_images():
    """3 plus or minus 3 differs by half its power. Units of unlike power are averaged before the division."""
    sign = np.where(np.arange(300) % 2, 1.0, -1.0)[:, None]
    assert signal(np.full((300, 5), 3.0) + 3 * sign) == pytest.approx(0.5)
    assert signal(np.full((300, 5), 3.0) + sign) == pytest.approx(1 / 10)
    assert signal(3 * sign * np.ones(5)) == pytest.approx(1)
    assert signal(np.concatenate([5 * sign, np.full((300, 1), 5.0)], axis=1)) == pytest.approx(0.5)
    assert signal(np.concatenate([sign, np.full((300, 1), 7.0)], axis=1)) == pytest.approx(1 / 50)


def test_signal_of_the_same_activations_for_every_image_is_zero():
    for value in (0.0, 1.0, -0.3, 1e4):
        units = value * np.linspace(1, 2, 40, dtype=np.float32)
        assert signal(np.tile(units, (300, 1))) == pytest.approx(0, abs=1e-12), value


@given(scale=st.sampled_from([1e-25, 0.1, 7.0, 1e18]), seed=st.integers(0, 2**32))
def test_signal_ignores_scale_and_lies_in_0_to_1(scale, seed):
    draws = np.random.default_rng(seed)
    activations = (draws.standard_normal((24, 7)) + draws.uniform(-5, 5)).astype(np.float32)
    assert 0 <= signal(activations) <= 1
    assert signal(activations * np.float32(scale)) == pytest.approx(signal(activations), rel=1e-4)
    assert signal(-activations) == pytest.approx(signal(activations))


def test_umap_recovers_a_planted_plane_and_repeats():
    """Global seeds do not matter."""
    np.random.seed(1)
    first = umap_embedding(PLANE, 5)
    np.random.seed(2)
    assert np.array_equal(first, umap_embedding(PLANE, 5))
    assert first.shape == (300, 3)
    assert first.dtype == np.float32
    assert linear_r2(first, LABELS).min() > 0.8
    assert not np.array_equal(first, umap_embedding(PLANE, 6))


@given(points=st.integers(1, 60), copies=st.integers(1, 4), seed=st.integers(0, 9))
@settings(max_examples=10)
def test_copies_of_points_give_nan_or_the_number_of_the_points(points, copies, seed):
    """A dead tap has the same activations for every image. Some networks have the same for every image of a label."""
    random = np.random.default_rng(seed)
    once = random.standard_normal((points, 30)).astype(np.float32)
    order = random.permutation(np.repeat(np.arange(points), copies))
    dimension, embedding = intrinsic_dimension(once[order]), umap_embedding(once[order], 5)
    assert np.isnan(dimension) == (points < 10)
    assert np.isnan(dimension) or dimension == pytest.approx(intrinsic_dimension(once), rel=1e-3)
    assert np.isnan(embedding).all() == (points < 20)
    if points >= 20:
        assert all(len(np.unique(embedding[order == which], axis=0)) == 1 for which in range(points))


def test_activations_that_are_not_finite_have_no_measures():
    for value in (np.nan, np.inf):
        activations = PLANE[:24].copy()
        activations[3, 5] = value
        numbers = [pca_r2(activations, LABELS[:24]), intrinsic_dimension(activations), signal(activations)]
        embedding = umap_embedding(activations, 5)
        assert (embedding.shape, embedding.dtype) == ((24, 3), np.float32)
        assert np.isnan([*numbers, *embedding.ravel(), *linear_r2(embedding, LABELS[:24])]).all(), value
