"""The accuracy of eq. 1 and the failure modes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bumplab.data.bumps import render
from bumplab.measure.accuracy import Detections, accuracy, detect, failure_modes, within_tolerance
from bumplab.measure.detector import quantise
from bumplab.measure.names import MODES

ASKED = np.array([[5.0, 9.0]])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("off", "right"), [(0.0, True), (np.nextafter(1, 0), True), (1.0, False), (1.5, False)])
def test_tolerance_is_strictly_below_one_pixel_on_each_axis(off, right, sign):
    zero = np.zeros((1, 2))
    assert within_tolerance(np.array([[sign * off, 0.0]]), zero).tolist() == [[right, True]]
    assert within_tolerance(np.array([[0.0, sign * off]]), zero).tolist() == [[True, right]]


def test_both_axes_must_be_right_for_accuracy():
    positions = ASKED + np.array([[0, 0], [0.9, -0.9], [1, 0], [0, -1], [2, 2]])
    asked = np.repeat(ASKED, 5, axis=0)
    assert accuracy(positions, asked) == pytest.approx({"accuracy": 0.4, "accuracy_x": 0.6, "accuracy_y": 0.6})


@pytest.mark.parametrize("unknown", [(math.nan, math.nan), (5.0, math.nan), (math.nan, 9.0)])
def test_an_unknown_position_is_never_right(unknown):
    positions = np.array([unknown])
    assert accuracy(positions, ASKED)["accuracy"] == 0
    assert MODES[failure_modes(Detections(positions, np.array([1])), ASKED)[0]] == "single-wrong"


@pytest.mark.parametrize(
    ("count", "off", "mode"),
    [(0, 0, "none"), (0, 5, "none"), (1, 0, "correct"), (1, 5, "single-wrong"), (2, 0, "several"), (3, 5, "several")],
)
def test_mode_of_each_count_and_error(count, off, mode):
    assert MODES[failure_modes(Detections(ASKED + off, np.array([count])), ASKED)[0]] == mode


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(-3, 3) | st.just(math.nan), st.floats(-3, 3)), min_size=1, max_size=30
    )
)
def test_modes_partition_the_images(rows):
    """Every image has exactly one mode, and a correct one is right by eq. 1 too."""
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
    found = detect(quantise(images)[0], 1.0)
    assert found.counts.tolist() == [1, 0, 2]
    assert found.positions[0].tolist() == [8.0, 8.0]
    assert np.isnan(found.positions[1]).all()
    assert found.positions[2].tolist() == pytest.approx([6.0, 10.0], abs=0.05)
    assert [MODES[mode] for mode in failure_modes(found, labels.numpy())] == ["correct", "none", "several"]


def test_detect_of_no_images_is_empty():
    found = detect(np.zeros((0, 16, 16), np.uint8), 1.0)
    assert found.positions.shape == (0, 2)
    assert found.counts.shape == (0,)


def test_ceiling_of_true_images_is_one_inside_and_below_at_the_border():
    """Algorithm 1 errs on cut-off bumps: the reason why accuracy is reported against a ceiling."""
    inside = torch.cartesian_prod(torch.linspace(3, 14, 8), torch.linspace(3, 14, 8)).double()
    border = torch.stack([torch.zeros(8), torch.linspace(0, 15, 8)], dim=1).double()
    shares = []
    for labels in (inside, border):
        images, _ = quantise(render(labels, 16, 1.0).numpy())
        shares.append(accuracy(detect(images, 1.0).positions, labels.numpy())["accuracy"])
    assert shares[0] == 1
    assert shares[1] < 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_label_that_is_no_number_is_refused_by_every_measure(value):
    labels, positions = np.array([[3.0, 3.0], [4.0, value]]), np.full((2, 2), 3.0)
    found = Detections(positions, np.ones(2, np.int64))
    for measure in (lambda: accuracy(positions, labels), lambda: failure_modes(found, labels)):
        with pytest.raises(ValueError, match=r"labels hold -?(nan|inf): must be finite numbers"):
            measure()
