"""x and y learned together, and every way of learning them apart."""

import numpy as np
import pytest

from bumplab.verdicts.worlds import CEILING, STEPS, run, untrained

FACTORIZED = {"kappa": 0.0, "R^2 together": 0.6, "y as accurate as x": -0.5}


def test_supported_where_x_and_y_are_learned_together(judge, seeds):
    found = judge("coupling", {"kappa": 1.1}, seeds=seeds)  # at 1 a seed in two has y behind by a step
    assert found.verdict == "SUPPORTED", found.reason


def no_density_effect(runs):
    return {**runs, "sparse": runs["dense"]}


def density_reversed(runs):
    return {**runs, "sparse": runs["dense"], "dense": runs["sparse"]}


def sparse_never_learns(runs):
    return {**runs, "sparse": untrained(runs["sparse"].seed)}


def nothing_learns(runs):
    return {condition: untrained(run.seed) for condition, run in runs.items()}


@pytest.mark.parametrize(
    ("effects", "change", "verdicts", "why"),
    [
        (FACTORIZED, None, {"CONTRADICTED"}, "kappa"),
        ({"kappa": 0.0}, None, {"CONTRADICTED"}, "kappa"),
        ({"R^2 together": 0.6}, None, {"CONTRADICTED"}, "R^2"),
        ({"y as accurate as x": -0.5}, None, {"CONTRADICTED"}, "y as accurate as x"),
        ({}, no_density_effect, {"INCONCLUSIVE"}, "kappa is undefined"),
        ({}, density_reversed, {"INCONCLUSIVE"}, "kappa is undefined"),
        ({}, sparse_never_learns, {"INCONCLUSIVE"}, "t_sparse is not reached"),
        ({}, nothing_learns, {"INCONCLUSIVE"}, "t_x is not reached"),
    ],
    ids=[
        "factorized",
        "only kappa factorized",
        "R^2 apart",
        "y behind",
        "no density effect",
        "density reversed",
        "sparse never learns",
        "untrained",
    ],
)
def test_not_supported_where_they_are_not(judge, effects, change, verdicts, why, seeds):
    found = judge("coupling", effects, change, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason


@pytest.mark.parametrize("t_y", [305, 320, 450])
def test_chance_in_y_does_not_make_a_factorized_generator_look_coupled(judge, t_y, seeds):
    """With 4 labels in y, blank images are right in y a quarter of the time: measured 0.13 in x and 0.25 in y."""

    def rising(at, chance, pace):
        curve = 1 / (1 + (np.maximum(STEPS, 1e-3) / (at * pace)) ** -7.0)
        return CEILING * (chance + (1 - chance) * curve)

    def by_chance(runs):
        paces = np.random.default_rng(runs["dense"].seed).normal(1, 0.04, 3)
        times = {"imbalanced": (280, t_y), "dense": (280, 280), "sparse": (t_y, t_y)}
        made = {}
        for (condition, (t_x, at)), pace in zip(times.items(), paces, strict=True):
            curves = {f"on_grid.accuracy{a}": rising(t, c, pace) for a, t, c in (("_x", t_x, 0.13), ("_y", at, 0.25))}
            made[condition] = run(runs[condition].seed, curves)
        return made

    found = judge("coupling", change=by_chance, seeds=seeds)
    assert found.verdict != "SUPPORTED", found.reason
    ahead = next(part for part in found.parts if part.name == "y as accurate as x")
    assert ahead.verdict != "SUPPORTED", ahead.reason


def test_a_factorized_generator_has_kappa_zero(judge):
    kappa = judge("coupling", {"kappa": 0.0}, seeds=8).parts[0]
    assert kappa.verdict == "CONTRADICTED"
    assert kappa.low < 0 < kappa.high < 0.5


def test_y_that_is_ahead_counts_as_learned_together(judge):
    found = judge("coupling", {"kappa": 1.3, "y as accurate as x": 0.2})
    assert found.verdict == "SUPPORTED", found.reason
    assert found.parts[0].low > 1
