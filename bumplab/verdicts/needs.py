"""What a claim needs of a subject: the roles and readings whose numbers its parts read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from bumplab.config import ROLES, Role
from bumplab.profiles import Profile
from bumplab.verdicts.claim import FIRST_SEED, Claim, Part, SeedRuns
from bumplab.verdicts.curves import Curve, Curves, Undefined
from bumplab.verdicts.worlds import untrained, world

READINGS = ("told", "seen", "canvas")
"""Readings of a role that not every subject gives, by the first word of the last part of a number's name."""
NEEDS = (*ROLES, *READINGS)
"""All that a claim may need and a subject may lack."""


class Delivers(Protocol):
    """What a subject says of itself (`bumplab.subjects.protocol.Subject`)."""

    @property
    def roles(self) -> Mapping[Role, str]: ...
    @property
    def tells(self) -> bool: ...
    @property
    def sees(self) -> bool: ...


def delivered(subject: Delivers) -> frozenset[str]:
    """What of `NEEDS` a subject gives. The canvas reading is of what it sees."""
    readings = (subject.tells, "told"), (subject.sees, "seen"), (subject.sees, "canvas")
    return frozenset(subject.roles) | {reading for gives, reading in readings if gives}


def needs_of(claim: Claim) -> Mapping[str, frozenset[str]]:
    """What of `NEEDS` each part of the claim reads, by the part's name.

    The parts and their premises are tried on planted runs (`Claim.plant`). A claim without a ``plant`` counts as
    needing nothing.
    """
    if claim.plant is None:
        return {part.name: frozenset() for part in claim.parts}
    runs = world(claim, {}, np.random.default_rng(0), 1)
    return {part.name: _read(part, runs(part, 1)[0]) for part in claim.parts}


def missing(claim: Claim, given: Collection[str]) -> tuple[str, ...]:
    """What a judged part reads and is not among ``given`` (`delivered`), in the order of `NEEDS`."""
    read = needs_of(claim)
    needed = set().union(*(read[part.name] for part in claim.judged_parts))
    return tuple(need for need in NEEDS if need in needed and need not in given)


def without_missing(claim: Claim, given: Collection[str]) -> Claim:
    """The claim without the parts that are only shown and read what is not among ``given``."""
    read = needs_of(claim)
    return replace(claim, parts=tuple(part for part in claim.parts if part.judges or read[part.name] <= set(given)))


def unreadable(claim: Claim, profile: Profile) -> str:
    """Why a part's effect or premise cannot be computed at a profile, in one line; empty where all can.

    Each is tried on runs that learned nothing. It may find them undefined. Any other error would come after hours of
    training: a number that no row holds, or a condition that the part's runs lack.
    A claim without runs has no such wait.
    """
    for part in () if claim.certain else claim.parts:
        try:
            runs = {c: untrained(spec) for c, spec in claim.runs_of(part)(profile, FIRST_SEED).items()}
            for effect in (part.effect, part.premise.effect if part.premise else None):
                if effect is not None:
                    with suppress(Undefined):
                        effect(runs)
        except Exception as error:
            problem = " ".join(f"{type(error).__name__}: {error}".split())
            return (
                f"part {part.name!r} cannot be computed ({problem}): its effect and premise may read the numbers of "
                "bumplab/measure/names.py, of the conditions of its runs"
            )
    return ""


@dataclass(frozen=True)
class _Watched(Curves):
    """Curves that note the names of the numbers that are read."""

    names: set[str] = field(default_factory=set)

    def __getitem__(self, name: str) -> Curve:
        self.names.add(name)
        return super().__getitem__(name)

    def last(self, name: str) -> float:
        self.names.add(name)
        return super().last(name)

    def replaced(self, curves: Mapping[str, Curve]) -> Curves:
        return replace(self, rows=super().replaced(curves).rows)


def _read(part: Part, runs: SeedRuns) -> frozenset[str]:
    names: set[str] = set()
    watched = {condition: _Watched(run.rows, run.spec, names=names) for condition, run in runs.items()}
    for effect in (part.effect, part.premise.effect if part.premise else None):
        if effect is not None:
            with suppress(Undefined):
                effect(watched)
    groups_and_lasts = [name.rpartition(".")[::2] for name in names]
    roles = {group for group, _ in groups_and_lasts}
    readings = {last.partition("_")[0] for group, last in groups_and_lasts if group in ROLES}
    return frozenset(need for need in NEEDS if need in roles | readings)
