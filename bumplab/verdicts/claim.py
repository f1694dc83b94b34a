"""What a claim is: a sentence of the paper, the runs it needs, its effects, their regions, and its controls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.intervals import Datum, Interval, student_t

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bumplab.runs.store import RunRecord

DatumForm = Literal["bounds", "pair", "outcomes"]
"""What a seed's numbers are: bounds of its effect; the two numbers of a ratio; or levels and an outcome for each."""
IntervalOf = Callable[[Sequence[Datum], float], Interval]
SeedRuns = Mapping[str, Curves]
"""One seed's runs, by condition."""
RunsOf = Callable[[Profile, int], Mapping[str, RunSpec]]
Change = Callable[[SeedRuns], SeedRuns]


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
class Design:
    """What a part is built to find: an effect of this size, when seeds spread around it this much.

    Both are fixed before a judged run: from the paper's figures, or from runs with seeds below `FIRST_SEED`; ``source``
    says which. ``draw`` makes one seed's datum of an effect; by default it is normal with standard deviation
    ``spread``.
    """

    effect: float
    spread: float
    source: str
    draw: Callable[[np.random.Generator, float, float], Datum] | None = None

    def seed_datum(self, random: np.random.Generator, effect: float) -> Datum:
        if self.draw is not None:
            return self.draw(random, effect, self.spread)
        value = float(random.normal(effect, self.spread))
        return value, value


@dataclass(frozen=True)
class Part:
    """One prediction of a claim: an effect of one seed's runs, as a number with a unit.

    ``effect`` takes the claim's conditions, each as one seed's `Curves`, and gives the datum that ``interval`` reads
    (for `student_t` the effect's bounds, equal where it is known), or raises `Undefined`. ``why`` gives the reason for
    the region's margin. A part that does not ``judge`` is shown beside the others and decides nothing.
    """

    name: str
    unit: str
    region: Region
    why: str
    effect: Callable[[SeedRuns], Datum]
    interval: IntervalOf = student_t
    judges: bool = True
    design: Design | None = None
    datum: str = ""
    """What the numbers of a seed's datum are, where they are not the effect itself."""
    datum_form: DatumForm = "bounds"
    rates: tuple[str, ...] = ()
    """The shares of sampled images that the effect is made of, where its sampling noise is to be known (`noise`)."""
    counts_failures: bool = False
    """The effect is defined for runs that diverged; otherwise one such run leaves the part undecided."""


@dataclass(frozen=True)
class Control:
    """A world in which the claim is known to be false or, if ``positive``, true, judged by the claim's own code.

    A false one must not come out SUPPORTED, a true one not CONTRADICTED. Its ``runs`` replace the claim's, ``change``
    alters what was measured on them, or both.
    """

    name: str
    why: str
    runs: RunsOf | None = None
    change: Change | None = None
    positive: bool = False


@dataclass(frozen=True)
class PaperFigure:
    """The paper's figure of a claim, redrawn from stored runs by condition, one a seed.

    ``note`` says what to read in it. ``rows`` names the numbers that every row must hold, ``label_sets`` the label sets
    whose samples the last checkpoint must hold. ``finished_only``: runs that failed are not shown.
    """

    draw: Callable[[Mapping[str, Sequence[RunRecord]]], Figure]
    note: str
    rows: tuple[str, ...] = ()
    label_sets: tuple[str, ...] = ()
    finished_only: bool = False


FIRST_SEED = 10
"""Seeds below it are for choosing profiles. Verdicts are reached with those from it on, which a choice should not have
seen: of `quick` they have been, see README."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper. All parts that judge must hold for it to be SUPPORTED.

    ``runs`` gives, for a profile and a seed, the run of each named condition: module-level data, so that a plan can be
    made before anything trains; none for a claim that needs no training. ``curves`` names, for the report, the curves
    that show the effect, by title.
    """

    id: str
    statement: str
    source: str
    prediction: str
    runs: RunsOf
    parts: tuple[Part, ...]
    curves: Mapping[str, str]
    controls: tuple[Control, ...] = ()
    plant: Callable[..., SeedRuns] | None = None
    """Makes one synthetic seed: from its number, the conditions and what each judged part is to read."""
    figure: PaperFigure | None = None
    page_section: Literal["", "manifold", "artefacts"] = ""
    """A section that the report's page adds from this claim's runs."""

    def plan(self, profile: Profile, seeds: int) -> dict[str, list[RunSpec]]:
        """The runs of each condition, one a seed."""
        by_seed = [self.runs(profile, seed) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
        return {condition: [runs[condition] for runs in by_seed] for condition in by_seed[0]}

    def with_runs(self, runs: RunsOf | None, change: Change | None) -> Claim:
        """The same claim, with the same parts and regions, on other runs or on changed measurements."""
        parts = self.parts
        if change is not None:
            parts = tuple(replace(part, effect=_after(change, part.effect)) for part in parts)
        return replace(self, runs=runs or self.runs, parts=parts)

    def under(self, control: Control) -> Claim:
        """The claim as its control puts it."""
        return self.with_runs(control.runs, control.change)


def _after(change: Change, effect: Callable[[SeedRuns], Datum]) -> Callable[[SeedRuns], Datum]:
    return lambda runs: effect(change(runs))
