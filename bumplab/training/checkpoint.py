"""A training state as named tensors, and back, bit for bit."""

from __future__ import annotations

import torch
from torch import Tensor

from bumplab.config import RunSpec
from bumplab.training.loop import TrainState, start

MOMENTS = ("exp_avg", "exp_avg_sq")


def to_tensors(state: TrainState) -> dict[str, Tensor]:
    """The state as contiguous CPU tensors: ``weights.*``, ``averaged.*`` (with EMA) and the optimizer's moments.

    They may share memory with the state: write them before it trains on.
    """
    tensors = {f"weights.{name}": value for name, value in state.network.named_parameters()}
    if state.averaged is not state.network:
        tensors |= {f"averaged.{name}": value for name, value in state.averaged.named_parameters()}
    for name, parameter in state.network.named_parameters():
        moments = state.optimizer.state.get(parameter, {})
        tensors |= {f"{kind}.{name}": moments[kind] for kind in MOMENTS if kind in moments}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def from_tensors(spec: RunSpec, tensors: dict[str, Tensor], step: int, device: str) -> TrainState:
    """The state that `to_tensors` gave. Raises ValueError when tensors are missing, mis-shaped or not finite."""
    state = start(spec, device)
    state.step = step
    used = set()

    def fill(name: str, into: Tensor) -> Tensor:
        value = tensors.get(name)
        if value is None or value.shape != into.shape or value.dtype != into.dtype:
            raise ValueError(f"checkpoint tensor {name!r} is missing or of another shape")
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"checkpoint tensor {name!r} holds NaN or infinity")
        used.add(name)
        with torch.no_grad():
            return into.copy_(value)

    for name, parameter in state.network.named_parameters():
        fill(f"weights.{name}", parameter)
        if state.averaged is not state.network:
            fill(f"averaged.{name}", state.averaged.get_parameter(name))
        if step:
            moments = {kind: fill(f"{kind}.{name}", torch.zeros_like(parameter)) for kind in MOMENTS}
            count = torch.tensor(float(step), device=device if device != "cpu" else None)
            state.optimizer.state[parameter] = {"step": count, **moments}
    if used != set(tensors):
        raise ValueError(f"checkpoint holds tensors of another model: {sorted(set(tensors) - used)[:3]}")
    return state
