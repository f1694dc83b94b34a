"""What a claim can find, computed before a run: the power of its parts, the least effects found, the seeds needed.

A part's `Design`, region and interval are enough for this. Nothing is trained. Power is the power of one look, at the
error rate that the look may spend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bumplab.verdicts.claim import Claim, Design, Part, Region
from bumplab.verdicts.decision import verdict_of
from bumplab.verdicts.error_rate import MAX_SEEDS, Looks, alpha_at
from bumplab.verdicts.intervals import Datum, Undefined, certain, student_t

WANTED = 0.8
"""Least power at which an effect counts as found."""
DRAWS = 400
"""Simulated looks where power has no formula. They give a power of 0.8 to 0.02."""
QUANTILES = 2_000
"""Points of the sum over the distribution of the spread between seeds. They give power to 0.001."""
FARTHEST = 64.0
"""The search for the smallest effect ends at this many spreads from the region's edge."""


@cache
def power(part: Part, effect: float, seeds: int, alpha: float) -> float:
    """The chance that one look's interval lies inside the part's region where the true effect is ``effect``.

    For `student_t` it is exact, from the distributions of the mean and of the standard deviation over seeds. For a
    one-sided region these make the noncentral t. For any other interval it is simulated, with the same draws each time.
    Raises ValueError for a part without a design.
    """
    spread, interval = _design(part).spread, part.interval
    if _design(part).draw is None:
        if interval is student_t:
            return _of_student_t(part.region, effect=effect, spread=spread, seeds=seeds, alpha=alpha)
        if isinstance(interval, partial) and interval.func is student_t and set(interval.keywords) <= {"resolution"}:
            resolution = interval.keywords.get("resolution", 0.0)
            return _of_student_t(
                part.region, effect=effect, spread=spread, seeds=seeds, alpha=alpha, resolution=resolution
            )
    return _simulated(part, effect=effect, seeds=seeds, alpha=alpha)


def smallest_effect(part: Part, seeds: int, alpha: float, wanted: float = WANTED) -> float | None:
    """The effect nearest to the region's edge that has the wanted power; None if no effect has it.

    In a region with two edges (equivalence) it is the largest effect between the region's middle and its upper edge.
    """
    design, region = _design(part), part.region

    def is_found(effect: float) -> bool:
        return power(part, effect=effect, seeds=seeds, alpha=alpha) >= wanted

    if math.isfinite(region.low) and math.isfinite(region.high):
        edge, inside = region.high, (region.low + region.high) / 2
    else:
        edge, sign = (region.low, 1.0) if math.isfinite(region.low) else (region.high, -1.0)
        distance = design.spread / 2
        while not is_found(edge + sign * distance):
            distance *= 2
            if distance > FARTHEST * design.spread:
                return None
        inside = edge + sign * distance
    if not is_found(inside):
        return None
    while abs(inside - edge) > design.spread / 200:
        middle = (inside + edge) / 2
        if is_found(middle):
            inside = middle
        else:
            edge = middle
    return inside


def seeds_needed(part: Part, effect: float, looks: Looks, wanted: float = WANTED) -> int | None:
    """The fewest seeds at which one look finds this effect with the wanted power; None if `MAX_SEEDS` are too few.

    A number of seeds within ``looks`` spends the share of its own look. A larger number spends the share of the last
    look, as if the last look were made there.
    """
    for seeds in range(looks.first, MAX_SEEDS + 1):
        alpha = alpha_at(seeds, looks if seeds <= looks.last else replace(looks, last=seeds))
        if power(part, effect=effect, seeds=seeds, alpha=alpha) >= wanted:
            return seeds
    return None


def table(claims: Sequence[Claim], looks: Looks) -> str:
    """A plain-text table of the effects that each claim's judged parts can find, with the designs behind them."""
    shown = sorted({looks.first, (looks.first + looks.last) // 2, looks.last})
    rows = [
        ["claim", "part", "supported", "designed", *(f"at {n}" for n in shown), "needed", f"power at {looks.last}"],
    ]
    assumed = []
    for claim in claims:
        for part in claim.parts:
            if part.judges:
                rows.append([claim.id, part.name, str(part.region), *_cells(part, looks, shown)])
                if part.design is not None:
                    assumed.append(f"  {claim.id}, {part.name}: {part.design.source}; in {part.unit}")
    widths = [max(len(row[i]) for row in rows if len(row) > i + 1) for i in range(len(rows[0]) - 1)]
    lines = ["  ".join([*map(str.ljust, row[:-1], widths), row[-1]]) for row in rows]
    return "\n".join(
        [
            f"Effects found with a chance of {WANTED:g} at one look, after {_listed(shown)} seeds:",
            "the nearest to the region's edge or, between two edges, the farthest from the middle.",
            "A part finds nothing where that effect is beyond what its unit allows.",
            "The seeds needed are those for the designed effect.",
            "",
            lines[0],
            "-" * max(map(len, lines)),
            *lines[1:],
            "",
            "designed: effect +- standard deviation between seeds, assumed from",
            *assumed,
        ]
    )


def _cells(part: Part, looks: Looks, shown: Sequence[int]) -> list[str]:
    """The row of a part from its design on; ``shown`` are the numbers of seeds with a column."""
    if part.interval is certain:
        return ["exact, needs no seeds"]
    if part.design is None:
        return ["has no design"]
    effect = part.design.effect
    least = [smallest_effect(part, n, alpha_at(n, looks)) for n in shown]
    needed = seeds_needed(part, effect, looks)
    at_last = power(part, effect=effect, seeds=looks.last, alpha=alpha_at(looks.last, looks))
    return [
        f"{effect:g} +- {part.design.spread:g}",
        *("none" if value is None else f"{value:.2g}" for value in least),
        f"over {MAX_SEEDS}" if needed is None else str(needed),
        f"{at_last:.2f}",
    ]


def _listed(numbers: Sequence[int]) -> str:
    """Such as ``3, 5 and 8``."""
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def _design(part: Part) -> Design:
    if part.design is None:
        raise ValueError(f"part {part.name!r} has no design: give it Design(effect, spread, source)")
    return part.design


def _of_student_t(
    region: Region, *, effect: float, spread: float, seeds: int, alpha: float, resolution: float = 0.0
) -> float:
    """The chance that the mean is more than t * s / sqrt(n) inside the region, summed over quantiles of ``s``.

    ``s`` is the standard deviation over seeds, at least ``resolution``.
    """
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
    """Quantiles of the sample standard deviation over the true one: ``[QUANTILES]``."""
    ranks = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return np.asarray(np.sqrt(special.chdtri(seeds - 1, 1 - ranks) / (seeds - 1)))


def _simulated(part: Part, *, effect: float, seeds: int, alpha: float) -> float:
    """The share of `DRAWS` looks at drawn seeds whose interval lies inside the region."""
    design = _design(part)
    random = np.random.default_rng(seeds)
    inside: dict[tuple[Datum, ...], bool] = {}  # data are sorted, as seeds have no order; yes-or-no outcomes repeat

    def draw_is_inside() -> bool:
        data = tuple(sorted(design.seed_datum(random, effect) for _ in range(seeds)))
        if data not in inside:
            try:
                limits = part.interval(data, alpha)
            except Undefined:
                inside[data] = False
            else:
                inside[data] = verdict_of(limits, limits, part.region) == "SUPPORTED"
        return inside[data]

    return sum(draw_is_inside() for _ in range(DRAWS)) / DRAWS
