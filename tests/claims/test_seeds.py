"""Failures that grow with the increment, and failures that do not, of runs that end and of runs that diverge."""

import numpy as np
import pytest

from bumplab.verdicts.curves import Curves
from bumplab.verdicts.worlds import level, r2, ramp

R2 = ("up1-features.umap_r2", "up1-features.pca_r2")


def failing(*conditions):
    """Exactly these conditions fail, in every seed."""

    def change(runs):
        return {c: run.replaced(r2(level(0.2) if c in conditions else 0.9 * ramp(300))) for c, run in runs.items()}

    return change


def diverged(runs):
    """At the largest increment the loss diverges half-way, in every seed; no other run fails."""
    known = failing()(runs)
    return {**known, "d=4": Curves(known["d=4"].rows[:5], "the loss is nan", known["d=4"].seed)}


@pytest.mark.parametrize("change", [None, failing("d=4"), failing("d=1", "d=4"), diverged])
def test_supported_where_larger_increments_fail_more(judge, change):
    found = judge("seeds", dict.fromkeys(("no manifold", "no manifold, without UMAP"), 6.0), change, seeds=8)
    assert found.verdict == "SUPPORTED", found.reason


def failing_anywhere(runs):
    """One run of each seed fails, at an increment that has nothing to do with it."""
    conditions = list(runs)
    return failing(conditions[runs[conditions[0]].seed % len(conditions)])(runs)


def only_without_umap(runs):
    """UMAP tears the sparsest runs apart; the principal components hold a manifold in all."""
    return {c: run.replaced({R2[0]: failing("d=4")(runs)[c][R2[0]], R2[1]: 0.9 * ramp(300)}) for c, run in runs.items()}


def unknown(runs):
    """R^2 is unknown at the end of the dense runs: a network that broke down counts as failed."""
    return {c: run.replaced(r2(np.append(run[R2[0]][:-1], np.nan))) if c == "d=0.1" else run for c, run in runs.items()}


@pytest.mark.parametrize(
    ("effects", "change", "verdicts", "why"),
    [
        ({}, failing("d=0.1"), {"CONTRADICTED"}, "no manifold"),
        ({}, failing(), {"INCONCLUSIVE"}, "no seed has both outcomes"),
        ({}, failing("d=0.1", "d=1", "d=4"), {"INCONCLUSIVE"}, "no seed has both outcomes"),
        ({}, failing_anywhere, {"INCONCLUSIVE"}, "log-odds"),
        ({}, only_without_umap, {"INCONCLUSIVE"}, "without UMAP"),
        ({}, lambda runs: unknown(failing()(runs)), {"CONTRADICTED"}, "no manifold"),
    ],
    ids=["small ones fail", "none fails", "all fail", "any fails", "only by UMAP", "small ones break down"],
)
@pytest.mark.parametrize("seeds", [3, 8])
def test_not_supported_where_they_do_not(judge, effects, change, verdicts, why, seeds):
    found = judge("seeds", effects, change, seeds)
    assert found.verdict in (verdicts if seeds == 8 else {"INCONCLUSIVE"}), found.reason
    if seeds == 8:
        assert why in found.reason


def test_three_seeds_can_never_decide(judge):
    """One failure in each, always at the largest increment: as likely as 1 in 27 by chance."""
    assert judge("seeds", change=failing("d=4"), seeds=3).verdict == "INCONCLUSIVE"
    assert judge("seeds", change=failing("d=4"), seeds=5).verdict == "SUPPORTED"
