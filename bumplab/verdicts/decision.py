"""From runs to a verdict. Pure: curves in, verdict out. The suite's error rate stands here and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bumplab.verdicts.claim import FIRST_SEED, Claim, Part, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.intervals import Bounds, Interval, Undefined

Verdict = Literal["SUPPORTED", "CONTRADICTED", "INCONCLUSIVE"]

FAMILY_ALPHA = 0.05
"""Chance, at most, that any claim of the suite is falsely SUPPORTED, or that any is falsely CONTRADICTED.

It holds for a number of seeds fixed beforehand: adding seeds until a verdict changes multiplies it.
"""
CLAIMS = ("phases", "density", "coupling", "hole")
"""The claims that share `FAMILY_ALPHA`, in equal parts (Bonferroni). A claim that is added is added here."""

MIN_SEEDS, MAX_SEEDS = 2, 32


def alpha_of(claim_id: str) -> float:
    """The one-sided error rate of one claim. Raises KeyError for a claim that has no share."""
    if claim_id not in CLAIMS:
        raise KeyError(f"claim {claim_id!r} has no share of the suite's error rate: add it to decision.CLAIMS")
    return FAMILY_ALPHA / len(CLAIMS)


@dataclass(frozen=True)
class PartVerdict:
    """How one prediction fared. ``effects`` has one entry a seed: bounds, or None where undefined."""

    name: str
    unit: str
    verdict: Verdict
    reason: str
    region: str
    why: str
    judges: bool
    pair: str
    effects: list[list[float | None] | None]
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ClaimVerdict:
    claim: str
    verdict: Verdict
    reason: str
    seeds: int
    alpha: float
    parts: list[PartVerdict]

    def as_dict(self) -> dict[str, Any]:
        """Plain built-ins, fit for JSON: infinite limits are None."""
        return asdict(self)


def decide(claim: Claim, runs: Mapping[str, Sequence[Curves]]) -> ClaimVerdict:
    """The verdict on a claim from its conditions' runs, one a seed and paired by seed.

    SUPPORTED when every judging part's interval lies inside its region, each at the claim's full error rate (an
    intersection-union test needs no correction). CONTRADICTED when any lies outside, at that rate shared among the
    parts. Else INCONCLUSIVE.
    """
    seeds = len(next(iter(runs.values())))
    alpha = alpha_of(claim.id)
    judging = sum(part.judges for part in claim.parts)
    by_seed = [{condition: runs[condition][i] for condition in runs} for i in range(seeds)]
    parts = [_decide_part(part, by_seed, alpha, judging) for part in claim.parts]
    judges = [part for part in parts if part.judges]
    for verdict in ("CONTRADICTED", "INCONCLUSIVE", "SUPPORTED"):
        deciding = [part for part in judges if part.verdict == verdict]
        if deciding:
            break
    reason = "; ".join(f"{part.name}: {part.reason}" for part in deciding)
    return ClaimVerdict(claim.id, deciding[0].verdict, reason, seeds, alpha, parts)


def place(interval: Interval, against: Interval, region: Region) -> Verdict:
    """Where an interval lies: inside the region, or, by the wider interval ``against``, outside it, or neither."""
    above = interval.low > region.low or region.low == -math.inf
    below = interval.high < region.high or region.high == math.inf
    if above and below:
        return "SUPPORTED"
    if against.high <= region.low or against.low >= region.high:
        return "CONTRADICTED"
    return "INCONCLUSIVE"


def _decide_part(part: Part, by_seed: Sequence[Mapping[str, Curves]], alpha: float, judging: int) -> PartVerdict:
    effects: list[Bounds | None] = []
    problems: dict[str, list[int]] = {}
    for seed, runs in enumerate(by_seed, FIRST_SEED):
        effect, problem = _effect(part, runs)
        effects.append(effect)
        if problem:
            problems.setdefault(problem, []).append(seed)
    interval: Interval | None = None
    verdict: Verdict = "INCONCLUSIVE"
    known = [effect for effect in effects if effect is not None]
    try:
        if problems:  # a seed that fails is never dropped: the rest would be a selection
            raise Undefined("; ".join(f"{problem} ({_seeds(at)})" for problem, at in problems.items()))
        interval = part.interval(known, alpha)
        verdict = place(interval, _wider(part, known, alpha / max(judging, 1)), part.region)
        reason = _describe(interval, part, alpha)
    except Undefined as undefined:
        reason = str(undefined)
    return PartVerdict(
        part.name,
        part.unit,
        verdict,
        reason,
        str(part.region),
        part.why,
        part.judges,
        part.pair,
        [None if e is None else [_plain(e[0]), _plain(e[1])] for e in effects],
        _plain(interval.estimate) if interval and interval.estimate is not None else None,
        _plain(interval.low) if interval else None,
        _plain(interval.high) if interval else None,
    )


def _wider(part: Part, effects: Sequence[Bounds], alpha: float) -> Interval:
    """The interval that may contradict; without limits where it is undefined at this stricter rate."""
    try:
        return part.interval(effects, alpha)
    except Undefined:
        return Interval(None, -math.inf, math.inf)


def _effect(part: Part, runs: Mapping[str, Curves]) -> tuple[Bounds | None, str | None]:
    for condition, curves in runs.items():
        if curves.failed:
            return None, f"the run {condition!r} failed: {curves.failed}"
    try:
        low, high = part.effect(runs)
    except Undefined as undefined:
        return None, str(undefined)
    if math.isnan(low) or math.isnan(high):
        return None, "the effect is not a number"
    return (low, high), None


def _describe(interval: Interval, part: Part, alpha: float) -> str:
    estimate = "an open value (a level was not reached)" if interval.estimate is None else f"{interval.estimate:.3g}"
    return (
        f"{estimate} {part.unit}, {100 * (1 - alpha):.4g} % limits {interval.low:.3g} to {interval.high:.3g}; "
        f"supported {part.region}"
    )


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
