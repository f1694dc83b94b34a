"""x and y learned together, and every way of learning them apart."""

import numpy as np
import pytest

from bumplab.verdicts.decision import seed_effect
from bumplab.verdicts.worlds import CEILING, EVERY, STEPS, judged, level, plant, run, untrained
from tests.claims.checks import (
    PROFILES,
    STEP,
    X_OFF,
    Y_OFF,
    X,
    Y,
    by_increment,
    check_controls,
    check_error_rate,
    check_planted,
    check_reads,
    check_shown,
    check_verdicts,
    claim_of,
    half_at,
    nothing_learns,
    verdict_on,
)

CLAIM = claim_of("coupling")
FACTORIZED = {"kappa": 0.0, "R^2 together": 0.6, "y as accurate as x": -0.5}


def no_density_effect(runs):
    return {**runs, "sparse": runs["dense"]}


def density_reversed(runs):
    return {**runs, "sparse": runs["dense"], "dense": runs["sparse"]}


def sparse_never_learns(runs):
    return {**runs, "sparse": untrained(runs["sparse"].seed)}


def test_it_is_supported_where_x_and_y_are_learned_together_and_nowhere_else():
    check_verdicts(
        CLAIM,
        {
            "together": ({"kappa": 1.1}, None, {"SUPPORTED"}, ""),  # at 1 a seed in two has y behind by a step
            "factorized": (FACTORIZED, None, {"CONTRADICTED"}, "kappa"),
            "only kappa factorized": ({"kappa": 0.0}, None, {"CONTRADICTED"}, "kappa"),
            "R^2 apart": ({"R^2 together": 0.6}, None, {"CONTRADICTED"}, "R^2"),
            "y behind": ({"y as accurate as x": -0.5}, None, {"CONTRADICTED"}, "y as accurate as x"),
            "no density effect": ({}, no_density_effect, {"INCONCLUSIVE"}, "kappa is undefined"),
            "density reversed": ({}, density_reversed, {"INCONCLUSIVE"}, "kappa is undefined"),
            "sparse never learns": ({}, sparse_never_learns, {"INCONCLUSIVE"}, "t_sparse is not reached"),
            "untrained": ({}, nothing_learns, {"INCONCLUSIVE"}, "t_x is not reached"),
        },
    )
    kappa = verdict_on(CLAIM, {"kappa": 0.0}, seeds=8).parts[0]
    assert kappa.verdict == "CONTRADICTED"
    assert kappa.low < 0 < kappa.high < 0.5
    ahead = verdict_on(CLAIM, {"kappa": 1.3, "y as accurate as x": 0.2})
    assert ahead.verdict == "SUPPORTED", ahead.reason
    assert ahead.parts[0].low > 1


def test_chance_in_y_does_not_make_a_factorized_generator_look_coupled():
    """With 4 labels in y, blank images are right in y a quarter of the time: measured 0.13 in x and 0.25 in y."""

    def rising(at, chance, pace):
        curve = 1 / (1 + (np.maximum(STEPS, 1e-3) / (at * pace)) ** -7.0)
        return CEILING * (chance + (1 - chance) * curve)

    def by_chance(runs, t_y):
        paces = np.random.default_rng(runs["dense"].seed).normal(1, 0.04, 3)
        times = {"imbalanced": (280, t_y), "dense": (280, 280), "sparse": (t_y, t_y)}
        made = {}
        for (condition, (t_x, at)), pace in zip(times.items(), paces, strict=True):
            x, y = rising(t_x, 0.13, pace), rising(at, 0.25, pace)
            made[condition] = run(runs[condition].seed, {"on_grid.accuracy_x": x, "on_grid.accuracy_y": y})
        return made

    for t_y, seeds in ((305, 3), (320, 5), (450, 3), (450, 5)):
        verdict = verdict_on(CLAIM, change=lambda runs, t_y=t_y: by_chance(runs, t_y), seeds=seeds)
        assert verdict.verdict != "SUPPORTED", (t_y, seeds, verdict.reason)
        ahead = next(part for part in verdict.parts if part.name == "y as accurate as x")
        assert ahead.verdict != "SUPPORTED", (t_y, seeds, ahead.reason)


def test_each_part_reads_its_own_axes_and_runs():
    both = {"imbalanced": X | Y | STEP}
    reads = {
        "kappa": both | {"dense": X | STEP, "sparse": Y | STEP},
        "R^2 together": {"imbalanced": X | Y | STEP | {"layer4.umap_r2_x", "layer4.umap_r2_y"}},
        "y as accurate as x": both,
        "R^2 together, without UMAP": {"imbalanced": X | Y | STEP | {"layer4.pca_r2_x", "layer4.pca_r2_y"}},
        "kappa off-grid": {"imbalanced": X_OFF | Y_OFF | STEP, "dense": X_OFF | STEP, "sparse": Y_OFF | STEP},
    }
    check_reads(CLAIM, reads)

    def axes_at(x, y, labels="off_grid"):
        return half_at(x, labels, "_x") | half_at(y, labels, "_y")

    apart = {"layer4.pca_r2_x": level(0.0), "layer4.pca_r2_y": STEPS / STEPS[-1]}
    off_grid = {"imbalanced": axes_at(100, 150), "dense": axes_at(200, 250), "sparse": axes_at(400, 500)}
    shown = {
        "R^2 together, without UMAP": ({"imbalanced": axes_at(300, 200, "on_grid") | apart}, [0.2, 0.2]),
        "kappa off-grid": (off_grid, [50, 300]),
    }
    check_shown(CLAIM, shown)


def test_its_world_is_read_as_planted():
    check_planted(CLAIM, inexact={"kappa": 0.02, "y as accurate as x": 0.05}, units={"kappa": 4 * EVERY}, at_once=False)
    kappa, _, ahead = judged(CLAIM)
    for delay, planted, read_delay, read_ahead in [
        (0.4, -0.2, 0.4, -0.2),
        (-0.4, 0.2, -0.4, 0.2),
        (-0.4, -0.2, 0.4, -0.2),  # numbers that conflict: the plant says which gives way
        (0.4, 0.2, 0.4, -0.001),
        (0.1, -0.2, 0.1, -0.2),
        (-0.1, 0.2, -0.1, 0.2),
    ]:
        runs = plant(CLAIM, [(delay, 1.0), (0.05, 0.05), (planted, planted)])
        assert seed_effect(kappa, runs)[0] == pytest.approx((4 * EVERY * read_delay, 4 * EVERY)), (delay, planted)
        assert ahead.effect(runs) == pytest.approx(read_ahead), (delay, planted)


def factorized(conditions, random, seed):
    """Each axis takes the time of its own increment."""
    return plant(CLAIM, [tuple(random.normal(1, 0.1, 2)), (0.6, 0.6), (-0.5, -0.5)], seed)


def test_its_controls_and_its_runs():
    false = {"kappa": 0.0, "R^2 together": 0.6, "y as accurate as x": -0.4}
    check_controls(CLAIM, trained={"factorized generator": factorized}, false=false)
    for profile in PROFILES:
        runs = CLAIM.runs(profile, 10)
        _, *sparser = by_increment(profile, 10).values()
        assert runs["dense"] == profile.run(10), profile.name
        assert runs["sparse"] in (sparser if len(profile.imbalances) > 1 else sparser[-1:]), profile.name
        assert (runs["imbalanced"].data.dx, runs["imbalanced"].data.dy) == profile.imbalances[0], profile.name


@pytest.mark.slow
def test_the_looks_spend_no_more_than_its_error_rate():
    check_error_rate(CLAIM, "kappa")
