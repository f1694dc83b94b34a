"""The training step and the run, for any network and objective (Appendix B.6)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from bumplab.config import TrainingSpec
from bumplab.data.feed import DeviceData
from bumplab.diffusion import speed, weights
from bumplab.diffusion.objective import to_unit
from bumplab.diffusion.rng import Drawing, Prepared, Rng
from bumplab.diffusion.weights import Weights
from bumplab.randomness import derive, generator

Net = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A network as an objective calls it: noisy images ``[B, 1, N, N]``, times ``[B]``, labels ``[B, 2]`` in pixels."""


class Objective(Protocol):
    """What a network is trained for, and how images are drawn with it. Images are ``[B, 1, N, N]`` in [-1, 1]."""

    @property
    def calls(self) -> int | None:
        """How often `sample` calls the network, or None where that varies."""
        ...

    def loss(self, net: Net, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        """The loss of a batch, a scalar. It copies no number from the device, so that a GPU can replay it."""
        ...

    def sample(self, net: Net, labels: Tensor, noise: Tensor, rng: Rng) -> Tensor:
        """Images for ``labels [B, 2]``, from standard normal ``noise [B, 1, N, N]``."""
        ...


class Seeing(Objective, Protocol):
    """An objective by which a network can look at given images."""

    def noised(self, images: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """The images at one fixed time, as the network gets them, and the time ``[B]``. They can still be made out."""
        ...


@dataclass
class TrainState:
    """What training changes, and what it reads."""

    step: int
    network: nn.Module
    averaged: nn.Module
    """The network that draws: an exponential moving average, or ``network`` itself where ``ema_decay`` is 0."""
    weights: Weights
    data: DeviceData
    objective: Objective
    training: TrainingSpec
    seed: int
    device: str
    replay: Callable[[Tensor, Drawing], Tensor] | None = None
    """`_update` of this state, captured on a GPU. The first step makes it."""


def start(
    build: Callable[[], nn.Module],
    *,
    objective: Objective,
    training: TrainingSpec,
    data: DeviceData,
    seed: int,
    device: str,
    compiled: bool = False,
) -> TrainState:
    """The untrained state of a run. Weights are drawn on the CPU from the seed, so every device has the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "weights"))
        network = build()
    network = speed.to_device(network, device, compiled)
    averaged = network
    if training.ema_decay:
        averaged = speed.to_device(copy.deepcopy(network).requires_grad_(False), device, compiled)
    return TrainState(
        step=0,
        network=network,
        averaged=averaged,
        weights=weights.of(network, averaged, training, device),
        data=data,
        objective=objective,
        training=training,
        seed=seed,
        device=device,
    )


def train(state: TrainState, until: int, on_step: Callable[[int], None] = lambda step: None) -> float:
    """Trains in place up to step ``until``. Returns the mean loss of these steps, or NaN if there were none.

    Calls ``on_step`` after each step with the count of finished steps. Raises FloatingPointError where the loss or a
    weight becomes NaN or infinite.
    """
    speed.configure(state.device)
    total, first = torch.zeros((), device=state.device), state.step
    state.network.train()
    on_gpu = [] if state.device == "cpu" else [state.device]
    with torch.random.fork_rng(devices=on_gpu):  # layers such as Dropout draw from torch's global generator
        while state.step < until:
            _seed_layers(derive(state.seed, "layers", state.step), state.device)
            total += _step(state)
            state.step += 1
            on_step(state.step)
    mean = float(total) / (until - first) if until > first else math.nan
    if until > first and not math.isfinite(mean):
        raise FloatingPointError(f"the loss is {mean} between steps {first} and {until}")
    weights.require_finite(state.weights, until)
    return mean


def _seed_layers(seed: int, device: str) -> None:
    """Seeds torch's generators of the CPU and of this device. `torch.manual_seed` took 0.6 % of a quick step."""
    torch.default_generator.manual_seed(seed)
    if device != "cpu":
        torch.cuda.manual_seed(seed)


def set_step(state: TrainState, step: int) -> None:
    """Sets the count of finished steps, also the optimizer's."""
    state.step = step
    state.weights.set_step(step)


def _step(state: TrainState) -> Tensor:
    """One training step. It depends on the state, the seed and the step's number alone. Returns its loss."""
    rng = Drawing(generator(state.seed, "batch", state.step, state.device))
    chosen = rng.integers(len(state.data.labels), state.training.batch_size)
    if not speed.captures(torch.device(state.device)):
        return _update(state, chosen, rng)
    if state.replay is None:
        state.replay = _captured(state, chosen)
    return state.replay(chosen, rng)


def _captured(state: TrainState, chosen: Tensor) -> Callable[[Tensor, Drawing], Tensor]:
    """`_update` as a GPU replays it. A trial of the loss tells which random numbers a step asks for."""
    trial = Drawing(generator(state.seed, "batch", state.step, state.device))
    state.network.eval()  # in training mode, the trial would change BatchNorm's buffers, and Dropout would draw
    with torch.no_grad():
        images = to_unit(state.data.images(chosen)[:, None])
        net = called(state.network.forward, state.training)  # forward is not compiled: one call is not worth it
        state.objective.loss(net, images, state.data.labels[chosen], trial)
    state.network.train()
    requests = tuple(trial.requests)

    def update(chosen: Tensor, *random: Tensor) -> Tensor:
        return _update(state, chosen, Prepared(random))

    example = [chosen, *(request(trial) for request in requests)]
    captured = speed.capture(update, example, state.weights.changed())
    return lambda chosen, rng: captured(chosen, *(request(rng) for request in requests))


def called(network: Callable[..., Tensor], training: TrainingSpec) -> Net:
    """The network as an objective calls it, in the precision of the spec."""

    def net(x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        with speed.autocast(training, x.device.type):
            output: Tensor = network(x, t, labels)
        if output.shape != x.shape:  # a product with another shape would be broadcast without an error
            raise ValueError(f"the network gives {list(output.shape)}: must be {list(x.shape)}, as its input")
        return output.float()

    return net


def _update(state: TrainState, chosen: Tensor, rng: Rng) -> Tensor:
    """One optimizer step on the images of the indices ``chosen [B]``. Returns its loss, a scalar on the device.

    Reads and writes the same tensors in every call, and copies no number from the device. So a GPU can replay it.
    """
    images = to_unit(state.data.images(chosen)[:, None])
    value = state.objective.loss(called(state.network, state.training), images, state.data.labels[chosen], rng)
    state.weights.descend(value)
    if state.averaged is not state.network:
        state.weights.follow(weights.average_decay(state.training.ema_decay, state.weights.count))
    return value.detach()
