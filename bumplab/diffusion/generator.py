"""The two kinds of generator: joint, one network that draws the bump, and factorized, two whose product is the bump.

The factorized one is a control (Fig. 1a): a network that is told x alone draws a stripe at x, another that is told y
alone draws one at y, and nothing passes from one to the other.
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
    """Two UNets side by side: ``[B, 2, N, N]``, the first channel is told x alone and the second y alone."""

    def __init__(self, x: UNet, y: UNet):
        super().__init__()
        self.x, self.y = x, y

    def forward(
        self, x: Tensor, t: Tensor, labels: Tensor, record: Callable[[str, Tensor], None] | None = None
    ) -> Tensor:
        """As `UNet.forward`; ``record`` is given both networks' activations, one after the other in the channels."""
        taps: dict[str, list[Tensor]] = {tap: [] for tap in TAPS}
        own = None if record is None else lambda tap, activation: taps[tap].append(activation)
        unseen = torch.zeros_like(labels[:, 0])
        outputs = [
            self.x(x[:, :1], t, torch.stack([labels[:, 0], unseen], dim=1), own),
            self.y(x[:, 1:], t, torch.stack([unseen, labels[:, 1]], dim=1), own),
        ]
        if record is not None:
            for tap, activations in taps.items():
                record(tap, torch.cat(activations, dim=1))
        return torch.cat(outputs, dim=1)


def build(spec: RunSpec) -> UNet | FactorizedUNet:
    """The untrained network of a run, with weights from torch's global generator."""
    if spec.model.kind == "joint":
        return UNet(spec.model, spec.data.image_size)
    return FactorizedUNet(*(UNet(spec.model, spec.data.image_size) for _ in range(2)))


def channels(spec: RunSpec) -> int:
    """How many images the network draws at once for a label."""
    return 1 if spec.model.kind == "joint" else 2


def clean(spec: RunSpec, labels: Tensor) -> Tensor:
    """What the network learns to draw for ``labels [B, 2]``: ``[B, channels, N, N]`` in [-1, 1]."""
    size, sigma = spec.data.image_size, spec.data.sigma
    if spec.model.kind == "joint":
        return to_unit(render(labels, size, sigma)[:, None])
    return to_unit(render_factors(labels, size, sigma))


def compose(spec: RunSpec, samples: Tensor) -> Tensor:
    """The images that ``samples [B, channels, N, N]`` in [-1, 1] make: ``[B, N, N]``, grey in [0, 255]."""
    grey = to_grey(samples)
    return grey[:, 0] if spec.model.kind == "joint" else join_factors(grey)
