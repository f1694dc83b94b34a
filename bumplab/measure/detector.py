"""Where bumps are: by a least-squares fit of true bumps, and by Algorithm 1 of the paper, for one bump alone."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

Image = NDArray[np.uint8]

MIN_CONTRAST = 0.35
"""Least depth of a bump, as a share of a true bump's depth."""
MIN_CORRELATION = 0.7
"""Least correlation of a bump's neighbourhood with a true bump.

Both limits were set on rendered bumps, blank images and noise, never on a model's samples. `tests/measure/` states the
accuracy that they reach."""
ROUNDS = 4
"""Gauss-Newton steps of a fit. More than three change the largest error on rendered bumps by less than 0.001."""
FARTHEST = 2.0
"""Pixels on an axis between a bump's centre and the pixel where its fit begins. They differ most at the border."""
AT_A_TIME = 512
"""Images or bumps that are worked on together, which bounds the memory."""


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

    Raises ValueError for another kind of image.
    """
    return len(find_bumps(image, sigma))


def find_bumps(image: Image, sigma: float = 1.0) -> NDArray[np.float64]:
    """The bumps of spread ``sigma`` (pixels) in a uint8 image ``[H, W]``: ``[K, 2]``, (x, y) in pixels as labels count.

    Raises ValueError for another kind of image. `find_all` says what a bump is.
    """
    require_grey(image)
    return find_all(image[None], sigma)[0]


def find_all(images: Image, sigma: float) -> list[NDArray[np.float64]]:
    """The bumps of spread ``sigma`` (pixels) in each of ``images [B, H, W]``, uint8: for each image ``[K, 2]``.

    A true bump plus a constant background is fitted by least squares around every pixel, and around every pixel of a
    border one pixel wide. The fit uses the pixels that lie on the canvas. A local maximum of the fitted depth is a bump
    where depth (`MIN_CONTRAST`) and correlation (`MIN_CORRELATION`) are high enough. From there the centre is fitted
    to a fraction of a pixel. Bumps closer than about two standard deviations
    count as one.

    On rendered bumps the largest error of a coordinate is 0.03 pixels, also at the border and beside a second bump.
    `tests/measure/test_detector.py` states it under grain and at low contrast. At a spread of 0.3 pixels, 5 % of the
    bumps are missed, because between two pixels they are shallow.
    """
    found: list[NDArray[np.float64]] = []
    for first in range(0, len(images), AT_A_TIME):
        dark = 1 - images[first : first + AT_A_TIME] / 255.0
        owners, starts = _candidates(dark, sigma)
        centres = _fit(dark[owners], starts, sigma)
        apart = _apart(owners, centres, np.sqrt(2) * sigma)
        owners, centres = owners[apart], centres[apart]
        found += [centres[owners == image] for image in range(len(dark))]
    return found


def _candidates(dark: NDArray[np.float64], sigma: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The local maxima of the fitted depth in ``dark [B, H, W]``: their images ``[K]`` and labels (x, y) ``[K, 2]``."""
    depth, correlation = _depth_and_correlation(dark, sigma)
    # A bump centred outside the canvas shows only its flank. Its depth is discounted, because it may be noise.
    outside = np.exp(-1 / (4 * sigma**2))
    for edge in (0, -1):
        depth[:, edge, :] *= outside
        depth[:, :, edge] *= outside
    score = np.where((depth >= MIN_CONTRAST) & (correlation >= MIN_CORRELATION), depth, 0).astype(np.float32)
    reach = max(1, round(2 * np.sqrt(2) * sigma))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    with_bumps = np.flatnonzero(score.any(axis=(1, 2)))
    score = score[with_bumps]
    owners, rows, columns = np.nonzero((score > 0) & (score >= maximum_filter(score, footprint=disc[None])))
    return with_bumps[owners], np.stack([columns, rows], axis=1).astype(np.float64)


