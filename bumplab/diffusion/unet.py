"""The conditional UNet of the paper (Section 2, Appendix B.1, Fig. 6)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bumplab.config import ModelSpec
from bumplab.diffusion.encoding import encode_condition

TAPS = ("down3", "bottleneck", "up1-features", "up1")
"""Places whose activations can be recorded. "Layer 4" of the paper is the first up block: ``up1``
after the block has added its label injection, ``up1-features`` just before."""


class Norm(nn.GroupNorm):
    """GroupNorm, ``[B, C, H, W] -> [B, C, H, W]``.

    By way of a contiguous copy where a CPU is asked for groups of few channels on a large map: torch's channels-last
    kernel goes through such groups pixel by pixel, and takes three times as long as the other with both copies.
    On a GPU by its formula: a compiler takes torch's own apart in such a way that every convolution copies its input.
    """

    def forward(self, x: Tensor) -> Tensor:
        if _on_gpu(x):
            return self.formula(x)
        narrow = self.num_channels // self.num_groups < 8 and x.shape[2] * x.shape[3] >= 256
        if narrow:
            return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)
        return super().forward(x)

    def formula(self, x: Tensor) -> Tensor:
        """The same in operations that keep the channels last; sums in float32, the result in the precision of ``x``."""
        pixels = x.permute(0, 2, 3, 1)
        wide = pixels.float() if x.dtype == torch.bfloat16 else pixels
        grouped = wide.reshape(*wide.shape[:3], self.num_groups, -1)
        variance, mean = torch.var_mean(grouped, dim=(1, 2, 4), correction=0, keepdim=True)
        normal = ((grouped - mean) * torch.rsqrt(variance + self.eps)).flatten(3)
        shifted: Tensor = normal * self.weight + self.bias
        return shifted.to(x.dtype).permute(0, 3, 1, 2)


class DoubleConv(nn.Module):
    """conv3x3 - GroupNorm - GELU - conv3x3 - GroupNorm, ``[B, in, H, W] -> [B, out, H, W]``.

    A residual one adds its input and applies a last GELU (``in == out``).
    """

    def __init__(self, inputs: int, outputs: int, groups: int, *, hidden: int | None = None, residual: bool = False):
        super().__init__()
        hidden = hidden or outputs
        self.residual = residual
        # GroupNorm follows each convolution and has a shift of its own: a bias would be redundant.
        self.conv1 = nn.Conv2d(inputs, hidden, 3, padding=1, bias=False)
        self.norm1 = Norm(groups, hidden)
        self.conv2 = nn.Conv2d(hidden, outputs, 3, padding=1, bias=False)
        self.norm2 = Norm(groups, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.norm2(self.conv2(F.gelu(self.norm1(self.conv1(x)))))
        return F.gelu(x + h) if self.residual else h


class SelfAttention(nn.Module):
    """Self-attention over all pixels, then a feed-forward layer, both residual; shape is kept."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        pixels: Tensor = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)  # a view when channels-last
        q, k, v = self.qkv(self.norm(pixels)).view(batch, -1, 3, self.heads, channels // self.heads).unbind(2)
        attended = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        pixels = pixels + self.project(attended.transpose(1, 2).reshape(batch, -1, channels))
        pixels = pixels + self.feed_forward(pixels)
        return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``softmax(q k^T / sqrt(d)) v`` over ``[B, heads, L, d]``.

    By torch's fused kernel, whose backward is slow in bf16 on a CPU: there by plain products, and with many pixels one
    head at a time, so that its ``L x L`` scores stay in the cache.
    """
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v)
    if q.shape[2] <= 256:
        return _attend(q, k, v)
    heads = zip(*(part.flatten(0, 1).contiguous() for part in (q, k, v)), strict=True)
    return torch.stack([_attend(*head) for head in heads]).view(q.shape)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return torch.softmax(scores, -1, dtype=scores.dtype) @ v


class Block(nn.Module):
    """Two double convolutions (the first residual), then the condition added per channel."""

    def __init__(self, inputs: int, outputs: int, condition: int, groups: int, *, hidden: int | None = None):
        super().__init__()
        self.mix = DoubleConv(inputs, inputs, groups, residual=True)
        self.change = DoubleConv(inputs, outputs, groups, hidden=hidden)
        self.inject = nn.Sequential(nn.SiLU(), nn.Linear(condition, outputs))

    def features(self, x: Tensor) -> Tensor:
        """What the block makes of its input before it is told the condition: ``[B, out, H, W]``."""
        mixed: Tensor = self.change(self.mix(x))
        return mixed

    def injection(self, condition: Tensor) -> Tensor:
        """What the condition ``[B, C]`` adds to every pixel: ``[B, out, 1, 1]``."""
        added: Tensor = self.inject(condition)
        return added[:, :, None, None]

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.features(x) + self.injection(condition)


class UNet(nn.Module):
    """Three down blocks, a bottleneck of three double convolutions, three up blocks with skips.

    ``forward(x, t, labels)``: noisy images ``[B, 1, N, N]``, timesteps ``[B]`` in ``0..T-1`` and
    labels ``[B, 2]`` in pixels -> the network's prediction ``[B, 1, N, N]`` in float32. At width 64 the channels are
    64 - 128 - 256 - 256, bottleneck 512 - 512 - 256, then 128 - 64 - 64 (science: about 23 M parameters).
    """

    def __init__(self, spec: ModelSpec, image_size: int):
        super().__init__()
        w, groups = spec.width, spec.norm_groups
        condition = 3 * spec.encoding_dim

        def attend(channels: int, halvings: int) -> nn.Module:
            small = image_size // 2**halvings <= spec.attention_max_size
            return SelfAttention(channels, spec.attention_heads) if small else nn.Identity()

        self.encoding_dim = spec.encoding_dim
        self.stem = DoubleConv(1, w, groups)
        self.down1 = Block(w, 2 * w, condition, groups)
        self.down2 = Block(2 * w, 4 * w, condition, groups)
        self.down3 = Block(4 * w, 4 * w, condition, groups)
        self.attend_down1 = attend(2 * w, 1)
        self.attend_down2 = attend(4 * w, 2)
        self.attend_down3 = attend(4 * w, 3)
        self.bottleneck = nn.Sequential(
            DoubleConv(4 * w, 8 * w, groups), DoubleConv(8 * w, 8 * w, groups), DoubleConv(8 * w, 4 * w, groups)
        )
        self.up1 = Block(8 * w, 2 * w, condition, groups, hidden=4 * w)
        self.up2 = Block(4 * w, w, condition, groups, hidden=2 * w)
        self.up3 = Block(2 * w, w, condition, groups, hidden=w)
        self.attend_up1 = attend(2 * w, 2)
        self.attend_up2 = attend(w, 1)
        self.attend_up3 = attend(w, 0)
        self.head = nn.Conv2d(w, 1, 1)

    def forward(
        self, x: Tensor, t: Tensor, labels: Tensor, record: Callable[[str, Tensor], None] | None = None
    ) -> Tensor:
        """``record(tap, activation)`` is called at each of `TAPS` when given."""
        c = encode_condition(t, labels, self.encoding_dim)
        x1 = self.stem(x)
        x2 = self.attend_down1(self.down1(F.max_pool2d(x1, 2), c))
        x3 = self.attend_down2(self.down2(F.max_pool2d(x2, 2), c))
        down3 = self.down3(F.max_pool2d(x3, 2), c)
        bottleneck = self.bottleneck(self.attend_down3(down3))
        features = self.up1.features(_up(bottleneck, x3))
        up1 = features + self.up1.injection(c)
        if record is not None:
            for tap, activation in zip(TAPS, (down3, bottleneck, features, up1), strict=True):
                record(tap, activation)
        h = self.attend_up1(up1)
        h = self.attend_up2(self.up2(_up(h, x2), c))
        h = self.attend_up3(self.up3(_up(h, x1), c))
        return self.head(h).float()  # type: ignore[no-any-return]


def _up(x: Tensor, skip: Tensor) -> Tensor:
    if _on_gpu(x):
        doubled = double(double(x, 2), 3)
    else:
        doubled = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    return torch.cat([skip, doubled], dim=1)


def _on_gpu(x: Tensor) -> bool:
    return x.device.type != "cpu"


def double(x: Tensor, dim: int) -> Tensor:
    """Twice as many pixels along ``dim``, linearly in between, as `F.interpolate` makes them.

    Its gradient needs no atomic additions: faster on a GPU, and the same bits each time.
    """
    size = x.shape[dim]
    before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, size - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, size - 1), x.narrow(dim, size - 1, 1)], dim)
    return torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim + 1).flatten(dim, dim + 1)
