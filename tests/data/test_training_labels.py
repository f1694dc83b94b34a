"""Labels that training leaves out in a stripe, and labels of cells in permutation matrices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bumplab.config import TOLERANCE, DataSpec
from bumplab.data.bumps import cell_labels, draw_in_hole, label_grid, training_labels
from bumplab.data.feed import Feed
from bumplab.data.label_sets import label_sets
from bumplab.profiles import QUICK
from tests.errors import error_of

SEEDS = st.integers(0, 2**32 - 1)


def as_set(labels):
    return set(map(tuple, labels.tolist()))


@given(d=st.sampled_from([0.1, 0.5, 1.0]), stripe=st.sampled_from([3.0, 5.0]), seed=SEEDS)
def test_a_stripe_leaves_out_an_x_for_every_y(d, stripe, seed):
    data = DataSpec(16, d, d, stripe=stripe)
    trained = training_labels(data)
    x = trained[:, 0]
    assert not bool(((x - 8 >= -stripe / 2) & (x - 8 < stripe / 2 - 1e-4)).any())
    left_out = as_set(label_grid(16, d, d)) - as_set(trained)
    assert len(left_out) == round(stripe / d) * round(16 / d), "and nothing else"
    asked = draw_in_hole(data, 200, torch.Generator().manual_seed(seed), margin=TOLERANCE)
    assert bool(((asked[:, 0] - 8).abs() <= stripe / 2 - TOLERANCE + 1e-5).all())
    assert float(asked[:, 1].min()) < 5
    assert float(asked[:, 1].max()) > 12


@given(cells=st.integers(2, 8), seed=SEEDS, data=st.data())
def test_matrices_hold_each_row_and_column_alike_and_share_no_cell(cells, seed, data):
    matrices = data.draw(st.integers(1, cells))
    held = training_labels(DataSpec(32, 4.0, 4.0, 0.5, cells=cells, matrices=matrices), seed)
    every = cell_labels(DataSpec(32, 4.0, 4.0, 0.5, cells=cells, matrices=matrices))
    assert len(as_set(held)) == len(held) == cells * matrices
    assert as_set(held) <= as_set(every)
    for axis in (0, 1):
        _, counts = np.unique(held[:, axis], return_counts=True)
        assert counts.tolist() == [matrices] * cells
    if matrices > 1:
        fewer = training_labels(DataSpec(32, 4.0, 4.0, 0.5, cells=cells, matrices=matrices - 1), seed)
        assert as_set(fewer) < as_set(held), "more matrices add examples"


def test_matrices_are_drawn_by_the_seed_and_every_cell_is_as_likely():
    data = DataSpec(16, 4.0, 4.0, 0.5, cells=4, matrices=1)
    held = [tuple(label) for seed in range(400) for label in training_labels(data, seed).tolist()]
    _, counts = np.unique(held, axis=0, return_counts=True)
    assert len(counts) == 16
    assert 60 < counts.min() <= counts.max() < 140  # 100 on average
    assert as_set(torch.from_numpy(Feed(data, 7).labels)) == as_set(training_labels(data, 7))


def test_every_cell_is_asked_for_as_often_whether_trained_or_not():
    for cells in (2, 4):
        spec = QUICK.run(3, dx=4.0, sigma=0.5)
        spec = replace(spec, data=replace(spec.data, cells=cells, matrices=1))
        asked, counts = np.unique(label_sets(spec)["probe"].labels, axis=0, return_counts=True)
        assert set(map(tuple, asked.tolist())) == as_set(cell_labels(spec.data))
        assert counts.max() - counts.min() <= 1


def test_probe_labels_lie_outside_a_stripe_and_else_are_those_of_a_run_without():
    whole = QUICK.run(3)
    spec = replace(whole, data=replace(whole.data, stripe=3.0))
    asked, same = label_sets(spec)["probe"].labels, label_sets(whole)["probe"].labels
    outside = np.abs(same[:, 0] - 8) >= 1.5
    assert (np.abs(asked[:, 0] - 8) >= 1.5 - 1e-5).all()
    assert np.array_equal(asked[outside], same[outside])
    assert not outside.all()


def test_cells_lie_on_whole_pixels_around_the_middle():
    for size, cells, first in ((16, 2, 6), (16, 4, 2), (32, 4, 10), (32, 8, 2)):
        x, y = cell_labels(DataSpec(size, 4.0, 4.0, 0.5, cells=cells, matrices=1)).T
        assert sorted(set(x.tolist())) == sorted(set(y.tolist())) == [first + 4.0 * k for k in range(cells)]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cells": 5, "matrices": 1}, "cells"),
        ({"cells": 1, "matrices": 1}, "cells"),
        ({"cells": 2, "matrices": 1, "hole": 3.0}, "cells"),
        ({"cells": 2}, "matrices"),
        ({"cells": 2, "matrices": 3}, "matrices"),
        ({"matrices": 1}, "matrices"),
        ({"stripe": 2.0}, "stripe"),
        ({"stripe": 12.0}, "stripe"),
        ({"stripe": 3.0, "hole": 3.0}, "stripe"),
    ],
)
def test_other_labels_are_refused_in_one_line(fields, field):
    assert error_of(DataSpec, 16, 4.0, 4.0, **fields).startswith(f"{field} = ")


@given(dx=st.sampled_from([0.5, 1.0]), dy=st.sampled_from([0.5, 2.0, 4.0]), seed=SEEDS)
def test_a_network_of_x_is_fed_the_same_whatever_dy_is(dx, dy, seed):
    """Else x's curve in a factorized generator would depend on dy by the draw of its batches."""
    fixed, other = (Feed(DataSpec(16, dx, increment), seed).only("x") for increment in (1.0, dy))
    assert np.array_equal(fixed.labels, other.labels)
    assert len(fixed.labels) == round(16 / dx)
    for mine, same in zip(fixed.batch(3, 8), other.batch(3, 8), strict=True):
        assert np.array_equal(mine, same)
