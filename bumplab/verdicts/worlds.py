"""Synthetic runs whose truth is known: what the claims' own code is tried on (`benchmarks/verdicts.py`, tests/claims).

`plant` makes one seed's learning curves such that the claim's own effects, read from them, are given numbers; `world`
draws those numbers for each seed as the designs of the claim's parts say. Rows have the names and the steps of the
quick profile. Their values are what the effects need: in some draws a rate leaves the range from 0 to 1.

Three effects cannot take every value. The share of failures in phase B is a half where that phase begins, so it lies
between what the slowest and the fastest change after that give. A gap is never negative. And y cannot be behind when x
is half learned, yet be half learned sooner, nor the reverse: of the two, the delay follows a y that is behind, and a y
that is ahead gives way to the delay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from bumplab.config import LAST_TAPS, LAYER_4
from bumplab.measure.names import MEASURES, MODES
from bumplab.profiles import QUICK
from bumplab.verdicts.claim import FIRST_SEED, Claim, Design, Part, RunsOf, SeedRuns
from bumplab.verdicts.curves import Curve, Curves
from bumplab.verdicts.decision import Runs
from bumplab.verdicts.effects import levels_of
from bumplab.verdicts.intervals import Datum

STEPS = np.array(QUICK.base.measured_steps(), dtype=np.float64)
EVERY = float(STEPS[1])
EARLY, LATE = 3 * EVERY, 8 * EVERY
"""Steps at which the first or the last of several events is planted: what is learned at `LATE` is seen to stay."""
CEILING = 0.9
LAYER, BOTTLENECK = LAYER_4[0], LAST_TAPS[1]
AXES = ("", "_x", "_y")


def world(claim: Claim, effects: Mapping[str, float], random: np.random.Generator, seeds: int) -> Runs:
    """Runs of ``seeds`` seeds in a world where the judged parts named in ``effects`` have these true effects.

    The other parts have their designed effect, and all spread between seeds as designed. Raises ValueError for a name
    that is no judged part's, and KeyError for a claim of which no world is known.
    """
    designs = {part.name: _design(part) for part in judged(claim)}
    if unknown := set(effects) - set(designs):
        raise ValueError(f"claim {claim.id!r} has no judged part {', '.join(sorted(unknown))}")
    drawn = [
        plant(claim, [d.seed_datum(random, effects.get(name, d.effect)) for name, d in designs.items()], seed)
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
    ]
    return {condition: [runs[condition] for runs in drawn] for condition in drawn[0]}


def plant(claim: Claim, data: Sequence[Datum], seed: int = FIRST_SEED) -> SeedRuns:
    """One seed's runs from which the claim reads ``data``: one datum for each judged part, in the claim's order."""
    parts = judged(claim)
    given = [datum if _design(part).draw else datum[0] for part, datum in zip(parts, data, strict=True)]
    return PLANTED[claim.id](seed, _conditions(claim.runs), *given)


def judged(claim: Claim) -> list[Part]:
    """The parts that decide, in the claim's order."""
    return [part for part in claim.parts if part.judges]


def run(seed: int, curves: Mapping[str, Curve], last: Mapping[str, float] | None = None) -> Curves:
    """A run with these curves over `STEPS` and these numbers in its last row; the rest is an untrained network's."""
    columns = {"step": STEPS.tolist()} | {name: curve.tolist() for name, curve in curves.items()}
    rest = _rest("in_hole.correct" in curves)
    rows = [{**rest, **{name: column[i] for name, column in columns.items()}} for i in range(len(STEPS))]
    rows[-1] |= {**_AT_THE_LAST, **(last or {})}
    return Curves(rows, seed=seed)


def untrained(seed: int) -> Curves:
    """A run that learns nothing."""
    return run(seed, {})


def ramp(at: float) -> Curve:
    """From 0 to 1, straight, over two measurements; half-way at step ``at``, which `Curves.crossing` gives back."""
    return np.asarray(np.clip(0.5 + (STEPS - at) / (2 * EVERY), 0.0, 1.0))


