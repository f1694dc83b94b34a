"""R^2 that goes with accuracy, and R^2 that says nothing of it beyond training time."""

import pytest

from bumplab.verdicts.worlds import level, r2, untrained


@pytest.fixture(params=[8, 12])
def seeds(request):
    """Ranks of three runs move in halves: fewer than 8 seeds tell nothing at fixed steps."""
    return request.param


def test_supported_where_r2_goes_with_accuracy(judge, seeds):
    found = judge("representation", seeds=seeds)
    assert found.verdict == "SUPPORTED", found.reason


def nothing_learns(runs):
    return {c: untrained(run.seed) for c, run in runs.items()}


def one_never_learns(runs):
    return {c: untrained(run.seed) if c == "d=4" else run for c, run in runs.items()}


def all_alike(runs):
    """Every increment is learned at the same pace: at no step is one run ahead."""
    run = next(iter(runs.values()))
    return dict.fromkeys(runs, run)


def never_ordered(runs):
    return {c: run.replaced(r2(level(0.2))) for c, run in runs.items()}


@pytest.mark.parametrize(
    ("effects", "change", "verdicts", "why"),
    [
        ({"over training": 0.0}, None, {"CONTRADICTED"}, "over training"),
        ({"over training": -0.8, "at fixed steps": -0.5}, None, {"CONTRADICTED"}, "over training"),
        ({"over training": 0.95, "at fixed steps": -0.9}, None, {"CONTRADICTED"}, "at fixed steps"),
        ({"over training": 0.95, "at fixed steps": 0.0}, None, {"CONTRADICTED", "INCONCLUSIVE"}, "at fixed steps"),
        ({}, nothing_learns, {"INCONCLUSIVE"}, "does not change"),
        ({}, one_never_learns, {"INCONCLUSIVE"}, "d=4 run does not change"),
        ({}, all_alike, {"INCONCLUSIVE"}, "at no step"),
        pytest.param(
            *({}, never_ordered, {"INCONCLUSIVE"}, "not a number"), marks=pytest.mark.filterwarnings("ignore")
        ),
    ],
    ids=[
        "unrelated",
        "opposed",
        "opposed at fixed steps",
        "training time alone",
        "untrained",
        "one never learns",
        "all alike",
        "R^2 never moves",
    ],
)
def test_not_supported_where_it_does_not(judge, effects, change, verdicts, why, seeds):
    found = judge("representation", effects, change, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason
