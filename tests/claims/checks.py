"""Checks that the tests of every claim make, on synthetic runs whose truth is known (`bumplab.verdicts.worlds`)."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bumplab import profiles
from bumplab.profiles import QUICK
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide, decide_in_looks, seed_effect, with_controls
from bumplab.verdicts.error_rate import Looks
from bumplab.verdicts.suite import OURS, claims
from bumplab.verdicts.worlds import AXES, CEILING, judged, learning, plant, ramp, run, untrained, world

PROFILES = [profiles.get(name) for name in profiles.ALL]
STEP, R2, R2_PCA = {"step"}, {"layer4.umap_r2"}, {"layer4.pca_r2"}


def claim_of(id):
    return next(claim for claim in claims(OURS) if claim.id == id)


def by_increment(profile, seed):
    """The runs that claims on the increment share."""
    return {f"d={d:g}": profile.run(seed, dx=d) for d in profile.increments}


# --- verdicts in the claim's own world ------------------------------------------------------------------------------


def true_world(claim, seeds, effects=None):
    """Runs in the claim's own world, with these true effects and a tenth of the designed spread: 3 seeds are enough."""
    quiet = [replace(part, design=replace(part.design, spread=part.design.spread / 10)) for part in judged(claim)]
    random = np.random.default_rng([seeds, len(claim.id)])
    return world(replace(claim, parts=tuple(quiet)), effects or {}, random, seeds)


def verdict_on(claim, effects=None, change=None, seeds=5):
    """The verdict on the claim in its own world, with these true effects and each seed's runs changed."""
    runs = true_world(claim, seeds, effects)
    if change:
        by_seed = [change({condition: each[i] for condition, each in runs.items()}) for i in range(seeds)]
        runs = {condition: [one[condition] for one in by_seed] for condition in by_seed[0]}
    return decide(claim, runs, Looks(seeds, seeds))


def check_verdicts(claim, cases, seeds=(3, 5)):
    """Each case has true effects, a change of one seed's runs, the verdicts allowed, and a word of the reason."""
    for count in seeds:
        for case, (effects, change, allowed, why) in cases.items():
            verdict = verdict_on(claim, effects, change, count)
            assert verdict.verdict in allowed, (case, count, verdict.reason)
            assert why in verdict.reason, (case, count, verdict.reason)


def nothing_learns(runs):
    return {condition: untrained(curves.seed) for condition, curves in runs.items()}


# --- what each part reads -------------------------------------------------------------------------------------------


def learned(labels, axis):
    """Accuracy and the ceiling it is compared with."""
    return {f"{labels}.accuracy{axis}", f"{labels}.ceiling{axis}"}


LEARNED, X, Y = (learned("on_grid", axis) for axis in AXES)
LEARNED_OFF, X_OFF, Y_OFF = (learned("off_grid", axis) for axis in AXES)


def half_at(step, labels="on_grid", axis=""):
    return {f"{labels}.accuracy{axis}": CEILING * ramp(step)}


def check_reads(claim, reads):
    """Each part reads these numbers of each condition, and no others: its effect or its being defined depends on them.

    The designed worlds give both measures of R^2 the same values, and no verdict shows what an unjudged part reads.
    """
    runs = {condition: each[0] for condition, each in true_world(claim, 1).items()}
    assert {part.name for part in claim.parts} == set(reads)
    for part in claim.parts:
        names = reads[part.name]
        others = {condition: set(run.rows[-1]) - names.get(condition, set()) for condition, run in runs.items()}
        assert _read_alone(part, runs, names) == names, part.name
        assert not _is_read(part, runs, others), f"{part.name} also reads {_read_alone(part, runs, others)}"
        assert set(part.rates) <= set().union(*names.values()), f"{part.name}: noise is told of what is not read"


def _is_read(part, runs, names):
    """Whether the part changes where these numbers of each condition are unknown, far smaller or far larger."""

    def scaled(curves, names, factor):
        rows = [row | {name: factor * row[name] for name in names & set(row)} for row in curves.rows]
        return Curves(rows, seed=curves.seed)

    unchanged = seed_effect(part, runs)
    assert unchanged[0], unchanged
    for factor in (math.nan, 0.25, 4.0):
        if seed_effect(part, runs | {c: scaled(runs[c], of, factor) for c, of in names.items()}) != unchanged:
            return True
    return False


def _read_alone(part, runs, names):
    return {c: {name for name in of if _is_read(part, runs, {c: {name}})} for c, of in names.items()}


def check_shown(claim, shown):
    """The parts that decide nothing, whose sign no verdict would show: curves by condition, and the part's datum."""
    parts = {part.name: part for part in claim.parts if not part.judges}
    assert set(parts) == set(shown)
    for name, (curves, datum) in shown.items():
        runs = {condition: run(0, made) for condition, made in curves.items()}
        assert seed_effect(parts[name], runs)[0] == pytest.approx(datum), name


# --- what is planted ------------------------------------------------------------------------------------------------


