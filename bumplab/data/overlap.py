"""How much neighbouring bumps overlap (Appendix B.5, Fig. 7b)."""

from __future__ import annotations

import torch

from bumplab.data.bumps import render


def overlap(distance: float, sigma: float, image_size: int) -> float:
    """``||sqrt(a * b)||_2 / ||a||_2`` of two inverted bumps (Appendix B.5).

    The first bump ``a`` is centred on the canvas, and ``b`` lies ``distance`` pixels to its right. On an unbounded,
    continuous canvas the overlap is ``exp(-distance^2 / (16 sigma^2))``, 0 to 1. It can exceed 1 a little
    where pixels are coarse for the bump, because only the norm of ``a`` divides it. An example is 1.04 at sigma 0.3
    and 0.4 pixels.
    Raises ValueError where ``sigma`` is not above 0.
    """
    middle = (image_size + 1) / 2
    labels = torch.tensor([[middle, middle], [middle + distance, middle]], dtype=torch.float64)
    a, b = (255 - render(labels, image_size, sigma)).double()
    return float((a * b).clamp(min=0).sqrt().norm() / a.norm())
