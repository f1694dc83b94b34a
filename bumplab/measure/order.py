"""Whether points lie in the order of their labels, and whether they lie on a sheet (science.md, 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

Array = NDArray[np.floating]

NEIGHBOURS = 10
"""Neighbours whose mean label predicts a point's label."""
ORDER_LEAST = NEIGHBOURS + 1
"""Fewest points that have an order."""
SHEET_POINTS = 25
"""Points of a neighbourhood whose flatness is measured, its own point included."""
SHEET_LEAST = 10
"""Fewest different points that have a flatness. F tells a sheet from a cloud where there are 300 or more."""
AT_A_TIME = 256
"""Points whose distances to all others are held in memory together."""


def neighbour_r2(points: Array, targets: Array) -> NDArray[np.float64]:
    """Order O: R^2 of each target by the mean target of the point's 10 nearest neighbours, without the point itself.

    Args:
        points: ``[B, D]``. Their scale and origin do not matter, and neither does the order of the rows: all points as
            near as the tenth neighbour count as neighbours.
        targets: ``[B, T]``, such as labels in pixels.

    Returns:
        ``[T]``, at most 1. Chance is 0 (-0.15 to 0.05 at 300 points), and a sheet in order 0.99. It is NaN for a
        constant target, for fewer than 11 points, and where a point is not finite.
    """
    if len(points) < ORDER_LEAST or not np.isfinite(points).all():
        return np.full(targets.shape[1], np.nan)
    predicted = np.concatenate([_of_neighbours(points, targets, first) for first in range(0, len(points), AT_A_TIME)])
    return r2(predicted, targets)


def _of_neighbours(points: Array, targets: Array, first: int) -> NDArray[np.float64]:
    """The mean targets of the neighbours of the points ``first`` to ``first + AT_A_TIME``."""
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    squares = (centred**2).sum(axis=1)
    some = slice(first, first + AT_A_TIME)
    distances = squares[some, None] + squares - 2 * centred[some] @ centred.T
    rows = np.arange(len(distances))
    distances[rows, first + rows] = np.inf
    rounding = 1e-12 * squares.max()
    farthest = np.partition(distances, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1]
    near = (distances <= farthest[:, None] + rounding).astype(np.float64)
    mean: NDArray[np.float64] = near @ targets.astype(np.float64) / near.sum(axis=1, keepdims=True)
    return mean


def flatness(points: Array) -> float:
    """Flatness F: the median share of the least axis in the variance of a point's neighbourhood, 0 to 1/3.

    ``points [B, 3]``, such as an embedding by UMAP. A neighbourhood is the `SHEET_POINTS` nearest points, copies of a
    point once. F is NaN where a point is not finite, and for fewer than `SHEET_LEAST` different points.
    """
    if not np.isfinite(points).all():
        return np.nan
    different = np.unique(points.astype(np.float64), axis=0)
    if len(different) < SHEET_LEAST:
        return np.nan
    near = (
        NearestNeighbors(n_neighbors=min(SHEET_POINTS, len(different)))
        .fit(different)
        .kneighbors(different, return_distance=False)
    )
    around = different[near] - different[near].mean(axis=1, keepdims=True)
    variances = np.linalg.eigvalsh(around.transpose(0, 2, 1) @ around).clip(min=0)
    return float(np.median(variances[:, 0] / variances.sum(axis=1)))


def r2(predicted: Array, targets: Array) -> NDArray[np.float64]:
    """R^2 of each column, ``[B, T], [B, T] -> [T]``. A constant target gives NaN."""
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    residual = ((targets - predicted) ** 2).sum(axis=0)
    return np.where(spread > 0, 1 - residual / np.where(spread > 0, spread, 1), np.nan)