def _depth_and_correlation(dark: NDArray[np.float64], sigma: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best bump centred at each pixel of the canvases ``[B, H, W]``, widened by one pixel: both ``[B, H+2, W+2]``.

    A true bump has depth 1 and correlation 1. A window and a bump are products of rows and columns. So the sum over
    a window is two products of matrices.
    """
    height, width = dark.shape[1:]
    rows, columns = _windows(height, sigma), _windows(width, sigma)

    def sum_of(values: NDArray[np.float64], bump: int) -> NDArray[np.float64]:
        """Sums over each window of ``values``, times the bump to the power ``bump``."""
        total: NDArray[np.float64] = rows[bump] @ values @ columns[bump].T
        return total

    ones = np.ones((height, width))
    pixels = sum_of(ones, 0)
    mean_bump, mean_dark = sum_of(ones, 1) / pixels, sum_of(dark, 0) / pixels
    var_bump = sum_of(ones, 2) / pixels - mean_bump**2
    var_dark = sum_of(dark**2, 0) / pixels - mean_dark**2
    covariance = sum_of(dark, 1) / pixels - mean_bump * mean_dark
    depth = covariance / np.maximum(var_bump, 1e-12)
    return depth, covariance / np.sqrt(np.maximum(var_bump * var_dark, 1e-12))


@lru_cache(maxsize=8)
def _windows(size: int, sigma: float) -> NDArray[np.float64]:
    """For each centre on an axis of ``size`` pixels, widened by one at both ends, what each pixel weighs.

    ``[3, size + 2, size]``: the window, the bump within it, and the bump's square.
    """
    distance = np.arange(size + 2)[:, None] - np.arange(1, size + 1)
    window = (np.abs(distance) <= _radius(sigma)).astype(np.float64)
    bump = window * np.exp(-(distance**2) / (4 * sigma**2))
    return np.stack([window, bump, bump**2])


def _radius(sigma: float) -> int:
    """Half the side of a window in pixels: 2.5 of the bump's standard deviations."""
    return max(2, round(2.5 * math.sqrt(2) * sigma))


def _fit(dark: NDArray[np.float64], starts: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Fits centre, depth and background of a bump to each of ``dark [K, H, W]`` in the window around its start.

    ``starts`` are ``[K, 2]``, as the returned centres, (x, y) in pixels as labels count. A centre stays within
    `FARTHEST` of its start on each axis.
    """
    if not len(dark):
        return starts
    height, width = dark.shape[1:]
    radius = _radius(sigma)
    offsets = np.arange(-radius, radius + 1)
    columns, rows = (starts[:, axis, None].astype(int) + offsets for axis in (0, 1))
    inside_x, inside_y = (columns >= 1) & (columns <= width), (rows >= 1) & (rows <= height)
    weights = (inside_y[:, :, None] & inside_x[:, None, :]).astype(np.float64)
    owners = np.arange(len(dark))[:, None, None]
    window = dark[owners, rows.clip(1, height)[:, :, None] - 1, columns.clip(1, width)[:, None, :] - 1]
    centres = starts.copy()
    for _ in range(ROUNDS):
        dx, dy = columns - centres[:, 0, None], rows - centres[:, 1, None]
        bump = np.exp(-(dy[:, :, None] ** 2 + dx[:, None, :] ** 2) / (4 * sigma**2)) * weights
        by_x, by_y = (part * bump / (2 * sigma**2) for part in (dx[:, None, :], dy[:, :, None]))
        columns_of_fit = np.stack([bump, weights, by_x, by_y], axis=3).reshape(len(dark), -1, 4)
        normal = columns_of_fit.transpose(0, 2, 1) @ columns_of_fit + 1e-9 * np.eye(4)
        right = columns_of_fit.transpose(0, 2, 1) @ (window * weights).reshape(len(dark), -1, 1)
        solution = np.linalg.solve(normal, right)[:, :, 0]
        # the model is linear in depth and background, so they are solved for, and the centre moves by slope / depth
        shift = solution[:, 2:] / np.maximum(solution[:, :1], MIN_CONTRAST / 4)
        centres = np.clip(centres + np.clip(shift, -0.5, 0.5), starts - FARTHEST, starts + FARTHEST)
    return centres


def _apart(owners: NDArray[np.intp], centres: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Which of the fits ``[K]`` lie at least ``least`` from all earlier ones in their image.

    A bump half-way between two pixels has two equal maxima, and both lead to the same fit.
    """
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    near = (distances < least) & (owners[:, None] == owners[None])
    is_apart: NDArray[np.bool_] = ~np.tril(near, k=-1).any(axis=1)
    return is_apart
