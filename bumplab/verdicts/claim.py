"""What a claim is: a sentence of the paper, its parts with their runs and regions, premises and controls."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.verdicts.curves import Bounds, Curves, Undefined
from bumplab.verdicts.evidence import correlation, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bumplab.runs.store import RunRecord

SeedRuns = Mapping[str, Curves]
"""The runs of one seed, by condition."""
RunsOf = Callable[[Profile, int], Mapping[str, RunSpec]]
"""The spec of each condition's run, for a profile and a seed."""
Change = Callable[[SeedRuns], SeedRuns]
"""Other measurements of the same runs, as a control plants them."""
Effect = Callable[[SeedRuns], float | Bounds]
"""One seed's effect: a number or its bounds. Raises `Undefined` where the runs define none."""


@dataclass(frozen=True)
class Compared:
    """An effect between several conditions of one seed: the correlation of their scores' ranks with fixed weights.

    A part with such an effect is supported by permutation: where the condition has no effect, all orders of a seed's
    scores are equally likely (`bumplab.verdicts.evidence.compared`). Its seeds must lie in the region as well
    (`bumplab.verdicts.evidence.guarded`). ``scores`` gives one number for each condition, in
    the order of the runs. ``weights`` gives the weights of these conditions, which are fixed before any run.

    ``other_scores`` asks whether two scores of the same conditions belong together: the ranks of the other score then
    are the weights. ``weights`` gives the order that is planned for.
    """

    scores: Callable[[SeedRuns], Sequence[float]]
    weights: Callable[[Sequence[str]], Sequence[float]]
    other_scores: Callable[[SeedRuns], Sequence[float]] | None = None

    def __call__(self, runs: SeedRuns) -> float:
        """The correlation, -1 to 1. Raises `Undefined` where a score is not a finite number."""
        return correlation(self.scores_of(runs), self.weights_of(runs))

    def scores_of(self, runs: SeedRuns) -> tuple[float, ...]:
        """The scores of a seed. Raises `Undefined` where one of them is not a finite number."""
        return _numbers(self.scores, runs)

    def weights_of(self, runs: SeedRuns) -> tuple[float, ...]:
        """The weights of a seed's conditions. Raises `Undefined` where an ``other_scores`` is not a finite number."""
        if self.other_scores is None:
            return tuple(self.weights(list(runs)))
        return tuple(ranked(_numbers(self.other_scores, runs)).tolist())


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

    Both are fixed before the first judged run. ``source`` names the paper's figure, or the exploring runs, that they
    come from. For a `Compared` effect, ``effect`` is the correlation of a condition's weight with its score in a seed,
    and ``spread`` is of no use.
    """

    effect: float
    spread: float
    source: str


@dataclass(frozen=True)
class Premise:
    """What must hold for a part to be testable at a profile: a number of each seed, and the region that it must lie in.

    It holds where the numbers of at least half of the seeds lie there. ``needs`` says in words what is needed.
    """

    name: str
    needs: str
    unit: str
    region: Region
    effect: Effect


@dataclass(frozen=True)
class Part:
    """One prediction of a claim: one number of each seed, and the region of numbers that support it.

    ``reads`` quotes the words of the paper that the part tests. ``holds`` completes the sentence "In 7 of 8 runs ...".
    ``why`` gives the reason for the region. A part with ``judges=False`` is shown and decides nothing.
    """

    name: str
    reads: str
    holds: str
    unit: str
    region: Region
    why: str
    effect: Effect
    runs: RunsOf | None = None
    """The runs that the part needs, where these are not those of its claim."""
    premise: Premise | None = None
    design: Design | None = None
    judges: bool = True

    @property
    def slug(self) -> str:
        """The part's name in the name of its test, such as ``10%`` for ``10 %``."""
        return slug(self.name)


