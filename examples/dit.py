"""A small diffusion transformer (DiT, Peebles and Xie 2023), trained as the paper's UNet is (level 1 of the guide).

    pytest claims --subject examples/dit.py:subject
    pytest claims --subject examples/dit.py:subject --subject-arg width=32

A token is a patch of 2 x 2 pixels. Time and label change the scale, shift and gate of each layer (adaLN-Zero). At quick
a step takes 20 ms. Half of the bumps are right after 400 to 450 steps. It leaves out the role of a bottleneck.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bumplab.diffusion.encoding import encode_condition
from bumplab.subjects.diffusion import Diffusion

PATCH, ENCODING = 2, 128  # the side of a patch in pixels, and the length of the encodings of time, x and y


class Block(nn.Module):
    """Attention and a feed-forward layer for tokens ``[B, T, width]``. An untrained block changes nothing."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = nn.MultiheadAttention(width, num_heads=4, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = nn.Linear(3 * ENCODING, 6 * width)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulation(condition)[:, None].chunk(6, dim=2)
        h = self.norm(tokens) * (1 + scale1) + shift1
        tokens = tokens + gate1 * self.attention(h, h, h, need_weights=False)[0]
        return tokens + gate2 * self.feed_forward(self.norm(tokens) * (1 + scale2) + shift2)


class Dit(nn.Module):
    """Predicts ``[B, 1, N, N]`` from noisy images ``[B, 1, N, N]``, timesteps ``[B]`` and labels ``[B, 2]``."""

    def __init__(self, image_size: int, width: int, depth: int):
        super().__init__()
        self.patches = nn.Conv2d(1, width, PATCH, stride=PATCH)
        self.positions = nn.Parameter(waves(image_size // PATCH, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(3 * ENCODING, 2 * width)
        self.head = nn.Linear(width, PATCH**2)
        for name, weight in self.named_parameters():
            if "modulation" in name or "head" in name:
                nn.init.zeros_(weight)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        condition = encode_condition(t, labels, ENCODING)
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            tokens = block(tokens, condition)
        scale, shift = self.modulation(condition)[:, None].chunk(2, dim=2)
        pixels = self.head(self.norm(tokens) * (1 + scale) + shift)
        return F.fold(pixels.transpose(1, 2), x.shape[2:], PATCH, stride=PATCH)


def waves(side: int, width: int) -> Tensor:
    """Sines and cosines of a token's row and column, ``[side^2, width]``: the position embedding before training.

    With small random numbers in their place, no bump was at the right place after 1,500 steps.
    """
    rows_and_columns = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    angles = rows_and_columns[:, :, None] * torch.arange(1, width // 4 + 1) * torch.pi / side
    return torch.cat([angles.sin(), angles.cos()], dim=1).flatten(1)


def subject(width: int = 64, depth: int = 2) -> Diffusion:
    """A subject of ``depth`` blocks, at least 2. ``width`` is a multiple of 4."""
    middle = depth // 2  # the later half of the blocks has yet to tell its tokens the label
    return Diffusion(
        lambda task: Dit(task.image_size, width, depth),
        taps={"layer4": f"blocks.{middle - 1}", "layer4-injected": f"blocks.{middle}", "encoder": "patches"},
        budget=lambda budget: replace(
            budget, steps=budget.steps * 6 // 5, every=budget.every * 6 // 5, learning_rate=1e-3
        ),
        about=f"a diffusion transformer of width {width} and depth {depth}",
    )
