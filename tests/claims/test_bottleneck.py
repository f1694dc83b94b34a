"""A bottleneck with less signal than layer 4, as much, or more."""

import pytest

from bumplab.verdicts.curves import Curves
from bumplab.verdicts.worlds import STEPS, level
from tests.claims.checks import (
    LEARNED,
    PROFILES,
    R2,
    R2_PCA,
    check_controls,
    check_error_rate,
    check_planted,
    check_reads,
    check_shown,
    check_verdicts,
    claim_of,
    nothing_learns,
    one_step,
)

CLAIM = claim_of("bottleneck")


def dead(runs):
    """The bottleneck holds the same numbers for every image."""
    dense = runs["dense"]
    return {"dense": Curves([*dense.rows[:-1], {**dense.rows[-1], "bottleneck.signal": 0.0}], seed=dense.seed)}


def test_it_is_supported_where_the_bottleneck_has_less_and_nowhere_else():
    check_verdicts(
        CLAIM,
        {
            "less": ({}, None, {"SUPPORTED"}, ""),
            "as much": ({"less readable": 0.0, "less signal": 0.0}, None, {"CONTRADICTED"}, "less readable"),
            "more": ({"less readable": -0.3, "less signal": -2.0}, None, {"CONTRADICTED"}, "less readable"),
            "as readable": ({"less readable": 0.0}, None, {"CONTRADICTED"}, "less readable"),
            "little less": ({"less signal": 0.5}, None, {"CONTRADICTED"}, "less signal"),
            "untrained": ({}, nothing_learns, {"INCONCLUSIVE"}, "has not learned"),
            "dead": ({}, dead, {"INCONCLUSIVE"}, "the same for every image"),
        },
    )


def test_each_part_reads_the_two_roles_at_the_last_step():
    reads = {
        "less readable": {"dense": LEARNED | R2 | {"bottleneck.umap_r2"}},
        "less signal": {"dense": LEARNED | {"layer4.signal", "bottleneck.signal"}},
        "less readable, without UMAP": {"dense": LEARNED | R2_PCA | {"bottleneck.pca_r2"}},
    }
    check_reads(CLAIM, reads)
    curves = {"on_grid.accuracy": STEPS / STEPS[-1], "layer4.pca_r2": level(0.7)}  # the bottleneck's is 0.2
    check_shown(CLAIM, {"less readable, without UMAP": ({"dense": curves}, [0.5, 0.5])})


def test_its_world_and_its_controls():
    check_planted(CLAIM)
    check_controls(CLAIM, trained={"untrained": one_step})
    for profile in PROFILES:
        assert CLAIM.runs(profile, 10) == {"dense": profile.run(10)}, profile.name


@pytest.mark.slow
def test_the_looks_spend_no_more_than_its_error_rate():
    check_error_rate(CLAIM, "less signal")
