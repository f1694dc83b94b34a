"""Positional encoding of the condition (Appendix B.1): continuous, with nothing to train."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sinusoidal(values: Tensor, dim: int) -> Tensor:
    """Sines, then cosines, of ``values [...]`` at ``dim / 2`` geometric frequencies from 1 to 1e-4: ``[..., dim]``."""
    half = dim // 2
    frequencies = torch.exp(torch.arange(half, device=values.device) * (-math.log(10_000.0) / max(half - 1, 1)))
    angles = values.float()[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def encode_condition(t: Tensor, labels: Tensor, dim: int) -> Tensor:
    """Concatenated encodings, each ``dim`` long, of timestep, x and y: ``[B], [B, 2] -> [B, 3 * dim]``."""
    return sinusoidal(torch.cat([t[:, None], labels], dim=1), dim).flatten(1)
