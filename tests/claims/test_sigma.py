"""No dependence on the spread, shown and not assumed; any clear one is seen, in pace or at the end."""

import pytest

from bumplab.verdicts.worlds import untrained


def test_supported_where_nothing_depends_on_sigma(judge, seeds):
    found = judge("sigma", seeds=seeds)
    assert found.verdict == "SUPPORTED", found.reason


def narrowest_never_learns(runs):
    narrowest = min(runs, key=lambda condition: float(condition.removeprefix("sigma=")))
    return {c: untrained(run.seed) if c == narrowest else run for c, run in runs.items()}


def nothing_learns(runs):
    return {c: untrained(run.seed) for c, run in runs.items()}


def unsure(runs):
    """Seeds differ so much that nothing is known: a lack of significance."""
    first = next(iter(runs))
    factor = 1.6 if runs[first].seed % 2 else 1 / 1.6
    return {c: run.replaced({"step": run.steps * factor}) if c == first else run for c, run in runs.items()}


@pytest.mark.parametrize(
    ("effects", "change", "verdicts", "why"),
    [
        ({"rate": 1.0}, None, {"CONTRADICTED"}, "rate"),
        ({"rate": -1.0}, None, {"CONTRADICTED"}, "rate"),
        ({"performance": 0.25}, None, {"CONTRADICTED"}, "performance"),
        ({"performance": -0.25}, None, {"CONTRADICTED"}, "performance"),
        ({}, narrowest_never_learns, {"CONTRADICTED"}, "performance"),
        ({}, nothing_learns, {"INCONCLUSIVE"}, "half"),
        ({}, unsure, {"INCONCLUSIVE"}, "rate"),
    ],
    ids=["slower", "faster", "better", "worse", "one never learns", "untrained", "not significant"],
)
def test_not_supported_where_something_does(judge, effects, change, verdicts, why, seeds):
    found = judge("sigma", effects, change, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason
