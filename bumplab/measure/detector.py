"""Where the bump is (Algorithm 1 of the paper), and how many bumps there are, which Algorithm 1 does not tell."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

MIN_CONTRAST = 0.35
"""Least depth of a bump, as a share of a true bump's depth."""
MIN_CORRELATION = 0.7
"""Least correlation of a bump's neighbourhood with a true bump.

Both limits were set on rendered bumps, blank images and noise, never on a model's samples. `tests/measure/` states the
accuracy that they reach."""


def require_grey(image: Image) -> None:
    """Raises ValueError unless ``image`` is a uint8 array [H, W] that is not empty."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2 or not image.size:
        given = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"image is {given}: must be a uint8 array [H, W], 0 dark to 255 white (see quantise)")


def quantise(images: NDArray[np.floating]) -> tuple[Image, NDArray[np.bool_]]:
    """Grey values ``[B, H, W]`` as uint8 images, rounded and clipped to 0..255, and which images were finite ``[B]``.

    An image that holds NaN or infinity becomes white. No detector finds a bump on white.
    """
    finite = np.isfinite(images).all(axis=(1, 2))
    values = np.where(finite[:, None, None], images, 255)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8), finite


def outlines(image: Image) -> list[NDArray[np.int32]]:
    """Outer contours of the dark objects that Algorithm 1 sees in a uint8 image ``[H, W]``.

    Each contour is ``[K, 1, 2]``: (x, y) in pixels, counted from 0. Raises ValueError for another kind of image.
    """
    require_grey(image)
    _, mask = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    return list(cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0])  # type: ignore[arg-type]


def predict_label(image: Image) -> tuple[float, float]:
    """Algorithm 1 (Appendix B.3): the bump's position (x, y) in a uint8 image ``[H, W]``, in pixels.

    The position is the centre of the bounding box where there is one contour. Else it is the centroid of the inverted
    image, and (NaN, NaN) for a white image. Raises ValueError for another kind of image.

    Labels put pixel centres at 1 .. N, and OpenCV counts pixels from 0. The centre ``x + w / 2`` of a box of OpenCV's
    lies 0.5 below the label, and a centroid lies 1 below it. Both are converted.
    """
    contours = outlines(image)
    if len(contours) == 1:
        x, y, w, h = cv2.boundingRect(contours[0])
        return x + w / 2 + 0.5, y + h / 2 + 0.5
    moments = cv2.moments(255 - image)
    if moments["m00"] == 0:
        return np.nan, np.nan
    return moments["m10"] / moments["m00"] + 1, moments["m01"] / moments["m00"] + 1


def count_bumps(image: Image, sigma: float = 1.0) -> int:
    """How many bumps of spread ``sigma`` (pixels) a uint8 image ``[H, W]`` shows: 0, 1, 2, ...

    A true bump plus a constant background is fitted by least squares around every pixel, and around every pixel of a
    border one pixel wide. The fit uses the pixels that lie on the canvas. A local maximum of the fitted depth is a bump
    where depth (`MIN_CONTRAST`) and correlation (`MIN_CORRELATION`) are high enough. Bumps closer than about two
    standard deviations count as one. Raises ValueError for another kind of image.
    """
    require_grey(image)
    depth, correlation = _fit(image, sigma)
    # A bump centred outside the canvas shows only its flank. Its depth is discounted, because it may be noise.
    outside = np.exp(-1 / (4 * sigma**2))
    for edge in (0, -1):
        depth[edge, :] *= outside
        depth[:, edge] *= outside
    deviation = np.sqrt(2) * sigma
    reach = max(1, round(2 * deviation))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    score = np.where((depth >= MIN_CONTRAST) & (correlation >= MIN_CORRELATION), depth, 0).astype(np.float32)
    peaks = (score > 0) & (score >= cv2.dilate(score, disc))
    # A bump half-way between two pixels has two equal maxima. Widened by a pixel, they join into one peak.
    return int(cv2.connectedComponents(cv2.dilate(peaks.astype(np.uint8), np.ones((3, 3), np.uint8)))[0]) - 1


def _fit(image: Image, sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The best bump centred at each pixel of the canvas widened by one pixel: its depth and its correlation.

    Both are ``[H + 2, W + 2]``. A true bump has depth 1 and correlation 1.
    """
    radius = max(2, round(2.5 * np.sqrt(2) * sigma))
    offsets = np.arange(-radius, radius + 1)
    bump = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (4 * sigma**2))
    box = np.ones_like(bump)
    dark = np.pad(1 - image / 255.0, 1)
    on_canvas = np.pad(np.ones(image.shape), 1)

    def window_sum(values: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
        return cv2.filter2D(values, cv2.CV_64F, kernel, borderType=cv2.BORDER_CONSTANT)  # type: ignore[return-value]

    pixels = window_sum(on_canvas, box)
    mean_bump, mean_dark = window_sum(on_canvas, bump) / pixels, window_sum(dark, box) / pixels
    var_bump = window_sum(on_canvas, bump**2) / pixels - mean_bump**2
    var_dark = window_sum(dark**2, box) / pixels - mean_dark**2
    covariance = window_sum(dark, bump) / pixels - mean_bump * mean_dark
    depth = covariance / np.maximum(var_bump, 1e-12)
    correlation = covariance / np.sqrt(np.maximum(var_bump * var_dark, 1e-12))
    return depth.astype(np.float32), correlation.astype(np.float32)