def level(value: float) -> Curve:
    return np.full(len(STEPS), value)


def r2(curve: Curve, axis: str = "") -> dict[str, Curve]:
    """R^2 of layer 4, with UMAP and without."""
    return {f"{LAYER}.{kind}_r2{axis}": curve for kind in ("umap", "pca")}


def learning(labels: str, curve: Curve, axes: Sequence[str] = AXES) -> dict[str, Curve]:
    """Accuracy on a label set, as a share of its ceiling."""
    return {f"{labels}.accuracy{axis}": CEILING * curve for axis in axes}


def _design(part: Part) -> Design:
    assert part.design is not None, f"part {part.name!r} has no design"
    return part.design


@cache
def _conditions(runs: RunsOf) -> tuple[str, ...]:
    return tuple(runs(QUICK, FIRST_SEED))


@cache
def _rest(hole: bool) -> dict[str, float]:
    row = {"loss": 1.0}
    for labels in ("on_grid", "off_grid", *(["in_hole"] if hole else [])):
        row |= {f"{labels}.accuracy{axis}": 0.02 for axis in AXES} | {
            f"{labels}.ceiling{axis}": CEILING for axis in AXES
        }
        row |= {f"{labels}.{mode}": share for mode, share in zip(MODES, (0.9, 0.06, 0.03, 0.01), strict=True)}
        row[f"{labels}.samples"] = float(QUICK.base.measure.samples)
    for tap in LAYER_4:
        row |= {f"{tap}.{measure}": 0.2 for measure in MEASURES} | {f"{tap}.dimension": 22.0}
    return row


_AT_THE_LAST = {f"{tap}.{measure}": 0.2 for tap in LAST_TAPS for measure in MEASURES}


# --- one seed of each claim -----------------------------------------------------------------------------------------


def _phases(seed: int, _: Sequence[str], order: float, wrong_in_b: float, nearer: float, rise: float) -> SeedRuns:
    begin_b, begin_c = LATE * 2 ** -max(order, 0.0), LATE * 2 ** min(order, 0.0)
    correct = CEILING * ramp(begin_c + EVERY)  # of use in phase C alone: until then every failure counts whole
    if order > 0:
        single = _first_bumps(begin_b, begin_c, correct, wrong_in_b)
    else:
        single = ramp(begin_b)
        correct = np.minimum(correct, single)
    dimension = 22.0 - nearer * STEPS / STEPS[-1]
    curves = {
        **learning("on_grid", ramp(begin_c)),
        "on_grid.correct": correct,
        "on_grid.single-wrong": single - correct,
        "on_grid.none": 0.9 * (1 - single),
        "on_grid.several": 0.1 * (1 - single),
        f"{LAYER}.dimension": dimension,
        **r2(0.05 + rise * STEPS / STEPS[-1]),
    }
    return {"dense": run(seed, curves)}


def _first_bumps(begin_b: float, begin_c: float, correct: Curve, share: float) -> Curve:
    """Single bumps that pass a half at ``begin_b`` and are, at a wrong place, ``share`` of the failures in phase B.

    Between the slowest and the fastest such curve the share is linear in the curve.
    """
    after = int(np.searchsorted(STEPS, begin_b, side="right"))
    passed = (begin_b - STEPS[after - 1]) / EVERY

    def passing(steepness: float, then: Sequence[float]) -> Curve:
        single = np.zeros(len(STEPS))
        single[after - 1] = 0.5 - steepness * passed
        single[after] = 0.5 + steepness * (1 - passed)
        rest = len(STEPS) - after - 1
        single[after + 1 :] = [*then, *[then[-1]] * rest][:rest]
        return np.maximum(single, correct)

    def share_of(single: Curve) -> float:
        within = np.linspace(begin_b, begin_c, 21)
        failures = 1 - np.interp(within, STEPS, correct)
        return float(np.mean(np.interp(within, STEPS, single - correct) / failures))

    slowest, fastest = passing(0.02, (0.51, 0.0)), passing(0.5 / max(passed, 1 - passed), (1.0,))
    least, most = share_of(slowest), share_of(fastest)
    weight = min(max((share - least) / (most - least), 0.0), 1.0) if most - least > 1e-9 else 0.5
    return np.asarray((1 - weight) * slowest + weight * fastest)


