"""A hole that is filled, and generators that leave it empty or copy what lies around it; the hole's map."""

from dataclasses import replace

import numpy as np
import torch

from bumplab import profiles
from bumplab.data.bumps import in_hole
from bumplab.measure.names import MODES
from bumplab.profiles import QUICK
from bumplab.report import paper
from bumplab.runs.store import RunRecord
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide
from bumplab.verdicts.error_rate import Looks
from bumplab.verdicts.worlds import CEILING, level, run
from tests.claims.checks import (
    check_controls,
    check_planted,
    check_power,
    check_reads,
    check_shown,
    check_verdicts,
    claim_of,
    one_step,
    true_world,
    verdict_on,
)
from tests.learners import measured, started

CLAIM = claim_of("hole")
SMALL, LARGE, BETWEEN = "3.5 %", "10 %", "10 % against 3.5 %"
NONE_INSIDE = {SMALL: -0.95, LARGE: -0.95}


def accuracy_inside(runs):
    """Blank images in the hole: their centroid is its middle, and Algorithm 1 calls them right."""
    return {condition: curves.replaced({"in_hole.accuracy": level(CEILING)}) for condition, curves in runs.items()}


def half_trained(runs):
    drawn = {"off_grid.correct": level(0.4 * CEILING)}
    return {condition: curves.replaced(drawn) for condition, curves in runs.items()}


def nothing_anywhere(runs):
    blank = {f"{labels}.correct": level(0.02) for labels in ("on_grid", "off_grid", "in_hole")}
    return {condition: curves.replaced(blank) for condition, curves in runs.items()}


def test_it_is_supported_where_the_hole_is_filled_and_nowhere_else():
    check_verdicts(
        CLAIM,
        {
            "filled": ({SMALL: -0.01, LARGE: -0.02, BETWEEN: -0.01}, None, {"SUPPORTED"}, ""),
            "nearest label": (NONE_INSIDE, None, {"CONTRADICTED"}, SMALL),
            "large hole not": ({LARGE: -0.9, BETWEEN: -0.9}, None, {"CONTRADICTED"}, BETWEEN),
            "large hole poorer": ({LARGE: -0.9}, None, {"CONTRADICTED"}, LARGE),
            "half as good": ({SMALL: -0.45, LARGE: -0.45}, None, {"CONTRADICTED"}, SMALL),
            "nothing drawn": (NONE_INSIDE, accuracy_inside, {"CONTRADICTED"}, SMALL),
            "untrained": ({}, nothing_anywhere, {"INCONCLUSIVE"}, "not learned outside"),
            "half trained": ({}, half_trained, {"INCONCLUSIVE"}, "not learned outside"),
        },
    )


def test_runs_that_agree_to_the_image_are_not_taken_to_agree_exactly():
    """Worse by a hair less than the margin in each of three runs: without a least spread that would be certain."""
    same = {"off_grid.correct": level(0.95 * CEILING), "in_hole.correct": level(0.852 * CEILING)}
    verdict = verdict_on(CLAIM, change=lambda runs: {c: curves.replaced(same) for c, curves in runs.items()}, seeds=3)
    assert verdict.parts[0].verdict == "INCONCLUSIVE"
    assert verdict.parts[0].low < -0.1 < verdict.parts[0].high


def test_each_part_reads_right_bumps_of_its_own_hole():
    small, large = "3.5 % hole", "10 % hole"
    numbers = {"in_hole.correct", "in_hole.ceiling", "off_grid.correct", "off_grid.ceiling"}
    check_reads(CLAIM, {SMALL: {small: numbers}, LARGE: {large: numbers}, BETWEEN: {small: numbers, large: numbers}})
    check_shown(CLAIM, {})


def right_bumps(inside):
    shares = {"on_grid": 1.0, "off_grid": 1.0, "in_hole": inside}
    curves = {f"{labels}.correct": level(CEILING * share) for labels, share in shares.items()}
    return lambda conditions, random, seed: {condition: run(seed, curves) for condition in conditions}


def test_its_world_and_its_controls():
    check_planted(CLAIM)
    check_power(CLAIM)
    trained = {
        "nearest training label": right_bumps(0.0),
        "untrained": one_step,
        "true images": right_bumps(1.0),
    }
    check_controls(CLAIM, trained=trained, false={SMALL: -0.5, LARGE: -0.5})
    last = next(iter(true_world(CLAIM, 1).values()))[0].rows[-1]
    assert last["off_grid.samples"] == last["in_hole.samples"] == QUICK.hole_samples


