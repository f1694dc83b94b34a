"""Failures that grow with the increment, and failures that do not, of runs that end and of runs that diverge."""

import numpy as np

from bumplab.verdicts.curves import Curves
from bumplab.verdicts.worlds import level, r2, ramp
from tests.claims.checks import (
    LEARNED,
    PROFILES,
    R2,
    R2_PCA,
    by_increment,
    check_controls,
    check_planted,
    check_power,
    check_reads,
    check_shown,
    check_verdicts,
    claim_of,
    half_at,
    verdict_on,
)

CLAIM = claim_of("seeds")
UMAP, PCA = "layer4.umap_r2", "layer4.pca_r2"
GROWING = {"no manifold": 6.0, "no manifold, without UMAP": 6.0}


def failing(*conditions):
    """Exactly these conditions fail, in every seed."""

    def change(runs):
        curves_of = {True: r2(level(0.2)), False: r2(0.9 * ramp(300))}
        return {condition: curves.replaced(curves_of[condition in conditions]) for condition, curves in runs.items()}

    return change


def diverged(runs):
    """At the largest increment the loss diverges half-way, in every seed; no other run fails."""
    known = failing()(runs)
    return {**known, "d=4": Curves(known["d=4"].rows[:5], "the loss is nan", known["d=4"].seed)}


def failing_anywhere(runs):
    """One run of each seed fails, at an increment that does not depend on anything."""
    conditions = list(runs)
    return failing(conditions[runs[conditions[0]].seed % len(conditions)])(runs)


def only_by_umap(runs):
    """UMAP tears the sparsest runs apart; the principal components hold a manifold in all."""
    failed = failing("d=4")(runs)
    return {c: curves.replaced({UMAP: failed[c][UMAP], PCA: 0.9 * ramp(300)}) for c, curves in runs.items()}


def unknown(runs):
    """R^2 is unknown at the end of the dense runs: a network that broke down counts as failed."""
    known = failing()(runs)
    dense = known["d=0.1"]
    return {**known, "d=0.1": dense.replaced(r2(np.append(dense[UMAP][:-1], np.nan)))}


def test_it_is_supported_where_larger_increments_fail_more_and_nowhere_else():
    none_fails, all_fail = failing(), failing("d=0.1", "d=1", "d=4")
    check_verdicts(
        CLAIM,
        {
            "as planted": (GROWING, None, {"SUPPORTED"}, ""),
            "the largest fail": (GROWING, failing("d=4"), {"SUPPORTED"}, ""),
            "two of three fail": (GROWING, failing("d=1", "d=4"), {"SUPPORTED"}, ""),
            "the largest diverge": (GROWING, diverged, {"SUPPORTED"}, ""),
            "small ones fail": ({}, failing("d=0.1"), {"CONTRADICTED"}, "no manifold"),
            "none fails": ({}, none_fails, {"INCONCLUSIVE"}, "no seed has both outcomes"),
            "all fail": ({}, all_fail, {"INCONCLUSIVE"}, "no seed has both outcomes"),
            "any fails": ({}, failing_anywhere, {"INCONCLUSIVE"}, "log-odds"),
            "only by UMAP": ({}, only_by_umap, {"INCONCLUSIVE"}, "without UMAP"),
            "small ones break down": ({}, unknown, {"CONTRADICTED"}, "no manifold"),
        },
        seeds=[8],
    )
    # three seeds decide nothing: one failure in each, always at the same increment, comes once in 27 times by chance
    for change in (failing("d=4"), failing("d=0.1"), none_fails, all_fail, failing_anywhere, only_by_umap, unknown):
        assert verdict_on(CLAIM, change=change, seeds=3).verdict == "INCONCLUSIVE", change
    assert verdict_on(CLAIM, change=failing("d=4"), seeds=5).verdict == "SUPPORTED"


def test_each_part_reads_its_own_measure():
    increments = ("d=0.1", "d=1", "d=4")
    reads = {
        "no manifold": dict.fromkeys(increments, R2),
        "no manifold, without UMAP": dict.fromkeys(increments, R2_PCA),
        "no right bumps": dict.fromkeys(increments, LEARNED),
    }
    check_reads(CLAIM, reads)
    curves = {"d=0.5": half_at(100), "d=1": {}, "d=4": half_at(100)}
    check_shown(CLAIM, {"no right bumps": (curves, [-1, 0, 2, 0, 1, 0])})


def test_its_world_and_its_controls():
    check_planted(CLAIM)
    check_power(CLAIM, draws=60)
    check_controls(CLAIM, false={"no manifold": -3.0, "no manifold, without UMAP": -3.0})
    for profile in PROFILES:
        assert CLAIM.runs(profile, 10) == by_increment(profile, 10), profile.name
