"""Accuracy of eq. 1 and the failure modes of Section 3, of a set of images with known labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bumplab.config import TOLERANCE
from bumplab.measure.detector import Image, count_bumps, predict_label
from bumplab.measure.names import SHARES


@dataclass(frozen=True)
class Detections:
    """What the detectors see in images ``[B, H, W]``: positions ``[B, 2]`` in label units and bump counts ``[B]``."""

    positions: NDArray[np.float64]
    counts: NDArray[np.int64]


def detect(images: Image, sigma: float) -> Detections:
    """Runs Algorithm 1 and the bump counter on uint8 images ``[B, H, W]``."""
    positions = np.array([predict_label(image) for image in images], dtype=np.float64).reshape(-1, 2)
    return Detections(positions, np.array([count_bumps(image, sigma) for image in images], dtype=np.int64))


def within_tolerance(positions: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """``|dx| < 1`` and ``|dy| < 1``, axis by axis: bool ``[B, 2]``. An unknown position (NaN) is never right.

    Raises ValueError where a label is not finite: no position would be right, and nobody would see why.
    """
    if not np.isfinite(labels).all():
        raise ValueError(f"labels hold {labels[~np.isfinite(labels)][0]}: must be finite numbers")
    return np.abs(positions - labels) < TOLERANCE


def failure_modes(found: Detections, labels: NDArray[np.float64]) -> NDArray[np.int64]:
    """The index into `MODES` of each image: ``[B]``."""
    right = within_tolerance(found.positions, labels).all(axis=1)
    return np.select([found.counts == 0, found.counts > 1, ~right], [0, 1, 2], default=3)


def accuracy(positions: NDArray[np.float64], labels: NDArray[np.float64]) -> dict[str, float]:
    """Shares in [0, 1] of right positions: ``accuracy`` (both axes, eq. 1), ``accuracy_x`` and ``accuracy_y``."""
    right = within_tolerance(positions, labels)
    of = (right.all(axis=1), right[:, 0], right[:, 1])
    return {name: float(share.mean()) for name, share in zip(SHARES, of, strict=True)}
