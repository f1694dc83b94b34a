"""Three phases where there are three, and not where there are not."""

import numpy as np
import pytest

from bumplab.verdicts.worlds import level, untrained


def test_supported_where_there_are_three(judge, seeds):
    found = judge("phases", seeds=seeds)
    assert found.verdict == "SUPPORTED", found.reason


def learns_nothing(runs):
    return {"dense": untrained(runs["dense"].seed)}


def labels_shuffled(runs):
    """Single bumps come, at the right place by chance."""
    run = runs["dense"]
    single = run["on_grid.single-wrong"] + run["on_grid.correct"]
    wrong = {"on_grid.single-wrong": 0.98 * single, "on_grid.correct": 0.02 * single, "on_grid.accuracy": 0.02 * single}
    return {"dense": run.replaced(wrong)}


def several_bumps(runs):
    """As many images fail, and of five that do four show several bumps."""
    run = runs["dense"]
    wrong = run["on_grid.single-wrong"]
    return {
        "dense": run.replaced(
            {"on_grid.single-wrong": wrong / 5, "on_grid.several": run["on_grid.several"] + 4 * wrong / 5}
        )
    }


def always_one_bump(runs):
    """The detector sees one bump in noise."""
    run = runs["dense"]
    return {"dense": run.replaced({"on_grid.single-wrong": 1 - run["on_grid.correct"]})}


@pytest.mark.parametrize(
    ("effects", "change", "verdicts", "why"),
    [
        ({}, learns_nothing, {"INCONCLUSIVE"}, "phase B is not reached"),
        ({}, labels_shuffled, {"INCONCLUSIVE"}, "phase C is not reached"),
        ({"order": -0.5}, None, {"INCONCLUSIVE", "CONTRADICTED"}, "order"),
        ({"failure in B": 0.35}, None, {"INCONCLUSIVE", "CONTRADICTED"}, "failure in B"),
        ({}, several_bumps, {"INCONCLUSIVE", "CONTRADICTED"}, ""),
        ({"dimension": -3.0}, None, {"CONTRADICTED"}, "dimension"),
        ({"ordered manifold": 0.0}, None, {"CONTRADICTED"}, "ordered manifold"),
        ({}, always_one_bump, {"INCONCLUSIVE"}, "already draws single bumps"),
    ],
    ids=[
        "untrained",
        "labels shuffled",
        "right at once",
        "another failure in B",
        "several bumps",
        "dimension grows",
        "no order",
        "always one bump",
    ],
)
def test_not_supported_where_there_are_not_three(judge, effects, change, verdicts, why, seeds):
    found = judge("phases", effects, change, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason


def test_the_order_is_contradicted_where_bumps_are_right_at_once(judge):
    order = judge("phases", {"order": -0.5}, seeds=8).parts[0]
    assert order.verdict == "CONTRADICTED", order.reason


def test_labels_shuffled_for_one_seed_alone_is_not_supported(judge):
    found = judge("phases", change=lambda runs: labels_shuffled(runs) if runs["dense"].seed == 12 else runs)
    assert found.verdict == "INCONCLUSIVE", found.reason
    assert "seed 12" in found.reason
    assert found.settled


def test_a_dimension_that_is_unknown_at_one_step_leaves_only_its_own_part_open(judge):
    """Of a network that breaks down no dimension is known."""

    def unknown(runs):
        dimension = np.append(runs["dense"]["up1-features.dimension"][:-1], np.nan)
        return {"dense": runs["dense"].replaced({"up1-features.dimension": dimension})}

    found = judge("phases", change=unknown)
    assert [part.verdict for part in found.parts] == ["SUPPORTED", "SUPPORTED", "INCONCLUSIVE", "SUPPORTED"]
    assert "not a number" in found.reason


def test_a_flat_r2_is_no_rise(judge):
    def flat(runs):
        run = runs["dense"]
        wobble = np.linspace(0, 0.01 * np.sin(run.seed), len(run.steps))  # seeds that agree exactly decide nothing
        return {"dense": run.replaced({"up1-features.umap_r2": level(0.9) + wobble})}

    assert judge("phases", change=flat).parts[3].verdict == "CONTRADICTED"
