"""A hole that is filled, and generators that leave it empty or copy what lies around it."""

import pytest

from bumplab.verdicts.worlds import CEILING, level

SMALL, LARGE, BETWEEN = "3.5 %", "10 %", "10 % against 3.5 %"
NONE_INSIDE = {SMALL: -0.95, LARGE: -0.95}


def test_supported_where_it_is_generated(judge, seeds):
    found = judge("hole", {SMALL: -0.01, LARGE: -0.02, BETWEEN: -0.01}, seeds=seeds)
    assert found.verdict == "SUPPORTED", found.reason


def accuracy_inside(runs):
    """Blank images in the hole: their centroid is its middle, and Algorithm 1 calls them right."""
    return {c: run.replaced({"in_hole.accuracy": level(CEILING)}) for c, run in runs.items()}


def outside(share):
    def change(runs):
        return {c: run.replaced({"off_grid.correct": level(share * CEILING)}) for c, run in runs.items()}

    return change


def nothing_anywhere(runs):
    blank = {f"{labels}.correct": level(0.02) for labels in ("on_grid", "off_grid", "in_hole")}
    return {c: run.replaced(blank) for c, run in runs.items()}


@pytest.mark.parametrize(
    ("effects", "change", "verdicts", "why"),
    [
        (NONE_INSIDE, None, {"CONTRADICTED"}, SMALL),
        ({LARGE: -0.9, BETWEEN: -0.9}, None, {"CONTRADICTED"}, BETWEEN),
        ({LARGE: -0.9}, None, {"CONTRADICTED"}, LARGE),
        ({SMALL: -0.45, LARGE: -0.45}, None, {"CONTRADICTED"}, SMALL),
        (NONE_INSIDE, accuracy_inside, {"CONTRADICTED"}, SMALL),
        ({}, nothing_anywhere, {"INCONCLUSIVE"}, "not learned outside"),
        ({}, outside(0.4), {"INCONCLUSIVE"}, "not learned outside"),
    ],
    ids=[
        "nearest label",
        "large hole not",
        "large hole poorer",
        "half as good",
        "nothing drawn",
        "untrained",
        "half trained",
    ],
)
def test_not_supported_where_it_is_not_generated(judge, effects, change, verdicts, why, seeds):
    found = judge("hole", effects, change, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason


def test_runs_that_agree_to_the_image_are_not_taken_to_agree_exactly(judge):
    """Worse by a hair less than the margin in each of three runs: without a least spread that would be certain."""
    same = {"off_grid.correct": level(0.95 * CEILING), "in_hole.correct": level(0.852 * CEILING)}
    found = judge("hole", change=lambda runs: {c: run.replaced(same) for c, run in runs.items()}, seeds=3)
    assert found.parts[0].verdict == "INCONCLUSIVE"
    assert found.parts[0].low < -0.1 < found.parts[0].high
