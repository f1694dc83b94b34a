"""The conditional UNet of the paper (Section 2, Appendix B.1, Fig. 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bumplab.config import ModelSpec, Role
from bumplab.diffusion.encoding import encode_condition

ROLES: dict[Role, str] = {
    "layer4": "up1.change",
    "layer4-injected": "up1",
    "encoder": "down3",
    "bottleneck": "bottleneck",
}
"""The module whose output has each role. The paper's "layer 4" (Fig. 6) is the first up block."""


class Norm(nn.GroupNorm):
    """GroupNorm, ``[B, C, H, W] -> [B, C, H, W]``, computed in the fastest way for the device.

    On a CPU, torch's channels-last kernel walks through groups of few channels pixel by pixel. For such groups on a
    large map it takes three times as long as the contiguous kernel, copies included.
    On a GPU it is computed by its formula. A compiler splits torch's own GroupNorm so that every convolution copies its
    input.
    """

    def forward(self, x: Tensor) -> Tensor:
        if _on_gpu(x):
            return self.formula(x)
        narrow = self.num_channels // self.num_groups < 8 and x.shape[2] * x.shape[3] >= 256
        if narrow:
            return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)
        return super().forward(x)

    def formula(self, x: Tensor) -> Tensor:
        """GroupNorm in operations that keep channels last. Sums are float32; the result has the precision of ``x``."""
        pixels = x.permute(0, 2, 3, 1)
        wide = pixels.float() if x.dtype == torch.bfloat16 else pixels
        grouped = wide.reshape(*wide.shape[:3], self.num_groups, -1)
        variance, mean = torch.var_mean(grouped, dim=(1, 2, 4), correction=0, keepdim=True)
        normal = ((grouped - mean) * torch.rsqrt(variance + self.eps)).flatten(3)
        shifted: Tensor = normal * self.weight + self.bias
        return shifted.to(x.dtype).permute(0, 3, 1, 2)


class DoubleConv(nn.Module):
    """conv3x3 - GroupNorm - GELU - conv3x3 - GroupNorm, ``[B, in, H, W] -> [B, out, H, W]``.

    A residual one (``in == out``) adds its input and ends with a GELU.
    """

    def __init__(self, inputs: int, outputs: int, groups: int, *, hidden: int | None = None, residual: bool = False):
        super().__init__()
        hidden = hidden or outputs
        self.residual = residual
        # Each convolution has no bias, because GroupNorm follows it and adds a shift.
        self.conv1 = nn.Conv2d(inputs, hidden, 3, padding=1, bias=False)
        self.norm1 = Norm(groups, hidden)
        self.conv2 = nn.Conv2d(hidden, outputs, 3, padding=1, bias=False)
        self.norm2 = Norm(groups, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.norm2(self.conv2(F.gelu(self.norm1(self.conv1(x)))))
        return F.gelu(x + h) if self.residual else h


class SelfAttention(nn.Module):
    """Self-attention over all pixels, then a feed-forward layer, both residual: ``[B, C, H, W] -> [B, C, H, W]``."""

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
        pixels: Tensor = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)  # no copy with channels last
        q, k, v = self.qkv(self.norm(pixels)).view(batch, -1, 3, self.heads, channels // self.heads).unbind(2)
        attended = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        pixels = pixels + self.project(attended.transpose(1, 2).reshape(batch, -1, channels))
        pixels = pixels + self.feed_forward(pixels)
        return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``softmax(q k^T / sqrt(d)) v``: ``q, k, v [B, heads, L, d] -> [B, heads, L, d]``.

    The backward pass of torch's fused kernel is slow in bf16 on a CPU. There plain products replace it. With more than
    256 pixels they take one head at a time, so that its ``L x L`` scores stay in the cache.
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
    """Two double convolutions, the first residual, and a number per channel that the condition adds (Fig. 6)."""

    def __init__(self, inputs: int, outputs: int, condition: int, groups: int, *, hidden: int | None = None):
        super().__init__()
        self.mix = DoubleConv(inputs, inputs, groups, residual=True)
        self.change = DoubleConv(inputs, outputs, groups, hidden=hidden)
        self.inject = nn.Sequential(nn.SiLU(), nn.Linear(condition, outputs))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``[B, in, H, W], [B, C] -> [B, out, H, W]``. The condition adds a number per channel to every pixel."""
        features: Tensor = self.change(self.mix(x))
        added: Tensor = self.inject(condition)
        return features + added[:, :, None, None]


class UNet(nn.Module):
    """Three down blocks, a bottleneck of three double convolutions, and three up blocks with skip connections.

    At width 64 the channels are 64 - 128 - 256 - 256, then 512 - 512 - 256 in the bottleneck, then 128 - 64 - 64. That
    is about 23 million parameters.
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

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """The network's prediction, ``[B, 1, N, N]`` float32.

        Args:
            x: noisy images ``[B, 1, N, N]``; N is a multiple of 8.
            t: timesteps ``[B]``, from 0.
            labels: ``[B, 2]``, (x, y) in pixels.
        """
        c = encode_condition(t, labels, self.encoding_dim)
        x1 = self.stem(x)
        x2 = self.attend_down1(self.down1(F.max_pool2d(x1, 2), c))
        x3 = self.attend_down2(self.down2(F.max_pool2d(x2, 2), c))
        x4 = self.attend_down3(self.down3(F.max_pool2d(x3, 2), c))
        h = self.attend_up1(self.up1(_up(self.bottleneck(x4), x3), c))
        h = self.attend_up2(self.up2(_up(h, x2), c))
        h = self.attend_up3(self.up3(_up(h, x1), c))
        return self.head(h).float()  # type: ignore[no-any-return]


def _up(x: Tensor, skip: Tensor) -> Tensor:
    """``x [B, C, H, W]`` doubled in size by bilinear interpolation, after the channels of ``skip [B, S, 2H, 2W]``."""
    if _on_gpu(x):
        doubled = double(double(x, 2), 3)
    else:
        doubled = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    return torch.cat([skip, doubled], dim=1)


def _on_gpu(x: Tensor) -> bool:
    return x.device.type != "cpu"


def double(x: Tensor, dim: int) -> Tensor:
    """Doubles the pixels along ``dim`` by linear interpolation, as `F.interpolate` does.

    Its gradient needs no atomic additions. So it is faster on a GPU, and gives the same bits each time.
    """
    size = x.shape[dim]
    before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, size - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, size - 1), x.narrow(dim, size - 1, 1)], dim)
    return torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim + 1).flatten(dim, dim + 1)
