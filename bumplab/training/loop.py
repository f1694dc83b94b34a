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
"""What AdamW keeps of the gradients, by its own names."""


class TrainingDiverged(RuntimeError):
    """Loss or weights became NaN or infinite: the seed failed, and is to be counted as failed."""


@dataclass
class TrainState:
    """Everything that training changes, a step count and a few vectors, and what it reads."""

    step: int
    network: UNet | FactorizedUNet
    averaged: UNet | FactorizedUNet
    """The network that is measured: an exponential moving average, or ``network`` itself at ``ema_decay`` 0."""
    vectors: dict[str, Tensor]
    """All of the network's ``weights`` in one vector (`speed.flatten`), the optimizer's moments ``exp_avg`` and
    ``exp_avg_sq`` in the same order and, with an average, ``averaged``."""
    optimizer: torch.optim.AdamW
    data: Data
    device: str
    update: Callable[..., Tensor] | None = None
    """`update` of this state, ready to be called with a `Batch`; made by the first step."""


class Data(NamedTuple):
    """Training labels ``[K, 2]``, where each one's image shows its bump ``[K, 2]``, noise levels alpha_bar ``[T]``."""

    labels: Tensor
    drawn_at: Tensor
    levels: Tensor


def start(spec: RunSpec, device: str) -> TrainState:
    """The untrained state of a run: weights drawn on the CPU from the seed, so that they are the same everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(spec.seed, "weights"))
        network = build(spec)
    network = speed.place(network, device)
    averaged = network
    if spec.training.ema_decay:
        averaged = speed.place(copy.deepcopy(network).requires_grad_(False), device)
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
    """Trains in place up to step ``until`` and returns the mean loss of those steps (NaN if there were none).

    ``on_step`` is called with the count of finished steps after each. Raises `TrainingDiverged`.
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
            raise TrainingDiverged(f"{name} not finite at step {until}: no later step would be sound")
    return mean


def dataset(spec: RunSpec) -> tuple[Tensor, Tensor]:
    """The training labels ``[K, 2]`` and where each one's image shows its bump ``[K, 2]``: there, unless shuffled."""
    labels = training_labels(spec.data)
    if spec.data.pairing == "true":
        return labels, labels
    return labels, labels[torch.randperm(len(labels), generator=generator(spec.seed, "pairing"))]


def set_step(state: TrainState, step: int) -> None:
    """Says that the state is that after ``step`` steps: the optimizer counts them too."""
    state.step = step
    _count(state).fill_(step)


def _count(state: TrainState) -> Tensor:
    """The optimizer's own count of steps."""
    (of_weights,) = state.optimizer.state.values()
    count: Tensor = of_weights["step"]
    return count


class Batch(NamedTuple):
    """What a step draws: which training labels ``[B]``, timesteps ``[B]`` and noise ``[B, C, N, N]``."""

    chosen: Tensor
    t: Tensor
    noise: Tensor


def draw_batch(spec: RunSpec, step: int, labels: int, device: str) -> Batch:
    """The batch of this step, from one of ``labels`` training labels each."""
    random = generator(spec.seed, "batch", step, device)
    batch, size = spec.training.batch_size, spec.data.image_size
    return Batch(
        torch.randint(labels, (batch,), device=device, generator=random),
        torch.randint(spec.diffusion.timesteps, (batch,), device=device, generator=random),
        torch.randn(batch, channels(spec), size, size, device=device, generator=random),
    )


def update(state: TrainState, spec: RunSpec, chosen: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """One optimizer step on a `Batch`: its loss, still on the device.

    Reads and writes tensors alone, always the same ones, and asks the device for no number: a GPU can replay it.
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
    """The moving average's decay at this step, ``min(ema_decay, (1 + step) / (10 + step))``: a scalar, as ``step``.

    The warm-up of Polyak averages in TensorFlow. Without it, 1,000 steps at 0.9999 leave 0.9 of the untrained weights.
    """
    return ((1 + step) / (10 + step)).clamp(max=spec.training.ema_decay)
