"""R^2 that goes with accuracy, and R^2 that says nothing of it beyond training time."""

from bumplab.verdicts.worlds import STEPS, level, r2, untrained
from tests.claims.checks import (
    LEARNED,
    PROFILES,
    R2,
    R2_PCA,
    by_increment,
    check_controls,
    check_planted,
    check_reads,
    check_shown,
    check_verdicts,
    claim_of,
    nothing_learns,
)

CLAIM = claim_of("representation")


def one_never_learns(runs):
    return {**runs, "d=4": untrained(runs["d=4"].seed)}


def all_alike(runs):
    """Every increment is learned at the same pace: at no step is one run ahead."""
    return dict.fromkeys(runs, next(iter(runs.values())))


def never_ordered(runs):
    return {condition: curves.replaced(r2(level(0.2))) for condition, curves in runs.items()}


def test_it_is_supported_where_r2_goes_with_accuracy_and_nowhere_else():
    """Ranks of three runs move in halves: fewer than 8 seeds tell nothing at fixed steps."""
    undecided = {"CONTRADICTED", "INCONCLUSIVE"}
    check_verdicts(
        CLAIM,
        {
            "together": ({}, None, {"SUPPORTED"}, ""),
            "unrelated": ({"over training": 0.0}, None, {"CONTRADICTED"}, "over training"),
            "opposed": ({"over training": -0.8, "at fixed steps": -0.5}, None, {"CONTRADICTED"}, "over training"),
            "opposed at fixed steps": (
                {"over training": 0.95, "at fixed steps": -0.9},
                None,
                {"CONTRADICTED"},
                "at fixed steps",
            ),
            "training time alone": (
                {"over training": 0.95, "at fixed steps": 0.0},
                None,
                undecided,
                "at fixed steps",
            ),
            "untrained": ({}, nothing_learns, {"INCONCLUSIVE"}, "does not change"),
            "one never learns": ({}, one_never_learns, {"INCONCLUSIVE"}, "d=4 run does not change"),
            "all alike": ({}, all_alike, {"INCONCLUSIVE"}, "at no step"),
            "R^2 never moves": ({}, never_ordered, {"INCONCLUSIVE"}, "R^2 of the d=0.1 run does not change"),
        },
        seeds=(8, 12),
    )


def test_each_part_reads_its_own_measure():
    increments = ("d=0.1", "d=1", "d=4")
    reads = {
        "over training": dict.fromkeys(increments, LEARNED | R2),
        "at fixed steps": dict.fromkeys(increments, LEARNED | R2),
        "over training, without UMAP": dict.fromkeys(increments, LEARNED | R2_PCA),
        "at fixed steps, without UMAP": dict.fromkeys(increments, LEARNED | R2_PCA),
    }
    check_reads(CLAIM, reads)

    def both(accuracy, pca_r2):
        return {"on_grid.accuracy": accuracy, "layer4.pca_r2": pca_r2}

    up = STEPS / STEPS[-1]
    shown = {
        "over training, without UMAP": ({"d=1": both(up, -up)}, [-1, -1]),
        "at fixed steps, without UMAP": ({"d=1": both(up, up), "d=4": both(up / 2, 2 * up)}, [-1, -1]),
    }
    check_shown(CLAIM, shown)


def test_its_world_and_its_controls():
    check_planted(CLAIM, inexact={"over training": 0.01, "at fixed steps": 0.05})
    check_controls(CLAIM, false={"over training": 0.0, "at fixed steps": -0.5})
    for profile in PROFILES:
        assert CLAIM.runs(profile, 10) == by_increment(profile, 10), profile.name
