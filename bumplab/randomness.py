"""All randomness of a run is drawn from (seed, stream, step), never from a generator that must be saved.

So a resumed run repeats exactly what the killed one would have drawn, and measuring cannot disturb training.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

STREAMS = ("weights", "batch", "labels", "sampling", "embedding", "pairing")
Stream = Literal["weights", "batch", "labels", "sampling", "embedding", "pairing"]


def derive(seed: int, stream: Stream, step: int = 0) -> int:
    """A 63-bit number that depends on all three and on nothing else."""
    sequence = np.random.SeedSequence((seed, STREAMS.index(stream), step))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(seed: int, stream: Stream, step: int = 0, device: str = "cpu") -> torch.Generator:
    """A fresh generator on ``device`` for this (seed, stream, step)."""
    return torch.Generator(device).manual_seed(derive(seed, stream, step))
