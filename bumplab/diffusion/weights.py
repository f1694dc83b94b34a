"""The weights of a network in training, their average, and their optimizer (Appendix B.6).

`FlatWeights` is fast. `PlainWeights` serves networks whose weights do not fit into one vector. `of` chooses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from bumplab.config import TrainingSpec
from bumplab.diffusion import speed

BETA1 = 0.9
"""AdamW's decay of the mean of gradients, torch's default."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's running means of the gradients and of their squares, by its names."""


class Weights(Protocol):
    """What an optimizer step changes. All tensors that `tensors` gives stay the same objects in memory."""

    count: Tensor
    """Finished optimizer steps, a scalar on the device."""
    buffers: frozenset[str]
    """Those names of `tensors` that are no weights and no moments."""

    def descend(self, loss: Tensor) -> None:
        """One optimizer step down the gradient of ``loss``."""
        ...

    def follow(self, decay: Tensor) -> None:
        """Moves the average towards the weights. ``decay`` is a scalar. Only where there is an average."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Everything that training needs to go on, but the step: ``weights.*``, moments and average by name."""
        ...

    def set_step(self, step: int) -> None:
        """Sets the count of finished steps."""
        ...

    def changed(self) -> list[Tensor]:
        """The tensors that a step changes."""
        ...


def of(network: nn.Module, averaged: nn.Module, training: TrainingSpec, device: str) -> Weights:
    """The weights of ``network``, flat where possible. ``averaged`` is ``network`` itself where there is no average."""
    if is_flat(network):
        return FlatWeights(network, averaged, training, device)
    return PlainWeights(network, averaged, training, device)


def is_flat(network: nn.Module) -> bool:
    """Whether all weights fit into one vector: trained, of one dtype, without gaps in memory, and without buffers."""
    weights = list(network.parameters())
    alike = len({(weight.dtype, weight.requires_grad) for weight in weights}) == 1 and weights[0].requires_grad
    return alike and not list(network.buffers()) and all(map(_is_dense, weights))


def _is_dense(weight: Tensor) -> bool:
    """Whether the tensor fills a stretch of memory of its own."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(weight.shape, weight.stride(), strict=True))
    return weight.numel() == extent


def _optimizer(weights: Iterable[nn.Parameter], training: TrainingSpec, device: str) -> torch.optim.AdamW:
    """AdamW. Where the rate changes, it is a scalar on the device that `_step` sets."""
    changes = training.warmup > 0 or training.decay != "none"
    return torch.optim.AdamW(
        list(weights),
        lr=torch.zeros((), device=device) if changes else training.learning_rate,
        betas=(BETA1, training.beta2),
        weight_decay=training.weight_decay,
        fused=True,
        capturable=device != "cpu",
    )


def _step(optimizer: torch.optim.AdamW, training: TrainingSpec, count: Tensor) -> None:
    """One step of the optimizer after ``count`` finished ones."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].copy_(rate_at(training, count))
    optimizer.step()


def rate_at(training: TrainingSpec, step: Tensor) -> Tensor:
    """The learning rate of the step that follows ``step`` finished ones. Both are scalars on one device.

    It rises in equal parts over the warm-up. With linear decay it then falls in equal parts, to 0 after the last step.
    """
    share = torch.ones_like(step)
    if training.warmup:
        share = ((step + 1) / training.warmup).clamp(max=1)
    if training.decay == "linear" and training.steps > training.warmup:
        share = share * ((training.steps - step) / (training.steps - training.warmup)).clamp(max=1)
    return training.learning_rate * share


