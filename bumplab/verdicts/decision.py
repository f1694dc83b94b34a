"""From runs to a verdict: seeds are counted, and nothing is read or written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from bumplab.verdicts import evidence
from bumplab.verdicts.claim import Claim, Compared, Control, Part, Premise, Region, SeedRuns
from bumplab.verdicts.curves import Bounds, Undefined
from bumplab.verdicts.evidence import CONTROL_NEEDED
from bumplab.verdicts.looks import Looks

Verdict = Literal["SUPPORTED", "CONTRADICTED", "INCONCLUSIVE"]
Mark = Literal["in", "out", "neither"]
"""Where a seed's effect lies. ``neither``: the run failed, or the effect is undefined or too uncertain to say."""
Method = Literal["counted", "compared", "certain"]
"""How a part is supported: by counted seeds, by conditions compared within a seed too, or without any chance."""
RunsOfPart = Callable[[Part, int], Sequence[SeedRuns]]
"""The runs of a part for a number of seeds, one item a seed from `Looks.first_seed` on."""
PREMISE_SEEDS = 3
"""Fewest seeds on which a premise is found not to hold: none of 3, or fewer than half of twice as many or more.

A premise that holds for 80 % of seeds is given up after 3 seeds in 1 % of sessions. With fewer, the last look decides.
"""
CONFIDENCE = 0.95
"""Of the t interval that describes a part's effects. It decides nothing."""


class RunsMissing(Exception):
    """Raised by a `RunsOfPart` that cannot give the runs of a look. The text completes "judged on 5 seeds, ..."."""


@dataclass(frozen=True)
class SeedMark:
    """One seed's effect, between ``low`` and ``high``, and where it lies.

    An open bound is None, and both are None where the effect is undefined. ``problem`` then gives the reason.
    """

    seed: int
    mark: Mark
    low: float | None = None
    high: float | None = None
    problem: str = ""


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


@dataclass(frozen=True)
class ControlVerdict:
    """The verdict on a control. A false world must be CONTRADICTED, a true one (``positive``) SUPPORTED."""

    name: str
    why: str
    positive: bool
    verdict: Verdict
    reason: str
    seeds: int
    parts: list[PartVerdict]

    @property
    def passed(self) -> bool:
        """Whether the claim's code tells this world for what it is."""
        return self.verdict == ("SUPPORTED" if self.positive else "CONTRADICTED")

    @property
    def stopped(self) -> bool:
        """Whether it is open only because runs are missing."""
        return not self.passed and any(part.stopped for part in self.parts)


@dataclass(frozen=True)
class ClaimVerdict:
    """The verdict on a claim.

    ``seeds`` is the largest number of seeds behind a judged part, ``needed`` the evidence that the verdict needs.
    ``unchecked`` is the verdict without the controls. It differs from ``verdict`` where a control cannot tell.
    ``stopped`` tells that the claim or a control of it is open only because runs are missing.
    """

    claim: str
    verdict: Verdict
    reason: str
    seeds: int
    needed: float
    parts: list[PartVerdict]
    unchecked: Verdict
    controls: list[ControlVerdict] = field(default_factory=list)
    stopped: bool = False


def decide(claim: Claim, runs: RunsOfPart, looks: Looks) -> ClaimVerdict:
    """The verdict on a claim: each judged part is judged alone, at its own number of seeds.

    The claim is SUPPORTED when every judged part is. It is CONTRADICTED when the mean over its judged parts of the
    evidence against them is enough. Otherwise it is INCONCLUSIVE. ``runs`` is called for one look at a time, so that no
    seed is trained in vain. A part that is only shown has as many seeds as the judged part with the fewest, or fewer
    where runs are missing. Raises `RunsMissing` where those of a part's first look are.
    """
    judged = {part.name: part_in_looks(claim, part, runs, looks) for part in claim.judged_parts}
    fewest = min(len(verdict.seeds) for verdict in judged.values())
    parts = []
    for part in claim.parts:
        if part.judges:
            parts.append(judged[part.name])
        else:
            seeds_of_part = [] if claim.certain else _as_many_as_there_are(part, runs, fewest, looks.first)
            parts.append(_certain(part) if claim.certain else judge(part, seeds_of_part, looks, len(judged)))
    return _summary(claim, parts, looks.needed)


def part_in_looks(claim: Claim, part: Part, runs: RunsOfPart, looks: Looks) -> PartVerdict:
    """The verdict on one judged part of the claim at the first look that settles it, otherwise at the last look.

    Where runs are missing, it is that of the last look that has all its runs. Raises `RunsMissing` where there is none.
    """
    if claim.certain:
        return _certain(part)
    first, *others = looks
    verdict = judge(part, runs(part, first), looks, len(claim.judged_parts))
    for seeds in others:
        if verdict.settled:
            break
        try:
            of_seeds = runs(part, seeds)
        except RunsMissing as missing:
            return replace(verdict, stopped=True, reason=f"{verdict.reason}, {missing}")
        verdict = judge(part, of_seeds, looks, len(claim.judged_parts))
    return verdict


