"""How a tap's activations represent position (Appendix B.2, B.3): UMAP as in the paper, and measures free of it."""

from __future__ import annotations

import warnings

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
UMAP_LEAST = 20
"""Fewest points that UMAP can lay out: each needs 15 neighbours, and its spectral start some more."""
TWONN_LEAST = 10
TWONN_KEPT = 0.9
"""Share of the neighbour-distance ratios that TwoNN keeps; the largest are outliers (Facco et al. 2017)."""


def umap_embedding(activations: Array, seed: int) -> NDArray[np.float32]:
    """UMAP to three dimensions with the package's defaults: ``[B, D] -> [B, 3]``.

    Equal inputs and seed give equal coordinates on one system; across systems they differ. Copies of a point share its
    coordinates: UMAP sees each once, as its seed does not fix the order of ties (umap#1277). NaN for fewer than
    `UMAP_LEAST` points.
    """
    points, of_row = distinct(activations)
    if len(points) < UMAP_LEAST:
        return np.full((len(activations), 3), np.nan, np.float32)
    umap = require_umap()  # its import compiles for seconds: only who needs it pays
    # "n_jobs overridden by random_state", "spectral initialisation failed"
    with warnings.catch_warnings(action="ignore"):
        embedding = umap.UMAP(n_components=3, random_state=seed, n_jobs=1).fit_transform(points)
    return np.asarray(embedding, np.float32)[of_row]


def distinct(activations: Array) -> tuple[Array, NDArray[np.intp]]:
    """The points of ``[B, D]`` without copies, and which of them each row is ``[B]``. Without copies, nothing moves."""
    points, of_row = np.unique(activations, axis=0, return_inverse=True)
    if len(points) == len(activations):
        return activations, np.arange(len(activations))
    return points, of_row.reshape(-1)


def linear_r2(features: Array, targets: Array) -> Array:
    """R^2 of a linear regression of each column of ``targets [B, T]`` on ``features [B, F]``, in sample: ``[T]``."""
    return _r2(LinearRegression().fit(features, targets).predict(features), targets)


def pca_r2(activations: Array, targets: Array) -> Array:
    """R^2 of position on the first principal components, cross-validated: ``[T]``, at most 1, below 0 if useless."""
    components = min(PCA_COMPONENTS, activations.shape[1], len(activations) * (FOLDS - 1) // FOLDS)
    model = make_pipeline(PCA(components, random_state=0), LinearRegression())
    return _r2(cross_val_predict(model, activations, targets, cv=KFold(FOLDS, shuffle=True, random_state=0)), targets)


def intrinsic_dimension(activations: Array) -> float:
    """TwoNN (Facco et al. 2017): the dimension d for which ratios of second to first neighbour follow ``mu^-d``.

    Copies of a point are one point. NaN for fewer than `TWONN_LEAST` points.
    """
    points, _ = distinct(activations)
    if len(points) < TWONN_LEAST:
        return float("nan")
    distances = NearestNeighbors(n_neighbors=3).fit(points).kneighbors()[0][:, :2]
    distances = distances[distances[:, 0] > 0]  # points too close for the arithmetic
    if len(distances) < TWONN_LEAST:
        return float("nan")
    ratio = np.sort(distances[:, 1] / distances[:, 0])
    kept = int(TWONN_KEPT * len(ratio))
    log_ratio = np.log(ratio[:kept])
    log_survival = -np.log(1 - np.arange(1, kept + 1) / len(ratio))
    square = float(log_ratio @ log_ratio)
    return float(log_ratio @ log_survival) / square if square else float("nan")


def neighbour_order(activations: Array, labels: Array) -> float:
    """How far neighbours among the labels are neighbours among the activations (trustworthiness): 0.5 chance, 1 all."""
    return float(trustworthiness(activations, labels, n_neighbors=min(NEIGHBOURS, len(labels) // 2 - 1)))


def signal(activations: Array) -> float:
    """The share of a tap's power that differs between images, 0 to 1: variance over images / mean square."""
    power = float((activations.astype(np.float64) ** 2).mean())
    return float(activations.var(axis=0, dtype=np.float64).mean()) / power if power else 0.0


def represent(activations: Array, labels: Array, generated: Array, seed: int) -> tuple[dict[str, float], Array]:
    """All measures of one tap's activations ``[B, D]`` and its UMAP embedding ``[B, 3]``.

    R^2 is against the asked position (``labels [B, 2]``, as in the paper) and, as ``*_generated``, against the
    position found in the image (``generated [B, 2]``; unknown ones are left out).
    """
    if not np.isfinite(activations).all():  # a network that broke down: every measure is unknown
        return dict.fromkeys(MEASURES, float("nan")), np.full((len(labels), 3), np.nan, np.float32)
    embedding = umap_embedding(activations, seed)
    laid_out = bool(np.isfinite(embedding).all())
    umap = linear_r2(embedding, labels) if laid_out else np.full(2, np.nan)
    pca = pca_r2(activations, labels)
    known = np.isfinite(generated).all(axis=1)
    enough = laid_out and known.sum() > 10
    drawn = linear_r2(embedding[known], generated[known]) if enough else np.full(2, np.nan)
    values = (
        *(float(umap.mean()), float(umap[0]), float(umap[1]), float(drawn.mean())),
        *(float(pca.mean()), float(pca[0]), float(pca[1])),
        *(intrinsic_dimension(activations), neighbour_order(activations, labels), signal(activations)),
    )
    return dict(zip(MEASURES, values, strict=True)), embedding


def _r2(predicted: Array, targets: Array) -> Array:
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    residual = ((targets - predicted) ** 2).sum(axis=0)
    return np.where(spread > 0, 1 - residual / np.where(spread > 0, spread, 1), np.nan)
