"""Samplers: from noise to images, step by step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bumplab.config import DiffusionSpec
from bumplab.diffusion.objective import split
from bumplab.diffusion.schedule import alphas_cumprod

Denoiser = Callable[[Tensor, Tensor, bool], Tensor]
"""``(x_t [B, C, H, W], t [B], is_last_step) -> prediction [B, C, H, W]``, with the labels already bound."""


def sampling_timesteps(timesteps: int, steps: int) -> list[int]:
    """``steps`` timesteps from T-1 down, evenly spaced; all of them when ``steps`` is T."""
    return [round(t) for t in torch.linspace(timesteps - 1, timesteps / steps - 1, steps, dtype=torch.float64).tolist()]


def ddim_step(x0: Tensor, noise: Tensor, alpha_bar_next: Tensor) -> Tensor:
    """The deterministic step (DDIM, eta = 0) to the next noise level."""
    return alpha_bar_next.sqrt() * x0 + (1 - alpha_bar_next).sqrt() * noise


def ancestral_step(x0: Tensor, x_t: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor, fresh: Tensor) -> Tensor:
    """A draw from the posterior ``q(x_{t-1} | x_t, x0)`` (DDPM, Ho et al. 2020, eq. 6 and 7), given noise ``fresh``."""
    beta = 1 - alpha_bar / alpha_bar_next
    mean = (
        alpha_bar_next.sqrt() * beta / (1 - alpha_bar) * x0
        + (1 - beta).sqrt() * (1 - alpha_bar_next) / (1 - alpha_bar) * x_t
    )
    variance = (1 - alpha_bar_next) / (1 - alpha_bar) * beta
    return mean + variance.sqrt() * fresh


@torch.inference_mode()
def sample(denoise: Denoiser, noise: Tensor, spec: DiffusionSpec, generator: torch.Generator) -> Tensor:
    """Images from ``noise [B, C, H, W]``: of the same shape, float32 in [-1, 1].

    ``generator`` supplies the fresh noise of the ancestral sampler; DDIM draws none.
    """
    steps = sampling_timesteps(spec.timesteps, spec.sampler_steps)
    levels = alphas_cumprod(spec.schedule, spec.timesteps).to(noise.device, torch.float32)
    one = torch.ones((), device=noise.device)
    x = noise
    for i, t in enumerate(steps):
        last = i + 1 == len(steps)
        level, level_next = levels[t], one if last else levels[steps[i + 1]]
        output = denoise(x, torch.full((len(x),), t, device=x.device), last)
        x0, predicted_noise = split(spec.prediction, output, x, level)
        if last:
            x = x0
        elif spec.sampler == "ddim":
            x = ddim_step(x0, predicted_noise, level_next)
        else:
            fresh = torch.randn(x.shape, device=x.device, generator=generator)
            x = ancestral_step(x0, x, level, level_next, fresh)
    return x
