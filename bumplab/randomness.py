"""All randomness of a run comes from (seed, stream, step), never from a generator whose state must be saved.

So a resumed run draws exactly what the killed run would have drawn, and measuring cannot disturb training.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

STREAMS = ("weights", "batch", "labels", "sampling", "embedding", "pairing")
Stream = Literal["weights", "batch", "labels", "sampling", "embedding", "pairing"]


def derive(seed: int, stream: Stream, step: int = 0) -> int:
    """A number from 0 to 2^63 - 1 that depends on seed, stream and step alone."""
    sequence = np.random.SeedSequence((seed, STREAMS.index(stream), step))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(seed: int, stream: Stream, step: int = 0, device: str = "cpu") -> torch.Generator:
    """A new generator on ``device`` for this seed, stream and step."""
    return torch.Generator(device).manual_seed(derive(seed, stream, step))
