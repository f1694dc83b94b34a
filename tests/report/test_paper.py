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
from bumplab.report.document import RunReference
from bumplab.runs.store import RunRecord
from tests.report import planted

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


def test_a_phase_diagram_says_what_its_rows_and_colours_are():
    rows = {
        ("d=0.1", "d=1"): "increment d, pixels",
        ("sigma=0.5", "sigma=1"): "sigma, pixels",
        ("a", "b"): "condition",
    }
    for names, label in rows.items():
        panel, _, colours = paper.phase_diagram(dict(zip(names, BY_INCREMENT.values(), strict=True))).axes
        assert (panel.get_ylabel(), colours.get_ylabel()) == (label, "accuracy or R^2")


def test_a_failed_seed_counts_up_to_where_it_failed_and_blanks_nothing_else():
    failed = {"d=1": [record_with([0.1]), record_with([0.3, 0.5, 0.7, 0.7], 11)], "d=4": [record_with([0.2, 0.4])]}
    accuracy, r2 = (axis.collections[0].get_array() for axis in paper.phase_diagram(failed).axes[:2])
    assert np.allclose(accuracy[0].filled(-1), [0.2, 0.5, 0.7, 0.7])
    assert np.allclose(accuracy[1].filled(-1), [0.2, 0.4, -1, -1])
    assert (r2.mask == accuracy.mask).all()


def test_runs_of_one_checkpoint_can_be_drawn(tmp_path):
    paper.phase_diagram({"d=1": [record_with([0.5])]}).savefig(tmp_path / "one.svg")


def test_a_hole_map_marks_each_sample_by_its_mode():
    rng, seeds = np.random.default_rng(0), 3
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


def test_a_hole_map_lies_as_its_images_do_and_its_lines_lead_from_the_label_to_the_bump():
    """x grows to the right and y downwards, each pixel as wide as high, and all 16 of them shown."""
    axis = paper.hole_map({"a hole": [hole_record((3.0, 12.0), (5.0, 4.0), "single-wrong")]}).axes[0]
    assert [line.get_xydata().tolist() for line in axis.lines] == [[[3.0, 12.0], [5.0, 4.0]]]
    (_, wrong, right, _) = (points.get_offsets().tolist() for points in axis.collections)
    assert (wrong, right) == ([[3.0, 12.0]], [[8.0, 8.0]])
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


def by_increment(conditions):
    """The conditions of a claim of increments, with all of their records stored."""
    references = {name: [RunReference(record.key, {}) for record in records] for name, records in conditions.items()}
    stored = {record.key: record for records in conditions.values() for record in records}
    return charts.by_increment(planted.claim_of("density", conditions=references), stored)


def test_increments_are_sorted_by_their_number():
    assert list(by_increment({"d=10": BY_INCREMENT["d=1"], "d=2": BY_INCREMENT["d=0.1"]})) == ["d=2", "d=10"]


def test_conditions_that_are_not_several_stored_increments_are_not_compared():
    dense, sparse = BY_INCREMENT.values()
    cases = {
        "no numbers": {"dense": dense, "sparse": sparse},
        "one increment": {"d=1": sparse},
        "one finished": {"d=1": [diverged(dx=1.0)], "d=0.1": dense},
        "one stored": {"d=1": sparse, "d=0.1": []},
        **{name: {name: sparse, "d=0.1": dense} for name in ("d=1.2.3", "d=.", "d=")},
    }
    for case, conditions in cases.items():
        assert by_increment(conditions) is None, case


def test_what_was_not_measured_is_not_drawn():
    drawings = (paper.phase_diagram, paper.hole_map, paper.artefacts)
    assert not any(paper.measured(draw, {}) for draw in drawings)
    assert paper.measured(paper.neighbours, {})
    for lacking in ("on_grid.ceiling", "up1-features.umap_r2"):
        run = record_with([0.0, 0.5])
        assert [paper.measured(draw, {"d=1": [run]}) for draw in drawings] == [True, False, True]
        del run.rows[0][lacking]  # known at the last checkpoint alone
        assert [paper.measured(draw, {"d=1": [run]}) for draw in drawings] == [False, False, False], lacking
