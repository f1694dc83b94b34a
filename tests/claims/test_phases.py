"""Three phases where there are three, and not where there are not."""

import numpy as np

from bumplab.verdicts.worlds import level, ramp, run
from tests.claims.checks import (
    LEARNED,
    PROFILES,
    R2,
    STEP,
    check_controls,
    check_planted,
    check_reads,
    check_shown,
    check_verdicts,
    claim_of,
    nothing_learns,
    one_step,
    verdict_on,
)

CLAIM = claim_of("phases")


def labels_shuffled(runs):
    """Single bumps come, at the right place by chance."""
    dense = runs["dense"]
    single = dense["on_grid.single-wrong"] + dense["on_grid.correct"]
    right = {"on_grid.correct": 0.02 * single, "on_grid.accuracy": 0.02 * single}
    return {"dense": dense.replaced({"on_grid.single-wrong": 0.98 * single, **right})}


def several_bumps(runs):
    """As many images fail, and of five that do four show several bumps."""
    dense = runs["dense"]
    wrong = dense["on_grid.single-wrong"]
    several = dense["on_grid.several"] + 4 * wrong / 5
    return {"dense": dense.replaced({"on_grid.single-wrong": wrong / 5, "on_grid.several": several})}


def always_one_bump(runs):
    """The detector sees one bump in noise."""
    dense = runs["dense"]
    return {"dense": dense.replaced({"on_grid.single-wrong": 1 - dense["on_grid.correct"]})}


def test_it_is_supported_where_there_are_three_phases_and_nowhere_else():
    undecided = {"INCONCLUSIVE", "CONTRADICTED"}
    check_verdicts(
        CLAIM,
        {
            "three": ({}, None, {"SUPPORTED"}, ""),
            "untrained": ({}, nothing_learns, {"INCONCLUSIVE"}, "phase B is not reached"),
            "labels shuffled": ({}, labels_shuffled, {"INCONCLUSIVE"}, "phase C is not reached"),
            "right at once": ({"order": -0.5}, None, undecided, "order"),
            "another failure in B": ({"failure in B": 0.35}, None, undecided, "failure in B"),
            "several bumps": ({}, several_bumps, undecided, ""),
            "dimension grows": ({"dimension": -3.0}, None, {"CONTRADICTED"}, "dimension"),
            "no order": ({"ordered manifold": 0.0}, None, {"CONTRADICTED"}, "ordered manifold"),
            "always one bump": ({}, always_one_bump, {"INCONCLUSIVE"}, "already draws single bumps"),
        },
    )
    order = verdict_on(CLAIM, {"order": -0.5}, seeds=8).parts[0]
    assert order.verdict == "CONTRADICTED", order.reason


def test_labels_shuffled_for_one_seed_alone_is_not_supported():
    verdict = verdict_on(CLAIM, change=lambda runs: labels_shuffled(runs) if runs["dense"].seed == 12 else runs)
    assert verdict.verdict == "INCONCLUSIVE", verdict.reason
    assert "seed 12" in verdict.reason
    assert verdict.settled


def test_a_dimension_that_is_unknown_at_one_step_leaves_only_its_own_part_open():
    """Of a network that breaks down no dimension is known."""

    def unknown(runs):
        dimension = np.append(runs["dense"]["layer4.dimension"][:-1], np.nan)
        return {"dense": runs["dense"].replaced({"layer4.dimension": dimension})}

    verdict = verdict_on(CLAIM, change=unknown)
    assert [part.verdict for part in verdict.parts] == ["SUPPORTED", "SUPPORTED", "INCONCLUSIVE", "SUPPORTED"]
    assert "not a number" in verdict.reason


def test_a_flat_r2_is_no_rise():
    def flat(runs):
        dense = runs["dense"]
        wobble = np.linspace(0, 0.01 * np.sin(dense.seed), len(dense.steps))  # seeds that agree exactly decide nothing
        return {"dense": dense.replaced({"layer4.umap_r2": level(0.9) + wobble})}

    assert verdict_on(CLAIM, change=flat).parts[3].verdict == "CONTRADICTED"


def test_each_part_reads_the_phases_and_its_own_numbers():
    phases = {"on_grid.single-wrong", "on_grid.correct"} | LEARNED
    reads = {
        "order": {"dense": phases | STEP},
        "failure in B": {"dense": phases | STEP},
        "dimension": {"dense": phases | {"layer4.dimension"}},
        "ordered manifold": {"dense": phases | R2},
    }
    check_reads(CLAIM, reads)
    check_shown(CLAIM, {})


def never_right(conditions, random, seed):
    single = ramp(random.normal(200, 20))
    modes = {"single-wrong": 0.98 * single, "correct": 0.02 * single, "several": 1 - single}
    return dict.fromkeys(conditions, run(seed, {f"on_grid.{mode}": curve for mode, curve in modes.items()}))


def test_its_world_and_its_controls():
    check_planted(CLAIM, inexact={"failure in B": 0.1})
    check_controls(CLAIM, trained={"labels shuffled": never_right, "untrained": one_step})
    for profile in PROFILES:
        assert CLAIM.runs(profile, 10) == {"dense": profile.run(10)}, profile.name
