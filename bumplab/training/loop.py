"""The training step and the run (eq. 2, Appendix B.6)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bumplab.config import RunSpec
from bumplab.data.bumps import training_labels
from bumplab.diffusion.generator import FactorizedUNet, build, channels, clean
from bumplab.diffusion.objective import diffuse, loss
from bumplab.diffusion.schedule import alphas_cumprod
from bumplab.diffusion.unet import UNet
from bumplab.randomness import derive, generator
from bumplab.training import speed


class TrainingDiverged(RuntimeError):
    """Loss or weights became NaN or infinite: the seed failed, and is to be counted as failed."""


@dataclass
class TrainState:
    """Everything that training changes: a step count, weights, their running average and the optimizer's moments."""

    step: int
    network: UNet | FactorizedUNet
    averaged: UNet | FactorizedUNet
    """The network that is measured: an exponential moving average, or ``network`` itself at ``ema_decay`` 0."""
    optimizer: torch.optim.AdamW
    device: str


def start(spec: RunSpec, device: str) -> TrainState:
    """The untrained state of a run: weights drawn on the CPU from the seed, so that they are the same everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(spec.seed, "weights"))
        network = build(spec)
    network = speed.place(network, device)
    averaged = network
    if spec.training.ema_decay:
        averaged = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=spec.training.learning_rate, weight_decay=spec.training.weight_decay, fused=True
    )
    return TrainState(0, network, averaged, optimizer, device)


def train(state: TrainState, spec: RunSpec, until: int, on_step: Callable[[int], None] = lambda step: None) -> float:
    """Trains in place up to step ``until`` and returns the mean loss of those steps (NaN if there were none).

    ``on_step`` is called with the count of finished steps after each. Raises `TrainingDiverged`.
    """
    speed.configure(state.device)
    labels, drawn_at = (table.to(state.device) for table in dataset(spec))
    levels = alphas_cumprod(spec.diffusion.schedule, spec.diffusion.timesteps).to(state.device, torch.float32)
    total, first = torch.zeros((), device=state.device), state.step
    state.network.train()
    while state.step < until:
        total += train_step(state, spec, labels, drawn_at, levels)
        on_step(state.step)
    mean = float(total) / (until - first) if until > first else math.nan
    if until > first and not math.isfinite(mean):
        raise TrainingDiverged(f"the loss is {mean} between steps {first} and {until}")
    if not all(bool(torch.isfinite(weight).all()) for weight in state.network.parameters()):
        raise TrainingDiverged(f"weights are not finite at step {until}: the loss of the next step would not be either")
    return mean


def dataset(spec: RunSpec) -> tuple[Tensor, Tensor]:
    """The training labels ``[K, 2]`` and where each one's image shows its bump ``[K, 2]``: there, unless shuffled."""
    labels = training_labels(spec.data)
    if spec.data.pairing == "true":
        return labels, labels
    return labels, labels[torch.randperm(len(labels), generator=generator(spec.seed, "pairing"))]


def train_step(state: TrainState, spec: RunSpec, labels: Tensor, drawn_at: Tensor, levels: Tensor) -> Tensor:
    """One optimizer step on a `dataset` with noise levels alpha_bar ``[T]``: its loss, still on the device."""
    random = generator(spec.seed, "batch", state.step, state.device)
    batch, size = spec.training.batch_size, spec.data.image_size
    chosen = torch.randint(len(labels), (batch,), device=state.device, generator=random)
    t = torch.randint(spec.diffusion.timesteps, (batch,), device=state.device, generator=random)
    noise = torch.randn(batch, channels(spec), size, size, device=state.device, generator=random)

    alpha_bar = levels[t][:, None, None, None]
    x0 = clean(spec, drawn_at[chosen])
    with speed.autocast(spec.training, state.device):
        output = state.network(diffuse(x0, noise, alpha_bar), t, labels[chosen])
    value = loss(spec.diffusion.prediction, output, x0, noise, alpha_bar)
    state.optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    state.step += 1
    if spec.training.ema_decay:
        with torch.no_grad():
            for mean, weight in zip(state.averaged.parameters(), state.network.parameters(), strict=True):
                mean.lerp_(weight, 1 - spec.training.ema_decay)
    return value.detach()
