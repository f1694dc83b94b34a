"""The two kinds of generator: joint and factorized.

A joint generator is one network that draws the bump. The factorized generator is a control of two networks (Fig. 1a).
One network gets x alone and draws a stripe at x. The other gets y alone and draws a stripe at y. The bump is the
product of the stripes. The networks exchange nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bumplab.config import RunSpec
from bumplab.data.bumps import join_factors, render, render_factors
from bumplab.diffusion.objective import to_grey, to_unit
from bumplab.diffusion.unet import TAPS, UNet


class FactorizedUNet(nn.Module):
    """Two UNets side by side: ``[B, 2, N, N] -> [B, 2, N, N]``. The first channel depends on x, the second on y."""

    def __init__(self, x: UNet, y: UNet):
        super().__init__()
        self.x, self.y = x, y

    def forward(
        self, x: Tensor, t: Tensor, labels: Tensor, record: Callable[[str, Tensor], None] | None = None
    ) -> Tensor:
        """As `UNet.forward`. ``record`` gets the activations of both networks, concatenated along the channels."""
        taps: dict[str, list[Tensor]] = {tap: [] for tap in TAPS}
        collect = None if record is None else lambda tap, activation: taps[tap].append(activation)
        hidden = torch.zeros_like(labels[:, 0])
        outputs = [
            self.x(x[:, :1], t, torch.stack([labels[:, 0], hidden], dim=1), collect),
            self.y(x[:, 1:], t, torch.stack([hidden, labels[:, 1]], dim=1), collect),
        ]
        if record is not None:
            for tap, activations in taps.items():
                record(tap, torch.cat(activations, dim=1))
        return torch.cat(outputs, dim=1)


def build(spec: RunSpec) -> UNet | FactorizedUNet:
    """The untrained network of a run. Its weights come from torch's global generator."""
    if spec.model.kind == "joint":
        return UNet(spec.model, spec.data.image_size)
    return FactorizedUNet(*(UNet(spec.model, spec.data.image_size) for _ in range(2)))


def channels(spec: RunSpec) -> int:
    """How many images the network draws for one label: the bump, or two stripes."""
    return 1 if spec.model.kind == "joint" else 2


def clean(spec: RunSpec, labels: Tensor) -> Tensor:
    """The images that the network learns to draw for ``labels [B, 2]``: ``[B, channels, N, N]`` in [-1, 1]."""
    size, sigma = spec.data.image_size, spec.data.sigma
    if spec.model.kind == "joint":
        return to_unit(render(labels, size, sigma)[:, None])
    return to_unit(render_factors(labels, size, sigma))


def compose(spec: RunSpec, samples: Tensor) -> Tensor:
    """The network's samples as images: ``[B, channels, N, N]`` in [-1, 1] -> ``[B, N, N]``, grey in [0, 255]."""
    grey = to_grey(samples)
    return grey[:, 0] if spec.model.kind == "joint" else join_factors(grey)
