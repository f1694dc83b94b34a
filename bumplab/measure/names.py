"""What the row of a checkpoint holds, by name: told without measuring, so that no stored run can lack any of it."""

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


def row_names(spec: RunSpec, step: int) -> set[str]:
    """The names of all numbers that a run has at this measured step; more taps are looked at when training ends."""
    sets = ("on_grid", "off_grid", "in_hole") if spec.data.hole else ("on_grid", "off_grid")
    taps = (*LAYER_4, *LAST_TAPS) if step == spec.training.steps else LAYER_4
    ceilings = (share.replace("accuracy", "ceiling") for share in SHARES)
    of_set = (*SHARES, *ceilings, *MODES, "samples")
    return {
        *("step", "loss"),
        *(f"{labels}.{name}" for labels in sets for name in of_set),
        *(f"{tap}.{name}" for tap in taps for name in MEASURES),
    }
