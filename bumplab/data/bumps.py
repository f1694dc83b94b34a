"""Images of one Gaussian bump, and the labels of a dataset (Section 2, Appendix B.5, C.2)."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bumplab.config import WHOLE_BUMP_MARGIN, DataSpec, RunSpec
from bumplab.randomness import derive


def render(labels: Tensor, image_size: int, sigma: float) -> Tensor:
    """Dark bumps on white (Section 2): ``v = 255 (1 - exp(-(x-mx)^2 / 4 sigma^2 - (y-my)^2 / 4 sigma^2))``.

    Args:
        labels: ``[B, 2]``, (x, y) in pixels; x is the column. Pixel centres lie at ``1 .. image_size``.
        image_size: side of the canvas in pixels.
        sigma: spread in pixels; the bump's standard deviation is ``sqrt(2) * sigma``.

    Returns:
        ``[B, image_size, image_size]`` float32 in [0, 255], on the device of the labels.

    Raises:
        ValueError: labels have another shape or (on a CPU) are not finite, or ``sigma`` is not above 0.
    """
    if labels.ndim != 2 or labels.shape[1] != 2:
        raise ValueError(f"labels of shape {tuple(labels.shape)}: must be [B, 2], a row (x, y) for each image")
    if not sigma > 0 or not math.isfinite(sigma):
        raise ValueError(f"sigma = {sigma}: must be above 0")
    if labels.device.type == "cpu" and not bool(torch.isfinite(labels).all()):  # a GPU would wait for this
        raise ValueError("labels hold NaN or infinity: every (x, y) must be finite")
    # The exponential of a sum is a product: an image needs 2 N exponentials, not N^2.
    x, y = (_profile(labels[:, axis], image_size, sigma) for axis in (0, 1))
    return 255 * (1 - y[:, :, None] * x[:, None, :])


def render_factors(labels: Tensor, image_size: int, sigma: float) -> Tensor:
    """The two stripes whose product is the bump (Fig. 1a): labels ``[B, 2]`` -> ``[B, 2, N, N]`` in [0, 255].

    The first stripe is dark along column x, and the second along row y. `join_factors` makes the bump of them.
    """
    x, y = (255 * (1 - _profile(labels[:, axis], image_size, sigma)) for axis in (0, 1))
    return torch.stack([x[:, None, :].expand(-1, image_size, -1), y[:, :, None].expand(-1, -1, image_size)], dim=1)


def join_factors(stripes: Tensor) -> Tensor:
    """Multiplies the darkness of two images: ``[B, 2, N, N] -> [B, N, N]``, grey values in [0, 255]."""
    return 255 - (255 - stripes[:, 0]) * (255 - stripes[:, 1]) / 255


def _profile(centres: Tensor, image_size: int, sigma: float) -> Tensor:
    """The darkness 0 to 1 at each pixel of an axis, for bumps at ``centres [B]``: ``[B, image_size]`` float32."""
    pixels = torch.arange(1, image_size + 1, device=centres.device, dtype=torch.float32)
    return torch.exp(-((pixels - centres.float()[:, None]) ** 2) / (4 * sigma**2))


def axis_labels(image_size: int, d: float) -> Tensor:
    """Labels along one axis, ``k * d`` for ``k = 0 .. ceil(image_size / d) - 1``: ``[K]`` float64, in pixels."""
    count = math.ceil(image_size / d - 1e-9)  # 32 / 0.1 must give 320 in spite of rounding
    return torch.arange(count, dtype=torch.float64) * d


def label_grid(image_size: int, dx: float, dy: float) -> Tensor:
    """All labels (x, y) at increments dx and dy (Section 2): ``[K, 2]`` float32 in ``[0, image_size)``, row by row.

    Raises ValueError where the increments or the canvas are not those of a `DataSpec`.
    """
    DataSpec(image_size=image_size, dx=dx, dy=dy)  # raises the error
    y, x = torch.meshgrid(axis_labels(image_size, dy), axis_labels(image_size, dx), indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], dim=1).float()


def in_hole(labels: Tensor, image_size: int, hole: float) -> Tensor:
    """Whether each label ``[K, 2]`` lies in the hole (Appendix C.2), half-open: bool ``[K]``."""
    low, high = hole_edges(image_size, hole)
    return ((labels >= low - 1e-6) & (labels < high - 1e-6)).all(dim=1)


def is_left_out(labels: Tensor, data: DataSpec) -> Tensor:
    """Whether each label ``[K, 2]`` lies in the half-open hole or stripe that training leaves out: bool ``[K]``."""
    inside = in_hole(labels, data.image_size, data.left_out)
    if data.stripe:
        middle = torch.full_like(labels[:, 1], data.image_size / 2)
        inside = in_hole(torch.stack([labels[:, 0], middle], dim=1), data.image_size, data.stripe)
    return inside


def training_labels(data: DataSpec, seed: int = 0) -> Tensor:
    """The labels that a run is trained on: ``[K, 2]`` in pixels.

    They are the grid without what is left out or, with cells, `cell_labels` in the run's permutation matrices. Only
    these depend on the run's seed.
    """
    if data.cells:
        return cell_labels(data)[torch.from_numpy(_matrix_of_cells(data.cells, seed).reshape(-1) < data.matrices)]
    labels = label_grid(data.image_size, data.dx, data.dy)
    return labels[~is_left_out(labels, data)] if data.left_out else labels


def cell_labels(data: DataSpec) -> Tensor:
    """The centres of all cells, on whole pixels around the middle of the canvas: ``[cells^2, 2]``, row by row."""
    axes = []
    for d in (data.dx, data.dy):
        first = math.floor((data.image_size + 1 - d * (data.cells - 1)) / 2)
        axes.append(first + d * torch.arange(data.cells, dtype=torch.float64))
    y, x = torch.meshgrid(axes[1], axes[0], indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], dim=1).float()


def _matrix_of_cells(cells: int, seed: int) -> NDArray[np.int64]:
    """The number of the permutation matrix that holds each cell: ``[cells, cells]``, a random Latin square.

    Its rows, columns and numbers are those of the cyclic square in a random order.
    """
    random = np.random.default_rng(derive(seed, "matrices"))
    rows, columns, numbers = (random.permutation(cells) for _ in range(3))
    return np.asarray(numbers[(rows[:, None] + columns) % cells])


def nearest_labels(known: Tensor, labels: Tensor) -> Tensor:
    """For each of ``labels [B, 2]``, the nearest of ``known [K, 2]``: ``[B, 2]``."""
    return known[torch.cdist(labels, known).argmin(dim=1)]


def draw_probe(spec: RunSpec, generator: torch.Generator) -> Tensor:
    """Labels drawn uniformly from the probe square (`MeasureSpec.probe_low`): ``[samples, 2]`` in pixels.

    They depend on the generator, the square and the hole alone. Labels in the hole are drawn again, and all others are
    those of a run without a hole. In a run with cells they are its cells, again and again.
    """
    if spec.data.cells:
        cells = cell_labels(spec.data)
        return cells[torch.arange(spec.measure.samples) % len(cells)]
    count, low, high = spec.measure.samples, spec.measure.probe_low, spec.measure.probe_high

    def draw(count: int) -> Tensor:
        return low + torch.rand(count, 2, generator=generator, dtype=torch.float32) * (high - low)

    labels = draw(count)
    while spec.data.left_out and bool((hidden := is_left_out(labels, spec.data)).any()):
        labels[hidden] = draw(int(hidden.sum()))
    return labels


def draw_in_hole(data: DataSpec, count: int, generator: torch.Generator, margin: float) -> Tensor:
    """Labels drawn uniformly in the hole or stripe, at least ``margin`` pixels from its edge: ``[count, 2]``.

    With the tolerance of eq. 1 as margin, a generator that copies the nearest training label is never right here.
    """
    low, high = hole_edges(data.image_size, data.left_out)
    lows, highs = torch.tensor([low + margin] * 2), torch.tensor([high - margin] * 2)
    if data.stripe:
        lows[1], highs[1] = 1 + WHOLE_BUMP_MARGIN, data.image_size - WHOLE_BUMP_MARGIN
    return lows + torch.rand(count, 2, generator=generator, dtype=torch.float32) * (highs - lows)


def hole_edges(image_size: int, hole: float) -> tuple[float, float]:
    """Where the hole, a centred square of side ``hole``, begins and ends on each axis (pixels)."""
    return (image_size - hole) / 2, (image_size + hole) / 2
