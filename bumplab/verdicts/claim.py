"""What a claim is: a sentence of the paper, the runs it needs, its effects and the regions that support it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.intervals import Bounds, Interval, student_t

IntervalOf = Callable[[Sequence[Bounds], float], Interval]


@dataclass(frozen=True)
class Region:
    """The open interval of effects that support a part of a claim."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}"
        return f"below {self.high:g}" if math.isinf(self.low) else f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class Part:
    """One prediction of a claim: an effect of one seed's runs, as a number with a unit.

    ``effect`` takes the claim's conditions, each as one seed's `Curves`, and gives the effect's bounds (equal where
    it is known), or raises `Undefined`. ``why`` gives the reason for the region's margin. A part that does not
    ``judge`` is shown beside the others and decides nothing.
    """

    name: str
    unit: str
    region: Region
    why: str
    effect: Callable[[Mapping[str, Curves]], Bounds]
    interval: IntervalOf = student_t
    judges: bool = True
    pair: str = ""
    """What the two numbers are, where ``effect`` gives a numerator and a denominator instead of bounds."""


FIRST_SEED = 10
"""Seeds below it are for choosing profiles; verdicts are reached with seeds that no choice has seen."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper. All parts that judge must hold for it to be SUPPORTED.

    ``runs`` gives, for a profile and a seed, the run of each named condition: module-level data, so that a plan can be
    made before anything trains. ``curves`` names, for the report, the curves that show the effect, by title.
    """

    id: str
    statement: str
    source: str
    prediction: str
    runs: Callable[[Profile, int], Mapping[str, RunSpec]]
    parts: tuple[Part, ...]
    curves: Mapping[str, str]

    def plan(self, profile: Profile, seeds: int) -> dict[str, list[RunSpec]]:
        """The runs of each condition, one a seed."""
        by_seed = [self.runs(profile, seed) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
        return {condition: [runs[condition] for runs in by_seed] for condition in by_seed[0]}
