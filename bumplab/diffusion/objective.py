"""The training objective (eq. 2), and the image and noise that a network's prediction implies."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Prediction = Literal["epsilon", "v"]


def to_unit(images: Tensor) -> Tensor:
    """Grey values in [0, 255] -> network values in [-1, 1]; any shape."""
    return images / 127.5 - 1


def to_grey(samples: Tensor) -> Tensor:
    """Network values in [-1, 1] -> grey values in [0, 255]; any shape."""
    return (samples + 1) * 127.5


def diffuse(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noisy image ``x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise`` (Ho et al. 2020, eq. 4).

    ``x0`` and ``noise`` are ``[B, C, H, W]``. ``alpha_bar`` in [0, 1] broadcasts over them, here and below.
    """
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def target(prediction: Prediction, x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What the network learns to predict: the noise, or ``v = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x0``.

    Predicting v is due to Salimans and Ho (2022).
    """
    if prediction == "epsilon":
        return noise
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x0


def loss(prediction: Prediction, output: Tensor, x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Mean squared error of ``output`` against `target` (eq. 2), over all images and pixels: a scalar."""
    return F.mse_loss(output, target(prediction, x0, noise, alpha_bar))


def split(prediction: Prediction, output: Tensor, x_t: Tensor, alpha_bar: Tensor) -> tuple[Tensor, Tensor]:
    """The image and the noise that the prediction ``output`` implies for ``x_t``, both of the shape of ``x_t``.

    The image is clipped to [-1, 1]. It is NaN where the prediction is not finite.
    """
    signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    x0 = (x_t - sigma * output) / signal if prediction == "epsilon" else signal * x_t - sigma * output
    x0 = x0.clamp(-1, 1) + 0 * x0  # infinity becomes NaN: clipped, it would look like an image
    return x0, (x_t - signal * x0) / sigma
