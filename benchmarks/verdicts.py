"""How often the claims err, and how often they find what they are built to find: ``python benchmarks/verdicts.py``.

Every claim judges synthetic runs whose truth is known (`bumplab.verdicts.worlds`), with its own effects, regions and
intervals, and through all its looks: with one part at the edge of its region and the others as designed, where
SUPPORTED is false; and with all parts as designed. ``--spending`` compares ways to share an error rate among the looks
instead, ``--shapes`` what effects that are not normal do to it. All print Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy import special, stats

from bumplab.verdicts.decision import decide_in_looks
from bumplab.verdicts.error_rate import Looks, alpha_at
from bumplab.verdicts.intervals import Undefined
from bumplab.verdicts.suite import OURS, claims, in_the_papers_order
from bumplab.verdicts.worlds import judged, world

LEVEL = 0.99
MOST_FALSE, LEAST_POWER = 0.065, 0.8
"""Bounds that must hold: for the 99 % limit of each rate of false SUPPORTED, and for each power."""


def once_a_seed(effect):
    """The same effect, computed once for each seed's runs, as every look asks for it again."""
    known = {}

    def remembered(runs):
        key = tuple(map(id, runs.values()))
        if key not in known:
            if len(known) > 100:
                known.clear()
            try:
                known[key] = runs, effect(runs), None  # keeps the runs, so that no other runs can get their ids
            except Undefined as undefined:
                known[key] = runs, None, undefined
        _, datum, problem = known[key]
        if problem is not None:
            raise problem
        return datum

    return remembered


def rate(hits, draws):
    interval = stats.binomtest(hits, draws).proportion_ci(LEVEL)
    return {"rate": hits / draws, "low": float(interval.low), "high": float(interval.high)}


def simulate(claim, effects, simulations, looks):
    """Rates of SUPPORTED and CONTRADICTED and the mean number of seeds, where the named parts have these effects."""
    parts = tuple(replace(part, effect=once_a_seed(part.effect)) for part in judged(claim))
    reduced = replace(claim, parts=parts)
    random = np.random.default_rng([len(claim.id), *map(ord, "".join(effects))])
    decided = []
    for _ in range(simulations):
        runs = world(claim, effects, random, looks.last)

        def first(seeds, runs=runs):
            return {condition: each[:seeds] for condition, each in runs.items()}

        decided.append(decide_in_looks(reduced, first, looks))
    verdicts = [verdict.verdict for verdict in decided]
    return {
        "claim": claim.id,
        "effects": dict(effects),
        "supported": rate(verdicts.count("SUPPORTED"), simulations),
        "contradicted": rate(verdicts.count("CONTRADICTED"), simulations),
        "seeds": float(np.mean([verdict.seeds for verdict in decided])),
    }


def percent(rate):
    return f"{100 * rate['rate']:.2f} % | {100 * rate['low']:.2f} to {100 * rate['high']:.2f} %"


def judge_everything(simulations, looks):
    random_claims = [claim for claim in in_the_papers_order(claims(OURS)) if not claim.certain]
    edges, designed = [], []
    print(f"\n{simulations:,} simulations a row, looks at {looks.first} to {looks.last} seeds, 99 % intervals\n")
    print("| claim | part at the edge of its region | its effect | false SUPPORTED | 99 % interval |")
    print("| --- | --- | --- | --- | --- |")
    for claim in random_claims:
        for part in judged(claim):
            for edge in filter(math.isfinite, (part.region.low, part.region.high)):
                edges.append(simulate(claim, {part.name: edge}, simulations, looks))
                print(f"| `{claim.id}` | {part.name} | {edge:g} | {percent(edges[-1]['supported'])} |", flush=True)
    print("\n| claim as designed | SUPPORTED (power) | 99 % interval | false CONTRADICTED | 99 % interval |", end="")
    print(f" seeds used | training saved against {looks.last} |\n| --- | --- | --- | --- | --- | --- | --- |")
    for claim in random_claims:
        designed.append(simulate(claim, {}, simulations, looks))
        row = designed[-1]
        saved = f"{row['seeds']:.1f} | {100 * (1 - row['seeds'] / looks.last):.0f} %"
        print(f"| `{claim.id}` | {percent(row['supported'])} | {percent(row['contradicted'])} | {saved} |", flush=True)
    seeds = float(np.mean([row["seeds"] for row in designed]))
    print(f"\nAll claims: {seeds:.1f} seeds on average, {100 * (1 - seeds / looks.last):.0f} % of training saved.")
    worst = max(edges, key=lambda row: row["supported"]["high"])["supported"]
    weakest = min(designed, key=lambda row: row["supported"]["rate"])["supported"]
    print(f"Most false SUPPORTED: {100 * worst['rate']:.2f} %, 99 % limit {100 * worst['high']:.2f} %", end=" ")
    print(f"(must be below {100 * MOST_FALSE:g} %). Least power: {100 * weakest['rate']:.1f} %", end=" ")
    print(f"(must be above {100 * LEAST_POWER:g} %).")
    return {"edges": edges, "designed": designed}


