"""From one part's runs to its verdict: each seed is marked, and the seeds are counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import special

from bumplab.verdicts import evidence
from bumplab.verdicts.claim import Compared, Part, Premise, Region, SeedRuns
from bumplab.verdicts.curves import Bounds, Undefined
from bumplab.verdicts.looks import Looks

Verdict = Literal["SUPPORTED", "CONTRADICTED", "INCONCLUSIVE"]
Mark = Literal["in", "out", "neither"]
"""Where a seed's effect lies. ``neither``: the run failed, or the effect is undefined or too uncertain to say."""
Method = Literal["counted", "compared", "certain"]
"""How a part is supported: by counted seeds, by conditions compared within a seed too, or without any chance."""
PREMISE_SEEDS = 3
"""Fewest seeds on which a premise is found not to hold: none of 3, or fewer than half of twice as many or more.

With fewer, the last look decides. Where no further seeds could decide the part, it is given up at once: for a premise
that holds for 80 % of seeds after 3 seeds in 10 % of sessions, and for one of 95 % in 1 %.
"""
CONFIDENCE = 0.95
"""Of the t interval that describes a part's effects. It decides nothing."""


@dataclass(frozen=True)
class SeedMark:
    """One seed's effect, between ``low`` and ``high``, and where it lies.

    An open bound is None, and both are None where the effect is undefined. ``problem`` then gives the reason. A seed
    whose own premise does not hold is not ``testable``. Like each that is neither, it counts against both verdicts.
    """

    seed: int
    mark: Mark
    low: float | None = None
    high: float | None = None
    problem: str = ""
    testable: bool = True


@dataclass(frozen=True)
class PremiseVerdict:
    """Whether a part is testable: the premise's number of each seed, and how many lie in its region."""

    name: str
    needs: str
    unit: str
    region: str
    numbers: list[float | None]
    median: float | None
    hits: int
    holds: bool


@dataclass(frozen=True)
class PartVerdict:
    """The verdict on one prediction after ``len(seeds)`` seeds.

    ``support`` is the evidence for the part, ``against`` that for its contrary. ``needed`` is what either needs.
    ``estimate``, ``low`` and ``high`` are mean and t interval of the known effects: a description. ``settled`` tells
    that more seeds up to the last look cannot change the verdict, or need not. ``stopped`` tells that the runs of the
    next look are missing.
    """

    name: str
    reads: str
    holds: str
    unit: str
    verdict: Verdict
    reason: str
    region: str
    bounds: list[float | None]
    designed: float | None
    why: str
    judges: bool
    method: Method
    seeds: list[SeedMark]
    support: float
    against: float
    needed: float
    estimate: float | None
    low: float | None
    high: float | None
    settled: bool
    premise: PremiseVerdict | None = None
    stopped: bool = False

    @property
    def hits(self) -> int:
        """Seeds in the region."""
        return sum(seed.mark == "in" for seed in self.seeds)


def judge(
    part: Part, seeds: Sequence[SeedRuns], looks: Looks, judged_parts: int, known: Sequence[SeedMark] = ()
) -> PartVerdict:
    """The verdict on a part at one look. ``known`` are the marks of the first seeds, from the look before.

    It is SUPPORTED by evidence of ``looks.needed``. It is CONTRADICTED by ``judged_parts`` times that, so that one such
    part is enough to contradict its claim. Where its premise does not hold it is INCONCLUSIVE.
    """
    others = enumerate(seeds[len(known) :], looks.first_seed + len(known))
    marks = [*known, *(mark_of(part, runs, seed) for seed, runs in others)]
    support, most_support = _support(part, seeds, marks, looks.last)
    outs = sum(mark.mark == "out" for mark in marks)
    against = evidence.counted(outs, len(marks) - outs)
    left = max(0, looks.last - len(marks))
    most_against = evidence.counted(outs + left, len(marks) - outs)
    premise = _premise(part.premise, seeds)
    # A claim may be contradicted by several parts together. So no part ends while its own evidence can be enough.
    decidable = most_support >= looks.needed or most_against >= looks.needed
    untestable = premise is not None and _is_given_up(premise, len(marks), looks.last, decidable)
    verdict: Verdict = "INCONCLUSIVE"
    if not untestable:
        verdict = _verdict(support=support, against=against, needed=looks.needed, judged_parts=judged_parts)
    estimate, low, high = _description(marks)
    return _verdict_on(
        part,
        verdict=verdict,
        reason=_reason(
            part,
            marks,
            support=support,
            against=against,
            needed=looks.needed,
            judged_parts=judged_parts,
            untestable=premise if untestable else None,
        ),
        designed=part.design.effect if part.design else None,
        method="compared" if isinstance(part.effect, Compared) else "counted",
        seeds=marks,
        support=support,
        against=against,
        needed=looks.needed,
        estimate=estimate,
        low=low,
        high=high,
        settled=untestable or verdict != "INCONCLUSIVE" or not decidable,
        premise=premise,
    )


