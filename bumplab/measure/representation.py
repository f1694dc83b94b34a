"""How a tap's activations represent position (Appendix B.2, B.3): the paper's UMAP, and measures without UMAP."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.manifold import trustworthiness
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from bumplab.measure.names import MEASURES
from bumplab.measure.numba_cache import require_umap

Array = NDArray[np.floating]

PCA_COMPONENTS = 10
FOLDS = 5
NEIGHBOURS = 10
GENERATED_LEAST = 11
"""Fewest known positions for an R^2 against the generated positions."""
UMAP_LEAST = 20
"""Fewest points that UMAP can lay out: each point needs 15 neighbours, and the spectral start needs some more."""
TWONN_LEAST = 10
"""Fewest points for an intrinsic dimension."""
TWONN_KEPT = 0.9
"""Share of the neighbour-distance ratios that TwoNN keeps; the largest are outliers (Facco et al. 2017)."""


@dataclass(frozen=True)
class Representation:
    """The measures of one tap, under the names in `MEASURES`, and its UMAP embedding ``[B, 3]``. Unknown is NaN."""

    measures: dict[str, float]
    embedding: NDArray[np.float32]


def represent(activations: Array, labels: Array, generated: Array, seed: int) -> Representation:
    """All measures of one tap.

    Args:
        activations: ``[B, D]``, one row for each image.
        labels: ``[B, 2]``, the asked positions in pixels. The R^2 measures of UMAP and PCA predict them (B.3).
        generated: ``[B, 2]``, the positions detected in the images, in pixels. A row with NaN is left out.
            The measure ``umap_r2_generated`` predicts them.
        seed: UMAP's seed.
    """
    if not np.isfinite(activations).all():  # the network broke down, or nothing was recorded
        return Representation(dict.fromkeys(MEASURES, np.nan), _no_embedding(len(labels)))
    embedding = umap_embedding(activations, seed)
    umap_r2 = generated_r2 = np.full(2, np.nan)
    if np.isfinite(embedding).all():
        umap_r2 = linear_r2(embedding, labels)
        known = np.isfinite(generated).all(axis=1)
        if known.sum() >= GENERATED_LEAST:
            generated_r2 = linear_r2(embedding[known], generated[known])
    measures = {
        **_mean_and_axes("umap_r2", umap_r2),
        "umap_r2_generated": float(generated_r2.mean()),
        **_mean_and_axes("pca_r2", pca_r2(activations, labels)),
        "dimension": intrinsic_dimension(activations),
        "neighbour_order": neighbour_order(activations, labels),
        "signal": signal(activations),
    }
    return Representation(measures, embedding)


def umap_embedding(activations: Array, seed: int) -> NDArray[np.float32]:
    """UMAP to three dimensions with the package's defaults (B.2): ``[B, D] -> [B, 3]``.

    Equal activations and seeds give equal coordinates on one machine. Machines differ. UMAP gets each distinct point
    once, because its seed does not fix the order of ties (umap#1277); copies of a point share its coordinates.
    Fewer than `UMAP_LEAST` distinct points give NaN.
    """
    points, point_of_row = distinct(activations)
    if len(points) < UMAP_LEAST:
        return _no_embedding(len(activations))
    umap = require_umap()  # imported here because the import compiles for seconds
    # hides "n_jobs overridden by random_state" and "spectral initialisation failed"
    with warnings.catch_warnings(action="ignore"):
        embedding = umap.UMAP(n_components=3, random_state=seed, n_jobs=1).fit_transform(points)
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

    Fit and R^2 use the same rows. A constant column gives NaN.
    """
    return _r2(LinearRegression().fit(features, targets).predict(features), targets)


def pca_r2(activations: Array, targets: Array) -> Array:
    """Cross-validated R^2 of ``targets [B, T]`` on the first `PCA_COMPONENTS` of ``activations [B, D]``: ``[T]``.

    At most 1, and below 0 where the components predict worse than the mean. A constant column gives NaN.
    """
    components = min(PCA_COMPONENTS, activations.shape[1], len(activations) * (FOLDS - 1) // FOLDS)
    model = make_pipeline(PCA(components, random_state=0), LinearRegression())
    return _r2(cross_val_predict(model, activations, targets, cv=KFold(FOLDS, shuffle=True, random_state=0)), targets)


def intrinsic_dimension(activations: Array) -> float:
    """The dimension of the points ``[B, D]`` by TwoNN (Facco et al. 2017), 0 or above.

    ``mu`` is the distance to the second neighbour divided by the distance to the first. In dimension d, the share of
    points above mu falls as ``mu^-d``. Copies of a point are one point. Fewer than `TWONN_LEAST` points give NaN.
    """
    points, _ = distinct(activations)
    if len(points) < TWONN_LEAST:
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


def neighbour_order(activations: Array, labels: Array) -> float:
    """Trustworthiness: how far neighbours in ``labels [B, 2]`` are neighbours in ``activations [B, D]``.

    0 to 1; chance gives 0.5. It looks at `NEIGHBOURS` neighbours, fewer where B is below 22.
    """
    return float(trustworthiness(activations, labels, n_neighbors=min(NEIGHBOURS, len(labels) // 2 - 1)))


def signal(activations: Array) -> float:
    """Share of a tap's power that differs between images, 0 to 1: mean variance over images / mean square.

    ``activations [B, D]``. A tap of zeros has signal 0.
    """
    power = float((activations.astype(np.float64) ** 2).mean())
    return float(activations.var(axis=0, dtype=np.float64).mean()) / power if power else 0.0


def _no_embedding(count: int) -> NDArray[np.float32]:
    return np.full((count, 3), np.nan, np.float32)


def _mean_and_axes(name: str, r2: Array) -> dict[str, float]:
    """The R^2 ``[2]`` of x and y as three named numbers: their mean, and each."""
    return {name: float(r2.mean()), f"{name}_x": float(r2[0]), f"{name}_y": float(r2[1])}


def _r2(predicted: Array, targets: Array) -> Array:
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    residual = ((targets - predicted) ** 2).sum(axis=0)
    return np.where(spread > 0, 1 - residual / np.where(spread > 0, spread, 1), np.nan)
