"""Positional encoding of timestep and label (Appendix B.1). It is continuous and has no weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal(values: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, of ``values [...]``: ``[..., dim]`` in [-1, 1]; ``dim`` is even.

    The ``dim / 2`` frequencies fall geometrically from 1 to 1e-4.
    """
    half = dim // 2
    frequencies = torch.exp(torch.arange(half, device=values.device) * (-math.log(10_000.0) / max(half - 1, 1)))
    angles = values.float()[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def encode_condition(t: Tensor, labels: Tensor, dim: int) -> Tensor:
    """The encodings of ``t [B]`` and of x and y in ``labels [B, 2]``, concatenated: ``[B, 3 * dim]`` (Fig. 6)."""
    return sinusoidal(torch.cat([t[:, None], labels], dim=1), dim).flatten(1)
