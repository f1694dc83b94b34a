"""What is kept of a checkpoint, by name: told without measuring, so that no stored run can lack any of it."""

from __future__ import annotations

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
SHOWN = 25
"""Images kept for the report of each label set at each checkpoint, as in Fig. 3."""


class SamplesNotFinite(ValueError):
    """What a network drew is no image: its weights are finite, what it computes is not. Nothing of it is kept."""


def row_names(spec: RunSpec, step: int) -> set[str]:
    """The names of all numbers that a run has at this measured step; more taps are looked at when training ends."""
    ceilings = (share.replace("accuracy", "ceiling") for share in SHARES)
    of_set = (*SHARES, *ceilings, *MODES, "samples")
    return {
        *("step", "loss"),
        *(f"{labels}.{name}" for labels in sample_counts(spec, step) for name in of_set),
        *(f"{tap}.{name}" for tap in taps_at(spec, step) for name in MEASURES),
    }


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
