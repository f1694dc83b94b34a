"""Names, ranges and shapes of everything that is measured at a checkpoint (`docs/measures.md`).

A reader can check a stored run against them without measuring anything.
"""

from __future__ import annotations

import math

from bumplab.config import FOLLOWED, LAST_ROLES, ROLES, Role, RunSpec

MEASUREMENT = 3
"""Version of what is measured. Raise it when code changes a number of equal draws: stored draws are measured again."""

MODES = ("none", "several", "single-wrong", "correct")
"""Failure modes (Section 3): no bump, several bumps, one bump at a wrong place, one bump at the right place.

Every image has exactly one mode."""
ERRORS = ("error", "error_x", "error_y")
"""Median distance of single bumps to their labels in pixels: in the plane, in x, in y."""
PLACEMENT = (*MODES, "correct_x", "correct_y", *ERRORS)
"""Measures of a label set (`bumplab.measure.accuracy.placement`)."""
SHARES = ("accuracy", "accuracy_x", "accuracy_y")
"""Shares of images whose position by Algorithm 1 is right: on both axes (eq. 1), in x, in y."""
CEILINGS = (*(share.replace("accuracy", "ceiling") for share in SHARES), "ceiling_correct")
"""The same shares, and that of one bump at the right place, on true images of the labels: a perfect generator's."""
OF_EQ_1 = ("probe", "on_grid")
"""Label sets that eq. 1 is computed for."""
AT_EACH = (
    *(f"{FOLLOWED}.{name}" for name in ("order", "order_x", "order_y", "order_drawn")),
    *(f"{FOLLOWED}.{name}" for name in ("told", "told_x", "told_y", "told_flatness", "seen", "flatness")),
    "image.order",
)
"""Measures of the representation at every checkpoint (`bumplab.measure.measure`)."""
AT_ENDS = (f"{FOLLOWED}.canvas",)
"""Measures at step 0 and at the last checkpoint."""
OF_UMAP = ("umap_r2", "umap_r2_x", "umap_r2_y", "umap_r2_sd")
OF_ROLE = ("order", "told", "signal", "dimension", "pca_r2")
AT_LAST = (*(f"{FOLLOWED}.{name}" for name in OF_UMAP), *(f"{role}.{name}" for role in ROLES for name in OF_ROLE))
"""Measures of the representation at the last checkpoint alone."""

_R2 = (-math.inf, 1.0)
RANGES = {
    "loss": (0.0, math.inf),
    **dict.fromkeys((*SHARES, *CEILINGS, *MODES, "correct_x", "correct_y"), (0.0, 1.0)),
    **dict.fromkeys(ERRORS, (0.0, math.inf)),
    **dict.fromkeys(("order", "order_x", "order_y", "order_drawn", "told", "told_x", "told_y", "seen", "canvas"), _R2),
    **dict.fromkeys(("umap_r2", "umap_r2_x", "umap_r2_y", "pca_r2"), _R2),
    "umap_r2_sd": (0.0, math.inf),
    **dict.fromkeys(("flatness", "told_flatness"), (0.0, 1 / 3)),
    "dimension": (0.0, math.inf),
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
    names = {"step", "loss", *AT_EACH}
    if is_end(spec, step):
        names |= set(AT_ENDS)
    if step == spec.training.steps:
        names |= set(AT_LAST)
    for labels in sample_counts(spec, step):
        of_eq_1 = (*SHARES, *CEILINGS) if labels in OF_EQ_1 else ()
        names |= {f"{labels}.{name}" for name in (*PLACEMENT, *of_eq_1, "samples")}
    return names


def is_possible(name: str, value: float, spec: RunSpec, step: int) -> bool:
    """Whether a number of this name, such as ``probe.correct``, can have this value at this measured step.

    NaN is possible for errors, for measures of the representation, and for the loss at step 0. It is impossible for
    shares and counts. The loss of a user's subject is of any kind: it may have none, and a negative one.
    """
    group, _, last = name.rpartition(".")
    if name == "step":
        return value == step
    if last == "samples":
        return value == sample_counts(spec, step)[group]
    if name == "loss" and spec.subject.name != "unet":
        return True
    if math.isnan(value):
        return step == 0 if name == "loss" else group not in sample_counts(spec, step) or last in ERRORS
    low, high = RANGES[last]
    return low - ROUNDING <= value <= high + ROUNDING


def array_forms(spec: RunSpec, step: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape of each array that this measured step keeps as evidence, by name."""
    size, samples = spec.data.image_size, spec.measure.samples
    forms: dict[str, tuple[str, tuple[int, ...]]] = {
        "embedding.labels": ("float32", (samples, 2)),
        f"{FOLLOWED}.embedding": ("float16", (samples, 3)),
    }
    shown = min(SHOWN, samples)
    for labels in sample_counts(spec, step):
        forms |= {
            f"{labels}.images": ("uint8", (shown, size, size)),
            f"{labels}.labels": ("float32", (shown, 2)),
            f"{labels}.positions": ("float32", (shown, 2)),
            f"{labels}.modes": ("uint8", (shown,)),
        }
    return forms


def sample_counts(spec: RunSpec, step: int) -> dict[str, int]:
    """How many images are drawn for each label set at this measured step, in the order of the sets."""
    sets = ["probe", *["in_hole"] * bool(spec.data.left_out), *["on_grid"] * (step == spec.training.steps)]
    return dict.fromkeys(sets, spec.measure.samples)


def roles_at(spec: RunSpec, step: int) -> tuple[Role, ...]:
    """Roles measured at this step: `FOLLOWED`, and at the last step also `LAST_ROLES`."""
    return (FOLLOWED, *LAST_ROLES) if step == spec.training.steps else (FOLLOWED,)


def is_end(spec: RunSpec, step: int) -> bool:
    """Whether this is step 0 or the last step, where the canvas reading is taken."""
    return step in (0, spec.training.steps)
