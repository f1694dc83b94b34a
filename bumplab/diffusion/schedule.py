"""Noise schedules: how much of the image is left at each timestep."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from bumplab.config import LINEAR_BETAS

COSINE_OFFSET = 0.008
MAX_BETA = 0.999


@lru_cache(maxsize=16)
def alphas_cumprod(schedule: Literal["linear", "cosine"], timesteps: int) -> Tensor:
    """``prod(1 - beta_s, s <= t)`` for ``t = 0 .. T-1``: ``[T]`` float64, falling from near 1 to near 0.

    Linear betas 1e-4 .. 0.02 are those of Ho et al. (2020) at T = 1000; the cosine schedule is Nichol and
    Dhariwal's (2021).
    """
    if schedule == "linear":
        betas = torch.linspace(*LINEAR_BETAS, timesteps, dtype=torch.float64)
    else:
        s = (torch.arange(timesteps + 1, dtype=torch.float64) / timesteps + COSINE_OFFSET) / (1 + COSINE_OFFSET)
        f = torch.cos(s * math.pi / 2) ** 2
        betas = (1 - f[1:] / f[:-1]).clamp(max=MAX_BETA)
    return torch.cumprod(1 - betas, dim=0)
