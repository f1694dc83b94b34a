"""A run's learner: how it is started, and what it draws at a checkpoint in the form that is measured and stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bumplab.config import Role, RunSpec
from bumplab.data.feed import Feed
from bumplab.data.label_sets import label_sets
from bumplab.measure.detector import quantise
from bumplab.measure.names import SamplesNotFinite, roles_at, sample_counts
from bumplab.subjects.protocol import Drawn, Learner, State, Subject, Task
from bumplab.subjects.registry import Named, blaming
from bumplab.subjects.sources import SubjectError


def start(spec: RunSpec, subject: Subject, device: str, at: tuple[int, State] | None = None) -> Learner:
    """The untrained learner of a run, or the one that had this state after this step."""
    return subject.start(Task.of(spec, tuple(subject.roles)), Feed(spec.data, spec.seed), device, at)


def draw(learner: Learner, spec: RunSpec, step: int, roles: Mapping[Role, str], users: Named | None = None) -> Drawn:
    """What the learner draws for all label sets of this step, as `as_stored` gives it. Raises as that does.

    An error in the code of ``users``, the user's subject, is a `SubjectError`.
    """
    sets = label_sets(spec, step == spec.training.steps)
    labels = np.concatenate([asked.labels for asked in sets.values()])
    with blaming(users):  # on_grid is the first set, and has as many labels as are recorded
        drawn = learner.draw(labels, spec.seed, spec.measure.samples)
    return as_stored(drawn, spec, step, roles)


def as_stored(drawn: Drawn, spec: RunSpec, step: int, roles: Mapping[Role, str]) -> Drawn:
    """What a learner drew, as it is measured and stored: uint8 images ``[B, N, N]`` and float32 activations.

    Keeps the roles that this step measures. Raises `SubjectError` where the subject broke its contract, and
    `SamplesNotFinite` where an image holds NaN or infinity.
    """
    if not isinstance(drawn, Drawn):
        raise SubjectError(f"{spec.subject.name} drew a {type(drawn).__name__} at step {step}: must be a Drawn")
    counts, size = sample_counts(spec, step), spec.data.image_size
    images, shape = np.asarray(drawn.images), (sum(counts.values()), size, size)
    if images.shape != shape or images.dtype.kind not in "fiub":
        given = f"images of {images.dtype} {list(images.shape)} at step {step}"
        raise SubjectError(f"{spec.subject.name} drew {given}: must be real numbers {list(shape)}")
    grey, finite = quantise(images if images.dtype.kind == "f" else images.astype(np.float32))
    if not finite.all():
        raise SamplesNotFinite(f"{(~finite).sum()} of {len(finite)} samples hold NaN or infinity")
    activations: dict[Role, NDArray[Any]] = {}
    for role in roles_at(spec, step):
        if role not in roles:
            continue
        rows = np.asarray(drawn.activations.get(role, ()))
        if rows.shape[:1] != (counts["on_grid"],) or rows.dtype.kind not in "fiub":
            given = f"activations of {role} as {rows.dtype} {list(rows.shape)} at step {step}"
            raise SubjectError(f"{spec.subject.name} gave {given}: must be real numbers, {counts['on_grid']} rows")
        activations[role] = rows.reshape(len(rows), -1).astype(np.float32)
    return Drawn(grey, activations)
