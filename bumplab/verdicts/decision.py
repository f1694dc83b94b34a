"""From runs to a verdict: curves go in, a verdict comes out, and nothing is read or written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bumplab.verdicts.claim import FIRST_SEED, Claim, Control, DatumForm, Part, Region, SeedRuns
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.error_rate import Looks, alpha_at
from bumplab.verdicts.intervals import Datum, Futile, Interval, Tied, Undefined, student_t

Verdict = Literal["SUPPORTED", "CONTRADICTED", "INCONCLUSIVE"]
Runs = Mapping[str, Sequence[Curves]]
"""The runs of each condition, one a seed. Item i of every condition has the same seed."""


@dataclass(frozen=True)
class PartVerdict:
    """The verdict on one prediction.

    ``effects`` has one entry a seed: its datum, or None where it is undefined. ``bounds`` are the region's, None where
    it is open. ``designed`` is the effect that the part is built to find, None without a design. A part is ``stuck``
    where no further seed can define its effect: a seed without an effect is never dropped, and see `Futile`.
    """

    name: str
    unit: str
    verdict: Verdict
    reason: str
    region: str
    bounds: list[float | None]
    designed: float | None
    why: str
    judges: bool
    datum: str
    datum_form: DatumForm
    effects: list[list[float | None] | None]
    estimate: float | None
    low: float | None
    high: float | None
    stuck: bool


@dataclass(frozen=True)
class ControlVerdict:
    """The verdict on a control. A false world must not be SUPPORTED, a true one (``positive``) not CONTRADICTED."""

    name: str
    why: str
    positive: bool
    verdict: Verdict
    reason: str
    seeds: int
    parts: list[PartVerdict]

    @property
    def passed(self) -> bool:
        return self.verdict != ("CONTRADICTED" if self.positive else "SUPPORTED")

    @property
    def stuck(self) -> bool:
        """No further seed can decide it, see `ClaimVerdict.stuck`."""
        return _stuck(self.verdict, self.parts)


@dataclass(frozen=True)
class ClaimVerdict:
    """The verdict on a claim after ``seeds`` seeds.

    ``alpha`` is the one-sided error rate of that look. ``unchecked`` is the verdict without the controls. It differs
    from ``verdict`` where a control refutes it.
    """

    claim: str
    verdict: Verdict
    reason: str
    seeds: int
    alpha: float
    parts: list[PartVerdict]
    unchecked: Verdict
    controls: list[ControlVerdict] = field(default_factory=list)

    @property
    def stuck(self) -> bool:
        """No further seed can decide it: a part is stuck, and every other judging part is stuck or SUPPORTED."""
        return _stuck(self.unchecked, self.parts)

    @property
    def settled(self) -> bool:
        """Whether more seeds are of no use: the claim is decided or stuck."""
        return self.unchecked != "INCONCLUSIVE" or self.stuck


def decide_in_looks(claim: Claim, runs: Callable[[int], Runs], looks: Looks, until: int | None = None) -> ClaimVerdict:
    """The verdict at the first look that settles the claim, otherwise at the last look or at ``until`` seeds.

    ``runs`` returns the runs of each condition for a number of seeds. It is called for one look at a time, so that no
    seed is trained in vain.
    """
    for seeds in looks:
        verdict = decide(claim, runs(seeds), looks)
        if verdict.settled or seeds == until:
            break
    return verdict


def decide(claim: Claim, runs: Runs, looks: Looks) -> ClaimVerdict:
    """The verdict on a claim at one look.

    It is SUPPORTED when the interval of every judging part lies inside its region. Each interval has the look's full
    error rate, as an intersection-union test needs no correction. It is CONTRADICTED when one interval lies outside, at
    that rate divided by the number of judging parts. Otherwise it is INCONCLUSIVE. Raises ValueError where ``looks``
    has no look at this number of seeds.
    """
    each = by_seed(runs)
    seeds = len(each)
    alpha = alpha_at(seeds or looks.last, looks)
    judging = sum(part.judges for part in claim.parts)
    parts = [_decide_part(part, each or [{}], alpha=alpha, judging=judging) for part in claim.parts]
    judges = [part for part in parts if part.judges]
    verdict = _weakest([part.verdict for part in judges])
    reason = "; ".join(f"{part.name}: {part.reason}" for part in judges if part.verdict == verdict)
    return ClaimVerdict(
        claim=claim.id, verdict=verdict, reason=reason, seeds=seeds, alpha=alpha, parts=parts, unchecked=verdict
    )


def _weakest(verdicts: Sequence[Verdict]) -> Verdict:
    """One part is enough to contradict a claim. All parts must support it, and there must be one."""
    if "CONTRADICTED" in verdicts:
        return "CONTRADICTED"
    return "SUPPORTED" if set(verdicts) == {"SUPPORTED"} else "INCONCLUSIVE"


def by_seed(runs: Runs) -> list[SeedRuns]:
    """The runs of each seed, by condition; empty for a claim that needs no runs."""
    seeds = len(next(iter(runs.values()), ()))
    return [{condition: each[i] for condition, each in runs.items()} for i in range(seeds)]


def with_controls(verdict: ClaimVerdict, controls: Sequence[tuple[Control, ClaimVerdict]]) -> ClaimVerdict:
    """The verdict on a claim, checked by the verdicts of its own code on its controls.

    A false world that comes out SUPPORTED withdraws SUPPORTED. A true world that comes out CONTRADICTED withdraws
    CONTRADICTED. The verdict is then INCONCLUSIVE.
    """
    judged = [
        ControlVerdict(
            name=control.name,
            why=control.why,
            positive=control.positive,
            verdict=tried.verdict,
            reason=tried.reason,
            seeds=tried.seeds,
            parts=tried.parts,
        )
        for control, tried in controls
    ]
    refuting = [control.name for control in judged if not control.passed and verdict.verdict == control.verdict]
    if not refuting:
        return replace(verdict, controls=judged)
    names = ", ".join(map(repr, refuting))
    reason = f"{verdict.verdict} is withdrawn: the control {names} came out {verdict.verdict} too"
    return replace(verdict, verdict="INCONCLUSIVE", reason=f"{reason}; without it, {verdict.reason}", controls=judged)


def _stuck(verdict: Verdict, parts: Sequence[PartVerdict]) -> bool:
    judges = [part for part in parts if part.judges]
    return (
        verdict == "INCONCLUSIVE"
        and any(part.stuck for part in judges)
        and all(part.stuck or part.verdict == "SUPPORTED" for part in judges)
    )


def verdict_of(interval: Interval, wider: Interval, region: Region) -> Verdict:
    """SUPPORTED where ``interval`` lies inside the region, CONTRADICTED where ``wider`` lies outside it."""
    above = interval.low > region.low or region.low == -math.inf
    below = interval.high < region.high or region.high == math.inf
    if above and below:
        return "SUPPORTED"
    if wider.high <= region.low or wider.low >= region.high:
        return "CONTRADICTED"
    return "INCONCLUSIVE"


def _decide_part(part: Part, seeds: Sequence[SeedRuns], *, alpha: float, judging: int) -> PartVerdict:
    effects: list[Datum | None] = []
    problems: dict[str, list[int]] = {}
    for seed, runs in enumerate(seeds, FIRST_SEED):
        effect, problem = seed_effect(part, runs)
        effects.append(effect)
        if problem:
            problems.setdefault(problem, []).append(seed)
    interval: Interval | None = None
    verdict: Verdict = "INCONCLUSIVE"
    stuck = False
    known = [effect for effect in effects if effect is not None]
    try:
        if problems:  # a seed without an effect is never dropped, as the other seeds would be a selection
            raise Undefined("; ".join(f"{problem} ({_seeds(at)})" for problem, at in problems.items()))
        interval = _interval(part, known, alpha)
        verdict = verdict_of(interval, _wider(part, known, alpha / max(judging, 1)), part.region)
        reason = _describe(interval, part, alpha)
    except Undefined as undefined:
        reason = str(undefined)
        stuck = bool(problems) or isinstance(undefined, Futile)
    estimate = None if interval is None or interval.estimate is None else _plain(interval.estimate)
    return PartVerdict(
        name=part.name,
        unit=part.unit,
        verdict=verdict,
        reason=reason,
        region=str(part.region),
        bounds=[_plain(part.region.low), _plain(part.region.high)],
        designed=part.design.effect if part.design else None,
        why=part.why,
        judges=part.judges,
        datum=part.datum,
        datum_form=part.datum_form,
        effects=[None if effect is None else [_plain(value) for value in effect] for effect in effects],
        estimate=estimate,
        low=_plain(interval.low) if interval else None,
        high=_plain(interval.high) if interval else None,
        stuck=stuck,
    )


def _wider(part: Part, effects: Sequence[Datum], alpha: float) -> Interval:
    """The interval that may contradict, with infinite limits where it is undefined at this error rate."""
    try:
        return _interval(part, effects, alpha)
    except Undefined:
        return Interval(None, -math.inf, math.inf)


def _interval(part: Part, effects: Sequence[Datum], alpha: float) -> Interval:
    """The part's interval. Where all seeds agree exactly, it uses the designed spread."""
    try:
        return part.interval(effects, alpha)
    except Tied:
        if part.design is None or part.interval is not student_t:
            raise
        return student_t(effects, alpha, resolution=part.design.spread)


def seed_effect(part: Part, runs: SeedRuns) -> tuple[Datum | None, str | None]:
    """One seed's datum of a part, or None and the problem that leaves the effect undefined.

    The datum of a single number is its bounds (value, value).
    """
    for condition, curves in runs.items():
        if curves.failed and not part.counts_failures:
            return None, f"the run {condition!r} failed: {curves.failed}"
    try:
        effect = part.effect(runs)
    except Undefined as undefined:
        return None, str(undefined)
    datum = effect if isinstance(effect, tuple) else (effect, effect)
    if any(math.isnan(value) for value in datum):
        return None, "the effect is not a number"
    return datum, None


def _describe(interval: Interval, part: Part, alpha: float) -> str:
    if interval.low == interval.high:
        return f"{interval.low:.3g} {part.unit}; supported {part.region}"
    estimate = "an open value (a level was not reached)" if interval.estimate is None else f"{interval.estimate:.3g}"
    return (
        f"{estimate} {part.unit}, {100 * (1 - alpha):.4g} % limits {interval.low:.3g} to {interval.high:.3g}; "
        f"supported {part.region}"
    )


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