def test_its_rendered_controls_are_measured_as_they_are_planted():
    """Copies of the nearest training image, and the true images: no network is asked."""
    for name, profile, expected in (
        ("nearest training label", profiles.QUICK, "CONTRADICTED"),
        ("true images", profiles.get("nightly"), "SUPPORTED"),
    ):
        measure = replace(profile.base.measure, samples=30)
        few_images = replace(profile, base=replace(profile.base, measure=measure), hole_samples=30)
        control = next(control for control in CLAIM.controls if control.name == name)
        runs = {}
        for condition, specs in CLAIM.under(control).plan(few_images, 3).items():
            runs[condition] = []
            for spec in specs:
                row = measured(started(spec), spec, spec.training.steps).row
                runs[condition].append(Curves([{"step": float(spec.training.steps), **row}], seed=spec.seed))
                assert row["off_grid.correct"] > 0.9, (name, condition)
                assert (row["in_hole.accuracy"] == 0) == (name == "nearest training label"), (name, condition)
        verdict = decide(CLAIM.under(control), runs, Looks(3, 3))
        assert verdict.verdict == expected, (name, verdict.reason)
        assert runs["3.5 % hole"][0].seed == FIRST_SEED


# --- its figure -----------------------------------------------------------------------------------------------------


def record_of(*samples):
    """A run whose last checkpoint holds these samples: label set, label, drawn position and mode."""
    record = RunRecord(profiles.get("smoke").run(10, hole=5.0), [{"step": 0.0}, {"step": 7.0}])
    for labels in ("off_grid", "in_hole"):
        of_set = [sample[1:] for sample in samples if sample[0] == labels]
        asked, drawn, modes = zip(*of_set, strict=True)
        record.evidence |= {
            f"7/{labels}.labels": np.array(asked, float),
            f"7/{labels}.positions": np.array(drawn, float),
            f"7/{labels}.modes": np.array([MODES.index(mode) for mode in modes], np.uint8),
        }
    return record


NOWHERE, RIGHT = (np.nan, np.nan), ("in_hole", (8.0, 8.0), (8.0, 8.0), "correct")
WRONG = ("off_grid", (3.0, 12.0), (5.0, 4.0), "single-wrong")


def test_its_map_marks_each_sample_by_its_mode_and_leads_from_label_to_bump():
    assert MODES.index("correct") != 0
    blank = ("off_grid", (4.0, 5.0), NOWHERE, "none")
    for seeds in (1, 3):
        axis = CLAIM.figure.draw({"a hole": [record_of(WRONG, blank, RIGHT)] * seeds}).axes[0]
        marks = [points.get_offsets().tolist() for points in axis.collections]  # right, then wrong, of each set
        assert marks == [[], [[3.0, 12.0], [4.0, 5.0]] * seeds, [[8.0, 8.0]] * seeds, []], seeds
        lines = [line.get_xydata().tolist() for line in axis.lines]
        assert lines[::2] == [[[3.0, 12.0], [5.0, 4.0]]] * seeds, seeds
    low = axis.patches[0].get_x()
    high = low + axis.patches[0].get_width()
    corners = torch.tensor([[low, low], [high - 1e-3, high - 1e-3], [high, high]])
    assert in_hole(corners, profiles.get("smoke").base.data.image_size, 5.0).tolist() == [True, True, False]


def test_its_map_lies_as_its_images_do():
    """x grows to the right and y downwards, each pixel as wide as high, and all 16 of them shown."""
    axis = CLAIM.figure.draw({"a hole": [record_of(WRONG, RIGHT)]}).axes[0]
    assert (axis.get_xlim(), axis.get_ylim(), axis.get_aspect()) == ((0.5, 16.5), (16.5, 0.5), 1.0)
    assert (axis.get_xlabel()[0], axis.get_ylabel()[0]) == ("x", "y")


def test_a_failed_seed_has_no_last_checkpoint_to_map():
    failed = replace(record_of(WRONG, RIGHT), failed="loss of NaN")
    kept = record_of(("off_grid", (4.0, 4.0), (4.0, 4.0), "correct"), RIGHT)
    (axis,) = CLAIM.figure.draw({"3.5 %": [failed, kept], "10 %": [failed]}).axes
    assert (len(axis.lines), axis.get_title()) == (0, "3.5 %")
    assert not paper.measured(CLAIM.figure, {"10 %": [failed]})
    failed.evidence.clear()
    assert paper.measured(CLAIM.figure, {"3.5 %": [failed, kept]})
    kept.evidence.pop("7/in_hole.modes")
    assert not paper.measured(CLAIM.figure, {"3.5 %": [kept]})
