"""The training objective (eq. 2) and what a network's prediction says of image and noise."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Prediction = Literal["epsilon", "v"]


def to_unit(images: Tensor) -> Tensor:
    """Grey values in [0, 255] -> network input in [-1, 1]."""
    return images / 127.5 - 1


def to_grey(samples: Tensor) -> Tensor:
    """Network output in [-1, 1] -> grey values in [0, 255]."""
    return (samples + 1) * 127.5


def diffuse(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """``x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise``; ``alpha_bar`` broadcasts over ``[B, 1, H, W]``."""
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def target(prediction: Prediction, x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What the network is to predict: epsilon, or ``v = sqrt(alpha_bar) epsilon - sqrt(1 - alpha_bar) x0``."""
    if prediction == "epsilon":
        return noise
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x0


def loss(prediction: Prediction, output: Tensor, x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Mean squared error against `target` (eq. 2): a scalar."""
    return F.mse_loss(output, target(prediction, x0, noise, alpha_bar))


def split(prediction: Prediction, output: Tensor, x_t: Tensor, alpha_bar: Tensor) -> tuple[Tensor, Tensor]:
    """The image (clipped to [-1, 1], NaN where it is not finite) and the noise that ``output`` implies for ``x_t``."""
    signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    x0 = (x_t - sigma * output) / signal if prediction == "epsilon" else signal * x_t - sigma * output
    x0 = x0.clamp(-1, 1) + 0 * x0  # NaN where it is infinite: clipped, it would pass for an image
    return x0, (x_t - signal * x0) / sigma
