"""Density: areas in the order of the increments, on one set of labels, and the sparsest run at the end."""

import numpy as np
import pytest

from bumplab import profiles
from bumplab.data.bumps import label_grid
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.judging import judge, mark_of
from bumplab.verdicts.worlds import learning, level, ramp, run, specs_of, untrained
from tests.claims.checks import LOOKS, SCALE, check_planted, check_reads, check_verdicts, claim_of, one_seed

CLAIM = claim_of("density")
PART = {part.name: part for part in CLAIM.parts}
RIGHT, TOLD, ERROR = "probe.correct", "layer4.told", "probe.error"


def test_known_worlds_have_known_verdicts():
    check_verdicts(CLAIM)


def test_it_reads_what_was_planted():
    check_planted(CLAIM)


def test_each_part_reads_its_own_numbers():
    ends = {"d=0.1": {TOLD, RIGHT}, "d=4": {TOLD}}
    clocks = {f"time in {clock}": {RIGHT, "step"} for clock in ("steps", "epochs", "distinct labels")}
    areas = {}
    for name, read in (("order sooner", TOLD), ("error lower", ERROR), ("right sooner", RIGHT)):
        areas[name] = {c: {read, "step"} | ({RIGHT} if c == "d=0.1" else set()) for c in specs_of(CLAIM, SCALE)}
    check_reads(CLAIM, areas | clocks | {"catches up": ends})


@pytest.mark.parametrize("name", [part.name for part in CLAIM.judged_parts])
def test_a_network_that_learns_nothing_neither_supports_nor_contradicts(name):
    nothing = {condition: untrained(spec) for condition, spec in specs_of(CLAIM, SCALE).items()}
    assert "d=0.1 has not learned" in mark_of(PART[name], nothing, 0).problem
    verdict = judge(PART[name], [nothing] * LOOKS.last, LOOKS, 1)
    assert verdict.verdict == "INCONCLUSIVE", verdict.reason


@pytest.mark.parametrize(("dense", "sparse", "mark"), [(0.9, 0.85, "in"), (0.9, 0.75, "out"), (0.1, 0.3, "out")])
def test_a_sparse_run_catches_up_with_a_dense_one_that_is_in_order(dense, sparse, mark):
    runs, _ = one_seed(CLAIM)
    ends = {"d=0.1": dense, "d=4": sparse}
    runs |= {c: run(runs[c].spec, {RIGHT: level(runs[c].spec, 0.9)}, {TOLD: end}) for c, end in ends.items()}
    assert mark_of(PART["catches up"], runs, 0).mark == mark


def runs_with(curve_of):
    return {condition: run(spec, curve_of(spec)) for condition, spec in specs_of(CLAIM, SCALE).items()}


def test_an_error_that_is_unknown_early_is_compared_where_every_run_has_one():
    runs, _ = one_seed(CLAIM)
    first, *others = runs
    unknown = runs[first][ERROR].copy()
    unknown[:6] = np.nan
    holed = {first: runs[first].replaced({ERROR: unknown})} | {c: runs[c] for c in others}
    early_wrong = {
        c: curves.replaced({ERROR: np.where(np.isnan(unknown), 99.0, curves[ERROR])}) for c, curves in runs.items()
    }
    scores = PART["error lower"].effect.scores
    assert scores(holed) == scores({**early_wrong, first: holed[first]})
    never = {**runs, first: runs[first].replaced({ERROR: np.full(len(unknown), np.nan)})}
    assert mark_of(PART["error lower"], never, 0).mark == "neither"


def test_equal_steps_are_more_epochs_and_fewer_labels_at_a_larger_increment():
    runs = runs_with(lambda spec: learning("probe", ramp(spec, 400)))
    steps, in_epochs, labels = (
        PART[f"time in {clock}"].effect(runs) for clock in ("steps", "epochs", "distinct labels")
    )
    assert steps == pytest.approx(0, abs=1e-9)
    assert in_epochs == pytest.approx(2, abs=0.02)  # a set has 1 / d^2 labels
    assert -2 < labels < -1  # at d = 0.1 a quarter of the labels are seen


def test_a_slower_sparse_run_takes_longer_by_every_clock_of_time():
    at = {"d=0.1": 200.0, "d=1": 400.0, "d=4": 800.0}
    runs = {c: run(spec, learning("probe", ramp(spec, at[c]))) for c, spec in specs_of(CLAIM, SCALE).items()}
    assert PART["time in steps"].effect(runs) == pytest.approx(np.polyfit(np.log2([0.1, 1, 4]), [0, 1, 2], 1)[0])


def test_labels_are_counted_as_they_are_laid_out():
    clock = PART["time in epochs"].effect
    for d in (0.1, 0.3, 1.0, 3.0, 4.0):
        spec = SCALE.run(10, dx=d)
        runs = {"d=1": run(SCALE.run(10, dx=1.0), learning("probe", ramp(spec, 400)))}
        runs[f"d={d * 1.5:g}"] = run(spec, learning("probe", ramp(spec, 400)))
        ratio = 256 / len(label_grid(spec.data.image_size, d, d))
        assert 2 ** (clock(runs) * np.log2(d * 1.5)) == pytest.approx(ratio), d


def test_a_layer_that_holds_its_label_before_training_is_undefined():
    for held in specs_of(CLAIM, SCALE):
        runs, _ = one_seed(CLAIM)
        runs = {**runs, held: runs[held].replaced({TOLD: level(runs[held].spec, 0.95)})}
        assert mark_of(PART["order sooner"], runs, 0).mark == "neither", held
        assert (mark_of(PART["catches up"], runs, 0).mark == "neither") == (held != "d=1"), held


def test_increments_are_told_apart_where_neighbours_are_apart_or_data_repeat():
    premise = PART["order sooner"].premise

    def holds(profile, increments):
        runs = {f"d={d:g}": Curves([], profile.run(10, dx=d)) for d in increments}
        return premise.region.low < premise.effect(runs)

    assert holds(SCALE, (0.1, 1.0, 4.0))
    assert holds(SCALE, (0.1, 3.0))
    assert not holds(SCALE, (0.1, 0.5, 1.0, 2.0))
    assert holds(profiles.get("paper"), profiles.get("paper").increments)
