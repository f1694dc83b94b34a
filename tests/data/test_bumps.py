"""Rendering, label grids, holes and drawn label sets, against values computed by hand."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from bumplab.config import TOLERANCE, DataSpec, MeasureSpec, RunSpec
from bumplab.data.bumps import (
    draw_in_hole,
    draw_probe,
    in_hole,
    join_factors,
    label_grid,
    nearest_labels,
    render,
    render_factors,
    training_labels,
)
from tests.errors import error_of

coordinates = st.floats(0, 16, width=32)


@given(x=coordinates, y=coordinates, sigma=st.floats(0.25, 4))
def test_render_equals_the_formula_of_the_paper_at_each_pixel(x, y, sigma):
    image = render(torch.tensor([[x, y]]), 16, sigma)[0]
    for row in range(16):
        for column in range(16):
            exponent = (column + 1 - x) ** 2 / (4 * sigma**2) + (row + 1 - y) ** 2 / (4 * sigma**2)
            assert float(image[row, column]) == pytest.approx(255 * (1 - math.exp(-exponent)), abs=1e-3)


def test_render_puts_x_on_columns_and_counts_pixels_from_one():
    image = render(torch.tensor([[3.0, 10.0]]), 16, 1.0)[0]
    assert divmod(int(image.argmin()), 16) == (9, 2)
    assert float(image.min()) == 0.0


def test_a_batch_is_rendered_as_its_images_one_by_one():
    labels = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)) * 8
    together = render(labels, 8, 1.5)
    assert together.shape == (5, 8, 8)
    assert together.dtype == torch.float32
    assert torch.equal(together, torch.cat([render(label[None], 8, 1.5) for label in labels]))
    assert render(labels[:0], 8, 1.0).shape == (0, 8, 8)


@given(
    x=st.floats(-1e6, 1e6, width=32),
    y=st.floats(-1e6, 1e6, width=32),
    sigma=st.floats(0.01, 100),
    size=st.sampled_from([8, 16, 32]),
)
def test_grey_values_stay_between_0_and_255(x, y, sigma, size):
    image = render(torch.tensor([[x, y]]), size, sigma)
    assert image.shape == (1, size, size)
    assert bool(((image >= 0) & (image <= 255)).all())


@given(
    labels=st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5),
    sigma=st.floats(0.25, 4),
    size=st.sampled_from([8, 16]),
)
def test_joined_factors_are_the_bump(labels, sigma, size):
    labels = torch.tensor(labels)
    stripes = render_factors(labels, size, sigma)
    assert stripes.shape == (len(labels), 2, size, size)
    assert bool(((stripes >= 0) & (stripes <= 255)).all())
    assert torch.allclose(join_factors(stripes), render(labels, size, sigma), atol=1e-3)


@given(x=coordinates, y=coordinates, sigma=st.floats(0.25, 4))
def test_each_factor_is_a_stripe_at_one_coordinate(x, y, sigma):
    """The first stripe is dark along column x, the second along row y. All along, a stripe is as dark as a bump."""
    (columns, rows) = render_factors(torch.tensor([[x, y]]), 16, sigma)[0]
    for stripe, at in ((columns, x), (rows.T, y)):
        profile = [255 * (1 - math.exp(-((k + 1 - at) ** 2) / (4 * sigma**2))) for k in range(16)]
        assert stripe[0].tolist() == pytest.approx(profile, abs=1e-3)
        assert torch.equal(stripe, stripe[:1].expand(16, 16))


def test_render_refuses_labels_of_another_shape():
    for shape in ((2,), (3, 3), (2, 1), (1, 2, 2), (0,)):
        message = error_of(render, torch.zeros(shape), 16, 1.0)
        assert message.startswith(f"labels of shape {shape}: must be [B, 2]"), shape


def test_render_refuses_labels_that_are_not_finite():
    for bad in (math.nan, math.inf, -math.inf):
        message = error_of(render, torch.tensor([[1.0, 2.0], [bad, 3.0]]), 16, 1.0)
        assert message.startswith("labels hold NaN or infinity: "), bad


def test_render_refuses_sigma_not_above_zero():
    for sigma in (0.0, -1.0, math.nan, math.inf):
        assert error_of(render, torch.tensor([[1.0, 2.0]]), 16, sigma).startswith(f"sigma = {sigma}: "), sigma


def test_label_grid_counts_on_the_papers_canvas():
    for dx, dy, count in ((1.0, 1.0, 1_024), (0.1, 0.1, 102_400), (0.1, 1.0, 10_240), (3.0, 5.0, 11 * 7)):
        labels = label_grid(32, dx, dy)
        assert labels.shape == (count, 2), (dx, dy)
        assert labels.dtype == torch.float32


def test_label_grid_keeps_dx_and_dy_apart():
    labels = label_grid(32, 0.5, 4.0)
    assert labels[:, 0].unique().tolist() == [k / 2 for k in range(64)]
    assert labels[:, 1].unique().tolist() == [4.0 * k for k in range(8)]
    assert len(labels.unique(dim=0)) == 64 * 8


@given(
    n=st.sampled_from([8, 16, 24, 32]), dx=st.integers(20, 3_200), dy=st.integers(20, 3_200), hundredths=st.booleans()
)
def test_label_grid_is_k_times_d_below_n(n, dx, dy, hundredths):
    """Increments are decimals (hundredths or tenths of a pixel), so the exact values are known as fractions."""
    unit = 100 if hundredths else 10
    exact = [min(Fraction(d, unit), Fraction(n)) for d in (dx, dy)]
    labels = label_grid(n, *map(float, exact))
    for axis, d in enumerate(exact):
        count = math.ceil(n / d)
        values = labels[:, axis].unique().numpy()
        assert len(values) == count
        assert np.array_equal(values, np.array([float(k * d) for k in range(count)], dtype=np.float32))
        assert values.max() < n
    assert len(labels) == math.ceil(n / exact[0]) * math.ceil(n / exact[1])


def test_label_grid_refuses_sizes_and_increments_that_make_no_grid():
    for n, d, field in (
        (16, 0.0, "dx"),
        (16, -1.0, "dx"),
        (16, 17.0, "dx"),
        (16, math.nan, "dx"),
        (15, 1.0, "image_size"),
        (0, 1.0, "image_size"),
    ):
        assert error_of(label_grid, n, d, d).startswith(f"{field} = "), (n, d)


def test_holes_leave_out_the_papers_shares():
    """6x6 of 32x32 is 3.5 %, 10x10 is 9.8 %. Exactly the labels of the half-open centred square are missing."""
    for d, hole, share in ((1.0, 6.0, 36), (0.1, 6.0, 36), (1.0, 10.0, 100), (0.1, 10.0, 100)):
        every = label_grid(32, d, d)
        kept = training_labels(DataSpec(32, d, d, hole=hole))
        assert 1 - len(kept) / len(every) == pytest.approx(share / 1024, abs=1e-12), (d, hole)
        tenths = (every.double() * 10).round()
        low, high = 10 * (16 - hole / 2), 10 * (16 + hole / 2)
        missing = ((tenths >= low) & (tenths < high)).all(dim=1)
        assert torch.equal(kept, every[~missing]), (d, hole)
        assert not in_hole(kept, 32, hole).any(), (d, hole)


@given(
    known=st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=40),
    asked=st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5),
)
def test_nearest_labels_are_known_and_none_is_nearer(known, asked):
    nearest = nearest_labels(torch.tensor(known), torch.tensor(asked)).tolist()
    assert len(nearest) == len(asked)
    for label, near in zip(asked, nearest, strict=True):
        assert tuple(near) in known
        assert math.dist(label, near) <= min(math.dist(label, other) for other in known) + 0.02


def test_the_nearest_label_of_a_known_label_is_itself():
    """On the paper's grid of 102,400 labels, where float32 distances are least exact."""
    known = label_grid(32, 0.1, 0.1)
    asked = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[:200]]
    assert torch.allclose(nearest_labels(known, asked), asked, atol=0.02)


