"""Names, ranges and shapes of everything that is measured at a checkpoint.

A reader can check a stored run against them without measuring anything.
"""

from __future__ import annotations

import math

from bumplab.config import LAST_ROLES, LAYER_4, Role, RunSpec

MEASUREMENT = 1
"""Version of what is measured. Raise it when code changes a number of equal draws: stored draws are measured again."""

SHARES = ("accuracy", "accuracy_x", "accuracy_y")
"""Shares of images whose position is right: on both axes (eq. 1), in x, in y."""
MODES = ("none", "several", "single-wrong", "correct")
"""Failure modes (Section 3): no bump, several bumps, one bump at a wrong place, one bump at the right place.

Every image has exactly one mode."""
MEASURES = (
    *("umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_generated"),
    *("pca_r2", "pca_r2_x", "pca_r2_y"),
    *("dimension", "neighbour_order", "signal"),
)
"""Measures of the activations of one role (`bumplab.measure.representation`)."""
CEILINGS = tuple(share.replace("accuracy", "ceiling") for share in SHARES)
"""The same shares, measured on true images of the same labels: what a perfect generator reaches."""
RANGES = {
    "loss": (0.0, math.inf),
    **dict.fromkeys((*SHARES, *CEILINGS, *MODES), (0.0, 1.0)),
    **dict.fromkeys((name for name in MEASURES if "_r2" in name), (-math.inf, 1.0)),
    "dimension": (0.0, math.inf),
    "neighbour_order": (0.0, 1.0),
    "signal": (0.0, 1.0),
}
"""Least and largest value of a number, by the last part of its name. `is_possible` checks ``samples`` and ``step``."""
ROUNDING = 1e-6
"""How far a number may exceed its range: 1.0000000000000002 is 1."""
SHOWN = 25
"""Images of each label set that a checkpoint keeps for the report, as in Fig. 3."""


class SamplesNotFinite(ValueError):
    """The network drew NaN or infinity from finite weights. The checkpoint is not kept, and the run has failed."""


def row_names(spec: RunSpec, step: int) -> set[str]:
    """Names of all numbers that the run has at this measured step."""
    names_of_set = (*SHARES, *CEILINGS, *MODES, "samples")
    numbers_of_sets = {f"{labels}.{name}" for labels in sample_counts(spec, step) for name in names_of_set}
    numbers_of_roles = {f"{role}.{name}" for role in roles_at(spec, step) for name in MEASURES}
    return {"step", "loss"} | numbers_of_sets | numbers_of_roles


def is_possible(name: str, value: float, spec: RunSpec, step: int) -> bool:
    """Whether a number of this name, such as ``on_grid.accuracy``, can have this value at this measured step.

    NaN is possible for the measures of a role, and for the loss at step 0. It is impossible for shares and counts. The
    loss of a user's subject is of any kind: it may have none, and a negative one.
    """
    group, _, last = name.rpartition(".")
    if name == "step":
        return value == step
    counts = sample_counts(spec, step)
    if last == "samples":
        return value == counts[group]
    if name == "loss" and spec.subject.name != "unet":
        return True
    if math.isnan(value):
        return group not in counts and (name != "loss" or step == 0)
    low, high = RANGES[last]
    return low - ROUNDING <= value <= high + ROUNDING


def array_forms(spec: RunSpec, step: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape of each array that this measured step keeps as evidence, by name."""
    size, samples = spec.data.image_size, spec.measure.samples
    forms: dict[str, tuple[str, tuple[int, ...]]] = {"embedding.labels": ("float32", (samples, 2))}
    forms |= {f"{role}.embedding": ("float16", (samples, 3)) for role in roles_at(spec, step)}
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
    """How many images are drawn for each label set at this measured step.

    The last step may draw more images off the grid and in the hole (`MeasureSpec.last_samples`).
    """
    samples = spec.measure.samples
    at_end = max(samples, spec.measure.last_samples) if step == spec.training.steps else samples
    return {"on_grid": samples, "off_grid": at_end} | ({"in_hole": at_end} if spec.data.hole else {})


def roles_at(spec: RunSpec, step: int) -> tuple[Role, ...]:
    """Roles measured at this step: `LAYER_4`, and at the last step also `LAST_ROLES`."""
    return (*LAYER_4, *LAST_ROLES) if step == spec.training.steps else LAYER_4