def judge_certain(part: Part) -> PartVerdict:
    """The verdict on a part in which nothing is drawn at random."""
    value, _ = _bounds(part.effect({}))
    return _verdict_on(
        part,
        verdict="SUPPORTED" if side(part.region, (value, value)) == "in" else "CONTRADICTED",
        reason=f"{value:.3g} {part.unit}, supported {part.region}",
        designed=None,
        method="certain",
        seeds=[],
        support=0.0,
        against=0.0,
        needed=0.0,
        estimate=value,
        low=value,
        high=value,
        settled=True,
    )


def mark_of(part: Part, runs: SeedRuns, seed: int) -> SeedMark:
    """Where one seed's effect lies. It is neither in nor out where a run failed or the effect is undefined.

    Nor is it where the seed's own premise does not hold.
    """
    for condition, curves in runs.items():
        if curves.failed:
            return SeedMark(seed, "neither", problem=f"the run {condition!r} failed: {curves.failed}")
    try:
        low, high = _bounds(part.effect(runs))
    except Undefined as undefined:
        return SeedMark(seed, "neither", problem=str(undefined))
    if math.isnan(low) or math.isnan(high):
        return SeedMark(seed, "neither", problem="the effect is not a number")
    if part.premise is not None and not _holds(part.premise, runs)[0]:
        problem = f"its premise does not hold: {part.premise.needs}"
        return SeedMark(seed, "neither", _plain(low), _plain(high), problem, testable=False)
    mark = side(part.region, (low, high))
    problem = "the effect is known too coarsely" if mark == "neither" else ""
    return SeedMark(seed, mark, _plain(low), _plain(high), problem)


def side(region: Region, bounds: Bounds) -> Mark:
    """Whether an effect between these bounds lies in the region, out of it, or neither for certain.

    An infinite bound is inside where the region is open on that side: a level that is never reached comes late.
    """
    low, high = bounds
    above = low > region.low or math.isinf(region.low)
    below = high < region.high or math.isinf(region.high)
    if above and below:
        return "in"
    if high <= region.low or low >= region.high:
        return "out"
    return "neither"


def fewest_seeds(part: Part, conditions: Sequence[str], needed: float) -> int | None:
    """The fewest seeds that can support the part; None where no number can."""
    if not isinstance(part.effect, Compared):
        return evidence.fewest_seeds(needed)
    factor = evidence.largest_factor(part.effect.weights(conditions))
    if factor <= 1:
        return None
    of_factors = math.ceil(math.log(needed) / math.log(factor))
    return max(of_factors, evidence.fewest_seeds(needed / evidence.GUARD))


def _support(part: Part, seeds: Sequence[SeedRuns], marks: Sequence[SeedMark], last: int) -> tuple[float, float]:
    """The evidence for the part, and the most that it can have at the last look."""
    left = max(0, last - len(marks))
    hits = sum(mark.mark == "in" for mark in marks)
    misses = len(marks) - hits
    if not isinstance(part.effect, Compared):
        return evidence.counted(hits, misses), evidence.counted(hits + left, misses)
    factors, largest = 1.0, 1.0
    for runs, mark in zip(seeds, marks, strict=True):
        planned = part.effect.weights(list(runs))
        largest = evidence.largest_factor(planned)
        if mark.low is None or not mark.testable:
            factors *= evidence.smallest_factor(planned)
        else:
            factors *= evidence.compared(part.effect.scores_of(runs), part.effect.weights_of(runs))
    most = evidence.guarded(factors * largest**left, hits + left, misses)
    return evidence.guarded(factors, hits, misses), most


