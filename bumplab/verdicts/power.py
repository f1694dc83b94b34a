"""What a claim can find, known before a run: the power of its parts, the least effects they see, the seeds they need.

All of it follows from a part's `Design`, its region and its interval; nothing is trained and nothing is read. Power is
that of one look, at the error rate which that look may spend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bumplab.verdicts.claim import Claim, Design, IntervalOf, Part, Region
from bumplab.verdicts.decision import place
from bumplab.verdicts.error_rate import MAX_SEEDS, Looks, alpha_at
from bumplab.verdicts.intervals import Datum, Undefined, certain, student_t

WANTED = 0.8
"""The chance of finding an effect from which it counts as one that can be found."""
DRAWS = 400
"""Simulated claims where power has no formula: a power of 0.8 is then known to 0.02."""
QUANTILES = 2_000
"""Points at which the distribution of the spread between seeds is summed: power is then known to 0.001."""
FARTHEST = 64.0
"""Spreads from a region's edge beyond which no effect is looked for."""


def power(part: Part, effect: float, seeds: int, alpha: float) -> float:
    """The chance that the part's interval at one look lies inside its region where the true effect is ``effect``.

    Exact for `student_t`, from the distributions of the mean and of the standard deviation over seeds, which for a
    one-sided region make the noncentral t; simulated, with the same draws each time, for any other interval. Raises
    ValueError for a part without a design.
    """
    return _power(_design(part), part.interval, part.region, effect, seeds, alpha)


def smallest_effect(part: Part, seeds: int, alpha: float, power: float = WANTED) -> float | None:
    """The effect nearest to the region's edge that is found with this power; None if none is.

    In a region with two edges (equivalence) that is the largest effect still found inside, measured towards its upper
    edge.
    """
    design, region = _design(part), part.region

    def found(effect: float) -> bool:
        return _power(design, part.interval, region, effect, seeds, alpha) >= power

    if math.isfinite(region.low) and math.isfinite(region.high):
        edge, inside = region.high, (region.low + region.high) / 2
    else:
        edge, sign = (region.low, 1.0) if math.isfinite(region.low) else (region.high, -1.0)
        distance = design.spread / 2
        while not found(edge + sign * distance):
            distance *= 2
            if distance > FARTHEST * design.spread:
                return None
        inside = edge + sign * distance
    if not found(inside):
        return None
    while abs(inside - edge) > design.spread / 200:
        middle = (inside + edge) / 2
        if found(middle):
            inside = middle
        else:
            edge = middle
    return inside


def seeds_needed(part: Part, effect: float, claim_id: str, looks: Looks, power: float = WANTED) -> int | None:
    """The fewest seeds at which one look finds this effect with this power; None if `MAX_SEEDS` are too few.

    Within ``looks`` each number of seeds spends what its own look may; beyond them, what the last look would if it were
    made at that number.
    """
    for seeds in range(looks.first, MAX_SEEDS + 1):
        alpha = alpha_at(claim_id, seeds, looks if seeds <= looks.last else replace(looks, last=seeds))
        if _power(_design(part), part.interval, part.region, effect, seeds, alpha) >= power:
            return seeds
    return None