@dataclass(frozen=True)
class Control:
    """A world where the truth is known, judged by the claim's own code.

    The claim is true there if ``positive``, otherwise false. A false world must come out CONTRADICTED, a true one
    SUPPORTED. ``runs`` replaces the runs of the claim and of its parts. ``change`` alters what was measured of them.
    ``parts`` names the parts that the world breaks or keeps; by default these are all parts that judge.
    """

    name: str
    why: str
    runs: RunsOf | None = None
    change: Change | None = None
    positive: bool = False
    parts: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """The control's name in the name of its test, such as ``control-untrained``."""
        return f"control-{slug(self.name)}"


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
"""First seed of the runs that a claim is explored on. A registered claim has seeds of its own."""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper. All parts that judge must hold for it to be SUPPORTED.

    ``runs`` returns the spec of each named condition for a profile and a seed, so a plan needs no training. It returns
    an empty mapping for a claim that needs no runs. ``curves`` maps each curve that shows the effect to its title in
    the report. Raises ValueError in one line for a claim that could never be decided, see `problem_of`.
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
    """Makes the runs of one synthetic seed: ``plant(specs, **numbers)``, ``specs`` by condition of every part.

    Each judged part has a number under its `Part.slug` with ``_`` for other signs. For a `Compared` effect it is the
    tuple of scores. The claim's effects then read these numbers.
    """
    certain: bool = False
    """Nothing is drawn at random: the claim needs no runs and takes no share of the suite's error rate."""
    figure: PaperFigure | None = None

    def __post_init__(self) -> None:
        if problem := problem_of(self):
            raise ValueError(f"claim {self.id!r}: {problem}")

    @property
    def judged_parts(self) -> tuple[Part, ...]:
        """The parts that judge, in the claim's order."""
        return tuple(part for part in self.parts if part.judges)

    def runs_of(self, part: Part) -> RunsOf:
        """The runs that a part of the claim needs."""
        return part.runs or self.runs

    def all_runs(self, profile: Profile, seed: int) -> set[RunSpec]:
        """The runs of a seed that any of its parts needs."""
        return {run for part in self.parts for run in self.runs_of(part)(profile, seed).values()}

    def control(self, name: str) -> Control:
        """Its control of this name."""
        return next(control for control in self.controls if control.name == name)

    def only(self, parts: Sequence[str]) -> Claim:
        """The claim with these parts alone, by name."""
        return replace(self, parts=tuple(part for part in self.parts if part.name in parts), controls=())

    def with_runs(self, runs: RunsOf | None, change: Change | None) -> Claim:
        """The same claim on other runs or on changed measurements. Its regions stay."""
        parts = self.parts
        if runs is not None:
            parts = tuple(replace(part, runs=None) for part in parts)
        if change is not None:
            parts = tuple(replace(part, effect=_after(change, part.effect)) for part in parts)
        return replace(self, runs=runs or self.runs, parts=parts, controls=())

    def under(self, control: Control) -> Claim:
        """The claim in the world of the control: the parts that it breaks or keeps, without their premises."""
        names = control.parts or tuple(part.name for part in self.judged_parts)
        claim = self.only(names).with_runs(control.runs, control.change)
        return replace(claim, parts=tuple(replace(part, premise=None) for part in claim.parts))


def problem_of(claim: Claim) -> str:
    """Why the claim could never be decided, in one line; empty where it can."""
    judged = claim.judged_parts
    if not judged:
        return "no part judges: give it one"
    slugs = [*(part.slug for part in claim.parts), *(control.slug for control in claim.controls), "verdict"]
    if twice := [name for name in slugs if slugs.count(name) > 1]:
        return f"{twice[0]!r} would name two items of its test: give each part and control a name of its own"
    for part in judged:
        if math.isinf(part.region.low) and math.isinf(part.region.high):
            return f"part {part.name!r} has no region: every effect would support it"
        if not part.region.low < part.region.high:
            return f"part {part.name!r} has an empty region {part.region}"
        if part.premise is not None and math.isinf(part.premise.region.low) and math.isinf(part.premise.region.high):
            return f"the premise of part {part.name!r} has no region: every number would satisfy it"
    for control in claim.controls:
        if unknown := [name for name in control.parts if name not in {part.name for part in judged}]:
            return f"control {control.name!r} names {unknown[0]!r}, which is no part that judges"
        if (control.runs is None) == (control.change is None):
            return f"control {control.name!r} must have either runs or a change"
    if claim.controls and all(control.positive for control in claim.controls):
        return "all its controls are positive: one must be a world where it is false"
    return ""


def slug(name: str) -> str:
    """The name without spaces, for the name of a test: ``nearest training label`` -> ``nearest-training-label``."""
    return re.sub(r"[^a-z0-9%.]+", "-", name.lower().replace(" %", "%")).strip("-")


def keyword(part: Part) -> str:
    """The name under which `Claim.plant` takes the part's number."""
    return re.sub(r"[^a-z0-9]+", "_", part.slug).strip("_")


def _after(change: Change, effect: Effect) -> Effect:
    if isinstance(effect, Compared):
        scores, others = effect.scores, effect.other_scores
        changed = None if others is None else lambda runs: others(change(runs))
        return replace(effect, scores=lambda runs: scores(change(runs)), other_scores=changed)
    return lambda runs: effect(change(runs))


def _numbers(scores: Callable[[SeedRuns], Sequence[float]], runs: SeedRuns) -> tuple[float, ...]:
    """The scores as floats. A seed with several runs of a condition has one score for each condition, in that order."""
    numbers = tuple(float(score) for score in scores(runs))
    for condition, number in zip(runs, numbers, strict=False):
        if not math.isfinite(number):
            raise Undefined(f"the score of {condition} is not a finite number")
    return numbers


def levels(conditions: Sequence[str]) -> list[float]:
    """The numbers in conditions named ``<name>=<number>``, such as ``d=0.1``."""
    return [float(condition.split("=")[1]) for condition in conditions]


def rising(conditions: Sequence[str]) -> list[float]:
    """Weights of a score that rises with the level of its condition: the levels' ranks."""
    return list(np.argsort(np.argsort(levels(conditions))).astype(float))


def falling(conditions: Sequence[str]) -> list[float]:
    """Weights of a score that falls with the level of its condition."""
    return [-weight for weight in rising(conditions)]
