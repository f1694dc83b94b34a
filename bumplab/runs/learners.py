"""A run's learner: how it is started, and what it gives at a checkpoint in the form that is measured and stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bumplab.config import FOLLOWED, Role, RunSpec
from bumplab.data.feed import Feed
from bumplab.data.label_sets import label_sets
from bumplab.measure.detector import quantise
from bumplab.measure.names import SamplesNotFinite, is_end, roles_at, sample_counts
from bumplab.measure.sample import Sample
from bumplab.subjects.protocol import Drawn, Learner, State, Subject, Task
from bumplab.subjects.registry import Named, blaming
from bumplab.subjects.sources import SubjectError

Activations = Mapping[Role, NDArray[Any]]


def start(spec: RunSpec, subject: Subject, device: str, at: tuple[int, State] | None = None) -> Learner:
    """The untrained learner of a run, or the one that had this state after this step."""
    return subject.start(Task.of(spec, tuple(subject.roles)), Feed(spec.data, spec.seed), device, at)


def draw(learner: Learner, spec: RunSpec, step: int, subject: Subject, users: Named | None = None) -> Sample:
    """What the learner of ``subject`` draws and sees at this step, as `as_stored` gives it. Raises as that does.

    An error in the code of ``users``, the user's subject, is a `SubjectError`.
    """
    sets = label_sets(spec, step == spec.training.steps)
    probe = sets["probe"]  # the first set, whose activations are recorded
    with blaming(users):
        drawn = learner.draw(np.concatenate([asked.labels for asked in sets.values()]), spec.seed, len(probe.labels))
    seen: Activations | None = None
    canvas: Activations | None = None
    if subject.sees and FOLLOWED in subject.roles:
        centre = np.full_like(probe.labels, (spec.data.image_size + 1) / 2)
        with blaming(users):
            seen = learner.see(probe.truth, centre, spec.seed)
            if is_end(spec, step):
                canvas = learner.see(np.full_like(probe.truth, 255), probe.labels, spec.seed)
    return as_stored(drawn, spec, step, subject, seen=seen, canvas=canvas)


def as_stored(
    drawn: Drawn,
    spec: RunSpec,
    step: int,
    subject: Subject,
    *,
    seen: Activations | None = None,
    canvas: Activations | None = None,
) -> Sample:
    """What a learner gave, as it is measured and stored: uint8 images ``[B, N, N]``, and activations ``[samples, D]``.

    Keeps the roles that this step measures. Raises `SubjectError` where the subject broke its contract, and
    `SamplesNotFinite` where an image holds NaN or infinity.
    """
    if not isinstance(drawn, Drawn):
        raise SubjectError(f"{spec.subject.name} drew a {type(drawn).__name__} at step {step}: must be a Drawn")
    count, size = sum(sample_counts(spec, step).values()), spec.data.image_size
    images, shape = np.asarray(drawn.images), (count, size, size)
    if images.shape != shape or images.dtype.kind not in "fiub":
        given = f"images of {images.dtype} {list(images.shape)} at step {step}"
        raise SubjectError(f"{spec.subject.name} drew {given}: must be real numbers {list(shape)}")
    grey, finite = quantise(images if images.dtype.kind == "f" else images.astype(np.float32))
    if not finite.all():
        raise SamplesNotFinite(f"{(~finite).sum()} of {len(finite)} samples hold NaN or infinity")
    roles = tuple(role for role in roles_at(spec, step) if role in subject.roles)
    followed = tuple(role for role in roles if role == FOLLOWED)

    def readings(name: str, given: Activations | None, wanted: tuple[Role, ...]) -> dict[Role, NDArray[np.float16]]:
        found = {} if given is None else {role: _rows(given, role, name, spec, step) for role in wanted}
        return {role: for_neighbours(rows) for role, rows in found.items()}

    return Sample(
        images=grey,
        activations={role: _rows(drawn.activations, role, "activations", spec, step) for role in roles},
        told=readings("told", drawn.told if subject.tells else None, roles),
        seen=readings("see", seen, followed),
        canvas=readings("see", canvas, followed),
    )


def for_neighbours(rows: NDArray[np.float32]) -> NDArray[np.float16]:
    """The rows ``[B, D]``, centred and divided by their largest magnitude: from -1 to 1.

    Neighbours stay, but for rounding: order moved by at most 0.002 (quick, seeds 0 and 1). Without this, a large offset
    or value would be lost in float16. Rows that are not finite give NaN.
    """
    with np.errstate(all="ignore"):
        centred = rows - rows.mean(axis=0, dtype=np.float64)
        largest = np.abs(centred).max(initial=0)
        scaled = centred / largest if largest != 0 else centred
    stored: NDArray[np.float16] = scaled.astype(np.float16)
    return stored


def _rows(given: Activations, role: Role, name: str, spec: RunSpec, step: int) -> NDArray[np.float32]:
    """The activations of a role as float32 ``[samples, D]``. Raises `SubjectError` for another form."""
    if not isinstance(given, Mapping):
        kind = f"{name} as a {type(given).__name__} at step {step}"
        raise SubjectError(f"{spec.subject.name} gave {kind}: must be arrays by role, such as a dict")
    rows, count = np.asarray(given.get(role, ())), spec.measure.samples
    if rows.shape[:1] != (count,) or rows.dtype.kind not in "fiub":
        form = f"{name} of {role} as {rows.dtype} {list(rows.shape)} at step {step}"
        raise SubjectError(f"{spec.subject.name} gave {form}: must be real numbers, {count} rows")
    return rows.reshape(count, -1).astype(np.float32)
