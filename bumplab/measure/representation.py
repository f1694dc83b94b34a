"""Measures of the paper's on the activations of one role (Appendix B.2, B.3): UMAP, PCA, dimension and signal."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from bumplab.measure.numba_cache import require_umap
from bumplab.measure.order import r2

Array = NDArray[np.floating]

PCA_COMPONENTS = 10
FOLDS = 5
UMAP_LEAST = 20
"""Fewest points that UMAP can lay out: each point needs 15 neighbours, and the spectral start needs some more."""
UMAP_EPOCHS = 100
"""Epochs of an embedding. The default of 500 takes 4 times as long, and shows no more. With 100, 200 and 500 epochs a
sheet's flatness is 0.004, 0.003 and 0.002, under noise of 4 neighbour spacings 0.008, 0.006 and 0.005, and noise has
0.17 to 0.18. Order agrees to 0.01, and R^2 within its spread over UMAP's seeds."""
UMAP_EXACT = 4_096
"""With fewer points UMAP computes the distances of all pairs, one by one in Python: a third of an embedding's time."""
TWONN_LEAST = 10
"""Fewest points for an intrinsic dimension."""
TWONN_KEPT = 0.9
"""Share of the neighbour-distance ratios that TwoNN keeps; the largest are outliers (Facco et al. 2017)."""


def umap_embedding(activations: Array, seed: int) -> NDArray[np.float32]:
    """UMAP to three dimensions (B.2), with the package's defaults but for `UMAP_EPOCHS`: ``[B, D] -> [B, 3]``.

    Equal activations and seeds give equal coordinates on one machine. Machines differ. UMAP gets each distinct point
    once, because its seed does not fix the order of ties (umap#1277); copies of a point share its coordinates.
    Fewer than `UMAP_LEAST` distinct points, and a point that is not finite, give NaN.
    """
    points, point_of_row = distinct(activations)
    if len(points) < UMAP_LEAST or not np.isfinite(points).all():
        return np.full((len(activations), 3), np.nan, np.float32)
    umap = require_umap()  # imported here because the import compiles for seconds
    # hides "n_jobs overridden by random_state" and "spectral initialisation failed"
    with warnings.catch_warnings(action="ignore"):
        settings = {"n_components": 3, "n_epochs": UMAP_EPOCHS, "random_state": seed, "n_jobs": 1}
        if len(points) < UMAP_EXACT:
            embedding = umap.UMAP(**settings, metric="precomputed").fit_transform(pairwise_distances(points))
        else:
            embedding = umap.UMAP(**settings).fit_transform(points)
    return np.asarray(embedding, np.float32)[point_of_row]


def distinct(activations: Array) -> tuple[Array, NDArray[np.intp]]:
    """The distinct points ``[P, D]`` of ``activations [B, D]``, and the index ``[B]`` of each row's point.

    Where all rows differ, their order is kept.
    """
    points, point_of_row = np.unique(activations, axis=0, return_inverse=True)
    if len(points) == len(activations):
        return activations, np.arange(len(activations))
    return points, point_of_row.reshape(-1)


def linear_r2(features: Array, targets: Array) -> Array:
    """R^2 of a linear regression of each column of ``targets [B, T]`` on ``features [B, F]`` (B.3): ``[T]``.

    Fit and R^2 use the same rows. A constant column gives NaN, and so do features that are not finite.
    """
    if not np.isfinite(features).all():
        return np.full(targets.shape[1], np.nan)
    return r2(LinearRegression().fit(features, targets).predict(features), targets)


def pca_r2(activations: Array, labels: Array) -> float:
    """Cross-validated R^2 of ``labels [B, 2]`` on `PCA_COMPONENTS` of ``activations [B, D]``, mean of x and y.

    Images of one label stay in one fold. Otherwise 16 labels at random points would read 0.64. At most 1, and below 0
    where the components predict worse than the mean. NaN for fewer than `FOLDS` labels, for a constant coordinate, and
    for activations that are not finite.
    """
    _, groups = np.unique(labels, axis=0, return_inverse=True)
    if groups.max(initial=0) + 1 < FOLDS or not np.isfinite(activations).all():
        return np.nan
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=0).split(activations, labels, groups.reshape(-1)))
    components = min(PCA_COMPONENTS, activations.shape[1], min(len(train) for train, _ in folds))
    model = make_pipeline(PCA(components, random_state=0), LinearRegression())
    return float(r2(cross_val_predict(model, activations, labels, cv=folds), labels).mean())


def intrinsic_dimension(activations: Array) -> float:
    """The dimension of the points ``[B, D]`` by TwoNN (Facco et al. 2017), 0 or above.

    ``mu`` is the distance to the second neighbour divided by the distance to the first. In dimension d, the share of
    points above mu falls as ``mu^-d``. Copies of a point are one point. Fewer than `TWONN_LEAST` points give NaN, and
    so do points that are not finite.
    """
    points, _ = distinct(activations)
    if len(points) < TWONN_LEAST or not np.isfinite(points).all():
        return np.nan
    distances = NearestNeighbors(n_neighbors=3).fit(points).kneighbors()[0][:, :2]
    distances = distances[distances[:, 0] > 0]  # a tiny distance rounds to 0
    if len(distances) < TWONN_LEAST:
        return np.nan
    ratio = np.sort(distances[:, 1] / distances[:, 0])
    kept = int(TWONN_KEPT * len(ratio))
    log_ratio = np.log(ratio[:kept])
    log_survival = -np.log(1 - np.arange(1, kept + 1) / len(ratio))
    square = float(log_ratio @ log_ratio)
    return float(log_ratio @ log_survival) / square if square else np.nan


def signal(activations: Array) -> float:
    """Share of a tap's power that differs between images, 0 to 1: mean variance over images / mean square.

    ``activations [B, D]``. A tap of zeros has signal 0. NaN for activations that are not finite.
    """
    if not np.isfinite(activations).all():
        return np.nan
    power = float((activations.astype(np.float64) ** 2).mean())
    return float(activations.var(axis=0, dtype=np.float64).mean()) / power if power else 0.0
