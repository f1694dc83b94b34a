"""Noise schedules: how much of the image remains at each timestep."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from bumplab.config import LINEAR_BETAS

COSINE_OFFSET = 0.008
"""The offset s of the cosine schedule (Nichol and Dhariwal 2021, Section 3.2)."""
MAX_BETA = 0.999
"""Largest beta of the cosine schedule: an image would vanish at a beta of 1."""


@lru_cache(maxsize=16)
def alphas_cumprod(schedule: Literal["linear", "cosine"], timesteps: int) -> Tensor:
    """``alpha_bar_t = prod(1 - beta_s, s <= t)`` for ``t = 0 .. timesteps - 1``: ``[timesteps]`` float64.

    It falls from near 1 to near 0, strictly between them. The linear schedule is that of Ho et al. (2020), the cosine
    schedule that of Nichol and Dhariwal (2021).
    """
    if schedule == "linear":
        betas = torch.linspace(*LINEAR_BETAS, timesteps, dtype=torch.float64)
    else:
        s = (torch.arange(timesteps + 1, dtype=torch.float64) / timesteps + COSINE_OFFSET) / (1 + COSINE_OFFSET)
        f = torch.cos(s * math.pi / 2) ** 2
        betas = (1 - f[1:] / f[:-1]).clamp(max=MAX_BETA)
    return torch.cumprod(1 - betas, dim=0)