def table(claims: Sequence[Claim], looks: Looks) -> str:
    """A plain-text table of what each claim's judged parts can find, and what that assumes."""
    shown = sorted({looks.first, (looks.first + looks.last) // 2, looks.last})
    rows = [
        ["claim", "part", "supported", "designed", *(f"at {n}" for n in shown), "needed", f"power at {looks.last}"],
    ]
    assumed = []
    for claim in claims:
        for part in claim.parts:
            if part.judges:
                rows.append([claim.id, part.name, str(part.region), *_cells(claim, part, looks, shown)])
                if part.design is not None:
                    assumed.append(f"  {claim.id}, {part.name}: {part.design.source}; in {part.unit}")
    widths = [max(len(row[i]) for row in rows if len(row) > i + 1) for i in range(len(rows[0]) - 1)]
    lines = ["  ".join([*map(str.ljust, row[:-1], widths), row[-1]]) for row in rows]
    return "\n".join(
        [
            f"What can be found with a chance of {WANTED:g} at one look, after {_spoken(shown)} seeds:",
            "the effect nearest to the region's edge; within two edges, the largest still found inside.",
            "One beyond what its unit allows cannot be found. And the seeds needed for the designed effect.",
            "",
            lines[0],
            "-" * max(map(len, lines)),
            *lines[1:],
            "",
            "designed: effect +- standard deviation between seeds, assumed from",
            *assumed,
        ]
    )


def _cells(claim: Claim, part: Part, looks: Looks, shown: Sequence[int]) -> list[str]:
    if part.interval is certain:
        return ["exact, needs no seeds"]
    if part.design is None:
        return ["has no design"]
    effect = part.design.effect
    least = [smallest_effect(part, n, alpha_at(claim.id, n, looks)) for n in shown]
    needed = seeds_needed(part, effect, claim.id, looks)
    at_last = power(part, effect, looks.last, alpha_at(claim.id, looks.last, looks))
    return [
        f"{effect:g} +- {part.design.spread:g}",
        *("none" if value is None else f"{value:.2g}" for value in least),
        f"over {MAX_SEEDS}" if needed is None else str(needed),
        f"{at_last:.2f}",
    ]


def _spoken(numbers: Sequence[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def _design(part: Part) -> Design:
    if part.design is None:
        raise ValueError(f"part {part.name!r} has no design: give it an effect and a spread to be found with")
    return part.design


@cache
def _power(design: Design, interval: IntervalOf, region: Region, effect: float, seeds: int, alpha: float) -> float:
    if design.draw is None:
        if interval is student_t:
            return _of_student_t(design.spread, 0.0, region, effect, seeds, alpha)
        if isinstance(interval, partial) and interval.func is student_t and set(interval.keywords) <= {"resolution"}:
            resolution = interval.keywords.get("resolution", 0.0)
            return _of_student_t(design.spread, resolution, region, effect, seeds, alpha)
    return _simulated(design, interval, region, effect, seeds, alpha)


def _of_student_t(spread: float, resolution: float, region: Region, effect: float, seeds: int, alpha: float) -> float:
    """Summed over the standard deviation ``s`` of the seeds: the chance that the mean keeps t * s / sqrt(n) away."""
    if seeds < 2:
        return 0.0
    error = spread / math.sqrt(seeds)
    quantile = float(special.stdtrit(seeds - 1, 1 - alpha))
    half_width = quantile * np.maximum(_relative_spreads(seeds), resolution / spread)
    below_high = special.ndtr((region.high - effect) / error - half_width)
    below_low = special.ndtr((region.low - effect) / error + half_width)
    return float(np.maximum(below_high - below_low, 0.0).mean())


@cache
def _relative_spreads(seeds: int) -> NDArray[np.float64]:
    """Quantiles of the sample standard deviation over the true one."""
    ranks = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.asarray(np.sqrt(special.chdtri(seeds - 1, 1 - ranks) / (seeds - 1)))


def _simulated(design: Design, interval: IntervalOf, region: Region, effect: float, seeds: int, alpha: float) -> float:
    random = np.random.default_rng(seeds)
    seen: dict[tuple[Datum, ...], bool] = {}  # yes-or-no outcomes repeat, and seeds have no order

    def inside() -> bool:
        data = tuple(sorted(design.seed_datum(random, effect) for _ in range(seeds)))
        if data not in seen:
            try:
                limits = interval(data, alpha)
            except Undefined:
                seen[data] = False
            else:
                seen[data] = place(limits, limits, region) == "SUPPORTED"
        return seen[data]

    return sum(inside() for _ in range(DRAWS)) / DRAWS
