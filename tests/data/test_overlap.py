"""The overlap of Fig. 7b against its closed form on an unbounded canvas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.data.overlap import overlap


@given(sigma=st.floats(1, 3), distance=st.floats(0, 12))
def test_overlap_is_the_closed_form_on_a_large_canvas(sigma, distance):
    """``exp(-D^2 / 16 sigma^2)``: 96 pixels cut no bump off, and are dense enough at sigma 1 or more."""
    assert overlap(distance, sigma, 96) == pytest.approx(math.exp(-(distance**2) / (16 * sigma**2)), abs=1e-5)


@given(sigma=st.floats(0.3, 5), size=st.sampled_from([8, 16, 32]))
def test_a_bump_overlaps_itself_wholly(sigma, size):
    assert overlap(0.0, sigma, size) == pytest.approx(1.0, abs=1e-6)


@given(sigma=st.floats(0.5, 5), distance=st.floats(0, 100), size=st.sampled_from([16, 32, 64]))
def test_overlap_is_a_share(sigma, distance, size):
    assert 0 <= overlap(distance, sigma, size) <= 1 + 1e-6


@given(sigma=st.floats(1, 3), distance=st.floats(0, 6), more=st.floats(0.5, 4))
def test_overlap_falls_with_distance_and_grows_with_sigma(sigma, distance, more):
    assert overlap(distance + more, sigma, 64) < overlap(distance, sigma, 64)
    assert overlap(distance + more, sigma + 0.5, 64) > overlap(distance + more, sigma, 64)


def test_the_first_bump_lies_in_the_middle_of_the_canvas():
    """Where pixels are coarse it matters: the middle of an even canvas lies between two pixels. The y axis cancels."""
    pixels, sigma, distance = np.arange(1, 17), 0.3, 0.4
    a, b = (np.exp(-((pixels - at) ** 2) / (4 * sigma**2)) for at in (8.5, 8.5 + distance))
    assert overlap(distance, sigma, 16) == pytest.approx(math.sqrt((a @ b) / (a @ a)), abs=1e-6)


def test_overlap_needs_a_sigma_above_zero():
    with pytest.raises(ValueError, match="sigma"):
        overlap(1.0, 0.0, 32)
