"""What a claim can find, computed before a run: the power of its parts through all looks, and the seeds needed.

A part's `Design` and region are enough for this. Nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bumplab.profiles import QUICK, Profile
from bumplab.verdicts import evidence
from bumplab.verdicts.claim import FIRST_SEED, Claim, Compared, Part, Region
from bumplab.verdicts.judging import fewest_seeds
from bumplab.verdicts.looks import MAX_SEEDS, Looks
from bumplab.verdicts.worlds import design_of

WANTED = 0.8
"""Least power at which an effect counts as found."""
DRAWS = 2_000
"""Simulated series of seeds of a `Compared` part. They give a power of 0.8 to 0.01."""
Chances = NDArray[np.float64]
"""``[MAX_SEEDS + 1]``: the chance that a part is supported by the time that so many seeds were judged."""


def chances(part: Part, conditions: Sequence[str], looks: Looks) -> Chances:
    """The chance that the part is supported by n seeds, for each n, where its effect is as designed.

    Raises ValueError for a part without a design.
    """
    design = design_of(part)
    if isinstance(part.effect, Compared):
        return _compared(tuple(part.effect.weights(conditions)), design.effect, part.region, looks)
    return counted(share_in(part), looks)


def share_in(part: Part) -> float:
    """The share of seeds in the region of a counted part, where effects are normal as designed."""
    design = design_of(part)
    low, high = stats.norm.cdf([part.region.low, part.region.high], design.effect, design.spread)
    return float(high - low)


@cache
def counted(share: float, looks: Looks) -> Chances:
    """The chance that a counted part is supported by n seeds, for each n, where this share of seeds is in.

    It is exact: the chance of each number of hits is followed from seed to seed.
    """
    supported = np.zeros(MAX_SEEDS + 1)
    open_with = np.array([1.0])  # the chance that nothing is decided, by the number of hits
    for seeds in range(1, MAX_SEEDS + 1):
        open_with = np.append(open_with, 0.0) * (1 - share) + np.append(0.0, open_with) * share
        supported[seeds] = supported[seeds - 1]
        if seeds >= looks.first:
            enough = np.array([evidence.counted(hits, seeds - hits) >= looks.needed for hits in range(seeds + 1)])
            supported[seeds] += open_with[enough].sum()
            open_with[enough] = 0.0
    return supported


@cache
def _compared(weights: tuple[float, ...], effect: float, region: Region, looks: Looks) -> Chances:
    """The same for a `Compared` part, simulated with the same draws each time."""
    standard = np.asarray(weights, dtype=np.float64) - np.mean(weights)
    if not standard.any():
        return np.zeros(MAX_SEEDS + 1)
    standard /= standard.std()
    noise = np.random.default_rng(0).normal(size=(DRAWS, MAX_SEEDS, len(weights)))
    rho, log_factors = _of_seeds(effect * standard + math.sqrt(1 - effect**2) * noise, standard)
    hits = np.cumsum((rho > region.low) & (rho < region.high), axis=1)
    factors = np.exp(np.cumsum(log_factors, axis=1))
    enough = np.vectorize(evidence.guarded)(factors, hits, np.arange(1, MAX_SEEDS + 1) - hits) >= looks.needed
    enough[:, : looks.first - 1] = False
    return np.append(0.0, np.logical_or.accumulate(enough, axis=1).mean(axis=0))


def _of_seeds(scores: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[Chances, Chances]:
    """`evidence.correlation` and the logarithm of `evidence.compared` of scores ``[..., L]`` without ties: ``[...]``.

    Without ties the mean over all orders is the same for all scores.
    """
    ranks = scores.argsort(axis=-1).argsort(axis=-1) - (len(weights) - 1) / 2
    first = np.arange(len(weights)) - (len(weights) - 1) / 2
    unit = weights / np.linalg.norm(weights) / np.linalg.norm(first)
    rho = np.round(ranks @ unit, evidence.DIGITS)
    strength = evidence.STRENGTHS[min(len(weights), max(evidence.STRENGTHS))]
    known = math.log(evidence.compared(list(first), list(weights)))
    return rho, known + strength * (rho - first @ unit)


def seeds_needed(supported: Chances, first: int, wanted: float = WANTED) -> int | None:
    """The fewest seeds, ``first`` or more, with the wanted power; None if `MAX_SEEDS` are too few."""
    enough = np.flatnonzero(supported[first:] >= wanted)
    return int(enough[0]) + first if len(enough) else None


@cache
def least_share(looks: Looks, wanted: float = WANTED) -> float:
    """The least share of seeds in the region that is found with the wanted power by the last look, to 0.001."""
    low, high = 0.5, 1.0
    if counted(high, looks)[looks.last] < wanted:
        return math.nan
    while high - low > 0.001:
        middle = (low + high) / 2
        if counted(middle, looks)[looks.last] >= wanted:
            high = middle
        else:
            low = middle
    return high


def table(
    claims: Sequence[Claim], looks: Looks, profile: Profile = QUICK, needed: Mapping[str, float] | None = None
) -> str:
    """A plain-text table of what each judged part can find at the profile, with the designs behind it.

    ``needed`` is the evidence that a claim needs, by its id, where it is not ``looks.needed``.
    A claim of several parts has a row for all of them together, as if their effects did not depend on each other.
    """
    rows = [["claim", "part", "supported", "designed", "seeds in", "decides", "needed", f"power at {looks.last}"]]
    assumed, anew = [], []
    for claim in claims:
        of_claim = replace(looks, needed=(needed or {}).get(claim.id, looks.needed))
        rows += _rows_of(claim, of_claim, profile)
        if of_claim.needed != looks.needed:
            anew.append(f"{claim.id} was registered anew: evidence needed {of_claim.needed:.3g}.")
        for part in claim.judged_parts:
            if part.design is not None:
                assumed.append(f"  {claim.id}, {part.name}: {part.design.source}; in {part.unit}")
    widths = [max(len(row[i]) for row in rows if len(row) > i + 1) for i in range(len(rows[0]) - 1)]
    lines = ["  ".join([*map(str.ljust, row[:-1], widths), row[-1]]) for row in rows]
    return "\n".join(
        [
            f"Looks after {looks.first} to {looks.last} seeds, evidence needed {looks.needed:.3g}.",
            *anew,
            "seeds in: share of seeds in the region as designed, or the designed correlation of conditions in a seed.",
            f"With {least_share(looks):.0%} of seeds in the region a part is supported with a chance of {WANTED:g}.",
            "decides: the fewest seeds that can support it.",
            f"needed: the seeds for a power of {WANTED:g} as designed.",
            "",
            lines[0],
            "-" * max(map(len, lines)),
            *lines[1:],
            "",
            "designed: effect +- standard deviation between seeds, assumed from",
            *assumed,
        ]
    )


def _rows_of(claim: Claim, looks: Looks, profile: Profile) -> list[list[str]]:
    if claim.certain:
        return [[claim.id, part.name, str(part.region), "exact, needs no seeds"] for part in claim.judged_parts]
    rows: list[list[str]] = []
    together = np.ones(MAX_SEEDS + 1)
    for part in claim.judged_parts:
        begin = [claim.id, part.name, str(part.region)]
        if part.design is None:
            return [*rows, [*begin, "has no design"]]
        conditions = list(claim.runs_of(part)(profile, FIRST_SEED))
        least = fewest_seeds(part, conditions, looks.needed)
        supported = chances(part, conditions, looks)
        together = together * supported
        compares = isinstance(part.effect, Compared)
        designed = "compares" if compares else f"{part.design.effect:g} +- {part.design.spread:g}"
        seeds_in = f"rho {part.design.effect:.2g}" if compares else f"{share_in(part):.1%}"
        decides = "never" if least is None else str(max(least, looks.first))
        rows.append([*begin, designed, seeds_in, decides, *_power_cells(supported, looks)])
    if len(rows) > 1:
        rows.append([claim.id, "all parts", "", "", "", "", *_power_cells(together, looks)])
    return rows


def _power_cells(supported: Chances, looks: Looks) -> list[str]:
    needed = seeds_needed(supported, looks.first)
    return [f"over {MAX_SEEDS}" if needed is None else str(needed), f"{supported[looks.last]:.2f}"]
