"""A training state as named tensors, and back, bit for bit."""

from __future__ import annotations

import torch
from torch import Tensor

from bumplab.config import RunSpec
from bumplab.training import speed
from bumplab.training.loop import TrainState, set_step, start


def to_tensors(state: TrainState) -> dict[str, Tensor]:
    """The state as contiguous CPU tensors: ``weights.*``, ``averaged.*`` (with EMA) and the optimizer's moments.

    They may share memory with the state: write them before it trains on.
    """
    return {name: part.cpu().contiguous() for name, part in _parts(state).items()}


def from_tensors(spec: RunSpec, tensors: dict[str, Tensor], step: int, device: str) -> TrainState:
    """The state that `to_tensors` gave. Raises ValueError when tensors are missing, mis-shaped or not finite."""
    state = start(spec, device)
    set_step(state, step)
    parts = _parts(state)
    for name, into in parts.items():
        value = tensors.get(name)
        if value is None or value.shape != into.shape or value.dtype != into.dtype:
            raise ValueError(f"checkpoint tensor {name!r} is missing or of another shape")
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"checkpoint tensor {name!r} holds NaN or infinity")
        into.copy_(value)
    if parts.keys() != tensors.keys():
        raise ValueError(f"checkpoint holds tensors of another model: {sorted(tensors.keys() - parts.keys())[:3]}")
    return state


def _parts(state: TrainState) -> dict[str, Tensor]:
    return {
        f"{kind}.{name}": part
        for kind, vector in state.vectors.items()
        for name, part in speed.views(state.network, vector).items()
    }
