"""The labels that a run is asked to draw, and the true images of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from bumplab.config import TOLERANCE, RunSpec
from bumplab.data.bumps import draw_in_hole, draw_off_grid, render, training_labels
from bumplab.randomness import generator


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Labels that are asked for, and what a perfect generator would draw."""

    labels: NDArray[np.float32]
    """``[B, 2]`` in pixels."""
    truth: NDArray[np.float32]
    """``[B, N, N]``, grey values in [0, 255]."""


@lru_cache(maxsize=4)
def label_sets(spec: RunSpec, last: bool = False) -> dict[str, LabelSet]:
    """The labels that a run is measured on, by set: ``on_grid``, ``off_grid`` and, with a hole, ``in_hole``.

    Each set has `MeasureSpec.samples` labels. They are the same at every checkpoint, so that curves do not jump with
    the draw. At the last step (``last``) more labels may follow, but not on the grid (`MeasureSpec.last_samples`).
    """
    data, count = spec.data, spec.measure.samples
    more = max(0, spec.measure.last_samples - count) if last else 0
    random = generator(spec.seed, "labels")
    labels = training_labels(data)
    sets = {"on_grid": labels[torch.randint(len(labels), (count,), generator=random)]}
    off_grid, in_hole = [], []
    for number in (count, more):
        off_grid.append(draw_off_grid(data, number, random))
        if data.hole:
            in_hole.append(draw_in_hole(data, number, random, margin=TOLERANCE))
    sets["off_grid"] = torch.cat(off_grid)
    if data.hole:
        sets["in_hole"] = torch.cat(in_hole)
    return {
        name: LabelSet(asked.numpy(), render(asked, data.image_size, data.sigma).numpy())
        for name, asked in sets.items()
    }
