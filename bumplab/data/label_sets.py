"""The labels that a run is asked to draw, and the true images of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from bumplab.config import TOLERANCE, RunSpec
from bumplab.data.bumps import draw_in_hole, draw_probe, render, training_labels
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
    """The labels that a run is measured on, by set. Each set has `MeasureSpec.samples` labels.

    ``probe`` is the same at every checkpoint, and for all runs of a seed whatever their increments and spread, but for
    labels inside a run's hole. ``in_hole`` follows in runs with a hole. The last checkpoint (``last``) also has
    ``on_grid``, which are training labels (eq. 1).
    """
    data = spec.data
    sets = {"probe": draw_probe(spec, generator(spec.seed, "probe"))}
    if data.left_out:
        random = generator(spec.seed, "labels", 1)
        sets["in_hole"] = draw_in_hole(data, spec.measure.samples, random, margin=TOLERANCE)
    if last:
        labels, random = training_labels(data, spec.seed), generator(spec.seed, "labels")
        sets["on_grid"] = labels[torch.randint(len(labels), (spec.measure.samples,), generator=random)]
    return {
        name: LabelSet(asked.numpy(), render(asked, data.image_size, data.sigma).numpy())
        for name, asked in sets.items()
    }