def check_planted(claim, inexact=None, units=None, at_once=True):
    """The claim reads from a planted world what was planted: each part at its edges and, ``at_once``, all as designed.

    ``inexact``: how much of the spread the mean of a part may be off by, where it is not read exactly. ``units``: steps
    for each unit of a part's datum.
    """
    inexact, units = inexact or {}, units or {}
    parts = judged(claim)
    for moved, part in enumerate(parts):
        for edge in filter(math.isfinite, (part.region.low, part.region.high)):
            random = np.random.default_rng(0)
            off = []
            for _ in range(200):
                effects = [part.design.effect for part in parts]
                effects[moved] = edge
                data = [p.design.seed_datum(random, effect) for p, effect in zip(parts, effects, strict=True)]
                off.append(_off(part, plant(claim, data), data[moved], units))
            assert abs(np.mean(off)) < inexact.get(part.name, 1e-9), (part.name, edge)
            assert part.name in inexact or np.abs(off).max() < 1e-6, (part.name, edge)
    if at_once:
        random = np.random.default_rng(0)
        off = {part.name: [] for part in parts}
        for _ in range(200):
            data = [part.design.seed_datum(random, part.design.effect) for part in parts]
            runs = plant(claim, data)
            for part, datum in zip(parts, data, strict=True):
                off[part.name].append(_off(part, runs, datum, units))
        for name, values in off.items():
            assert abs(np.mean(values)) < inexact.get(name, 1e-9), name


def _off(part, runs, datum, units):
    read, _ = seed_effect(part, runs)
    return math.nan if read is None else (read[0] / units.get(part.name, 1.0) - datum[0]) / part.design.spread


def check_power(claim, draws=30):
    """The claim finds the effects that it is designed for, before the last look."""
    random = np.random.default_rng(2)
    verdicts = [decided(claim, world(claim, {}, random, Looks().last)) for _ in range(draws)]
    assert sum(verdict.verdict == "SUPPORTED" for verdict in verdicts) >= 0.8 * draws
    assert np.mean([verdict.seeds for verdict in verdicts]) < Looks().last


def check_error_rate(claim, name, draws=300):
    """A part at the edge of its region: six looks spend no more than the error rate, which is large here to show it."""
    edge = next(part.region.low for part in judged(claim) if part.name == name)
    random, looks = np.random.default_rng(1), Looks(alpha=0.05)
    verdicts = [decided(claim, world(claim, {name: edge}, random, looks.last), looks).verdict for _ in range(draws)]
    assert 0 < verdicts.count("SUPPORTED") <= 0.05 * draws
    assert verdicts.count("CONTRADICTED") <= 0.05 * draws


# --- controls -------------------------------------------------------------------------------------------------------


def decided(claim, runs, looks=None):
    return decide_in_looks(
        claim, lambda seeds: {condition: each[:seeds] for condition, each in runs.items()}, looks or Looks()
    )


def one_step(conditions, random, seed):
    """What an untrained network shows, of every claim."""
    first, *_, last = untrained(seed).rows
    drawn = {
        f"{labels}.{key}": 0.02 for labels in ("on_grid", "off_grid", "in_hole") for key in ("accuracy", "correct")
    }
    rows = [{**row, **drawn, "in_hole.ceiling": CEILING, "step": float(i)} for i, row in enumerate((first, last))]
    return dict.fromkeys(conditions, Curves(rows, seed=seed))


def alike(conditions, random, seed):
    """Each run at its own pace, whatever its name."""
    paces = {condition: ramp(300 * 2 ** random.normal(0, 0.1)) for condition in conditions}
    return {c: run(seed, learning("on_grid", pace) | learning("off_grid", pace)) for c, pace in paces.items()}


def check_controls(claim, trained=None, false=None):
    """A broken world must not come out SUPPORTED, a planted one must, at the spread that the claim is built for.

    ``trained`` makes, for each control with runs of its own, what one seed of these would show. Others change the
    claim's own world. ``false``: effects with which the claim is CONTRADICTED. There a positive control must still see
    its planted effect.
    """
    trained = trained or {}
    assert {control.name for control in claim.controls if control.runs} == set(trained)
    positive = [control for control in claim.controls if control.positive]
    assert bool(positive) == bool(false), "a positive control is tried where the claim is false"

    def tried(control, runs):
        if control.runs:
            random, conditions = np.random.default_rng(7), list(control.runs(QUICK, FIRST_SEED))
            seeds = range(FIRST_SEED, FIRST_SEED + Looks().last)
            by_seed = [trained[control.name](conditions, random, seed) for seed in seeds]
            runs = {condition: [one[condition] for one in by_seed] for condition in conditions}
        verdict = decided(claim.under(control), runs)
        assert (verdict.verdict == "SUPPORTED") == control.positive, f"{control.name}: {verdict.reason}"
        return control, verdict

    runs = world(claim, {}, np.random.default_rng(len(claim.id)), Looks().last)
    verdict = decided(claim, runs)
    assert verdict.verdict == "SUPPORTED", verdict.reason
    assert with_controls(verdict, [tried(control, runs) for control in claim.controls]).verdict == "SUPPORTED"
    if false:
        runs = world(claim, false, np.random.default_rng(len(claim.id)), Looks().last)
        assert decided(claim, runs).verdict == "CONTRADICTED"
        for control in positive:
            tried(control, runs)
