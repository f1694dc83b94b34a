"""Whether the members of a user's subject, beside its learners, have values that the suite can use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bumplab.config import MOST, MOST_CHARACTERS, ROLES
from bumplab.subjects.protocol import Budget, Subject
from bumplab.subjects.sources import SubjectError
from bumplab.terminal import line

RESUMES = ("exactly", "approximately")
READS = ("model", "diffusion", "training")
EXAMPLE = Budget(steps=1_000, batch_size=16, every=100, learning_rate=1e-3)
"""A profile's budget, for a try of `Subject.budget`."""


def require_members(subject: Subject, name: str) -> None:
    """Raises `SubjectError` for the first member that has a value of another kind than the contract says.

    ``name`` stands for the subject in the error. Errors that the subject raises are passed on.
    """

    def require(ok: bool, member: str, value: object, allowed: str) -> None:
        if not ok:
            text = repr(value)
            shown = text if len(text) <= MOST_CHARACTERS else f"{text[:40]}... ({len(text)} characters)"
            raise SubjectError(line(f"{name}: {member} = {shown}: must be {allowed}"))

    if type(subject).start is Subject.start:
        raise SubjectError(
            f"{name}: has no start: write start(self, task, data, device, at=None), which gives a learner"
        )
    roles = subject.roles
    known = f"texts by role, and the roles are {', '.join(ROLES)}"
    require(isinstance(roles, Mapping) and set(roles) <= set(ROLES), "roles", roles, known)
    require(all(map(_is_text, roles.values())), "roles", dict(roles), f"{_TEXT} for each role")
    for member in ("tells", "sees", "random"):
        require(isinstance(getattr(subject, member), bool), member, getattr(subject, member), "True or False")
    require(subject.resumes in RESUMES, "resumes", subject.resumes, " or ".join(map(repr, RESUMES)))
    reads = subject.reads
    require(
        isinstance(reads, tuple) and set(reads) <= set(READS),
        "reads",
        reads,
        f"a tuple of names among {', '.join(READS)}",
    )
    require(_is_text(subject.version), "version", subject.version, _TEXT)
    libraries = subject.libraries
    ok = isinstance(libraries, tuple) and all(_is_text(library) and library for library in libraries)
    require(ok, "libraries", libraries, "a tuple of names of installed distributions")
    require(_is_text(subject.describe()), "describe()", subject.describe(), _TEXT)
    budget: Any = subject.budget(EXAMPLE)
    allowed = "a Budget of positive numbers, with whole steps, batch_size and every"
    require(isinstance(budget, Budget) and _is_usable(budget), "budget()", budget, allowed)


_TEXT = f"a text of at most {MOST_CHARACTERS} printable characters"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= MOST_CHARACTERS


def _is_usable(budget: Budget) -> bool:
    counts = {"steps": budget.steps, "batch_size": budget.batch_size, "every": budget.every}
    rate = budget.learning_rate
    whole = all(type(count) is int and 0 < count <= MOST[name] for name, count in counts.items())
    return whole and isinstance(rate, (int, float)) and 0 < rate < math.inf
