"""What is kept of a checkpoint, by name: told without measuring, so that no stored run can lack any of it."""

from __future__ import annotations

import math

from bumplab.config import LAST_TAPS, LAYER_4, RunSpec

SHARES = ("accuracy", "accuracy_x", "accuracy_y")
"""Of right positions: on both axes, and on each."""
MODES = ("none", "several", "single-wrong", "correct")
"""No bump, more than one, one at a wrong place, one at the right place: every image is exactly one of these."""
MEASURES = (
    *("umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_generated"),
    *("pca_r2", "pca_r2_x", "pca_r2_y"),
    *("dimension", "neighbour_order", "signal"),
)
"""What `bumplab.measure.representation.represent` measures of one tap, in this order."""
CEILINGS = tuple(share.replace("accuracy", "ceiling") for share in SHARES)
"""The same shares of the true images of the same labels: what a perfect generator would reach."""
RANGES = {
    "loss": (0.0, math.inf),
    **dict.fromkeys((*SHARES, *CEILINGS, *MODES), (0.0, 1.0)),
    **dict.fromkeys((name for name in MEASURES if "_r2" in name), (-math.inf, 1.0)),
    "dimension": (0.0, math.inf),
    "neighbour_order": (0.0, 1.0),
    "signal": (0.0, 1.0),
}
"""The least and the largest value of each number, by the last part of its name. ``samples`` is a count of its own."""
ROUNDING = 1e-6
"""A number may exceed its range by this much: 1.0000000000000002 is 1."""
SHOWN = 25
"""Images kept for the report of each label set at each checkpoint, as in Fig. 3."""


class SamplesNotFinite(ValueError):
    """What a network drew is no image: its weights are finite, what it computes is not. Nothing of it is kept."""


def row_names(spec: RunSpec, step: int) -> set[str]:
    """The names of all numbers that a run has at this measured step; more taps are looked at when training ends."""
    of_set = (*SHARES, *CEILINGS, *MODES, "samples")
    return {
        *("step", "loss"),
        *(f"{labels}.{name}" for labels in sample_counts(spec, step) for name in of_set),
        *(f"{tap}.{name}" for tap in taps_at(spec, step) for name in MEASURES),
    }


def is_possible(name: str, value: float, spec: RunSpec, step: int) -> bool:
    """Whether a run can have this value under this name, such as ``on_grid.accuracy``, at this measured step.

    NaN is possible for a representation, and for the loss before training. It is not for what was counted.
    """
    group, _, last = name.rpartition(".")
    if name == "step":
        return value == step
    counts = sample_counts(spec, step)
    if last == "samples":
        return value == counts[group]
    if math.isnan(value):
        return group not in counts and (name != "loss" or step == 0)
    low, high = RANGES[last]
    return low - ROUNDING <= value <= high + ROUNDING


def array_forms(spec: RunSpec, step: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The dtype and shape of each array that is kept as evidence of this measured step, by name."""
    size, samples = spec.data.image_size, spec.measure.samples
    forms: dict[str, tuple[str, tuple[int, ...]]] = {"embedding.labels": ("float32", (samples, 2))}
    forms |= {f"{tap}.embedding": ("float16", (samples, 3)) for tap in taps_at(spec, step)}
    for labels, drawn in sample_counts(spec, step).items():
        shown = min(SHOWN, drawn)
        forms |= {
            f"{labels}.images": ("uint8", (shown, size, size)),
            f"{labels}.labels": ("float32", (shown, 2)),
            f"{labels}.positions": ("float32", (shown, 2)),
            f"{labels}.modes": ("uint8", (shown,)),
        }
    return forms


def sample_counts(spec: RunSpec, step: int) -> dict[str, int]:
    """How many samples are drawn for each label set at this measured step; more of the latter when training ends."""
    samples = spec.measure.samples
    at_end = max(samples, spec.measure.last_samples) if step == spec.training.steps else samples
    return {"on_grid": samples, "off_grid": at_end} | ({"in_hole": at_end} if spec.data.hole else {})


def taps_at(spec: RunSpec, step: int) -> tuple[str, ...]:
    """The taps that are looked at at this measured step."""
    return (*LAYER_4, *LAST_TAPS) if step == spec.training.steps else LAYER_4
