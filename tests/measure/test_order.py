"""Order and flatness of clouds whose truth is known: sheets, blobs, islands and shuffled labels.

All have 300 points with labels in a square, as a probe set has.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bumplab.measure.order import ORDER_LEAST, flatness, neighbour_r2
from bumplab.measure.representation import umap_embedding

COUNT, DIMENSIONS = 300, 64
LABELS = np.random.default_rng(0).uniform(3, 12, (COUNT, 2))
SPACING = 9 / COUNT**0.5
"""Mean distance of neighbouring labels in pixels."""


def sheet(noise=0.0, seed=1):
    """A curved sheet with the labels' distances, and noise of so many neighbour spacings, in `DIMENSIONS`."""
    random = np.random.default_rng(seed)
    waves = 4 * np.concatenate([np.sin(LABELS / 4), np.cos(LABELS / 4)], axis=1)
    directions = np.linalg.qr(random.standard_normal((DIMENSIONS, 4)))[0]
    return waves @ directions.T + noise * SPACING * random.standard_normal((COUNT, DIMENSIONS)) / DIMENSIONS**0.5


def blob(dimensions, seed=2):
    random = np.random.default_rng(seed)
    return random.standard_normal((COUNT, dimensions)) @ random.standard_normal((dimensions, DIMENSIONS))


def islands(seed=3):
    """Sixteen regions of labels: each is a tight island without order, and the islands lie in no order."""
    random = np.random.default_rng(seed)
    x, y = ((LABELS - 3) // 2.26).astype(int).T
    return random.standard_normal((16, DIMENSIONS))[4 * x + y] + 0.01 * random.standard_normal((COUNT, DIMENSIONS))


def order(points, labels=LABELS):
    return float(neighbour_r2(points, labels).mean())


def test_order_of_known_clouds():
    shuffled = np.random.default_rng(5).permutation(LABELS)
    for name, points, labels, low, high in (
        ("sheet", sheet(), LABELS, 0.97, 1),
        ("a sheet under noise of four spacings", sheet(4), LABELS, 0.95, 1),
        ("a blob of five dimensions", blob(5), LABELS, -0.3, 0.1),
        ("noise", blob(DIMENSIONS), LABELS, -0.3, 0.1),
        ("a sheet with shuffled labels", sheet(), shuffled, -0.3, 0.1),
        ("islands of 19 neighbours, whose own order it does not see", islands(), LABELS, 0.85, 0.96),
    ):
        assert low < order(points, labels) < high, name


@given(seed=st.integers(0, 2**32))
def test_chance_is_zero_for_any_cloud_that_knows_nothing_of_the_labels(seed):
    assert -0.3 < order(sheet(), np.random.default_rng(seed).permutation(LABELS)) < 0.15


def test_order_of_one_axis_alone():
    x, y = neighbour_r2(LABELS[:, :1], LABELS)
    assert x > 0.99
    assert y < 0.1


@settings(max_examples=8)
@given(scale=st.sampled_from([1e-6, 0.1, 1e5]), shift=st.floats(-100, 100), seed=st.integers(0, 2**32))
def test_order_ignores_scale_origin_rotation_and_the_order_of_the_rows(scale, shift, seed):
    points, random = sheet(8), np.random.default_rng(seed)
    rotated = points @ np.linalg.qr(random.standard_normal((DIMENSIONS, DIMENSIONS)))[0]
    rows = random.permutation(COUNT)
    expected = neighbour_r2(points, LABELS)
    assert neighbour_r2(scale * (rotated + shift), LABELS) == pytest.approx(expected, abs=1e-3)
    assert neighbour_r2(points[rows], LABELS[rows]) == pytest.approx(expected, abs=1e-9)


@given(groups=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_copies_of_a_point_are_all_neighbours(groups, seed):
    """Of a few points many times over, the prediction is the mean of the other copies, in whatever order they come."""
    random = np.random.default_rng(seed)
    which = random.integers(groups, size=60)
    points, targets = random.standard_normal((groups, 5))[which], random.uniform(0, 9, (60, 2))
    if np.bincount(which, minlength=groups).min() < ORDER_LEAST:
        return
    copies = which[:, None] == which
    np.fill_diagonal(copies, False)
    predicted = copies @ targets / copies.sum(axis=1, keepdims=True)
    expected = 1 - ((targets - predicted) ** 2).sum(axis=0) / ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    assert neighbour_r2(points, targets) == pytest.approx(expected, abs=1e-9)


def test_what_has_no_order_is_unknown():
    points = sheet()
    broken = points.copy()
    broken[7, 3] = np.nan
    for name, given_points, targets in (
        ("too few points", points[: ORDER_LEAST - 1], LABELS[: ORDER_LEAST - 1]),
        ("NaN", broken, LABELS),
        ("constant targets", points, np.full_like(LABELS, 4.0)),
    ):
        assert np.isnan(neighbour_r2(given_points, targets)).all(), name
    assert np.isfinite(neighbour_r2(points[:ORDER_LEAST], LABELS[:ORDER_LEAST])).all()


def test_flatness_of_known_clouds_as_umap_lays_them_out():
    """At seeds 0 to 2: a sheet 0.002 to 0.004, under noise of four spacings to 0.006, a blob 0.11, noise 0.18."""
    for name, points, low, high in (
        ("sheet", sheet(), 0, 0.01),
        ("a sheet under noise of four spacings", sheet(4), 0, 0.02),
        ("a blob of five dimensions", blob(5), 0.08, 1 / 3),
        ("noise", blob(DIMENSIONS), 0.13, 1 / 3),
        ("islands, which look flat", islands(), 0, 0.02),
    ):
        assert low <= flatness(umap_embedding(points, 0)) <= high, name


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_flatness_of_planes_balls_and_lines(seed, scale):
    """A plane has none in its third axis, and a ball has much in each. Copies, scale and rotation do nothing."""
    random = np.random.default_rng(seed)
    rotation = np.linalg.qr(random.standard_normal((3, 3)))[0]
    ball = random.standard_normal((COUNT, 3))
    plane = ball * [1, 1, 0]
    assert flatness(scale * plane @ rotation) < 1e-6
    assert 0.1 < flatness(scale * ball @ rotation) <= 1 / 3
    assert flatness(np.repeat(ball, 2, axis=0)) == pytest.approx(flatness(ball))


def test_what_has_no_flatness_is_unknown():
    points = np.random.default_rng(0).standard_normal((30, 3))
    broken = points.copy()
    broken[3, 1] = np.inf
    for name, cloud in (("inf", broken), ("nine points", points[:9]), ("one point", np.zeros((30, 3)))):
        assert np.isnan(flatness(cloud)), name
    assert flatness(points[:24]) > 0
