"""The yardstick: the same network and training step as anyone would first write them, an operator at a time.

Eager, float32, contiguous, one optimizer call for each tensor. The suite uses nothing of it; `tests/training` holds
the suite's own path to it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bumplab.config import RunSpec
from bumplab.diffusion.encoding import encode_condition


class PlainUNet:
    """`bumplab.diffusion.unet.UNet` (Appendix B.1) as one function of a dictionary of contiguous weights."""

    def __init__(self, weights: dict[str, Tensor], spec: RunSpec):
        self.weights = {
            name: value.detach().float().clone(memory_format=torch.contiguous_format).requires_grad_()
            for name, value in weights.items()
        }
        self.model = spec.model

    def parameters(self) -> list[Tensor]:
        return list(self.weights.values())

    def __call__(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Noisy images ``[B, 1, N, N]``, timesteps ``[B]`` and labels ``[B, 2]`` -> prediction ``[B, 1, N, N]``."""
        c = encode_condition(t, labels, self.model.encoding_dim)
        x1 = self.double("stem", x)
        x2 = self.attend("attend_down1", self.block("down1", F.max_pool2d(x1, 2), c))
        x3 = self.attend("attend_down2", self.block("down2", F.max_pool2d(x2, 2), c))
        h = self.attend("attend_down3", self.block("down3", F.max_pool2d(x3, 2), c))
        for k in range(3):
            h = self.double(f"bottleneck.{k}", h)
        for k, skip in ((1, x3), (2, x2), (3, x1)):
            h = F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False)
            h = self.attend(f"attend_up{k}", self.block(f"up{k}", torch.cat([skip, h], dim=1), c))
        return F.conv2d(h, self.weights["head.weight"], self.weights["head.bias"])

    def double(self, name: str, x: Tensor, residual: bool = False) -> Tensor:
        h = F.conv2d(x, self.weights[f"{name}.conv1.weight"], padding=1)
        h = F.gelu(self.norm(f"{name}.norm1", h))
        h = F.conv2d(h, self.weights[f"{name}.conv2.weight"], padding=1)
        h = self.norm(f"{name}.norm2", h)
        return F.gelu(x + h) if residual else h

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.group_norm(x, self.model.norm_groups, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def block(self, name: str, x: Tensor, c: Tensor) -> Tensor:
        h = self.double(f"{name}.change", self.double(f"{name}.mix", x, residual=True))
        return h + self.linear(f"{name}.inject.1", F.silu(c))[:, :, None, None]

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def attend(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.norm.weight" not in self.weights:
            return x
        batch, channels, height, width = x.shape
        pixels = x.flatten(2).transpose(1, 2)
        normed = self.layer_norm(f"{name}.norm", pixels)
        q, k, v = (
            part.view(batch, -1, self.model.attention_heads, channels // self.model.attention_heads).transpose(1, 2)
            for part in self.linear(f"{name}.qkv", normed).chunk(3, dim=2)
        )
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, -1, channels)
        pixels = pixels + self.linear(f"{name}.project", attended)
        h = self.linear(f"{name}.feed_forward.1", self.layer_norm(f"{name}.feed_forward.0", pixels))
        pixels = pixels + self.linear(f"{name}.feed_forward.3", F.gelu(h))
        return pixels.transpose(1, 2).reshape(batch, channels, height, width)

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])
