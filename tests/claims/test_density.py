"""Smaller increments learn faster where they do; equal, slower and missing ones do not count as that."""

import math

import pytest

from bumplab.verdicts.worlds import CEILING, level, ramp, untrained

BOTH = ("ceiling-corrected", "off-grid")


def both(slope):
    return dict.fromkeys(BOTH, slope)


def never(*conditions):
    """These conditions learn nothing; all of them, if none is named."""

    def change(runs):
        silent = conditions or tuple(runs)
        return {c: untrained(run.seed) if c in silent else run for c, run in runs.items()}

    return change


def learned_before_training(runs):
    known = {f"{labels}.accuracy": level(CEILING) for labels in ("on_grid", "off_grid")}
    return {c: run.replaced(known) for c, run in runs.items()}


@pytest.mark.parametrize("change", [None, never("d=4"), never("d=1", "d=4")], ids=["all learn", "one not", "two not"])
def test_supported_where_dense_learns_faster(judge, change, seeds):
    """A run that never learns leaves the slope open upwards only."""
    found = judge("density", change=change, seeds=seeds)
    assert found.verdict == "SUPPORTED", found.reason
    assert (found.parts[0].high is None) == (change is not None)


@pytest.mark.parametrize(
    ("effects", "change", "verdicts", "why"),
    [
        (both(0.0), None, {"CONTRADICTED", "INCONCLUSIVE"}, "log2"),
        (both(-0.3), None, {"CONTRADICTED"}, "log2"),
        ({"ceiling-corrected": 0.0}, None, {"CONTRADICTED", "INCONCLUSIVE"}, "ceiling-corrected"),
        ({"off-grid": 0.0}, None, {"CONTRADICTED", "INCONCLUSIVE"}, "off-grid"),
        ({}, never("d=0.1"), {"INCONCLUSIVE", "CONTRADICTED"}, ""),
        ({}, never(), {"INCONCLUSIVE"}, "no run reaches half its ceiling"),
        ({}, learned_before_training, {"INCONCLUSIVE"}, "already past"),
    ],
    ids=[
        "same pace",
        "sparse learns faster",
        "on-grid same",
        "off-grid same",
        "dense never learns",
        "none learns",
        "learned before training",
    ],
)
def test_not_supported_where_dense_does_not_learn_faster(judge, effects, change, verdicts, why, seeds):
    found = judge("density", effects, change, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason


def test_a_lower_ceiling_is_not_slower_learning(judge):
    """Bumps cut off at the border: raw accuracy is lower at large increments, relative to its ceiling it is not."""

    def lower(runs):
        changed = {}
        for condition, run in runs.items():
            d = float(condition.removeprefix("d="))
            ceiling = 0.9 - 0.1 * d
            pace = 0.05 * math.sin(run.seed) + 0.002 * math.sin(run.seed * d)  # seeds must not agree exactly
            curves = {f"{s}.ceiling": level(ceiling) for s in ("on_grid", "off_grid")}
            curves |= {f"{s}.accuracy": ramp(300 * (1 + pace)) * ceiling for s in ("on_grid", "off_grid")}
            changed[condition] = run.replaced(curves)
        return changed

    parts = {part.name: part for part in judge("density", change=lower).parts}
    corrected, off_grid = (parts[name] for name in BOTH)
    raw = parts["raw accuracy (as in the paper)"]
    assert (corrected.verdict, off_grid.verdict) == ("CONTRADICTED", "CONTRADICTED")
    assert raw.verdict != "CONTRADICTED", "in this world raw accuracy must look like a density effect"
