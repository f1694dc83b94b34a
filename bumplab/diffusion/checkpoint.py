"""A training state as named arrays, and the same state again, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bumplab.diffusion.loop import TrainState, set_step
from bumplab.diffusion.weights import is_sound


class OfAnotherModel(ValueError):
    """A stored state does not fit the network."""


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """The tensors as arrays on the CPU. They may share memory. bf16, which NumPy lacks, becomes its bits as int16."""
    arrays = {}
    for name, tensor in tensors.items():
        held = tensor.detach().cpu()
        arrays[name] = (held.view(torch.int16) if held.dtype == torch.bfloat16 else held).numpy()
    return arrays


def restore(state: TrainState, arrays: Mapping[str, NDArray[Any]], step: int) -> None:
    """Makes ``state`` the one whose `Weights.tensors` were these arrays after ``step`` steps.

    Raises `OfAnotherModel` where an array is missing, has another shape or dtype, is not finite, or has no place.
    """
    set_step(state, step)
    parts = state.weights.tensors()
    for name, part in parts.items():
        array = arrays.get(name)
        value = None if array is None else torch.from_numpy(np.asarray(array, order="C"))
        if value is not None and part.dtype == torch.bfloat16 and value.dtype == torch.int16:
            value = value.view(torch.bfloat16)
        if value is None or value.shape != part.shape or value.dtype != part.dtype:
            raise OfAnotherModel(f"checkpoint tensor {name!r} is missing or of another shape")
        if value.is_floating_point() and value.numel() and not is_sound(value, name in state.weights.buffers):
            raise OfAnotherModel(f"checkpoint tensor {name!r} holds NaN or infinity")
        with torch.no_grad():
            part.copy_(value)
    if parts.keys() != arrays.keys():
        raise OfAnotherModel(f"checkpoint holds tensors of another model: {sorted(arrays.keys() - parts.keys())[:3]}")