class FlatWeights:
    """All weights in one vector, and each moment in another, so that an optimizer step is a few operations."""

    def __init__(self, network: nn.Module, averaged: nn.Module, training: TrainingSpec, device: str):
        self.network, self.training = network, training
        self.buffers: frozenset[str] = frozenset()
        weights = speed.flatten(network)
        self.vectors = {"weights": weights.detach(), **{moment: torch.zeros_like(weights) for moment in MOMENTS}}
        """Vectors of one length and order (`speed.flatten`): ``weights``, ``exp_avg``, ``exp_avg_sq``, ``averaged``."""
        if averaged is not network:
            self.vectors["averaged"] = speed.flatten(averaged).detach()
        self.optimizer = _optimizer([weights], training, device)
        self.count = torch.zeros((), device=device)
        self.optimizer.state[weights] = {"step": self.count, **{m: self.vectors[m] for m in MOMENTS}}

    def descend(self, loss: Tensor) -> None:
        speed.differentiate(loss, self.network, self.optimizer)
        _step(self.optimizer, self.training, self.count)

    def follow(self, decay: Tensor) -> None:
        self.vectors["averaged"].lerp_(self.vectors["weights"], 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{kind}.{name}": part
            for kind, vector in self.vectors.items()
            for name, part in speed.views(self.network, vector).items()
        }

    def set_step(self, step: int) -> None:
        self.count.fill_(step)

    def changed(self) -> list[Tensor]:
        return [*self.vectors.values(), self.count]


class PlainWeights:
    """Weights and buffers as the network has them. Buffers are averaged by copying them."""

    def __init__(self, network: nn.Module, averaged: nn.Module, training: TrainingSpec, device: str):
        self.network, self.averaged, self.training = network, averaged, training
        names = [name for name, _ in network.named_buffers()]
        self.buffers = frozenset(f"{kind}.{name}" for kind in ("weights", "averaged") for name in names)
        self.trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        self.optimizer = _optimizer(self.trained.values(), training, device)
        self.count = torch.zeros((), device=device)
        for weight in self.trained.values():
            moments = {moment: torch.zeros_like(weight.detach()) for moment in MOMENTS}
            self.optimizer.state[weight] = {"step": torch.zeros((), device=device), **moments}

    def descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        _step(self.optimizer, self.training, self.count)  # leaves out weights without a gradient
        self.count += 1

    @torch.no_grad()
    def follow(self, decay: Tensor) -> None:
        for mean, weight in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(weight, (1 - decay).to(weight.dtype))
        for of_average, buffer in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
            of_average.copy_(buffer)

    def tensors(self) -> dict[str, Tensor]:
        parts = {f"weights.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.averaged is not self.network:
            parts |= {f"averaged.{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        for name, weight in self.trained.items():
            state = self.optimizer.state[weight]
            parts |= {f"{moment}.{name}": state[moment] for moment in MOMENTS}
            parts[f"step.{name}"] = state["step"]
        return parts

    def set_step(self, step: int) -> None:
        self.count.fill_(step)

    def changed(self) -> list[Tensor]:
        return [*self.tensors().values(), self.count]


def average_decay(ema_decay: float, step: Tensor) -> Tensor:
    """The moving average's decay at this step, ``min(ema_decay, (1 + step) / (10 + step))``. Both are scalars.

    This is TensorFlow's warm-up of Polyak averages. Without it, 1,000 steps at a decay of 0.9999 would leave 0.9 of the
    untrained weights.
    """
    return ((1 + step) / (10 + step)).clamp(max=ema_decay)


def require_finite(weights: Weights, step: int) -> None:
    """Raises FloatingPointError where a weight or a moment is NaN or infinite."""
    whole = weights.vectors if isinstance(weights, FlatWeights) else weights.tensors()
    for name, tensor in whole.items():
        if tensor.numel() and tensor.is_floating_point() and not is_sound(tensor, name in weights.buffers):
            raise FloatingPointError(f"{name} not finite at step {step}")


def is_sound(tensor: Tensor, is_buffer: bool) -> bool:
    """Whether all numbers are finite. A buffer may hold infinity, such as a mask of attention, but no NaN."""
    least, most = torch.aminmax(tensor)  # both NaN where any number is
    return not math.isnan(least) if is_buffer else math.isfinite(least) and math.isfinite(most)
