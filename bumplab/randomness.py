"""All randomness of a run comes from (seed, stream, step), never from a generator whose state must be saved.

So a resumed run draws exactly what the killed run would have drawn, and measuring cannot disturb training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    import torch

Stream = Literal[
    "weights",
    "batch",
    "labels",
    "sampling",
    "embedding",
    "pairing",
    "factor",
    "layers",
    "probe",
    "seeing",
    "matrices",
]
STREAMS: tuple[Stream, ...] = get_args(Stream)
OF_SUBJECTS = 1_000
"""A number in place of the stream's, so that a subject's random numbers are no stream of ours."""


def derive(seed: int, stream: Stream, step: int = 0) -> int:
    """A number from 0 to 2^63 - 1 that depends on seed, stream and step alone."""
    sequence = np.random.SeedSequence((seed, STREAMS.index(stream), step))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator(seed: int, stream: Stream, step: int = 0, device: str = "cpu") -> torch.Generator:
    """A new generator on ``device`` for this seed, stream and step."""
    import torch  # here, so that a subject without torch needs none

    return torch.Generator(device).manual_seed(derive(seed, stream, step))


def for_subjects(seed: int, stream: str, step: int) -> np.random.Generator:
    """A new generator for a subject, from seed, step and any name of a stream."""
    return np.random.default_rng((seed, OF_SUBJECTS, step, *stream.encode()))