def _representation(seed: int, conditions: Sequence[str], over_training: float, at_fixed_steps: float) -> SeedRuns:
    """R^2 is a rank over training, the same for all runs, and far less of a rank across runs at each step."""
    steps, runs = len(STEPS), len(conditions)
    over = _ranks(steps, over_training)[0]
    across = []
    owed = 0.0
    for _ in range(steps):  # what one step's rank correlation is off by is given to the next
        ranks, found = _ranks(runs, at_fixed_steps + owed)
        owed += at_fixed_steps - found
        across.append(ranks)
    below = np.array(across).T / (10 * runs)
    made = {}
    for i, condition in enumerate(conditions):
        # the last condition, the largest increment, is the least accurate at every step
        accuracy = 0.15 * (runs - 1 - i) / (runs - 1) + 0.8 * STEPS / STEPS[-1]
        curves = r2((over + below[runs - 1 - i]) / steps)
        made[condition] = run(seed, {**learning("on_grid", accuracy), **curves})
    return made


def _ranks(n: int, correlation: float) -> tuple[NDArray[np.float64], float]:
    """An order of 0 .. n - 1 whose rank correlation with 0 .. n - 1 is nearest to the one given, and its own."""
    correlations, orders = _orders(n)
    at = int(np.searchsorted((correlations[1:] + correlations[:-1]) / 2, correlation))
    return orders[at], float(correlations[at])


