"""Images of one Gaussian bump, and the labels of a dataset (Section 2, Appendix B.5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bumplab.config import OFF_GRID_MARGIN, DataSpec


def render(labels: Tensor, image_size: int, sigma: float) -> Tensor:
    """Dark bumps on white: ``v = 255 (1 - exp(-(x-mx)^2 / 4 sigma^2 - (y-my)^2 / 4 sigma^2))``.

    Args:
        labels: ``[B, 2]``, (x, y) in pixels; x is the column. Pixel centres lie at ``1 .. image_size``.
        image_size: side of the canvas in pixels.
        sigma: spread; the bump's standard deviation is ``sqrt(2) * sigma``.

    Returns:
        ``[B, image_size, image_size]`` float32 in [0, 255], on the device of the labels.

    Raises:
        ValueError: labels of another shape or not finite, or ``sigma`` not above 0.
    """
    if labels.ndim != 2 or labels.shape[1] != 2:
        raise ValueError(f"labels of shape {tuple(labels.shape)}: must be [B, 2], a row (x, y) for each image")
    if not sigma > 0 or not math.isfinite(sigma):
        raise ValueError(f"sigma = {sigma}: must be above 0")
    if labels.device.type == "cpu" and not bool(torch.isfinite(labels).all()):  # on a GPU this would stall the queue
        raise ValueError("labels hold NaN or infinity: every (x, y) must be finite")
    # exp of a sum is a product of exps: an image costs 2 N exponentials, not N^2
    x, y = (_profile(labels[:, axis], image_size, sigma) for axis in (0, 1))
    return 255 * (1 - y[:, :, None] * x[:, None, :])


def render_factors(labels: Tensor, image_size: int, sigma: float) -> Tensor:
    """The two stripes whose product is the bump (Fig. 1a): ``[B, 2, N, N]`` in [0, 255], dark at x, and dark at y.

    The darkness of `render` is the product of their darkness (`join_factors`).
    """
    x, y = (255 * (1 - _profile(labels[:, axis], image_size, sigma)) for axis in (0, 1))
    return torch.stack([x[:, None, :].expand(-1, image_size, -1), y[:, :, None].expand(-1, -1, image_size)], dim=1)


def join_factors(stripes: Tensor) -> Tensor:
    """The image whose darkness is the product of two images' darkness: ``[B, 2, N, N] -> [B, N, N]``, in [0, 255]."""
    return 255 - (255 - stripes[:, 0]) * (255 - stripes[:, 1]) / 255


def _profile(centres: Tensor, image_size: int, sigma: float) -> Tensor:
    pixels = torch.arange(1, image_size + 1, device=centres.device, dtype=torch.float32)
    return torch.exp(-((pixels - centres.float()[:, None]) ** 2) / (4 * sigma**2))


def axis_labels(image_size: int, d: float) -> Tensor:
    """``k * d`` for ``k = 0 .. ceil(image_size / d) - 1``, half-open: ``[K]`` float64."""
    count = math.ceil(image_size / d - 1e-9)  # 32 / 0.1 must give 320 whatever the rounding
    return torch.arange(count, dtype=torch.float64) * d


def label_grid(image_size: int, dx: float, dy: float) -> Tensor:
    """All labels (x, y) tiling the canvas at increments dx and dy: ``[K, 2]`` float32, y-major, in ``[0, N)``."""
    DataSpec(image_size=image_size, dx=dx, dy=dy)  # one clear error for bad input
    y, x = torch.meshgrid(axis_labels(image_size, dy), axis_labels(image_size, dx), indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1)], dim=1).float()


def in_hole(labels: Tensor, image_size: int, hole: float) -> Tensor:
    """Which labels ``[K, 2]`` lie in the centred half-open square of side ``hole`` (Appendix C.2): bool ``[K]``."""
    low, high = hole_edges(image_size, hole)
    return ((labels >= low - 1e-6) & (labels < high - 1e-6)).all(dim=1)


def training_labels(data: DataSpec) -> Tensor:
    """The labels a run is trained on: the grid without its hole, ``[K, 2]``."""
    labels = label_grid(data.image_size, data.dx, data.dy)
    return labels[~in_hole(labels, data.image_size, data.hole)] if data.hole else labels


def nearest_labels(known: Tensor, labels: Tensor) -> Tensor:
    """The nearest of ``known [K, 2]`` to each of ``labels [B, 2]``: ``[B, 2]``."""
    return known[torch.cdist(labels, known).argmin(dim=1)]


def draw_off_grid(data: DataSpec, count: int, generator: torch.Generator) -> Tensor:
    """Labels drawn uniformly where the bump is whole, between training labels and outside the hole: ``[count, 2]``.

    Each axis spans the part of ``[1 + margin, N - margin]`` that the training grid reaches: the half-open grid ends at
    ``N - d``, and beyond it a label would ask for extrapolation, the more so the larger the increment.
    """
    n = data.image_size
    low = 1 + OFF_GRID_MARGIN
    high = torch.tensor([min(n - OFF_GRID_MARGIN, float(axis_labels(n, d)[-1])) for d in (data.dx, data.dy)])
    high = high.clamp(min=low)
    kept = torch.empty(0, 2)
    while len(kept) < count:
        drawn = low + torch.rand(count, 2, generator=generator) * (high - low)
        kept = torch.cat([kept, drawn[~in_hole(drawn, n, data.hole)] if data.hole else drawn])
    return kept[:count]


def draw_in_hole(data: DataSpec, count: int, generator: torch.Generator, margin: float) -> Tensor:
    """Labels drawn uniformly inside the hole, at least ``margin`` from its edge: ``[count, 2]``.

    With the margin at the tolerance of eq. 1, a generator that copies the nearest training label scores zero here.
    """
    low, high = hole_edges(data.image_size, data.hole)
    return low + margin + torch.rand(count, 2, generator=generator) * (high - low - 2 * margin)


def hole_edges(image_size: int, hole: float) -> tuple[float, float]:
    """Where the centred square of side ``hole`` begins and ends along either axis, as labels, in pixels."""
    return (image_size - hole) / 2, (image_size + hole) / 2
