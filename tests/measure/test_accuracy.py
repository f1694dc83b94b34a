"""The accuracy of eq. 1, and the failure modes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bumplab.data.bumps import render
from bumplab.measure.accuracy import (
    Detections,
    accuracy,
    detect,
    failure_modes,
    placement,
    positions_of_eq_1,
    within_tolerance,
)
from bumplab.measure.detector import quantise
from bumplab.measure.names import MODES, PLACEMENT
from tests.errors import error_of

ASKED = np.array([[5.0, 9.0]])


def test_tolerance_is_strictly_below_one_pixel_on_each_axis():
    zero = np.zeros((1, 2))
    for size, right in ((0.0, True), (np.nextafter(1, 0), True), (1.0, False), (1.5, False)):
        for error in (-size, size):
            assert within_tolerance(np.array([[error, 0.0]]), zero).tolist() == [[right, True]], error
            assert within_tolerance(np.array([[0.0, error]]), zero).tolist() == [[True, right]], error


def test_both_axes_must_be_right_for_accuracy():
    positions = ASKED + np.array([[0, 0], [0.9, -0.9], [1, 0], [0, -1], [2, 2]])
    asked = np.repeat(ASKED, 5, axis=0)
    assert accuracy(positions, asked) == pytest.approx({"accuracy": 0.4, "accuracy_x": 0.6, "accuracy_y": 0.6})


def test_an_unknown_position_is_never_right():
    for unknown in ((math.nan, math.nan), (5.0, math.nan), (math.nan, 9.0)):
        positions = np.array([unknown])
        assert accuracy(positions, ASKED)["accuracy"] == 0, unknown
        assert MODES[failure_modes(Detections(positions, np.array([1])), ASKED)[0]] == "single-wrong", unknown


def test_mode_of_each_count_and_error():
    for count, error, mode in (
        (0, 0, "none"),
        (0, 5, "none"),
        (1, 0, "correct"),
        (1, 5, "single-wrong"),
        (2, 0, "several"),
        (3, 5, "several"),
    ):
        assert MODES[failure_modes(Detections(ASKED + error, np.array([count])), ASKED)[0]] == mode, (count, error)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(-3, 3) | st.just(math.nan), st.floats(-3, 3)), min_size=1, max_size=30
    )
)
def test_modes_partition_the_images(rows):
    """Every image has exactly one mode. A correct image is right by eq. 1 too."""
    counts = np.array([count for count, *_ in rows])
    positions = np.array([[x, y] for _, x, y in rows])
    asked = np.zeros_like(positions)
    modes = failure_modes(Detections(positions, counts), asked)
    assert modes.shape == counts.shape
    assert set(modes.tolist()) <= set(range(len(MODES)))
    assert (modes == MODES.index("correct")).mean() <= accuracy(positions, asked)["accuracy"]
    shares = accuracy(positions, asked)
    assert shares["accuracy"] <= min(shares["accuracy_x"], shares["accuracy_y"])
    assert np.array_equal(modes == 0, counts == 0)
    assert np.array_equal(modes == 1, counts > 1)


def test_detect_on_true_images_blanks_and_doubles():
    labels = torch.tensor([[8.0, 8.0], [11.0, 5.0], [4.0, 12.0]], dtype=torch.float64)
    images = render(labels, 16, 1.0).numpy()
    images[1] = 255
    images[2] = np.minimum(images[2], images[0])
    detections = detect(quantise(images)[0], 1.0)
    assert detections.counts.tolist() == [1, 0, 2]
    assert detections.positions[0].tolist() == pytest.approx([8.0, 8.0], abs=0.01)
    assert np.isnan(detections.positions[1:]).all(), "only a single bump has a place"
    by_algorithm_1 = positions_of_eq_1(quantise(images)[0])
    assert by_algorithm_1[0].tolist() == [8.0, 8.0]
    assert np.isnan(by_algorithm_1[1]).all()
    assert by_algorithm_1[2].tolist() == pytest.approx([6.0, 10.0], abs=0.05)
    assert [MODES[mode] for mode in failure_modes(detections, labels.numpy())] == ["correct", "none", "several"]


def test_detect_of_no_images_is_empty():
    detections = detect(np.zeros((0, 16, 16), np.uint8), 1.0)
    assert detections.positions.shape == (0, 2)
    assert detections.counts.shape == (0,)


def test_ceiling_of_true_images_is_one_inside_and_below_at_the_border():
    """Algorithm 1 errs on cut-off bumps. So the report shows accuracy beside a ceiling."""
    inside = torch.cartesian_prod(torch.linspace(3, 14, 8), torch.linspace(3, 14, 8)).double()
    border = torch.stack([torch.zeros(8), torch.linspace(0, 15, 8)], dim=1).double()
    shares = []
    for labels in (inside, border):
        images, _ = quantise(render(labels, 16, 1.0).numpy())
        shares.append(accuracy(positions_of_eq_1(images), labels.numpy())["accuracy"])
    assert shares[0] == 1
    assert shares[1] < 0.5


def test_every_measure_refuses_a_label_that_is_not_finite():
    positions = np.full((2, 2), 3.0)
    detections = Detections(positions, np.ones(2, np.int64))
    for value in (np.nan, np.inf, -np.inf):
        assert error_of(placement, detections, np.array([[3.0, value], [4.0, 3.0]])).startswith(f"labels hold {value}")
        labels = np.array([[3.0, 3.0], [4.0, value]])
        assert error_of(accuracy, positions, labels).startswith(f"labels hold {value}: "), value
        assert error_of(failure_modes, detections, labels).startswith(f"labels hold {value}: "), value


def test_placement_of_planted_bumps():
    """Shares are of all images. Errors are medians over the images with one bump."""
    asked = np.zeros((6, 2))
    positions = np.array([[0.3, -0.4], [3.0, 0.2], [0.0, 4.0], [0.6, 0.8], [np.nan, np.nan], [np.nan, np.nan]])
    found = placement(Detections(positions, np.array([1, 1, 1, 1, 0, 2])), asked)
    assert tuple(found) == PLACEMENT
    assert found == pytest.approx(
        {
            **{"none": 1 / 6, "several": 1 / 6, "single-wrong": 2 / 6, "correct": 2 / 6},
            **{"correct_x": 3 / 6, "correct_y": 3 / 6},
            **{"error": (1 + math.hypot(3, 0.2)) / 2, "error_x": 0.45, "error_y": 0.6},
        }
    )
    nothing = placement(Detections(positions[4:], np.array([0, 2])), asked[:2])
    assert nothing["correct_x"] == 0
    assert all(math.isnan(nothing[name]) for name in ("error", "error_x", "error_y"))