def t_at_looks(samples, numbers):
    """Student's t of the first n of each row of ``samples``, for each n of ``numbers``: ``[rows, looks]``."""
    each = [samples[:, :n] for n in numbers]
    return np.stack([x.mean(axis=1) / x.std(axis=1, ddof=1) * x.shape[1] ** 0.5 for x in each], axis=1)


def compare_spending(simulations, looks, effect=2.0):
    """One t test of an effect in standard deviations between seeds, under three ways to share alpha among looks."""
    numbers = np.array(list(looks))
    schemes = {
        "equal": np.full(len(numbers), 1 / len(numbers)),
        "in proportion to the look's number": np.arange(1, len(numbers) + 1) / np.arange(1, len(numbers) + 1).sum(),
        "half for the last, the rest equally": np.array([looks.share(n) for n in numbers]),
    }
    samples = np.random.default_rng(0).normal(effect, 1, (simulations, looks.last))
    t = t_at_looks(samples, numbers)
    rows = []
    print(f"\nOne t test, effect {effect:g} standard deviations, alpha {looks.alpha:g}", end=", ")
    print(f"{simulations:,} simulations\n")
    print("| share of alpha for each look | power | seeds used |\n| --- | --- | --- |")
    for name, shares in schemes.items():
        significant = t > special.stdtrit(numbers - 1, 1 - looks.alpha * shares)
        used = np.where(significant.any(axis=1), numbers[significant.argmax(axis=1)], looks.last)
        rows.append({"scheme": name, "power": float(significant.any(axis=1).mean()), "seeds": float(used.mean())})
        print(f"| {name} | {rows[-1]['power']:.2f} | {rows[-1]['seeds']:.1f} |")
    return {"spending": rows}


def compare_shapes(simulations, looks):
    """False SUPPORTED of one t test through all looks, its mean at the edge, where effects are not normal."""
    numbers = np.array(list(looks))
    alpha = np.array([alpha_at(n, looks) for n in looks])
    random, size = np.random.default_rng(0), (simulations, looks.last)
    shapes = {
        "normal": random.normal(0, 1, size),
        "uniform": random.uniform(-1, 1, size),
        "skewed upwards (log-normal, sigma 0.5)": random.lognormal(0, 0.5, size) - math.exp(0.125),
        "skewed downwards (log-normal, sigma 0.5)": math.exp(0.125) - random.lognormal(0, 0.5, size),
        "one run in ten collapses (by 9 spreads)": random.normal(0.9, 1, size) - 9 * (random.random(size) < 0.1),
    }
    rows = []
    print(f"\nOne t test, its mean at the edge, alpha {looks.alpha:g}, {simulations:,} simulations\n")
    print("| effects between seeds | false SUPPORTED |\n| --- | --- |")
    for name, samples in shapes.items():
        significant = (t_at_looks(samples, numbers) > special.stdtrit(numbers - 1, 1 - alpha)).any(axis=1)
        rows.append({"shape": name, "supported": float(significant.mean())})
        print(f"| {name} | {100 * rows[-1]['supported']:.2f} % |")
    return {"shapes": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1_000, help="a row (default 1000: two and a half minutes)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    parser.add_argument("--spending", action="store_true", help="compare ways to share alpha among looks instead")
    parser.add_argument("--shapes", action="store_true", help="compare effects that are not normal instead")
    options = parser.parse_args()
    began = time.perf_counter()
    stats.t.ppf = cache(stats.t.ppf)  # every look asks for the same few quantiles; this saves a third of the time
    if options.spending:
        numbers = compare_spending(100 * options.simulations, Looks())
    elif options.shapes:
        numbers = compare_shapes(100 * options.simulations, Looks())
    else:
        numbers = judge_everything(options.simulations, Looks())
    print(f"\n{time.perf_counter() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps({"simulations": options.simulations, **numbers}, indent=1))


if __name__ == "__main__":
    main()