def test_without_a_hole_the_whole_grid_is_trained():
    assert torch.equal(training_labels(DataSpec(32, 1.0, 0.5)), label_grid(32, 1.0, 0.5))


@given(
    low=st.floats(3, 5),
    side=st.floats(0.5, 9),
    hole=st.sampled_from([0.0, 3.0, 5.0, 7.0]),
    seed=st.integers(0, 2**32),
)
def test_probe_labels_fill_their_square_outside_the_hole(low, side, hole, seed):
    """Hardly a label occurs twice. Those outside the hole are the ones of the run without it."""
    measure = MeasureSpec(samples=200, probe_low=low, probe_high=min(low + side, 14.0))
    try:
        spec = RunSpec(DataSpec(16, hole=hole), measure=measure)
    except ValueError:
        assume(False)
    labels, plain = (
        draw_probe(run, torch.Generator().manual_seed(seed)) for run in (spec, replace(spec, data=DataSpec(16)))
    )
    assert (labels.shape, labels.dtype) == ((200, 2), torch.float32)
    assert len(labels.unique(dim=0)) > 190
    assert float(labels.min()) >= low - 1e-5
    assert float(labels.max()) <= measure.probe_high + 1e-5
    inside = ((plain - 8).abs() < hole / 2 - 1e-5).all(dim=1)
    assert not bool(((labels - 8).abs() < hole / 2 - 1e-5).all(dim=1).any())
    assert torch.equal(labels[~inside], plain[~inside])
    assert plain.mean(dim=0).tolist() == pytest.approx([(low + measure.probe_high) / 2] * 2, abs=0.13 * side)


@given(
    n=st.sampled_from([16, 32]),
    d=st.sampled_from([0.1, 0.5, 1.0, 4.0]),
    hole=st.sampled_from([3.0, 5.0, 6.0, 9.5]),
    seed=st.integers(0, 2**32),
)
def test_no_training_label_is_within_tolerance_of_a_label_in_the_hole(n, d, hole, seed):
    """Else a generator that copies the nearest training label could be right in the hole."""
    data = DataSpec(n, d, d, hole=hole)
    asked = draw_in_hole(data, 20, torch.Generator().manual_seed(seed), margin=TOLERANCE)
    assert bool(((asked - n / 2).abs() <= hole / 2 - TOLERANCE + 1e-5).all())
    x, y = training_labels(data).T
    close = (asked[:, :1] - x).abs() < TOLERANCE - 1e-5
    assert not bool((close & ((asked[:, 1:] - y).abs() < TOLERANCE - 1e-5)).any())


def test_a_hole_that_leaves_no_whole_bump_is_refused():
    for n, hole in ((16, 12.0), (16, 15.0), (32, 30.0)):
        assert error_of(DataSpec, n, 0.5, 0.5, hole=hole).startswith(f"hole = {hole}: "), (n, hole)


def test_labels_in_the_hole_depend_on_the_generator_alone():
    data = DataSpec(16, 0.5, 0.5, hole=5.0)
    first, again, other = (draw_in_hole(data, 9, torch.Generator().manual_seed(seed), 1.0) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
