"""The yardstick: the same network and training step as anyone would first write them, an operator at a time.

Eager, float32, contiguous, attention by its formula, an optimizer that goes through the tensors. The suite uses nothing
of it; `tests/diffusion/test_speed.py` holds the suite's own path to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bumplab.config import RunSpec
from bumplab.diffusion.encoding import encode_condition
from bumplab.diffusion.loop import TrainState
from bumplab.diffusion.objective import diffuse, loss, to_unit
from bumplab.diffusion.schedule import alphas_cumprod
from bumplab.diffusion.unet import ROLES
from bumplab.randomness import generator
from bumplab.subjects.diffusion import DiffusionLearner

TAPS = {role: f"taps.{role}" for role in ROLES}
"""The module of `PlainUNet` that gets the activation of each role."""


class PlainUNet(nn.Module):
    """`bumplab.diffusion.unet.UNet` (Appendix B.1) as a function of a copy of its weights.

    ``fused_attention`` uses torch's kernel in place of the formula.
    """

    def __init__(self, network: nn.Module, spec: RunSpec, *, fused_attention: bool = False):
        super().__init__()
        self.model, self.fused_attention = spec.model, fused_attention
        self.w = {
            name: nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
            for name, weight in network.named_parameters()
        }
        self.taps = nn.ModuleDict({role: nn.Identity() for role in ROLES})
        """Modules that get the activation of each role."""

    def parameters(self, recurse: bool = True) -> list[Tensor]:
        return list(self.w.values())

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        c = encode_condition(t, labels, self.model.encoding_dim)
        x1 = self.double("stem", x)
        x2 = self.attend("attend_down1", self.block("down1", F.max_pool2d(x1, 2), c))
        x3 = self.attend("attend_down2", self.block("down2", F.max_pool2d(x2, 2), c))
        down3 = self.block("down3", F.max_pool2d(x3, 2), c)
        bottleneck = self.attend("attend_down3", down3)
        for k in range(3):
            bottleneck = self.double(f"bottleneck.{k}", bottleneck)
        features = self.features("up1", self.up(bottleneck, x3))
        up1 = features + self.injection("up1", c)
        by_module = {"down3": down3, "bottleneck": bottleneck, "up1.change": features, "up1": up1}
        for role, module in ROLES.items():
            self.taps[role](by_module[module])
        h = self.attend("attend_up2", self.block("up2", self.up(self.attend("attend_up1", up1), x2), c))
        h = self.attend("attend_up3", self.block("up3", self.up(h, x1), c))
        return F.conv2d(h, self.w["head.weight"], self.w["head.bias"])

    def up(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([skip, F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)], dim=1)

    def double(self, name: str, x: Tensor, residual: bool = False) -> Tensor:
        h = F.conv2d(x, self.w[f"{name}.conv1.weight"], padding=1)
        h = F.gelu(self.norm(f"{name}.norm1", h))
        h = F.conv2d(h, self.w[f"{name}.conv2.weight"], padding=1)
        h = self.norm(f"{name}.norm2", h)
        return F.gelu(x + h) if residual else h

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.group_norm(x, self.model.norm_groups, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def features(self, name: str, x: Tensor) -> Tensor:
        return self.double(f"{name}.change", self.double(f"{name}.mix", x, residual=True))

    def injection(self, name: str, c: Tensor) -> Tensor:
        return self.linear(f"{name}.inject.1", F.silu(c))[:, :, None, None]

    def block(self, name: str, x: Tensor, c: Tensor) -> Tensor:
        return self.features(name, x) + self.injection(name, c)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def attend(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.norm.weight" not in self.w:
            return x
        batch, channels, height, width = x.shape
        heads = self.model.attention_heads
        pixels = x.flatten(2).transpose(1, 2)
        q, k, v = (
            part.view(batch, -1, heads, channels // heads).transpose(1, 2)
            for part in self.linear(f"{name}.qkv", self.layer_norm(f"{name}.norm", pixels)).chunk(3, dim=2)
        )
        if self.fused_attention:
            attended = F.scaled_dot_product_attention(q, k, v)
        else:
            attended = torch.softmax(q @ k.transpose(2, 3) / (channels // heads) ** 0.5, dim=-1) @ v
        pixels = pixels + self.linear(f"{name}.project", attended.transpose(1, 2).reshape(batch, -1, channels))
        h = self.linear(f"{name}.feed_forward.1", self.layer_norm(f"{name}.feed_forward.0", pixels))
        pixels = pixels + self.linear(f"{name}.feed_forward.3", F.gelu(h))
        return pixels.transpose(1, 2).reshape(batch, channels, height, width)


def plain_learner(state: TrainState, network: PlainUNet, spec: RunSpec) -> DiffusionLearner:
    """Draws as the suite does, with the plain network."""
    return DiffusionLearner(replace(state, averaged=network), spec.data.image_size, TAPS)


class Batch(NamedTuple):
    """The random draws of a step: indices of training labels ``[B]``, timesteps ``[B]``, noise ``[B, 1, N, N]``."""

    chosen: Tensor
    t: Tensor
    noise: Tensor


def draw_batch(spec: RunSpec, step: int, labels: int, device: str) -> Batch:
    """The batch of this step, drawn from ``labels`` training labels, as the suite draws it."""
    random = generator(spec.seed, "batch", step, device)
    batch, size = spec.training.batch_size, spec.data.image_size
    return Batch(
        torch.randint(labels, (batch,), device=device, generator=random),
        torch.randint(spec.diffusion.timesteps, (batch,), device=device, generator=random),
        torch.randn(batch, 1, size, size, device=device, generator=random),
    )


class PlainTraining:
    """The run of a fast state, trained plainly from the same weights on the same batches."""

    def __init__(self, state: TrainState, spec: RunSpec, **choices: bool):
        self.step, self.spec, self.data, self.device = state.step, spec, state.data, state.device
        self.levels = alphas_cumprod(spec.diffusion.schedule, spec.diffusion.timesteps).float().to(state.device)
        self.network = PlainUNet(state.network, spec, **choices)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=spec.training.learning_rate,
            weight_decay=spec.training.weight_decay,
            foreach=False,
        )

    def train(self, until: int) -> list[float]:
        """Trains to step ``until`` and returns the loss of each step."""
        losses = []
        while self.step < until:
            batch = draw_batch(self.spec, self.step, len(self.data.labels), self.device)
            alpha_bar = self.levels[batch.t][:, None, None, None]
            x0 = to_unit(self.data.images(batch.chosen)[:, None])
            output = self.network(diffuse(x0, batch.noise, alpha_bar), batch.t, self.data.labels[batch.chosen])
            value = loss(self.spec.diffusion.prediction, output, x0, batch.noise, alpha_bar)
            self.optimizer.zero_grad()
            value.backward()
            self.optimizer.step()
            losses.append(value.item())
            self.step += 1
        return losses
