"""How often the rule errs, and how often the claims find what they are built to find.

Sessions are simulated through all looks, in worlds at the edge: half of a part's seeds lie in its region, or the
compared conditions have no effect in the typical seed. There SUPPORTED is false. CONTRADICTED is false where this holds
of all parts of a claim. In these worlds a rule that judges means fails. `bumplab.verdicts.decision` judges some
sessions of each world too, and must give the same verdicts. Prints Markdown. The exit status is 1 where a rate exceeds
its bound.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy import stats

from bumplab.profiles import QUICK
from bumplab.verdicts import evidence, power
from bumplab.verdicts.claim import FIRST_SEED, Claim, Compared, Part, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide
from bumplab.verdicts.looks import Looks, needed_of
from bumplab.verdicts.suite import OURS, claims, in_the_papers_order

CLAIMS = 9
"""Claims with chance in them: each may err with a chance of 5 % / 9."""
LOOKS = (Looks(3, 14, needed_of(CLAIMS)), Looks(3, 32, needed_of(CLAIMS)))
MOST_FALSE = 0.015
"""Bound of the 99 % limit of each rate."""
CHECKED = 10
"""Sessions of each world that `decide` judges as well."""
LEVEL = 0.99
VERDICTS = ("supported", "contradicted")


@dataclass(frozen=True)
class Counted:
    """Bounds of the effects of all sessions ``[sessions, seeds]``. NaN where a run failed. The region is above 0."""

    low: np.ndarray
    high: np.ndarray

    def evidence(self, looks):
        return counted_by_look(self.low > 0, looks), counted_by_look(self.high <= 0, looks)

    def effect(self, runs):
        return runs["low"].last("v"), runs["high"].last("v")

    def rows(self, session):
        return [{"low": low, "high": high} for low, high in zip(self.low[session], self.high[session], strict=True)]


@dataclass(frozen=True)
class Compare:
    """Scores of all sessions ``[sessions, seeds, conditions]``. NaN where a run failed."""

    scores: np.ndarray

    @property
    def weights(self):
        return tuple(range(self.scores.shape[-1]))

    def evidence(self, looks):
        ranks = np.nan_to_num(stats.rankdata(self.scores, axis=-1), nan=0.0)
        codes = (2 * ranks) @ 20.0 ** np.arange(ranks.shape[-1])  # one number for each order, as `unique` is fast then
        _, first, which = np.unique(codes, return_index=True, return_inverse=True)
        of_orders = np.array([self._of(order) for order in ranks.reshape(-1, ranks.shape[-1])[first]])
        factors, rho = np.moveaxis(of_orders[which.reshape(codes.shape)], -1, 0)
        numbers = np.array(list(looks))
        support = np.cumprod(factors, axis=1)[:, numbers - 1]
        most = support * evidence.largest_factor(self.weights) ** (looks.last - numbers)
        guard, most_guard = counted_by_look(rho > 0, looks)
        guarded = np.minimum(support, evidence.GUARD * guard), np.minimum(most, evidence.GUARD * most_guard)
        return guarded, counted_by_look(rho <= 0, looks)

    def _of(self, ranks):
        """The factor of a seed with these ranks, and its correlation. All ranks of a failed seed are 0."""
        if not ranks[0]:
            return evidence.smallest_factor(self.weights), math.nan
        return evidence.compared(ranks, self.weights), evidence.correlation(ranks, self.weights)

    @property
    def effect(self):
        return Compared(lambda runs: [run.last("v") for run in runs.values()], lambda conditions: self.weights)

    def rows(self, session):
        return [{str(k): score for k, score in enumerate(seed)} for seed in self.scores[session]]


def counted_by_look(hits, looks):
    """Evidence of each session at each look, and the most it can have at the last: two of ``[sessions, looks]``."""
    numbers = np.array(list(looks))
    at = np.cumsum(hits, axis=1)[:, numbers - 1]
    table = evidence_table(looks.last)
    return table[at, numbers - at], table[at + looks.last - numbers, numbers - at]


@cache
def evidence_table(seeds):
    """`evidence.counted` by hits and misses."""
    return np.array([[evidence.counted(hits, misses) for misses in range(seeds + 1)] for hits in range(seeds + 1)])


def verdicts(parts, looks):
    """Whether each session of a claim with these parts ends SUPPORTED, and whether CONTRADICTED: two of [sessions]."""
    supports, againsts = [], []
    for part in parts:
        (support, most_support), (against, most_against) = part.evidence(looks)
        settled = (support >= looks.needed) | (against >= len(parts) * looks.needed)
        settled |= (most_support < looks.needed) & (most_against < looks.needed)
        settled[:, -1] = True
        rows, first = np.arange(len(settled)), settled.argmax(axis=1)
        supports.append(support[rows, first])
        againsts.append(against[rows, first])
    supported = np.all(np.array(supports) >= looks.needed, axis=0)
    return supported, ~supported & (np.mean(againsts, axis=0) >= looks.needed)


def by_the_package(parts, looks, session):
    """The verdict of `decide` on one session."""
    made = {f"part {i}": part for i, part in enumerate(parts)}
    rows = {name: part.rows(session) for name, part in made.items()}
    spec = QUICK.run(0)

    def runs(part, seeds):
        return [{key: Curves([{"v": v}], spec) for key, v in seed.items()} for seed in rows[part.name][:seeds]]

    judged = tuple(Part(name, "", "", "", Region(low=0.0), "", part.effect) for name, part in made.items())
    return decide(Claim("c", "", "", "", lambda profile, seed: {}, judged, {}), runs, looks).verdict


# --- worlds: functions of a generator, the sessions and the seeds -----------------------------------------------------


def exactly(effects):
    return Counted(effects, effects)


def collapse(share, random, size):
    """This share of seeds collapses, the others lie close together, and half of all seeds lie above 0."""
    bulk = random.normal(0.1 * stats.norm.ppf(0.5 / (1 - share)), 0.1, size)
    return exactly(np.where(random.random(size) < share, -9.0, bulk))


def censored(random, size):
    """Of 3 seeds in 10 one bound alone is known."""
    effects, off, kind = random.normal(size=size), np.abs(random.normal(size=size)), random.random(size)
    low = np.where(kind < 0.15, effects - off, np.where(kind < 0.3, -np.inf, effects))
    high = np.where(kind < 0.15, np.inf, np.where(kind < 0.3, effects + off, effects))
    return Counted(low, high)


def failing(share, random, size):
    return exactly(np.where(random.random(size) < share, math.nan, random.normal(size=size)))


def failing_scores(share, random, size):
    scores = random.normal(size=size)
    scores[random.random(size[:2]) < share] = math.nan
    return scores


HEAVY = "heavy tails (t with 2 degrees of freedom)"
COUNTED: dict[str, Callable] = {
    "normal": lambda random, size: exactly(random.normal(size=size)),
    "uniform": lambda random, size: exactly(random.uniform(-1, 1, size)),
    "log-normal, long tail above": lambda random, size: exactly(random.lognormal(0, 1, size) - 1),
    "log-normal, long tail below": lambda random, size: exactly(1 - random.lognormal(0, 1, size)),
    HEAVY: lambda random, size: exactly(random.standard_t(2, size)),
    "two kinds of seeds, 50:50": lambda r, size: exactly(r.choice([-1.0, 1.0], size) + r.normal(0, 0.1, size)),
    "one seed in 10 collapses": partial(collapse, 0.1),
    "one seed in 20 collapses": partial(collapse, 0.05),
    "censored seeds": censored,
    "ties": lambda random, size: exactly(np.floor(2 * random.normal(size=size)) / 2 + 0.25),
    "5 % of runs fail": partial(failing, 0.05),
    "20 % of runs fail": partial(failing, 0.2),
}
COMPARED: dict[str, Callable] = {
    "normal": lambda random, size: random.normal(size=size),
    "noise differs between seeds": lambda random, size: (
        random.normal(size=size) * random.lognormal(0, 1, (*size[:2], 1)) + random.normal(0, 5, (*size[:2], 1))
    ),
    HEAVY: lambda random, size: random.standard_t(2, size),
    "ties": lambda random, size: np.round(random.normal(size=size)),
    "5 % of seeds fail": partial(failing_scores, 0.05),
    "20 % of seeds fail": partial(failing_scores, 0.2),
}


def both_ways(random, size):
    """In half of the seeds the scores rise with the condition, in the other half they fall: correlation about 0.9."""
    slopes = random.choice([-1.0, 1.0], (*size[:2], 1))
    return slopes * np.arange(size[-1]) + random.normal(0, 0.5, size)


TYPICAL: dict[str, Callable] = {
    "noise grows fourfold with the condition": lambda random, size: (
        random.normal(size=size) * np.geomspace(1, 4, size[-1])
    ),
    "ten times the noise at both ends": lambda random, size: (
        random.normal(size=size) * np.where(np.isin(np.arange(size[-1]), [0, size[-1] - 1]), 10.0, 1.0)
    ),
    "half of the seeds rise, half fall": both_ways,
}
"""Worlds in which the condition has an effect, and none in the typical seed. `evidence.GUARD` holds their rate down."""


# --- tables -----------------------------------------------------------------------------------------------------------


def rate(hits):
    interval = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(LEVEL)
    return {"rate": float(hits.mean()), "low": float(interval.low), "high": float(interval.high)}


def percent(rate):
    return f"{100 * rate['rate']:.2f} %"


def simulate(kind, world, parts, looks):
    """A row of rates. Where conditions are compared CONTRADICTED is true. Raises where `decide` judges otherwise."""
    supported, contradicted = verdicts(parts, looks)
    for session in range(CHECKED):
        own = by_the_package(parts, looks, session)
        if (own == "SUPPORTED", own == "CONTRADICTED") != (supported[session], contradicted[session]):
            raise RuntimeError(f"{kind}, {world}: the package's verdict on session {session} is {own}")
    rates = {"supported": rate(supported)}
    if isinstance(parts[0], Counted):
        rates["contradicted"] = rate(contradicted)
    return {"claim": kind, "world": world, "last": looks.last, "rates": rates}


def at_the_edge(simulations, looks):
    """Rows of all worlds in which both verdicts are false."""
    random, size = np.random.default_rng(looks.last), (simulations, looks.last)
    surely = exactly(np.ones(size))
    for name, world in COUNTED.items():
        yield simulate("1 part", name, [world(random, size)], looks)
    for name in ("normal", "one seed in 10 collapses", "censored seeds", "20 % of runs fail"):
        for parts in (3, 7):
            edge = [COUNTED[name](random, size) for _ in range(parts)]
            yield simulate(f"1 part, {parts - 1} others true", name, [edge[0], *[surely] * (parts - 1)], looks)
            yield simulate(f"{parts} parts", name, edge, looks)
            yield simulate(f"{parts} parts that agree", name, [edge[0]] * parts, looks)


def compared(worlds, simulations, looks):
    """Rows of these worlds of compared conditions."""
    random = np.random.default_rng(looks.last)
    for conditions in (3, 5, 7):
        for name, world in worlds.items():
            part = Compare(world(random, (simulations, looks.last, conditions)))
            yield simulate(f"{conditions} conditions compared", name, [part], looks)


def print_rates(rows):
    """Prints a table of the rows and the largest of their rates. Whether none exceeds its bound."""
    by_world = {}
    for row in rows:
        by_world.setdefault((row["claim"], row["world"]), []).append(row["rates"])
    lasts = " | ".join(f"false SUPPORTED by {looks.last} | false CONTRADICTED by {looks.last}" for looks in LOOKS)
    print(f"| claim | world | {lasts} |\n| --- | --- |{' --- |' * 2 * len(LOOKS)}")
    for (claim, world), each in by_world.items():
        cells = [percent(rates[verdict]) if verdict in rates else "-" for rates in each for verdict in VERDICTS]
        print(f"| {claim} | {world} | {' | '.join(cells)} |")
    worst = max((rate for row in rows for rate in row["rates"].values()), key=lambda rate: rate["high"])
    limits = f"99 % limit {100 * worst['high']:.2f} % (at most {100 * MOST_FALSE:g} %)"
    print(f"\nLargest rate: {percent(worst)}, {limits}.\n")
    return worst["high"] <= MOST_FALSE


def designed(looks):
    """A row for each claim: the chance that all its parts are supported by the last look, and the seeds needed."""
    rows = []
    print(f"\n| claim | power by {looks.last} seeds as designed | seeds needed | weakest part |")
    print("| --- | --- | --- | --- |")
    for claim in in_the_papers_order(claims(OURS)):
        if claim.certain:
            continue
        by_part = {
            part.name: power.chances(part, list(claim.runs_of(part)(QUICK, FIRST_SEED)), looks)
            for part in claim.judged_parts
        }
        together = np.prod(list(by_part.values()), axis=0)
        weakest = min(by_part, key=lambda name: by_part[name][looks.last])
        row = {
            "claim": claim.id,
            "power": float(together[looks.last]),
            "needed": power.seeds_needed(together, looks.first),
        }
        rows.append(row)
        needed = row["needed"] or f"over {len(together) - 1}"
        print(f"| `{claim.id}` | {row['power']:.2f} | {needed} | {weakest} ({by_part[weakest][looks.last]:.2f}) |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=20_000, help="sessions a row (default 20000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()
    began = time.perf_counter()
    needed = LOOKS[0].needed
    print(f"{options.simulations:,} sessions a row, evidence needed {needed:g}: {100 / needed:.2f} % promised\n")
    edge = [row for looks in LOOKS for row in at_the_edge(options.simulations, looks)]
    edge += [row for looks in LOOKS for row in compared(COMPARED, options.simulations, looks)]
    typical = [row for looks in LOOKS for row in compared(TYPICAL, options.simulations, looks)]
    within = [print_rates(rows) for rows in (edge, typical)]
    power_rows = designed(LOOKS[0])
    print(f"\n{time.perf_counter() - began:.0f} s")
    if options.json:
        numbers = {"simulations": options.simulations, "edge": edge, "typical": typical, "designed": power_rows}
        options.json.write_text(json.dumps(numbers, indent=1))
    return int(not all(within))


if __name__ == "__main__":
    sys.exit(main())