def _verdict(*, support: float, against: float, needed: float, judged_parts: int) -> Verdict:
    if support >= needed:
        return "SUPPORTED"
    return "CONTRADICTED" if against >= needed * judged_parts else "INCONCLUSIVE"


def _verdict_on(part: Part, **found: Any) -> PartVerdict:
    """The verdict with what the part says of itself, and with what was found."""
    return PartVerdict(
        name=part.name,
        reads=part.reads,
        holds=part.holds,
        unit=part.unit,
        region=str(part.region),
        bounds=[_plain(part.region.low), _plain(part.region.high)],
        why=part.why,
        judges=part.judges,
        **found,
    )


def _bounds(effect: float | Bounds) -> Bounds:
    """The bounds of an effect. Those of a number are the number twice."""
    return effect if isinstance(effect, tuple) else (effect, effect)


def _premise(premise: Premise | None, seeds: Sequence[SeedRuns]) -> PremiseVerdict | None:
    if premise is None:
        return None
    of_seeds = [_holds(premise, runs) for runs in seeds]
    numbers = [number for _, number in of_seeds]
    hits = sum(holds for holds, _ in of_seeds)
    known = [number for number in numbers if math.isfinite(number)]
    return PremiseVerdict(
        name=premise.name,
        needs=premise.needs,
        unit=premise.unit,
        region=str(premise.region),
        numbers=[_plain(number) for number in numbers],
        median=float(np.median(known)) if known else None,
        hits=hits,
        holds=2 * hits >= len(seeds),
    )


def _holds(premise: Premise, runs: SeedRuns) -> tuple[bool, float]:
    """Whether the premise holds for a seed, and its number: the middle of its bounds, NaN where it is undefined."""
    if any(curves.failed for curves in runs.values()):
        return False, math.nan  # its rows end early, and may lack what the premise reads
    try:
        low, high = _bounds(premise.effect(runs))
    except Undefined:
        return False, math.nan
    return side(premise.region, (low, high)) == "in", (low + high) / 2


def _is_given_up(premise: PremiseVerdict, seeds: int, last: int, decidable: bool) -> bool:
    """Whether the premise does not hold, and more seeds are not waited for: the part could no longer be decided."""
    if premise.holds:
        return False
    if not decidable:
        return True
    least = PREMISE_SEEDS if not premise.hits else 2 * PREMISE_SEEDS
    return seeds >= min(least, last)


def _description(marks: Sequence[SeedMark]) -> tuple[float | None, float | None, float | None]:
    """Mean and t interval of the effects that are known exactly."""
    known = [mark.low for mark in marks if mark.testable and mark.low is not None and mark.low == mark.high]
    if not known:
        return None, None, None
    mean = float(np.mean(known))
    if len(known) < 2:
        return mean, None, None
    half = float(special.stdtrit(len(known) - 1, (1 + CONFIDENCE) / 2) * np.std(known, ddof=1) / math.sqrt(len(known)))
    return mean, mean - half, mean + half


def _reason(
    part: Part,
    marks: Sequence[SeedMark],
    *,
    support: float,
    against: float,
    needed: float,
    judged_parts: int,
    untestable: PremiseVerdict | None,
) -> str:
    """The verdict in words: "in 7 of 8 seeds ..., evidence 26 (needed 180)"."""
    if untestable is not None:
        number = "undefined" if untestable.median is None else f"{untestable.median:.3g}"
        measured = f"{untestable.name} is {number} {untestable.unit}, needed {untestable.region}"
        return f"not testable at this profile: {untestable.needs}; {measured}"
    hits = sum(mark.mark == "in" for mark in marks)
    words = f"in {hits} of {len(marks)} seeds {part.holds}"
    if support >= against:
        strongest = f"evidence {support:.3g} (needed {needed:.3g})"
    else:
        strongest = f"evidence {against:.3g} against it (needed {needed * judged_parts:.3g}, of this part alone)"
    problems = {mark.problem for mark in marks if mark.problem}
    neither = sum(mark.mark == "neither" for mark in marks)
    note = f"; {neither} neither in nor out ({'; '.join(sorted(problems))})" if neither else ""
    return f"{words}, {strongest}{note}"


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
