"""Learners of each coordinate, of each pair, and between, by how many examples they need."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.data.bumps import training_labels
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.judging import mark_of
from bumplab.verdicts.worlds import level, run
from tests.claims.checks import PROFILES, SCALE, check_planted, check_rendered, check_verdicts, claim_of

CLAIM = claim_of("composition")
(PART,) = CLAIM.parts
RIGHT = "probe.correct"


def learner(share):
    """Runs that end with ``share(cells, matrices)`` of all images right."""

    def made(specs, random=None):
        return {
            condition: run(spec, {RIGHT: level(spec, share(spec.data.cells, spec.data.matrices))})
            for condition, spec in specs.items()
        }

    return made


def composes(cells, matrices):
    return 1.0


def memorizes(cells, matrices):
    return matrices / cells


@pytest.mark.parametrize(
    ("share", "beta"),
    [
        (composes, 1.0),
        (memorizes, 2.0),
        (lambda cells, matrices: 0.97 * matrices / cells, 2.0),  # three images in a hundred fail
        (lambda cells, matrices: 1.0 if 2 * matrices >= cells else 1 / cells, math.log2((4 + 4 * 0.23 / 0.75) / 0.96)),
    ],
)
def test_beta_is_1_for_each_coordinate_and_2_for_each_pair(share, beta):
    mark = mark_of(PART, learner(share)(CLAIM.runs(SCALE, FIRST_SEED)), FIRST_SEED)
    assert mark.low == mark.high == pytest.approx(beta, abs=0.2)


def test_examples_are_counted_from_none():
    """Each coordinate: half of one matrix of K cells. Each pair: half of K^2 cells."""
    module = PART.effect.__globals__
    for share, power in ((composes, 1), (memorizes, 2)):
        for group in module["by_cells"](learner(share)(CLAIM.runs(SCALE, FIRST_SEED))):
            half = group[0].spec.data.cells ** power * module["HALF_OF_CELLS"]
            assert module["examples_to_half"](group) == (pytest.approx(half, rel=0.05), pytest.approx(half, rel=0.05))


@given(share=st.floats(0.0, 0.95) | st.floats(0.97, 1.0))
def test_a_half_that_is_not_reached_bounds_beta_and_shows_that_the_cells_were_not_learned(share):
    """Half of many cells needs more examples than there are, so beta is at least 2. The premise counts no such seed."""

    def few_only(cells, matrices):
        return memorizes(cells, matrices) if cells == 2 else share * matrices / cells

    runs = learner(few_only)(CLAIM.runs(SCALE, FIRST_SEED))
    low, high = PART.effect(runs)
    mark = mark_of(PART, runs, FIRST_SEED).mark
    if share > 0.96:
        assert low == high
        assert mark == "in"
    else:
        assert (low, high) == (pytest.approx(math.log2(8 / 1.92)), math.inf)
        assert mark == "neither"


def test_a_learner_that_draws_nothing_is_neither_and_not_testable():
    runs = learner(lambda cells, matrices: 0.1)(CLAIM.runs(SCALE, FIRST_SEED))
    assert mark_of(PART, runs, FIRST_SEED).problem == "neither level is reached"
    assert PART.premise.effect(runs) < PART.premise.region.low


def test_planted_worlds_and_controls_have_their_verdicts():
    check_planted(CLAIM)
    trained = {"factorized generator": learner(composes), "nearest training label": learner(memorizes)}
    check_verdicts(CLAIM, trained=trained)


def test_copies_of_the_nearest_training_image_are_measured_to_need_every_pair():
    check_rendered(CLAIM, "nearest training label")


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_its_runs_double_cells_and_examples(profile):
    specs = CLAIM.runs(profile, 10)
    by_cells = {}
    for condition, spec in specs.items():
        examples = len(training_labels(spec.data, 10))
        by_cells.setdefault(spec.data.cells, []).append(examples)
        assert condition == f"{spec.data.cells} x {spec.data.cells} cells, {examples} examples"
    few, many = by_cells
    assert many == 2 * few
    for cells, examples in by_cells.items():
        assert examples[0] == cells
        assert examples[-1] == cells * (cells // 2)
        assert all(later == 2 * earlier for earlier, later in pairwise(examples))