def _as_many_as_there_are(part: Part, runs: RunsOfPart, most: int, least: int) -> Sequence[SeedRuns]:
    """The part's runs for as many seeds as have all of them. Raises `RunsMissing` where these are below ``least``."""
    for seeds in range(most, least, -1):
        with suppress(RunsMissing):
            return runs(part, seeds)
    return runs(part, least)


def judge(part: Part, seeds: Sequence[SeedRuns], looks: Looks, judged_parts: int) -> PartVerdict:
    """The verdict on a part at one look.

    It is SUPPORTED by evidence of ``looks.needed``. It is CONTRADICTED by ``judged_parts`` times that, so that one such
    part is enough to contradict its claim. Where its premise does not hold it is INCONCLUSIVE.
    """
    marks = [mark_of(part, runs, seed) for seed, runs in enumerate(seeds, looks.first_seed)]
    support, most_support = _support(part, seeds, marks, looks.last)
    outs = sum(mark.mark == "out" for mark in marks)
    against = evidence.counted(outs, len(marks) - outs)
    left = max(0, looks.last - len(marks))
    most_against = evidence.counted(outs + left, len(marks) - outs)
    premise = _premise(part.premise, seeds)
    untestable = premise is not None and not premise.holds and _seen_enough(premise, len(marks), looks.last)
    verdict: Verdict = "INCONCLUSIVE"
    if not untestable:
        verdict = _verdict(support=support, against=against, needed=looks.needed, judged_parts=judged_parts)
    # A claim may be contradicted by several parts together. So no part ends while its own evidence can be enough.
    decidable = most_support >= looks.needed or most_against >= looks.needed
    estimate, low, high = _description(marks)
    return _verdict_on(
        part,
        verdict=verdict,
        reason=_reason(part, marks, support, against, looks.needed, premise if untestable else None),
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


def mark_of(part: Part, runs: SeedRuns, seed: int) -> SeedMark:
    """Where one seed's effect lies. A failed run and an undefined effect are neither in nor out."""
    for condition, curves in runs.items():
        if curves.failed:
            return SeedMark(seed, "neither", problem=f"the run {condition!r} failed: {curves.failed}")
    try:
        low, high = _bounds(part.effect(runs))
    except Undefined as undefined:
        return SeedMark(seed, "neither", problem=str(undefined))
    if math.isnan(low) or math.isnan(high):
        return SeedMark(seed, "neither", problem="the effect is not a number")
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


def with_controls(verdict: ClaimVerdict, controls: Sequence[ControlVerdict]) -> ClaimVerdict:
    """The verdict on a claim, checked by its controls. One that cannot tell its world makes it INCONCLUSIVE."""
    blind = [control.name for control in controls if not control.passed]
    checked = replace(verdict, controls=list(controls))
    if not blind or verdict.verdict == "INCONCLUSIVE":
        return checked
    only_stopped = all(control.stopped or control.passed for control in controls)
    names = ", ".join(map(repr, blind))
    reason = f"its controls cannot tell: {names} did not come out as known; without them {verdict.verdict}: "
    return replace(checked, verdict="INCONCLUSIVE", reason=reason + verdict.reason, stopped=only_stopped)


def without_controls(verdict: ClaimVerdict, tried: Sequence[ControlVerdict], missing: RunsMissing) -> ClaimVerdict:
    """The verdict on a claim of which controls could not be tried because runs are missing: it is INCONCLUSIVE.

    ``tried`` are the controls before the first that lacks runs. One of them that cannot tell decides all the same.
    """
    checked = with_controls(verdict, tried)
    if checked.verdict == "INCONCLUSIVE":
        return checked
    reason = f"not all controls were tried, {missing}; without them {verdict.verdict}: {verdict.reason}"
    return replace(checked, verdict="INCONCLUSIVE", reason=reason, stopped=True)


def decide_control(claim: Claim, control: Control, runs: RunsOfPart, looks: Looks) -> ControlVerdict:
    """The verdict of the claim's own code in the world of the control, by evidence of `CONTROL_NEEDED` for each part.

    ``runs`` gives the runs of a part of ``claim.under(control)``. The world breaks all parts that the control names, or
    keeps them all. So its verdict is that of its parts where they agree, and INCONCLUSIVE where they do not.
    """
    form, looks = claim.under(control), replace(looks, needed=CONTROL_NEEDED)
    parts = [part_in_looks(form.only([part.name]), part, runs, looks) for part in form.judged_parts]
    verdicts = {part.verdict for part in parts}
    verdict = verdicts.pop() if len(verdicts) == 1 else "INCONCLUSIVE"
    return ControlVerdict(
        name=control.name,
        why=control.why,
        positive=control.positive,
        verdict=verdict,
        reason="; ".join(f"{part.name}: {part.reason}" for part in parts),
        seeds=max(len(part.seeds) for part in parts),
        parts=parts,
    )


def problem_at(claim: Claim, looks: Looks, conditions: Mapping[str, Sequence[str]]) -> str:
    """Why the claim can never be decided at these looks, in one line; empty where it can.

    ``conditions`` are those of each judged part at the session's profile, by the part's name.
    """
    if claim.certain:
        return ""
    for part in claim.judged_parts:
        names = conditions[part.name]
        if isinstance(part.effect, Compared) and len(names) < 2:
            return f"part {part.name!r} compares conditions and has {len(names)} here: it needs 2 or more"
        least = fewest_seeds(part, names, looks.needed)
        if least is None or least > looks.last:
            if least is None:
                return f"no number of seeds can decide part {part.name!r}: give its conditions different weights"
            needs = f"it needs {least} seeds or more"
            return f"part {part.name!r} is judged on at most {looks.last} seeds, and {needs}: raise --max-seeds"
    return ""


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
        if mark.low is None:
            factors *= evidence.smallest_factor(planned)
        else:
            factors *= evidence.compared(part.effect.scores_of(runs), part.effect.weights_of(runs))
    most = evidence.guarded(factors * largest**left, hits + left, misses)
    return evidence.guarded(factors, hits, misses), most


def _verdict(*, support: float, against: float, needed: float, judged_parts: int) -> Verdict:
    if support >= needed:
        return "SUPPORTED"
    return "CONTRADICTED" if against >= needed * judged_parts else "INCONCLUSIVE"


def _certain(part: Part) -> PartVerdict:
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
    numbers: list[float] = []
    hits = 0
    for runs in seeds:
        try:
            if any(curves.failed for curves in runs.values()):
                raise Undefined("a run failed")  # its rows end early, and may lack what the premise reads
            low, high = _bounds(premise.effect(runs))
        except Undefined:
            numbers.append(math.nan)
            continue
        numbers.append((low + high) / 2)
        hits += side(premise.region, (low, high)) == "in"
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


def _seen_enough(premise: PremiseVerdict, seeds: int, last: int) -> bool:
    """Whether a premise that does not hold is given up after so many seeds."""
    least = PREMISE_SEEDS if not premise.hits else 2 * PREMISE_SEEDS
    return seeds >= min(least, last)


def _summary(claim: Claim, parts: list[PartVerdict], needed: float) -> ClaimVerdict:
    judged = [part for part in parts if part.judges]
    verdicts = {part.verdict for part in judged}
    against = sum(part.against for part in judged) / len(judged)
    verdict: Verdict = "INCONCLUSIVE"
    if verdicts == {"SUPPORTED"}:
        verdict = "SUPPORTED"
    elif "CONTRADICTED" in verdicts or (against >= needed and not claim.certain and _all_testable(judged)):
        verdict = "CONTRADICTED"
    deciding = [part for part in judged if part.verdict == verdict and not claim.certain] or judged
    reason = "; ".join(f"{part.name}: {part.reason}" for part in deciding)
    seeds = max(len(part.seeds) for part in judged)
    return ClaimVerdict(
        claim=claim.id,
        verdict=verdict,
        reason=reason,
        seeds=seeds,
        needed=needed,
        parts=parts,
        unchecked=verdict,
        stopped=verdict == "INCONCLUSIVE" and any(part.stopped for part in judged),
    )


def _all_testable(parts: Sequence[PartVerdict]) -> bool:
    return all(part.premise is None or part.premise.holds for part in parts)


def _description(marks: Sequence[SeedMark]) -> tuple[float | None, float | None, float | None]:
    """Mean and t interval of the effects that are known exactly."""
    known = [mark.low for mark in marks if mark.low is not None and mark.low == mark.high]
    if not known:
        return None, None, None
    mean = float(np.mean(known))
    if len(known) < 2:
        return mean, None, None
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(known) - 1) * np.std(known, ddof=1) / math.sqrt(len(known)))
    return mean, mean - half, mean + half


def _reason(
    part: Part,
    marks: Sequence[SeedMark],
    support: float,
    against: float,
    needed: float,
    untestable: PremiseVerdict | None,
) -> str:
    """The verdict in words: "in 7 of 8 seeds ..., evidence 26 (needed 180)"."""
    if untestable is not None:
        number = "undefined" if untestable.median is None else f"{untestable.median:.3g}"
        measured = f"{untestable.name} is {number} {untestable.unit}, needed {untestable.region}"
        return f"not testable at this profile: {untestable.needs}; {measured}"
    hits = sum(mark.mark == "in" for mark in marks)
    words = f"in {hits} of {len(marks)} seeds {part.holds}"
    strongest = f"evidence {support:.3g}" if support >= against else f"evidence {against:.3g} against it"
    problems = {mark.problem for mark in marks if mark.problem}
    neither = sum(mark.mark == "neither" for mark in marks)
    note = f"; {neither} neither in nor out ({'; '.join(sorted(problems))})" if neither else ""
    return f"{words}, {strongest} (needed {needed:.3g}){note}"


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
