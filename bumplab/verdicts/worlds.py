"""Synthetic runs whose truth is known. `benchmarks/verdicts.py` and tests/claims try the claims' own code on them.

A claim's `Claim.plant` makes the learning curves of one seed such that the claim's own effects read given numbers from
them. `world` draws these numbers for each seed as the designs of the parts say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bumplab.config import RunSpec
from bumplab.measure.names import row_names
from bumplab.profiles import QUICK, Profile
from bumplab.verdicts.claim import FIRST_SEED, Claim, Compared, Design, Part, SeedRuns, keyword
from bumplab.verdicts.curves import Curve, Curves
from bumplab.verdicts.decision import RunsOfPart

Number = float | tuple[float, ...]
"""What one seed shows of a part: its effect, or the scores of the conditions of a `Compared` part."""
UNTRAINED = {
    **{"loss": 1.0, "none": 0.9, "several": 0.06, "single-wrong": 0.03, "correct": 0.01, "error": 5.0},
    **{
        "accuracy": 0.02,
        "ceiling": 0.9,
        "ceiling_correct": 1.0,
        "flatness": 0.17,
        "told_flatness": 0.17,
        "canvas": 0.02,
        "seen": 0.5,
        "told": 0.0,
    },
    **{"order": 0.0, "order_drawn": 0.0, "umap_r2": 0.1, "umap_r2_sd": 0.1, "pca_r2": 0.1},
    **{"dimension": 22.0, "signal": 0.2},
}
"""What an untrained network shows, by the last part of the name without its axis."""


def world(
    claim: Claim, effects: Mapping[str, float], random: np.random.Generator, seeds: int, profile: Profile = QUICK
) -> RunsOfPart:
    """Runs of ``seeds`` seeds in a world where the judged parts named in ``effects`` have these true effects.

    The other parts have their designed effect. Effects spread between seeds as designed. Raises ValueError for a name
    of no judged part, and as `plant`.
    """
    names = [part.name for part in claim.judged_parts]
    if unknown := sorted(set(effects) - set(names)):
        raise ValueError(f"claim {claim.id!r} has no judged part {unknown[0]!r}: it has {', '.join(map(repr, names))}")
    planted = []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        numbers = {}
        for part in claim.judged_parts:
            conditions = list(claim.runs_of(part)(profile, seed))
            effect = effects.get(part.name, design_of(part).effect)
            numbers[part.name] = drawn(part, conditions, random, effect)
        planted.append(plant(claim, numbers, specs_of(claim, profile, seed)))
    return lambda part, count: [
        {condition: runs[condition] for condition in claim.runs_of(part)(profile, seed)}
        for seed, runs in enumerate(planted[:count], FIRST_SEED)
    ]


def plant(claim: Claim, data: Mapping[str, Number], specs: Mapping[str, RunSpec]) -> SeedRuns:
    """One seed's runs from which the claim reads ``data``: a number for each judged part, by the part's name.

    ``specs`` holds the spec of each condition of each part (`specs_of`). Raises ValueError for a claim without a
    ``plant``, and where ``data`` lacks a judged part.
    """
    if claim.plant is None:
        raise ValueError(f"claim {claim.id!r} has no planted world: give it Claim(plant=...)")
    if missing := [part.name for part in claim.judged_parts if part.name not in data]:
        raise ValueError(f"claim {claim.id!r}: no number for part {missing[0]!r}: give one for each judged part")
    return claim.plant(specs, **{keyword(part): data[part.name] for part in claim.judged_parts})


def specs_of(claim: Claim, profile: Profile = QUICK, seed: int = FIRST_SEED) -> dict[str, RunSpec]:
    """The specs of a seed's runs for all parts, by condition. Raises ValueError where a condition names two specs."""
    specs: dict[str, RunSpec] = {}
    for part in claim.parts:
        for condition, spec in claim.runs_of(part)(profile, seed).items():
            if specs.setdefault(condition, spec) != spec:
                raise ValueError(f"claim {claim.id!r}: the condition {condition!r} names two specs: give each a name")
    return specs