@cache
def _orders(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orders of n numbers, one for each rank correlation; of more than 5 numbers only for those that are found."""
    random = np.random.default_rng(0)
    if n <= 5:
        orders = list(permutations(range(n)))
    else:
        noise = random.normal(size=(4000, n)) * random.exponential(n / 4, (4000, 1))
        signed = random.choice([-1.0, 1.0], (4000, 1)) * np.arange(n)
        orders = [tuple(order) for order in np.argsort(np.argsort(signed + noise, axis=1), axis=1)]
    found = {round(float(np.corrcoef(order, range(n))[0, 1]), 9): order for order in orders}
    correlations = sorted(found)
    return np.array(correlations), np.array([found[c] for c in correlations], dtype=np.float64)


def _density(seed: int, conditions: Sequence[str], on_grid: float, off_grid: float) -> SeedRuns:
    return {
        condition: run(seed, {**learning("on_grid", ramp(at)), **learning("off_grid", ramp(off))})
        for condition, at, off in zip(
            conditions, _times(conditions, on_grid), _times(conditions, off_grid), strict=True
        )
    }


def _times(conditions: Sequence[str], slope: float) -> Curve:
    """Steps that grow as the condition's level to the power ``slope``; the last of them is `LATE`."""
    doublings = slope * np.log2(levels_of(dict.fromkeys(conditions)))
    return np.asarray(LATE * 2 ** (doublings - doublings.max()))


def _coupling(seed: int, _: Sequence[str], delays: Datum, gap: float, ahead: float) -> SeedRuns:
    unit, dense, least = 4 * EVERY, EVERY + 10, 0.01
    delay, between = delays
    if ahead < 0:
        delay = max(abs(delay), least)
    elif delay > 0:
        ahead = -least / 10
    else:
        delay, ahead = min(delay, -least), max(ahead, least / 10)
    later = EARLY + unit * abs(delay)
    x, y = ramp(EARLY), ramp(EARLY)
    first = int(EARLY / EVERY)
    if delay > 0:  # y, the later, is where it has to be when x, the first, is half learned
        y = ramp(later)
        y[:first] = np.minimum(y[:first], 0.5 + ahead)
        y[first] = 0.5 + ahead
        if later < EARLY + EVERY:
            y[first + 1] = 0.5 - ahead * (EARLY + EVERY - later) / (later - EARLY)
    else:  # y, the first, stays where it has to be until x is half learned
        x = ramp(later)
        until = math.ceil(later / EVERY)
        y[first + 1 : until + 1] = 0.5 + ahead * max(1.0, EVERY / (later - EARLY))
    made = {
        "imbalanced": {
            **{name: curve for axis, c in (("_x", x), ("_y", y)) for name, curve in _both(c, axis).items()},
            **r2(0.1 + 0.8 * ramp(EARLY), "_x"),
            **r2(0.1 + 0.8 * ramp(EARLY) - abs(gap), "_y"),
        },
        "dense": {name: curve for axis in AXES for name, curve in _both(ramp(dense), axis).items()},
        "sparse": {name: curve for axis in AXES for name, curve in _both(ramp(dense + unit * between), axis).items()},
    }
    return {condition: run(seed, curves) for condition, curves in made.items()}


def _both(curve: Curve, axis: str) -> dict[str, Curve]:
    return learning("on_grid", curve, (axis,)) | learning("off_grid", curve, (axis,))


def _hole(seed: int, conditions: Sequence[str], small: float, large: float, between: float) -> SeedRuns:
    in_small = 0.95 + small
    in_large = in_small + between
    drawn = {conditions[0]: (in_small, 0.95), conditions[1]: (in_large, in_large - large)}
    made = {}
    for condition, (inside, outside) in drawn.items():
        curves: dict[str, Curve] = {}
        for labels, top in (("on_grid", outside), ("off_grid", outside), ("in_hole", inside)):
            curve = top * ramp(LATE)
            curves |= learning(labels, curve) | {f"{labels}.correct": CEILING * curve}
        made[condition] = run(seed, curves, dict.fromkeys(("off_grid.samples", "in_hole.samples"), QUICK.hole_samples))
    return made


def _sigma(seed: int, conditions: Sequence[str], rate: float, performance: float) -> SeedRuns:
    doublings = np.log2(levels_of(dict.fromkeys(conditions)))
    made = {}
    for condition, at, further in zip(conditions, _times(conditions, rate), doublings - doublings.mean(), strict=True):
        accuracy = ramp(at)
        accuracy[-1] = 0.8 + performance * further
        made[condition] = run(seed, learning("on_grid", accuracy))
    return made


def _bottleneck(seed: int, _: Sequence[str], less_readable: float, less_signal: float) -> SeedRuns:
    last = {
        **{f"{LAYER}.{kind}_r2": 0.9 for kind in ("umap", "pca")},
        **{f"{BOTTLENECK}.{kind}_r2": 0.9 - less_readable for kind in ("umap", "pca")},
        f"{LAYER}.signal": 0.4,
        f"{BOTTLENECK}.signal": 0.4 * 2**-less_signal,
    }
    return {"dense": run(seed, learning("on_grid", ramp(LATE)), last)}


def _seeds(seed: int, conditions: Sequence[str], umap: Datum, pca: Datum) -> SeedRuns:
    """Each datum is levels and, after them, whether the run at each failed."""
    failed = zip(umap[len(umap) // 2 :], pca[len(pca) // 2 :], strict=True)
    return {
        condition: run(
            seed,
            {
                **learning("on_grid", ramp(LATE)),
                f"{LAYER}.umap_r2": (0.9 - 0.7 * without) * ramp(LATE),
                f"{LAYER}.pca_r2": (0.9 - 0.7 * without_pca) * ramp(LATE),
            },
        )
        for condition, (without, without_pca) in zip(conditions, failed, strict=True)
    }


PLANTED: Mapping[str, Callable[..., SeedRuns]] = {
    "phases": _phases,
    "representation": _representation,
    "density": _density,
    "coupling": _coupling,
    "hole": _hole,
    "sigma": _sigma,
    "bottleneck": _bottleneck,
    "seeds": _seeds,
}
"""How one seed of each claim is made: from its number, the claim's conditions and what each judged part is to read."""
