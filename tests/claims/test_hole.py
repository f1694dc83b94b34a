"""A hole that is filled, and generators that leave it empty or copy what lies around it; the hole's map."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.data.bumps import is_left_out
from bumplab.measure.names import MODES
from bumplab.report import paper
from bumplab.runs.store import RunRecord
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.judging import mark_of
from bumplab.verdicts.worlds import level, ramp, run, untrained
from tests.claims.checks import (
    PROFILES,
    SCALE,
    check_planted,
    check_reads,
    check_rendered,
    check_verdicts,
    claim_of,
    one_seed,
    runs_of,
)

CLAIM = claim_of("hole")
SMALL, LARGE, BETWEEN, ERROR, LAG, STRIPE = CLAIM.parts
RIGHTS = {"in_hole.correct", "probe.correct"}


def right_bumps(inside, outside=1.0):
    """Runs that end with these shares of right bumps."""

    def made(specs, random=None):
        return {
            condition: run(spec, {"in_hole.correct": level(spec, inside), "probe.correct": level(spec, outside)})
            for condition, spec in specs.items()
        }

    return made


def nothing(specs, random):
    return {condition: untrained(spec) for condition, spec in specs.items()}


def test_planted_worlds_and_controls_have_their_verdicts():
    check_planted(CLAIM)
    trained = {
        "nearest training label": right_bumps(0.0),
        "half-way to the nearest label": right_bumps(0.64),
        "untrained": nothing,
        "true images": right_bumps(1.0),
    }
    check_verdicts(CLAIM, trained=trained)


@pytest.mark.parametrize(
    ("inside", "outside", "mark"),
    [
        (0.97, 0.98, "in"),
        (0.89, 0.98, "in"),
        (0.87, 0.98, "out"),
        (0.99, 0.60, "in"),
        (0.02, 0.02, "out"),  # nothing is drawn anywhere: no hole is filled
        (0.45, 0.45, "in"),
        (0.39, 0.30, "out"),
    ],
)
def test_inside_is_held_to_outside_and_to_a_half(inside, outside, mark):
    """A control is judged so. A seed of the claim counts only where more than half is right outside."""
    runs = {c: trained(spec, inside, outside) for c, spec in CLAIM.runs_of(SMALL)(SCALE, FIRST_SEED).items()}
    assert mark_of(replace(SMALL, premise=None), runs, FIRST_SEED).mark == mark
    assert mark_of(SMALL, runs, FIRST_SEED).mark == (mark if outside > 0.5 else "neither")


def trained(spec, inside, outside, half_learned=500):
    """A run whose shares of right bumps end at these values. At this step they are half of them."""
    learned = ramp(spec, half_learned)
    return run(spec, {"in_hole.correct": inside * learned, "probe.correct": outside * learned})


def test_a_seed_counts_where_its_slowest_run_had_enough_training():
    latest = SCALE.base.training.steps / BETWEEN.premise.region.low
    small, large = CLAIM.runs(SCALE, FIRST_SEED).values()
    for of_small, of_large, mark in ((0.95, 0.5, "in"), (0.5, 1.05, "neither"), (1.05, 0.5, "neither")):
        runs = {
            "small hole": trained(small, 1.0, 1.0, of_small * latest),
            "large hole": trained(large, 1.0, 1.0, of_large * latest),
        }
        assert mark_of(BETWEEN, runs, FIRST_SEED).mark == mark, (of_small, of_large)


def test_each_part_reads_its_own_runs():
    small, large, stripe = "small hole", "large hole", "stripe"
    crossings = RIGHTS | {"step"}
    reads = {
        SMALL.name: {small: crossings},
        LARGE.name: {large: crossings},
        BETWEEN.name: {small: crossings, large: crossings},
        ERROR.name: {large: {"in_hole.error", "probe.error"}},
        LAG.name: {large: crossings},
        STRIPE.name: {stripe: RIGHTS},
    }
    check_reads(CLAIM, reads)


def test_the_lag_is_in_doublings_and_a_hole_that_stays_empty_is_out():
    (condition, spec), *_ = CLAIM.runs_of(LAG)(SCALE, FIRST_SEED).items()
    for inside, low, high, mark in (
        (ramp(spec, 300), 0.585, 0.585, "in"),
        (ramp(spec, 600), 1.585, 1.585, "out"),
        (level(spec, 0.1), 2.3, None, "out"),
    ):
        runs = {condition: run(spec, {"in_hole.correct": inside, "probe.correct": ramp(spec, 200)})}
        lag = mark_of(LAG, runs, FIRST_SEED)
        assert lag.mark == mark
        assert lag.low == pytest.approx(low, abs=0.03)
        assert lag.high == (None if high is None else pytest.approx(high, abs=0.03))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_its_runs_leave_out_two_holes_and_a_stripe(profile):
    small, large = CLAIM.runs(profile, 10).values()
    assert [small, large] == [profile.run(10, hole=side) for side in profile.holes]
    (stripe,) = CLAIM.runs_of(STRIPE)(profile, 10).values()
    assert replace(stripe, data=replace(stripe.data, stripe=0.0)) == profile.run(10)
    assert stripe.data.stripe == small.data.hole, (
        "its middle is as far from the nearest label as that of the small hole"
    )


@pytest.mark.parametrize("name", ["nearest training label", "half-way to the nearest label", "true images"])
def test_its_rendered_controls_are_measured_as_they_are_planted(name):
    """Copies of the nearest training image, and the true images: no network is asked."""
    check_rendered(CLAIM, name)


def test_an_empty_large_hole_leaves_all_else():
    runs, _ = one_seed(CLAIM)
    control = next(control for control in CLAIM.controls if control.name == "large hole empty")
    own = runs_of(CLAIM, BETWEEN, runs)
    changed = control.change(own)
    assert changed["small hole"] is own["small hole"]
    assert changed["large hole"].last("in_hole.correct") == 0
    assert changed["large hole"].last("probe.correct") == own["large hole"].last("probe.correct")


# --- its figure -----------------------------------------------------------------------------------------------------


def record_of(*samples):
    """A run whose last checkpoint holds these samples: label set, label, drawn position and mode."""
    record = RunRecord(profiles.get("smoke").run(10, hole=5.0), [{"step": 0.0}, {"step": 7.0}])
    for labels in ("probe", "in_hole"):
        of_set = [sample[1:] for sample in samples if sample[0] == labels]
        asked, drawn, modes = zip(*of_set, strict=True)
        record.evidence |= {
            f"7/{labels}.labels": np.array(asked, float),
            f"7/{labels}.positions": np.array(drawn, float),
            f"7/{labels}.modes": np.array([MODES.index(mode) for mode in modes], np.uint8),
        }
    return record


NOWHERE, RIGHT = (np.nan, np.nan), ("in_hole", (8.0, 8.0), (8.0, 8.0), "correct")
WRONG = ("probe", (3.0, 12.0), (5.0, 4.0), "single-wrong")


def test_its_map_marks_each_sample_by_its_mode_and_leads_from_label_to_bump():
    assert MODES.index("correct") != 0
    blank = ("probe", (4.0, 5.0), NOWHERE, "none")
    for seeds in (1, 3):
        axis = CLAIM.figure.draw({"a hole": [record_of(WRONG, blank, RIGHT)] * seeds}).axes[0]
        marks = [points.get_offsets().tolist() for points in axis.collections]  # right, then wrong, of each set
        assert marks == [[], [[3.0, 12.0], [4.0, 5.0]] * seeds, [[8.0, 8.0]] * seeds, []], seeds
        lines = [line.get_xydata().tolist() for line in axis.lines]
        assert lines[::2] == [[[3.0, 12.0], [5.0, 4.0]]] * seeds, seeds
    assert_shaded_is_left_out(axis, record_of(WRONG, RIGHT).spec.data)


def assert_shaded_is_left_out(axis, data):
    patch = axis.patches[0]
    x, y = patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2
    aside, below = patch.get_width() / 2, patch.get_height() / 2
    moves = [(0.99 * aside, 0), (1.01 * aside, 0), (0, 0.99 * below), (0, 1.01 * below)]
    places = torch.tensor([[x + dx, y + dy] for dx, dy in moves])
    assert is_left_out(places, data).tolist() == [True, False, True, bool(data.stripe)]


def test_its_map_shades_a_stripe_over_all_y():
    (spec,) = CLAIM.runs_of(STRIPE)(profiles.get("smoke"), FIRST_SEED).values()
    axis = CLAIM.figure.draw({"stripe": [replace(record_of(WRONG, RIGHT), spec=spec)]}).axes[0]
    assert_shaded_is_left_out(axis, spec.data)
    assert axis.patches[0].get_height() == 16


def test_its_map_lies_as_its_images_do():
    """x grows to the right and y downwards, each pixel as wide as high, and all 16 of them shown."""
    axis = CLAIM.figure.draw({"a hole": [record_of(WRONG, RIGHT)]}).axes[0]
    assert (axis.get_xlim(), axis.get_ylim(), axis.get_aspect()) == ((0.5, 16.5), (16.5, 0.5), 1.0)
    assert (axis.get_xlabel()[0], axis.get_ylabel()[0]) == ("x", "y")


def test_a_failed_seed_has_no_last_checkpoint_to_map():
    failed = replace(record_of(WRONG, RIGHT), failed="loss of NaN")
    kept = record_of(("probe", (4.0, 4.0), (4.0, 4.0), "correct"), RIGHT)
    (axis,) = CLAIM.figure.draw({"3.5 %": [failed, kept], "10 %": [failed]}).axes
    assert (len(axis.lines), axis.get_title()) == (0, "3.5 %")
    assert not paper.measured(CLAIM.figure, {"10 %": [failed]})
    failed.evidence.clear()
    assert paper.measured(CLAIM.figure, {"3.5 %": [failed, kept]})
    kept.evidence.pop("7/in_hole.modes")
    assert not paper.measured(CLAIM.figure, {"3.5 %": [kept]})