def drawn(part: Part, conditions: Sequence[str], random: np.random.Generator, effect: float) -> Number:
    """What one seed shows of a part whose true effect is ``effect``: a normal effect with the design's spread.

    The scores of a `Compared` part are ``rho * weight + sqrt(1 - rho^2) * noise``. ``rho`` is the effect, the weights
    are standardised, and the noise is standard normal.
    """
    if not isinstance(part.effect, Compared):
        return float(random.normal(effect, design_of(part).spread))
    weights = np.asarray(part.effect.weights(conditions), dtype=np.float64)
    weights = (weights - weights.mean()) / weights.std()
    noise = random.normal(size=len(weights))
    return tuple((effect * weights + math.sqrt(1 - effect**2) * noise).tolist())


def design_of(part: Part) -> Design:
    """The design of a part. Raises ValueError for a part without one."""
    if part.design is None:
        raise ValueError(f"part {part.name!r} has no design: give it Part(design=Design(effect, spread, source))")
    return part.design


def run(spec: RunSpec, curves: Mapping[str, Curve], last: Mapping[str, float] | None = None) -> Curves:
    """A run with these curves over its measured steps, and with these numbers in its last row.

    All other numbers are those of an untrained network.
    """
    steps = spec.measured_steps()
    rows = []
    for i, step in enumerate(steps):
        row = {name: untrained_value(name, spec) for name in row_names(spec, step)}
        row |= {name: float(curve[i]) for name, curve in curves.items()}
        rows.append({**row, "step": float(step)})
    rows[-1] |= last or {}
    return Curves(rows, spec)


def untrained(spec: RunSpec) -> Curves:
    """A run that learns nothing."""
    return run(spec, {})


def untrained_value(name: str, spec: RunSpec) -> float:
    """What an untrained network shows under this name, such as ``probe.correct_x``. 0 for a name without a value."""
    last = name.rpartition(".")[2]
    if last == "samples":
        return float(spec.measure.samples)
    return UNTRAINED.get(last.removesuffix("_x").removesuffix("_y"), 0.0)


def steps_of(spec: RunSpec) -> Curve:
    """The measured steps of a run: ``[checkpoints]``."""
    return np.array(spec.measured_steps(), dtype=np.float64)


def level(spec: RunSpec, value: float) -> Curve:
    """The same value at every step."""
    return np.full(len(steps_of(spec)), value)


def ramp(spec: RunSpec, at: float) -> Curve:
    """A straight line from 0 to 1 around the step ``at``, where it is 0.5: `Curves.crossing` returns that step.

    ``at`` lies between step 0 and the last checkpoint but one.
    """
    steps = steps_of(spec)
    after = int(np.clip(np.searchsorted(steps, at, side="right"), 1, len(steps) - 1))
    gap = steps[after] - steps[after - 1]
    return np.asarray(np.clip(0.5 + (steps - at) / (2 * gap), 0.0, 1.0))


def rise(spec: RunSpec, area: float) -> Curve:
    """A curve from 0 at step 0 to 1 at the last, whose `Curves.area` is ``area``, from 0.1 to below 1.

    It is a power of the share of doublings of steps that are done. A run with one later checkpoint ends at ``area``.
    """
    steps = steps_of(spec)
    if len(steps) == 2:
        return np.array([0.0, area])
    done = np.append(0.0, 1 + np.log2(steps[1:] / steps[1]))
    done /= done[-1]
    low, high = 0.0, 64.0  # exponents, between which the area falls
    for _ in range(40):
        exponent = (low + high) / 2
        curve = np.where(steps > 0, done**exponent, 0.0)
        if Curves([{"step": s, "v": v} for s, v in zip(steps, curve, strict=True)], spec).area("v") > area:
            low = exponent
        else:
            high = exponent
    return np.asarray(curve)


def learning(labels: str, share: Curve, single: Curve | None = None) -> dict[str, Curve]:
    """The modes of a label set by name, which add to 1, and the shares that are right in x and in y.

    ``share`` is the share of images with one bump at the right place. ``single`` is that of images with one bump
    anywhere, at least ``share``. By default single bumps at a wrong place are as rare as before training.
    """
    wrong = 0.03 * (1 - share) if single is None else single - share
    rest = 1 - share - wrong
    shares = {"correct": share, "correct_x": share, "correct_y": share, "single-wrong": wrong}
    shares |= {"none": 0.9 * rest, "several": 0.1 * rest}
    return {f"{labels}.{name}": curve for name, curve in shares.items()}
