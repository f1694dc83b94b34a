"""How much neighbouring bumps overlap (Appendix B.5, Fig. 7b)."""

from __future__ import annotations

import torch

from bumplab.data.bumps import render


def overlap(distance: float, sigma: float, image_size: int) -> float:
    """``||sqrt(a * b)||_2 / ||a||_2`` of two inverted bumps ``distance`` pixels apart in x, the first one centred.

    On an unbounded, continuous canvas it is ``exp(-distance^2 / (16 sigma^2))``, 0 to 1; where pixels are coarse for
    the bump a little more (1.04 at sigma 0.3, 0.4 pixels apart), since it is divided by the norm of the first alone.
    """
    middle = (image_size + 1) / 2
    labels = torch.tensor([[middle, middle], [middle + distance, middle]], dtype=torch.float64)
    a, b = (255 - render(labels, image_size, sigma)).double()
    return float((a * b).clamp(min=0).sqrt().norm() / a.norm())
