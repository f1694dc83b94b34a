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
from bumplab.verdicts.intervals import Datum, Interval, certain, student_t

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bumplab.runs.store import RunRecord

DatumForm = Literal["bounds", "pair", "outcomes"]
"""The numbers of one seed: bounds of its effect; the two numbers of a ratio; or levels and then an outcome for each."""
IntervalOf = Callable[[Sequence[Datum], float], Interval]
SeedRuns = Mapping[str, Curves]
"""The runs of one seed, by condition."""
RunsOf = Callable[[Profile, int], Mapping[str, RunSpec]]
"""The spec of each condition's run, for a profile and a seed."""
Change = Callable[[SeedRuns], SeedRuns]
"""Other measurements of the same runs, as a control plants them."""
Effect = Callable[[SeedRuns], float | Datum]
"""One seed's effect: a number where it is known, otherwise the datum that the part's interval reads."""


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
    """The effect that a part is built to find, and the standard deviation of that effect between seeds.

    Both are fixed before the first judged run. ``source`` names the paper's figure, or the runs with seeds below
    `FIRST_SEED`, that they come from. ``draw`` draws the datum of one seed from a generator, an effect and a spread.
    The default draws a normal effect.
    """

    effect: float
    spread: float
    source: str
    draw: Callable[[np.random.Generator, float, float], Datum] | None = None

    def seed_datum(self, random: np.random.Generator, effect: float) -> Datum:
        """One seed's datum in a world where the true effect is ``effect``."""
        if self.draw is not None:
            return self.draw(random, effect, self.spread)
        value = float(random.normal(effect, self.spread))
        return value, value


@dataclass(frozen=True)
class Part:
    """One prediction of a claim: an effect of one seed's runs, as a number with a unit.

    ``effect`` takes one seed's `Curves` by condition. It returns a number, or the datum that ``interval`` reads: for
    `student_t` the bounds of an effect that is not known exactly. It raises `Undefined` where the runs define no
    effect. ``why`` gives the reason for the region's margin. A part with ``judges=False`` is reported and decides
    nothing.
    """

    name: str
    unit: str
    region: Region
    why: str
    effect: Effect
    interval: IntervalOf = student_t
    judges: bool = True
    design: Design | None = None
    datum: str = ""
    """Names the numbers of a seed's datum, where they are not the effect itself."""
    datum_form: DatumForm = "bounds"
    rates: tuple[str, ...] = ()
    """The shares of sampled images that the effect is computed from. `noise` draws them again."""
    counts_failures: bool = False
    """The effect is defined for diverged runs too. Otherwise one diverged run leaves the part undecided."""


@dataclass(frozen=True)
class Control:
    """A world where the truth is known, judged by the claim's own code.

    The claim is true there if ``positive``, otherwise false. A false world must not come out SUPPORTED. A true world
    must not come out CONTRADICTED. ``runs`` replaces the claim's runs. ``change`` alters the measurements of the runs.
    """

    name: str
    why: str
    runs: RunsOf | None = None
    change: Change | None = None
    positive: bool = False


@dataclass(frozen=True)
class PaperFigure:
    """The paper's figure of a claim, redrawn from stored runs.

    ``draw`` takes the records of each condition, one a seed. ``note`` tells the reader how to read the figure. ``rows``
    names the numbers that every row must hold. ``label_sets`` names the label sets whose samples the last checkpoint
    must hold. With ``finished_only`` the figure leaves out failed runs.
    """

    draw: Callable[[Mapping[str, Sequence[RunRecord]]], Figure]
    note: str
    rows: tuple[str, ...] = ()
    label_sets: tuple[str, ...] = ()
    finished_only: bool = False


FIRST_SEED = 10
"""First seed of the judged runs. Lower seeds are for choosing profiles. For `quick` that was not kept, see README."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper. All parts that judge must hold for it to be SUPPORTED.

    ``runs`` returns the spec of each named condition for a profile and a seed, so a plan needs no training. It returns
    an empty mapping for a claim that needs no runs. ``curves`` maps each curve that shows the effect to its title in
    the report.
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
    """Makes the runs of one synthetic seed: ``plant(seed, conditions, *numbers)``, one number a judged part.

    Where a part's design has a ``draw``, its number is the drawn datum. The claim's effects then read these numbers.
    """
    figure: PaperFigure | None = None
    page_section: Literal["", "manifold", "artefacts"] = ""
    """A section that the report's page adds from this claim's runs."""

    @property
    def certain(self) -> bool:
        """Nothing is drawn at random: the claim takes no share of the suite's error rate."""
        return all(part.interval is certain for part in self.parts if part.judges)

    def plan(self, profile: Profile, seeds: int) -> dict[str, list[RunSpec]]:
        """The specs of each condition, one a seed from `FIRST_SEED` on."""
        by_seed = [self.runs(profile, seed) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
        return {condition: [runs[condition] for runs in by_seed] for condition in by_seed[0]}

    def with_runs(self, runs: RunsOf | None, change: Change | None) -> Claim:
        """The same claim on other runs or on changed measurements. Its regions stay."""
        parts = self.parts
        if change is not None:
            parts = tuple(replace(part, effect=_after(change, part.effect)) for part in parts)
        return replace(self, runs=runs or self.runs, parts=parts)

    def under(self, control: Control) -> Claim:
        """The claim in the world of the control."""
        return self.with_runs(control.runs, control.change)


def _after(change: Change, effect: Effect) -> Effect:
    return lambda runs: effect(change(runs))
