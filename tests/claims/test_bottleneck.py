"""A bottleneck with less signal than layer 4, as much, or more."""

import pytest

from bumplab.verdicts.curves import Curves
from bumplab.verdicts.worlds import untrained


def test_supported_where_the_bottleneck_has_less(judge, seeds):
    found = judge("bottleneck", seeds=seeds)
    assert found.verdict == "SUPPORTED", found.reason


def learns_nothing(runs):
    return {"dense": untrained(runs["dense"].seed)}


def dead(runs):
    """The bottleneck holds the same numbers for every image."""
    run = runs["dense"]
    return {"dense": Curves([*run.rows[:-1], {**run.rows[-1], "bottleneck.signal": 0.0}], seed=run.seed)}


@pytest.mark.parametrize(
    ("effects", "change", "verdicts", "why"),
    [
        ({"less readable": 0.0, "less signal": 0.0}, None, {"CONTRADICTED"}, "less readable"),
        ({"less readable": -0.3, "less signal": -2.0}, None, {"CONTRADICTED"}, "less readable"),
        ({"less readable": 0.0}, None, {"CONTRADICTED"}, "less readable"),
        ({"less signal": 0.5}, None, {"CONTRADICTED"}, "less signal"),
        ({}, learns_nothing, {"INCONCLUSIVE"}, "has not learned"),
        ({}, dead, {"INCONCLUSIVE"}, "the same for every image"),
    ],
    ids=["as much", "more", "as readable", "little less", "untrained", "dead"],
)
def test_not_supported_where_it_does_not(judge, effects, change, verdicts, why, seeds):
    found = judge("bottleneck", effects, change, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason
