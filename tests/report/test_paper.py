"""The paper's figures show what the runs say: colours are means, dots are crossings, marks are modes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.data.bumps import in_hole
from bumplab.data.overlap import overlap
from bumplab.measure.names import MODES
from bumplab.report import charts, paper
from bumplab.runs.store import RunRecord

SMOKE = profiles.get("smoke")


def record_with(accuracies, seed=10, **changes):
    """A run with these on-grid accuracies, half as much R^2, a ceiling of 0.8, and off-grid as on-grid at most 0.3."""
    record = RunRecord(SMOKE.run(seed, **changes))
    for step, accuracy in enumerate(accuracies):
        record.rows.append(
            {
                "step": 10.0 * step, "on_grid.accuracy": accuracy, "on_grid.ceiling": 0.8, "off_grid.ceiling": 1.0,
                "off_grid.accuracy": min(accuracy, 0.3), "up1-features.umap_r2": accuracy / 2, "up1.umap_r2": 0.9,
            }
        )  # fmt: skip
    return record


BY_INCREMENT = {
    "d=0.1": [
        record_with([0.0, 0.2, 0.6, 0.8]), record_with([0.0, 0.0, 0.6, 0.6], 11), record_with([0.0, 0.1, 0.3, 0.1], 12),
    ],
    "d=1": [record_with([0.0, 0.0, 0.0, 0.1], dx=1.0), record_with([0.0, 0.0, 0.0, 0.6], 11, dx=1.0)],
}  # fmt: skip
"""Three seeds, of which none is the mean: a median is another number."""


def diverged(seed=12, **changes):
    """A seed that failed at once: all it has is a row of the network before training."""
    return replace(record_with([0.0], seed, **changes), failed="loss of NaN")


def test_a_phase_diagram_colours_means_and_dots_crossings():
    figure = paper.phase_diagram(BY_INCREMENT)
    accuracy, r2 = (axis.collections[0].get_array() for axis in figure.axes[:2])
    assert np.allclose(accuracy, [[0, 0.1, 0.5, 0.5], [0, 0, 0, 0.35]])
    assert np.allclose(r2, accuracy / 2)
    dots = np.concatenate([points.get_offsets()[:, 0] for points in figure.axes[0].collections[1:]])
    # half of the ceiling of 0.8; not one that has it at the last alone
    assert sorted(dots) == pytest.approx([15, 10 + 10 / 1.5])


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (("d=0.1", "d=1"), "increment d, pixels"),
        (("sigma=0.5", "sigma=1"), "sigma, pixels"),
        (("a", "b"), "condition"),
    ],
)
def test_a_phase_diagram_says_what_its_rows_and_colours_are(names, rows):
    panel, _, colours = paper.phase_diagram(dict(zip(names, BY_INCREMENT.values(), strict=True))).axes
    assert (panel.get_ylabel(), colours.get_ylabel()) == (rows, "accuracy or R^2")


def test_a_failed_seed_counts_up_to_where_it_failed_and_blanks_nothing_else():
    failed = {"d=1": [record_with([0.1]), record_with([0.3, 0.5, 0.7, 0.7], 11)], "d=4": [record_with([0.2, 0.4])]}
    accuracy, r2 = (axis.collections[0].get_array() for axis in paper.phase_diagram(failed).axes[:2])
    assert np.allclose(accuracy[0].filled(-1), [0.2, 0.5, 0.7, 0.7])
    assert np.allclose(accuracy[1].filled(-1), [0.2, 0.4, -1, -1])
    assert (r2.mask == accuracy.mask).all()


def test_runs_of_one_checkpoint_can_be_drawn(tmp_path):
    paper.phase_diagram({"d=1": [record_with([0.5])]}).savefig(tmp_path / "one.svg")


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_hole_map_marks_each_sample_by_its_mode(seeds):
    rng = np.random.default_rng(0)
    spec = SMOKE.run(10, hole=5.0)
    records = []
    for _ in range(seeds):
        record = RunRecord(spec, [{"step": 0.0}, {"step": 7.0}])
        for k, labels in enumerate(("off_grid", "in_hole")):
            record.evidence |= {
                f"7/{labels}.labels": rng.uniform(3, 13, (8, 2)),
                f"7/{labels}.positions": np.full((8, 2), np.nan),
                f"7/{labels}.modes": np.full(8, k * MODES.index("correct")).astype(np.uint8),
            }
        records.append(record)
    axis = paper.hole_map({"a hole": records}).axes[0]
    marks = [points.get_offsets() for points in axis.collections]
    assert MODES.index("correct") != 0
    assert [len(points) for points in marks] == [0, 8 * seeds, 8 * seeds, 0]  # right, then wrong, of each set
    assert np.allclose(marks[2], np.concatenate([record.evidence["7/in_hole.labels"] for record in records]))
    low, high = axis.patches[0].get_x(), axis.patches[0].get_x() + axis.patches[0].get_width()
    inside = in_hole(torch.tensor([[low, low], [high - 1e-3, high - 1e-3], [high, high]]), spec.data.image_size, 5.0)
    assert inside.tolist() == [True, True, False]


def hole_record(asked, found, mode):
    """A run of which one sample off the hole's grid is known, and one in the hole that is right."""
    record = RunRecord(SMOKE.run(10, hole=5.0), [{"step": 7.0}])
    for labels, at, to, which in (("off_grid", asked, found, mode), ("in_hole", (8, 8), (8, 8), "correct")):
        record.evidence |= {
            f"7/{labels}.labels": np.array([at], float),
            f"7/{labels}.positions": np.array([to], float),
            f"7/{labels}.modes": np.array([MODES.index(which)], np.uint8),
        }
    return record


def test_a_hole_maps_line_leads_from_where_a_bump_was_asked_for_to_where_it_was_found():
    axis = paper.hole_map({"a hole": [hole_record((3.0, 12.0), (5.0, 4.0), "single-wrong")]}).axes[0]
    assert [line.get_xydata().tolist() for line in axis.lines] == [[[3.0, 12.0], [5.0, 4.0]]]
    (_, wrong, right, _) = (points.get_offsets().tolist() for points in axis.collections)
    assert (wrong, right) == ([[3.0, 12.0]], [[8.0, 8.0]])


def test_a_hole_map_lies_as_its_images_do():
    """x grows to the right and y downwards, each pixel as wide as high, and all 16 of them shown."""
    axis = paper.hole_map({"a hole": [hole_record((3.0, 12.0), (3.0, 12.0), "correct")]}).axes[0]
    assert (axis.get_xlim(), axis.get_ylim(), axis.get_aspect()) == ((0.5, 16.5), (16.5, 0.5), 1.0)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("x asked for, pixels", "y asked for, pixels")


def test_a_failed_seed_has_no_last_checkpoint_to_map():
    failed = replace(hole_record((3.0, 12.0), (5.0, 4.0), "single-wrong"), failed="loss of NaN")
    kept = hole_record((4.0, 4.0), (4.0, 4.0), "correct")
    (axis,) = paper.hole_map({"3.5 %": [failed, kept], "10 %": [failed]}).axes
    assert [line.get_xydata().tolist() for line in axis.lines] == []
    assert axis.get_title() == "3.5 %"
    assert not paper.measured(paper.hole_map, {"10 %": [failed]})
    failed.evidence.clear()
    assert paper.measured(paper.hole_map, {"3.5 %": [failed, kept]})


def test_neighbours_are_drawn_from_the_overlap_itself():
    axis = paper.neighbours({}).axes[0]
    line = next(line for line in axis.lines if line.get_label() == "sigma = 0.7")
    assert line.get_ydata()[20] == overlap(2.0, 0.7, 32)


def test_artefacts_are_means_at_the_last_checkpoint():
    heads, rows = paper.artefact_table(BY_INCREMENT)
    assert len(heads) == 6
    assert rows["d=0.1"] == pytest.approx([0.8, 1.0, 0.5 / 0.8, 0.7 / 3, 0.25, 0.9])
    panels = paper.artefacts(BY_INCREMENT).axes
    means = [
        line.get_ydata()
        for line in panels[1].lines
        if len(line.get_ydata()) == len(BY_INCREMENT) and line.get_ls() == "-"
    ]
    assert [list(y) for y in means] == [pytest.approx([0.5 / 0.8, 0.35 / 0.8]), pytest.approx([0.7 / 3, 0.2])]


def test_artefacts_are_of_seeds_that_did_not_fail():
    failed = {name: [*records, diverged()] for name, records in BY_INCREMENT.items()}
    assert paper.artefact_table({**failed, "d=4": [diverged()]}) == paper.artefact_table(BY_INCREMENT)
    ceiling = paper.artefacts(failed).axes[0]
    assert len(ceiling.lines) == len(paper.artefacts(BY_INCREMENT).axes[0].lines)


def test_artefacts_show_an_r2_below_zero():
    low = record_with([0.0, 0.5])
    low.rows[-1]["up1.umap_r2"] = -0.4
    axis = paper.artefacts({"d=0.1": [low], "d=1": [record_with([0.0, 0.5])]}).axes[2]
    assert axis.get_ylim()[0] < -0.4


def claim_of(conditions):
    """The claim of increments and its records, for `charts`."""
    runs = {name: [{"key": record.key} for record in records] for name, records in conditions.items()}
    return [{"claim": "density", "conditions": runs}], {r.key: r for records in conditions.values() for r in records}


def test_increments_are_sorted_by_their_number():
    found = charts.by_increment(*claim_of({"d=10": BY_INCREMENT["d=1"], "d=2": BY_INCREMENT["d=0.1"]}))
    assert list(found) == ["d=2", "d=10"]


@pytest.mark.parametrize("name", ["d=1.2.3", "d=.", "d="])
def test_a_condition_that_is_no_increment_is_none(name):
    assert charts.by_increment(*claim_of({name: BY_INCREMENT["d=1"], "d=0.1": BY_INCREMENT["d=0.1"]})) is None


def test_increments_of_which_only_one_finished_are_not_compared():
    assert charts.by_increment(*claim_of({"d=1": [diverged(dx=1.0)], "d=0.1": BY_INCREMENT["d=0.1"]})) is None


def test_without_several_increments_there_is_nothing_to_compare():
    run = BY_INCREMENT["d=1"][0]
    claims = [{"claim": "density", "conditions": {"d=1": [{"key": run.key}]}}]
    assert charts.by_increment(claims, {run.key: run}) is None
    claims[0]["conditions"]["d=0.1"] = [{"key": "missing"}]
    assert charts.by_increment(claims, {run.key: run}) is None


@pytest.mark.parametrize("lacking", ["on_grid.ceiling", "up1-features.umap_r2"])
def test_what_was_not_measured_is_not_drawn(lacking):
    run = record_with([0.0, 0.5])
    assert paper.measured(paper.phase_diagram, {"d=1": [run]})
    assert paper.measured(paper.artefacts, {"d=1": [run]})
    assert not paper.measured(paper.hole_map, {"d=1": [run]})
    assert not any(paper.measured(draw, {}) for draw in (paper.phase_diagram, paper.hole_map, paper.artefacts))
    assert paper.measured(paper.neighbours, {})
    del run.rows[0][lacking]  # known at the last checkpoint alone
    assert not paper.measured(paper.phase_diagram, {"d=1": [run]})
    assert not paper.measured(paper.artefacts, {"d=1": [run]})


def test_conditions_of_another_kind_are_no_increments():
    run, other = BY_INCREMENT["d=1"]
    claims = [{"claim": "density", "conditions": {"dense": [{"key": run.key}], "sparse": [{"key": other.key}]}}]
    assert charts.by_increment(claims, {run.key: run, other.key: other}) is None
