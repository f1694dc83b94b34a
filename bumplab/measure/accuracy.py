"""Where bumps were drawn against where they were asked for: failure modes (Section 3), errors, and eq. 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bumplab.config import TOLERANCE
from bumplab.measure.detector import Image, find_all, predict_label
from bumplab.measure.names import MODES, SHARES


@dataclass(frozen=True)
class Detections:
    """The bumps that were fitted in images ``[B, H, W]`` (`bumplab.measure.detector.find_all`)."""

    positions: NDArray[np.float64]
    """``[B, 2]``, (x, y) in pixels as labels count them. NaN unless the image shows exactly one bump."""
    counts: NDArray[np.int64]
    """``[B]``, bumps in each image."""


def detect(images: Image, sigma: float) -> Detections:
    """Fits bumps of spread ``sigma`` (pixels) in uint8 images ``[B, H, W]``."""
    bumps = find_all(images, sigma)
    positions = [image[0] if len(image) == 1 else (np.nan, np.nan) for image in bumps]
    counts = [len(image) for image in bumps]
    return Detections(np.array(positions, np.float64).reshape(-1, 2), np.array(counts, np.int64))


def positions_of_eq_1(images: Image) -> NDArray[np.float64]:
    """The position (x, y) that Algorithm 1 gives each of the uint8 ``images [B, H, W]``: ``[B, 2]``, NaN if unknown."""
    return np.array([predict_label(image) for image in images], dtype=np.float64).reshape(-1, 2)


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


def placement(detections: Detections, labels: NDArray[np.float64]) -> dict[str, float]:
    """Where bumps lie in images asked for ``labels [B, 2]``, under the names in `bumplab.measure.names.PLACEMENT`.

    The modes, ``correct_x`` and ``correct_y`` are shares of all images. The errors are medians in pixels over the
    images with exactly one bump, and NaN without such an image. Raises ValueError where a label is not finite.
    """
    modes, right = failure_modes(detections, labels), within_tolerance(detections.positions, labels)
    shares = {mode: float((modes == number).mean()) for number, mode in enumerate(MODES)}
    shares |= {"correct_x": float(right[:, 0].mean()), "correct_y": float(right[:, 1].mean())}
    shifts = np.abs(detections.positions - labels)[detections.counts == 1]
    errors = {"error": np.hypot(*shifts.T), "error_x": shifts[:, 0], "error_y": shifts[:, 1]}
    return shares | {name: float(np.median(error)) if len(error) else math.nan for name, error in errors.items()}


def accuracy(positions: NDArray[np.float64], labels: NDArray[np.float64]) -> dict[str, float]:
    """Shares of right positions, 0 to 1: ``accuracy`` (both axes, eq. 1), ``accuracy_x`` and ``accuracy_y``.

    ``positions`` and ``labels`` are ``[B, 2]`` in pixels. Raises ValueError where a label is not finite.
    """
    right = within_tolerance(positions, labels)
    both_and_each = (right.all(axis=1), right[:, 0], right[:, 1])
    return {name: float(share.mean()) for name, share in zip(SHARES, both_and_each, strict=True)}
