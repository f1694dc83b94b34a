"""A learner's state as bytes, and the same state again, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bumplab.subjects.protocol import State
from bumplab.terminal import line

STORED_DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
)
"""Dtypes that every version of safetensors holds, by NumPy's names."""
RESERVED = "__metadata__"
"""A name that safetensors keeps for itself."""


class StateError(ValueError):
    """A state that cannot be stored or read, in one line."""


def to_bytes(state: State) -> bytes:
    """The state as a safetensors file. The arrays keep shape, dtype and values, but not their byte order.

    NumPy's scalars are stored as arrays without dimensions. Raises `StateError` for what is no array of numbers by
    name.
    """
    if not isinstance(state, Mapping):
        raise StateError(f"the state is a {type(state).__name__}: must be NumPy arrays by name, such as a dict")
    return save({_checked_name(name): _contiguous(name, value) for name, value in state.items()})


def from_bytes(data: bytes) -> dict[str, NDArray[Any]]:
    """The state of `to_bytes`: new arrays that may be written to. Raises `StateError` for other bytes."""
    try:
        return load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"the state cannot be read: {line(error)}") from error


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name.isprintable() or name == RESERVED:
        raise StateError(f"the state's name {name!r}: must be a text of printable characters other than {RESERVED}")
    return name


def _contiguous(name: str, value: object) -> NDArray[Any]:
    """The value as an array that safetensors stores correctly. It would scramble an array in another order than C."""
    if not isinstance(value, (np.ndarray, np.generic)):
        raise StateError(f"the state's {name!r} is a {type(value).__name__}: must be a NumPy array")
    if value.dtype.name not in STORED_DTYPES:
        allowed = f"{', '.join(STORED_DTYPES[:-1])} or {STORED_DTYPES[-1]}"
        raise StateError(f"the state's {name!r} has dtype {value.dtype.name}: must be {allowed}")
    return np.asarray(value, order="C")  # ascontiguousarray would add a dimension
