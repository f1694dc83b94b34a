"""The claims on runs whose truth is known (`bumplab.verdicts.worlds`): one file a claim says where it must not hold."""

import runpy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bumplab
from bumplab.verdicts.decision import decide
from bumplab.verdicts.error_rate import Looks
from bumplab.verdicts.worlds import world

# beside the package, so that a copy of both is tested together
FOLDER = Path(bumplab.__file__).parents[1] / "claims"


@cache
def load_claim(name):
    return runpy.run_path(str(FOLDER / f"test_{name}.py"))["CLAIM"]


def quiet(claim):
    """The claim with seeds that differ a tenth as much as designed: 3 of them are enough."""

    def part(given):
        return replace(given, design=given.design and replace(given.design, spread=given.design.spread / 10))

    return replace(claim, parts=tuple(map(part, claim.parts)))


def changed(runs, change):
    """Runs by condition, with each seed's altered: ``change`` takes one seed's runs and gives others."""
    by_seed = [change({c: each[i] for c, each in runs.items()}) for i in range(len(next(iter(runs.values()))))]
    return {condition: [seed[condition] for seed in by_seed] for condition in by_seed[0]}


@pytest.fixture
def load():
    return load_claim


@pytest.fixture
def true_world(load):
    """Runs of a claim in its own world: effects as designed but for those given, seeds that hardly differ."""

    def runs(name, seeds, effects=None):
        return world(quiet(load(name)), effects or {}, np.random.default_rng([seeds, len(name)]), seeds)

    return runs


@pytest.fixture
def judge(load, true_world):
    """The verdict on a claim after so many seeds, in its own world but for the effects and the change given."""

    def verdict(name, effects=None, change=None, seeds=5):
        runs = true_world(name, seeds, effects)
        return decide(load(name), changed(runs, change) if change else runs, Looks(seeds, seeds))

    return verdict


@pytest.fixture(params=[3, 5])
def seeds(request):
    return request.param
