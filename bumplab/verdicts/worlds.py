"""Synthetic runs whose truth is known. `benchmarks/verdicts.py` and tests/claims try the claims' own code on them.

A claim's `Claim.plant` makes the learning curves of one seed such that the claim's own effects read given numbers from
them. `world` draws these numbers for each seed as the designs of the parts say. Rows have the names and the steps of
the quick profile. Their values serve the effects only: in some draws a rate leaves the range from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from bumplab.config import LAST_ROLES, LAYER_4
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
"""Planted steps of the first and of the last of several events. The checkpoints after `LATE` show that it stays."""
CEILING = 0.9
LAYER, BOTTLENECK = LAYER_4[0], LAST_ROLES[1]
AXES = ("", "_x", "_y")


def world(claim: Claim, effects: Mapping[str, float], random: np.random.Generator, seeds: int) -> Runs:
    """Runs of ``seeds`` seeds in a world where the judged parts named in ``effects`` have these true effects.

    The other parts have their designed effect. All effects spread between seeds as designed. Raises ValueError for a
    name of no judged part, and for a claim without a ``plant``.
    """
    designs = {part.name: _design(part) for part in judged(claim)}
    if unknown := set(effects) - set(designs):
        raise ValueError(f"claim {claim.id!r} has no judged part {', '.join(sorted(unknown))}")
    drawn = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        data = [design.seed_datum(random, effects.get(name, design.effect)) for name, design in designs.items()]
        drawn.append(plant(claim, data, seed))
    return {condition: [runs[condition] for runs in drawn] for condition in drawn[0]}


def plant(claim: Claim, data: Sequence[Datum], seed: int = FIRST_SEED) -> SeedRuns:
    """One seed's runs from which the claim reads ``data``: one datum for each judged part, in the claim's order.

    Raises ValueError for a claim without a ``plant``.
    """
    if claim.plant is None:
        raise ValueError(f"claim {claim.id!r} has no planted world: give it Claim(plant=...)")
    numbers = [datum if _design(part).draw else datum[0] for part, datum in zip(judged(claim), data, strict=True)]
    return claim.plant(seed, _conditions(claim.runs), *numbers)


def judged(claim: Claim) -> list[Part]:
    """The judged parts, in the claim's order."""
    return [part for part in claim.parts if part.judges]


def run(seed: int, curves: Mapping[str, Curve], last: Mapping[str, float] | None = None) -> Curves:
    """A run with these curves over `STEPS` and these numbers in its last row.

    All other numbers are those of an untrained network.
    """
    columns = {"step": STEPS.tolist()} | {name: curve.tolist() for name, curve in curves.items()}
    rest = _rest("in_hole.correct" in curves)
    rows = [{**rest, **{name: column[i] for name, column in columns.items()}} for i in range(len(STEPS))]
    rows[-1] |= {**_AT_THE_LAST, **(last or {})}
    return Curves(rows, seed=seed)


def untrained(seed: int) -> Curves:
    """A run that learns nothing."""
    return run(seed, {})


def ramp(at: float) -> Curve:
    """A straight line from 0 to 1 over two measurements, 0.5 at step ``at``: `Curves.crossing` returns that step."""
    return np.asarray(np.clip(0.5 + (STEPS - at) / (2 * EVERY), 0.0, 1.0))


def level(value: float) -> Curve:
    """The same value at every step."""
    return np.full(len(STEPS), value)


def steps_by_level(conditions: Sequence[str], slope: float) -> Curve:
    """One step a condition: it grows as the condition's level to the power ``slope``, up to `LATE`."""
    doublings = slope * np.log2(levels_of(dict.fromkeys(conditions)))
    return np.asarray(LATE * 2 ** (doublings - doublings.max()))


def r2(curve: Curve, axis: str = "") -> dict[str, Curve]:
    """R^2 of layer 4 with UMAP and without, by name."""
    return {f"{LAYER}.{kind}_r2{axis}": curve for kind in ("umap", "pca")}


def learning(labels: str, curve: Curve, axes: Sequence[str] = AXES) -> dict[str, Curve]:
    """The accuracies of a label set by name; ``curve`` is their share of the ceiling."""
    return {f"{labels}.accuracy{axis}": CEILING * curve for axis in axes}


def _design(part: Part) -> Design:
    assert part.design is not None, f"part {part.name!r} has no design"
    return part.design


@cache
def _conditions(runs: RunsOf) -> tuple[str, ...]:
    return tuple(runs(QUICK, FIRST_SEED))


@cache
def _rest(hole: bool) -> dict[str, float]:
    """The row of an untrained network, with samples in the hole or without."""
    row = {"loss": 1.0}
    for labels in ("on_grid", "off_grid", "in_hole")[: 3 if hole else 2]:
        row |= {f"{labels}.accuracy{axis}": 0.02 for axis in AXES}
        row |= {f"{labels}.ceiling{axis}": CEILING for axis in AXES}
        row |= {f"{labels}.{mode}": share for mode, share in zip(MODES, (0.9, 0.06, 0.03, 0.01), strict=True)}
        row[f"{labels}.samples"] = float(QUICK.base.measure.samples)
    for tap in LAYER_4:
        row |= {f"{tap}.{measure}": 0.2 for measure in MEASURES} | {f"{tap}.dimension": 22.0}
    return row


_AT_THE_LAST = {f"{tap}.{measure}": 0.2 for tap in LAST_ROLES for measure in MEASURES}
