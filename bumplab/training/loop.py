"""The training step and the run (eq. 2, Appendix B.6)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

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

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's running means of the gradients and of their squares, by its names."""


class TrainingDiverged(RuntimeError):
    """The loss, the weights or the moments became NaN or infinite. The seed counts as failed."""


@dataclass
class TrainState:
    """What training changes: a step count and a few vectors. Also what training reads."""

    step: int
    network: UNet | FactorizedUNet
    averaged: UNet | FactorizedUNet
    """The network that is measured: an exponential moving average, or ``network`` itself where ``ema_decay`` is 0."""
    vectors: dict[str, Tensor]
    """Vectors of one length and order (`speed.flatten`): ``weights``, ``exp_avg``, ``exp_avg_sq``, and ``averaged``.

    There is no ``averaged`` where ``ema_decay`` is 0.
    """
    optimizer: torch.optim.AdamW
    data: Data
    device: str
    update: Callable[..., Tensor] | None = None
    """The function `update` of this state, as a GPU replays it. Takes a `Batch`. The first step makes it."""


class Data(NamedTuple):
    """Training labels ``[K, 2]``, the bump's position in each image ``[K, 2]``, noise levels alpha_bar ``[T]``."""

    labels: Tensor
    drawn_at: Tensor
    levels: Tensor


def start(spec: RunSpec, device: str) -> TrainState:
    """The untrained state of a run. Weights are drawn on the CPU from the seed, so every device has the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(spec.seed, "weights"))
        network = build(spec)
    network = speed.to_device(network, device)
    averaged = network
    if spec.training.ema_decay:
        averaged = speed.to_device(copy.deepcopy(network).requires_grad_(False), device)
    weights = speed.flatten(network)
    vectors = {"weights": weights.detach(), **{moment: torch.zeros_like(weights) for moment in MOMENTS}}
    if averaged is not network:
        vectors["averaged"] = speed.flatten(averaged).detach()
    optimizer = torch.optim.AdamW(
        [weights],
        lr=spec.training.learning_rate,
        weight_decay=spec.training.weight_decay,
        fused=True,
        capturable=device != "cpu",
    )
    optimizer.state[weights] = {"step": torch.zeros((), device=device), **{m: vectors[m] for m in MOMENTS}}
    levels = alphas_cumprod(spec.diffusion.schedule, spec.diffusion.timesteps).to(torch.float32)
    data = Data(*(table.to(device) for table in (*dataset(spec), levels)))
    return TrainState(0, network, averaged, vectors, optimizer, data, device)


def train(state: TrainState, spec: RunSpec, until: int, on_step: Callable[[int], None] = lambda step: None) -> float:
    """Trains in place up to step ``until``. Returns the mean loss of these steps, or NaN if there were none.

    Calls ``on_step`` after each step with the count of finished steps. Raises `TrainingDiverged`.
    """
    speed.configure(state.device)
    total, first = torch.zeros((), device=state.device), state.step
    state.network.train()
    while state.step < until:
        batch = draw_batch(spec, state.step, len(state.data.labels), state.device)
        if state.update is None:
            changes = [*state.vectors.values(), _count(state)]
            state.update = speed.capture(partial(update, state, spec), batch, changes)
        total += state.update(*batch)
        state.step += 1
        on_step(state.step)
    mean = float(total) / (until - first) if until > first else math.nan
    if until > first and not math.isfinite(mean):
        raise TrainingDiverged(f"the loss is {mean} between steps {first} and {until}")
    for name, vector in state.vectors.items():
        if not all(map(math.isfinite, torch.aminmax(vector))):
            raise TrainingDiverged(f"{name} not finite at step {until}")
    return mean


def dataset(spec: RunSpec) -> tuple[Tensor, Tensor]:
    """The training labels ``[K, 2]``, and the bump's position in each label's image ``[K, 2]``.

    The positions are the labels, or a permutation of them by seed in the shuffled control.
    """
    labels = training_labels(spec.data)
    if spec.data.pairing == "true":
        return labels, labels
    return labels, labels[torch.randperm(len(labels), generator=generator(spec.seed, "pairing"))]


def set_step(state: TrainState, step: int) -> None:
    """Sets the count of finished steps, also the optimizer's."""
    state.step = step
    _count(state).fill_(step)


def _count(state: TrainState) -> Tensor:
    """The optimizer's count of steps, a scalar on the device."""
    (of_weights,) = state.optimizer.state.values()
    count: Tensor = of_weights["step"]
    return count


class Batch(NamedTuple):
    """The random draws of a step: indices of training labels ``[B]``, timesteps ``[B]``, noise ``[B, C, N, N]``."""

    chosen: Tensor
    t: Tensor
    noise: Tensor


def draw_batch(spec: RunSpec, step: int, labels: int, device: str) -> Batch:
    """The batch of this step, drawn from ``labels`` training labels. It depends on seed and step alone."""
    random = generator(spec.seed, "batch", step, device)
    batch, size = spec.training.batch_size, spec.data.image_size
    return Batch(
        torch.randint(labels, (batch,), device=device, generator=random),
        torch.randint(spec.diffusion.timesteps, (batch,), device=device, generator=random),
        torch.randn(batch, channels(spec), size, size, device=device, generator=random),
    )


def update(state: TrainState, spec: RunSpec, chosen: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """One optimizer step on a `Batch`. Returns its loss, a scalar on the device.

    Reads and writes the same tensors in every call, and copies no number from the device. So a GPU can replay it.
    """
    alpha_bar = state.data.levels[t][:, None, None, None]
    x0 = clean(spec, state.data.drawn_at[chosen])
    with speed.autocast(spec.training, state.device):
        output = state.network(diffuse(x0, noise, alpha_bar), t, state.data.labels[chosen])
    value = loss(spec.diffusion.prediction, output, x0, noise, alpha_bar)
    speed.differentiate(value, state.network, state.optimizer)
    state.optimizer.step()
    if state.averaged is not state.network:
        state.vectors["averaged"].lerp_(state.vectors["weights"], 1 - average_decay(spec, _count(state)))
    return value.detach()


def average_decay(spec: RunSpec, step: Tensor) -> Tensor:
    """The moving average's decay at this step, ``min(ema_decay, (1 + step) / (10 + step))``. Both are scalars.

    This is TensorFlow's warm-up of Polyak averages. Without it, 1,000 steps at a decay of 0.9999 would leave 0.9 of the
    untrained weights.
    """
    return ((1 + step) / (10 + step)).clamp(max=spec.training.ema_decay)
