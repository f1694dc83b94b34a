"""A training state as named tensors, and the same state again, bit for bit."""

from __future__ import annotations

import torch
from torch import Tensor

from bumplab.config import RunSpec
from bumplab.training import speed
from bumplab.training.loop import TrainState, set_step, start


def to_tensors(state: TrainState) -> dict[str, Tensor]:
    """The state as contiguous CPU tensors ``weights.*``, ``exp_avg.*``, ``exp_avg_sq.*`` and, with EMA, ``averaged.*``.

    The tensors may share memory with the state. Write them before training goes on.
    """
    return {name: part.cpu().contiguous() for name, part in _parts(state).items()}


def from_tensors(spec: RunSpec, tensors: dict[str, Tensor], step: int, device: str) -> TrainState:
    """The state after ``step`` steps from the tensors of `to_tensors`.

    Raises ValueError where a tensor is missing, has another shape or dtype, is not finite, or belongs to another model.
    """
    state = start(spec, device)
    set_step(state, step)
    parts = _parts(state)
    for name, part in parts.items():
        value = tensors.get(name)
        if value is None or value.shape != part.shape or value.dtype != part.dtype:
            raise ValueError(f"checkpoint tensor {name!r} is missing or of another shape")
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"checkpoint tensor {name!r} holds NaN or infinity")
        part.copy_(value)
    if parts.keys() != tensors.keys():
        raise ValueError(f"checkpoint holds tensors of another model: {sorted(tensors.keys() - parts.keys())[:3]}")
    return state


def _parts(state: TrainState) -> dict[str, Tensor]:
    """Views of the state's vectors, one for each of the network's parameters and each kind of vector."""
    return {
        f"{kind}.{name}": part
        for kind, vector in state.vectors.items()
        for name, part in speed.views(state.network, vector).items()
    }
