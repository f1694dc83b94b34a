"""The roles that a claim needs: those whose numbers its parts read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from bumplab.config import ROLES, Role
from bumplab.verdicts.claim import Claim, Part
from bumplab.verdicts.curves import Curve, Curves
from bumplab.verdicts.intervals import Undefined
from bumplab.verdicts.worlds import judged, plant


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


def roles_of(claim: Claim) -> Mapping[str, frozenset[Role]]:
    """The roles that each part of the claim reads, by the part's name.

    The parts are tried on planted runs (`Claim.plant`). A claim without a ``plant`` counts as needing no role.
    """
    if claim.plant is None:
        return {part.name: frozenset() for part in claim.parts}
    random = np.random.default_rng(0)
    designs = [part.design for part in judged(claim)]
    data = [design.seed_datum(random, design.effect) for design in designs if design is not None]
    runs = plant(claim, data)
    return {part.name: _roles_read(part, runs) for part in claim.parts}


def _roles_read(part: Part, runs: Mapping[str, Curves]) -> frozenset[Role]:
    names: set[str] = set()
    with suppress(Undefined):
        part.effect({c: _Watched(run.rows, run.failed, run.seed, names) for c, run in runs.items()})
    return frozenset(role for role in ROLES if any(name.startswith(f"{role}.") for name in names))


def missing(claim: Claim, roles: Sequence[Role]) -> tuple[Role, ...]:
    """The roles that a judged part reads and that are not among ``roles``, in the order of `ROLES`."""
    read = roles_of(claim)
    needed = set().union(*(read[part.name] for part in judged(claim)))
    return tuple(role for role in ROLES if role in needed and role not in roles)


def without_missing(claim: Claim, roles: Sequence[Role]) -> Claim:
    """The claim without the parts that are only shown and read a role that is not among ``roles``."""
    read = roles_of(claim)
    return replace(claim, parts=tuple(part for part in claim.parts if part.judges or read[part.name] <= set(roles)))
