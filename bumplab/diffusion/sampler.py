"""Samplers: they turn noise into images, step by step (DDPM of Ho et al. 2020; DDIM of Song et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bumplab.config import DiffusionSpec
from bumplab.diffusion.objective import split
from bumplab.diffusion.rng import Rng
from bumplab.diffusion.schedule import alphas_cumprod

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""A network with its labels bound: ``(x_t [B, C, H, W], t [B]) -> prediction [B, C, H, W]``."""


def sampling_timesteps(timesteps: int, steps: int) -> list[int]:
    """``steps`` evenly spaced timesteps, falling from ``timesteps - 1``: integers of 0 or above.

    1 <= ``steps`` <= ``timesteps``. The last one is about ``timesteps / steps - 1``, as "trailing" in diffusers.
    """
    return [round(t) for t in torch.linspace(timesteps - 1, timesteps / steps - 1, steps, dtype=torch.float64).tolist()]


def ddim_step(x0: Tensor, noise: Tensor, alpha_bar_next: Tensor) -> Tensor:
    """The deterministic step (DDIM, eta = 0) from image and noise to ``x`` at the next noise level."""
    return alpha_bar_next.sqrt() * x0 + (1 - alpha_bar_next).sqrt() * noise


def ancestral_step(x0: Tensor, x_t: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor, fresh: Tensor) -> Tensor:
    """A draw from the posterior ``q(x_next | x_t, x0)`` (Ho et al. 2020, eq. 6 and 7); ``fresh`` is standard normal."""
    beta = 1 - alpha_bar / alpha_bar_next
    mean = (
        alpha_bar_next.sqrt() * beta / (1 - alpha_bar) * x0
        + (1 - beta).sqrt() * (1 - alpha_bar_next) / (1 - alpha_bar) * x_t
    )
    variance = (1 - alpha_bar_next) / (1 - alpha_bar) * beta
    return mean + variance.sqrt() * fresh


@torch.inference_mode()
def sample(denoise: Denoiser, noise: Tensor, spec: DiffusionSpec, rng: Rng) -> Tensor:
    """Images drawn from ``noise [B, C, H, W]``: float32 of the same shape, in [-1, 1].

    A pixel is NaN where a prediction is not finite.

    The ancestral sampler takes fresh noise from ``rng``. DDIM does not use it.
    """
    steps = sampling_timesteps(spec.timesteps, spec.sampler_steps)
    levels = alphas_cumprod(spec.schedule, spec.timesteps).to(noise.device, torch.float32)
    one = torch.ones((), device=noise.device)
    x = noise
    for i, t in enumerate(steps):
        last = i + 1 == len(steps)
        level, level_next = levels[t], one if last else levels[steps[i + 1]]
        output = denoise(x, torch.full((len(x),), t, device=x.device))
        x0, predicted_noise = split(spec.prediction, output, x, level)
        if last:
            x = x0
        elif spec.sampler == "ddim":
            x = ddim_step(x0, predicted_noise, level_next)
        else:
            fresh = rng.normal(*x.shape)
            x = ancestral_step(x0, x, level, level_next, fresh)
    return x
