"""Every claim's controls: a broken world must not come out SUPPORTED, a planted one must.

Controls that only change what was measured are tried on the claim's own world; for those that train other runs, what
such runs would show is planted.
"""

import numpy as np
import pytest

from bumplab.profiles import QUICK
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import check, decide_in_looks
from bumplab.verdicts.error_rate import CERTAIN, CLAIMS, Looks
from bumplab.verdicts.worlds import CEILING, learning, level, plant, ramp, run, untrained, world

RANDOM = [name for name in CLAIMS if name not in CERTAIN]
DRAWN = ("on_grid", "off_grid", "in_hole")


def one_step(claim, conditions, random, seed):
    first, *_, last = untrained(seed).rows
    hole = {f"{labels}.{key}": 0.02 for labels in DRAWN for key in ("accuracy", "correct")}
    rows = [{**row, **hole, "in_hole.ceiling": CEILING, "step": float(i)} for i, row in enumerate((first, last))]
    return dict.fromkeys(conditions, Curves(rows, seed=seed))


def never_right(claim, conditions, random, seed):
    single = ramp(random.normal(200, 20))
    modes = {"single-wrong": 0.98 * single, "correct": 0.02 * single, "several": 1 - single}
    return dict.fromkeys(conditions, run(seed, {f"on_grid.{mode}": curve for mode, curve in modes.items()}))


def alike(claim, conditions, random, seed):
    """Each run at its own pace, which has nothing to do with its name."""
    paces = {c: ramp(300 * 2 ** random.normal(0, 0.1)) for c in conditions}
    return {c: run(seed, {**learning("on_grid", p), **learning("off_grid", p)}) for c, p in paces.items()}


def factorized(claim, conditions, random, seed):
    """x after the time of its own increment, y after that of its own."""
    return plant(claim, [tuple(random.normal(1, 0.1, 2)), (0.6, 0.6), (-0.5, -0.5)], seed)


def right_bumps(inside):
    def runs(claim, conditions, random, seed):
        shares = {"on_grid": 1.0, "off_grid": 1.0, "in_hole": inside}
        curves = {f"{labels}.correct": level(CEILING * share) for labels, share in shares.items()}
        return {c: run(seed, curves) for c in conditions}

    return runs


TRAINED = {
    ("phases", "labels shuffled"): never_right,
    ("phases", "untrained"): one_step,
    ("density", "same increment, two names"): alike,
    ("coupling", "factorized generator"): factorized,
    ("hole", "nearest training label"): right_bumps(0.0),
    ("hole", "untrained"): one_step,
    ("hole", "true images"): right_bumps(1.0),
    ("sigma", "same sigma, two names"): alike,
    ("bottleneck", "untrained"): one_step,
}
"""What the runs that a control trains, or renders, would show."""


def decided(claim, runs):
    return decide_in_looks(claim, lambda seeds: {condition: each[:seeds] for condition, each in runs.items()}, Looks())


def runs_of(claim, control, own):
    """The runs of a control: the claim's own, unless it has others."""
    if control.runs is None:
        return own
    conditions = list(control.runs(QUICK, FIRST_SEED))
    random = np.random.default_rng(7)
    seeds = range(FIRST_SEED, FIRST_SEED + Looks().last)
    by_seed = [TRAINED[claim.id, control.name](claim, conditions, random, seed) for seed in seeds]
    return {condition: [runs[condition] for runs in by_seed] for condition in conditions}


@pytest.mark.parametrize("name", RANDOM)
def test_controls_are_told_from_the_claims_own_world(load, name):
    """At the spread between seeds that the claim is built for."""
    claim = load(name)
    own = world(claim, {}, np.random.default_rng(len(name)), Looks().last)
    found = [(control, decided(claim.under(control), runs_of(claim, control, own))) for control in claim.controls]
    for control, verdict in found:
        assert (verdict.verdict == "SUPPORTED") == control.positive, f"{control.name}: {verdict.reason}"
    verdict = decided(claim, own)
    assert verdict.verdict == "SUPPORTED", verdict.reason
    assert check(verdict, found).verdict == "SUPPORTED"


FALSE = {
    "representation": {"over training": 0.0, "at fixed steps": -0.5},
    "density": {"ceiling-corrected": -0.2, "off-grid": -0.2},
    "coupling": {"kappa": 0.0, "R^2 together": 0.6, "y as accurate as x": -0.4},
    "hole": {"3.5 %": -0.5, "10 %": -0.5},
    "sigma": {"rate": 0.6},
    "seeds": {"no manifold": -3.0, "no manifold, without UMAP": -3.0},
}


@pytest.mark.parametrize("name", FALSE)
def test_a_planted_effect_is_seen_where_the_claim_is_false(load, name):
    """What a positive control is for: CONTRADICTED stands because the same code sees the effect where there is one."""
    claim = load(name)
    own = world(claim, FALSE[name], np.random.default_rng(len(name)), Looks().last)
    assert decided(claim, own).verdict == "CONTRADICTED"
    positive = [control for control in claim.controls if control.positive]
    assert positive
    for control in positive:
        verdict = decided(claim.under(control), runs_of(claim, control, own))
        assert verdict.verdict == "SUPPORTED", f"{control.name}: {verdict.reason}"


def test_every_control_that_trains_is_tried(load):
    claims = {name: load(name) for name in RANDOM}
    assert {(name, c.name) for name, claim in claims.items() for c in claim.controls if c.runs} == set(TRAINED)
    without_positive = {name for name, claim in claims.items() if not any(c.positive for c in claim.controls)}
    assert without_positive == set(RANDOM) - set(FALSE)
