"""The accuracy of eq. 1 and the failure modes of Section 3, for images with known labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bumplab.config import TOLERANCE
from bumplab.measure.detector import Image, count_bumps, predict_label
from bumplab.measure.names import SHARES


@dataclass(frozen=True)
class Detections:
    """What the two detectors find in images ``[B, H, W]``."""

    positions: NDArray[np.float64]
    """``[B, 2]``, (x, y) in pixels as labels count them, by Algorithm 1; NaN where unknown."""
    counts: NDArray[np.int64]
    """``[B]``, bumps in each image, by `count_bumps`."""


def detect(images: Image, sigma: float) -> Detections:
    """Runs Algorithm 1 and the bump counter on uint8 images ``[B, H, W]`` of bumps of spread ``sigma`` (pixels)."""
    positions = np.array([predict_label(image) for image in images], dtype=np.float64).reshape(-1, 2)
    return Detections(positions, np.array([count_bumps(image, sigma) for image in images], dtype=np.int64))


def within_tolerance(positions: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each coordinate is right (eq. 1), ``|dx| < 1`` and ``|dy| < 1``: ``[B, 2], [B, 2] -> [B, 2]``.

    An unknown position (NaN) is never right. Raises ValueError where a label is not finite.
    """
    if not np.isfinite(labels).all():  # else every position would be wrong, and nobody would see the reason
        raise ValueError(f"labels hold {labels[~np.isfinite(labels)][0]}: must be finite numbers")
    return np.abs(positions - labels) < TOLERANCE


def failure_modes(detections: Detections, labels: NDArray[np.float64]) -> NDArray[np.int64]:
    """The mode of each image, as an index into `MODES`: ``[B]``. Raises ValueError where a label is not finite."""
    right = within_tolerance(detections.positions, labels).all(axis=1)
    return np.select([detections.counts == 0, detections.counts > 1, ~right], [0, 1, 2], default=3)


def accuracy(positions: NDArray[np.float64], labels: NDArray[np.float64]) -> dict[str, float]:
    """Shares of right positions, 0 to 1: ``accuracy`` (both axes, eq. 1), ``accuracy_x`` and ``accuracy_y``.

    ``positions`` and ``labels`` are ``[B, 2]`` in pixels. Raises ValueError where a label is not finite.
    """
    right = within_tolerance(positions, labels)
    both_and_each = (right.all(axis=1), right[:, 0], right[:, 1])
    return {name: float(share.mean()) for name, share in zip(SHARES, both_and_each, strict=True)}
