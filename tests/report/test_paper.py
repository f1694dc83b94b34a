"""The paper's figures show what the runs say: colours are means, dots are crossings, marks are modes."""

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.data.bumps import in_hole
from bumplab.data.overlap import overlap
from bumplab.measure.accuracy import MODES
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
    "d=0.1": [record_with([0.0, 0.2, 0.6, 0.8]), record_with([0.0, 0.0, 0.6, 0.6], 11)],
    "d=1": [record_with([0.0, 0.0, 0.0, 0.1], dx=1.0), record_with([0.0, 0.0, 0.0, 0.6], 11, dx=1.0)],
}


def test_a_phase_diagram_colours_means_and_dots_crossings():
    figure = paper.phase_diagram(BY_INCREMENT)
    accuracy, r2 = (axis.collections[0].get_array() for axis in figure.axes[:2])
    assert np.allclose(accuracy, [[0, 0.1, 0.6, 0.7], [0, 0, 0, 0.35]])
    assert np.allclose(r2, accuracy / 2)
    dots = np.concatenate([points.get_offsets()[:, 0] for points in figure.axes[0].collections[1:]])
    # half of the ceiling of 0.8; not one that has it at the last alone
    assert sorted(dots) == pytest.approx([15, 10 + 10 / 1.5])


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


def test_neighbours_are_drawn_from_the_overlap_itself():
    axis = paper.neighbours({}).axes[0]
    line = next(line for line in axis.lines if line.get_label() == "sigma = 0.7")
    assert line.get_ydata()[20] == overlap(2.0, 0.7, 32)


def test_artefacts_are_means_at_the_last_checkpoint():
    heads, rows = paper.artefact_table(BY_INCREMENT)
    assert len(heads) == 6
    assert rows["d=0.1"] == pytest.approx([0.8, 1.0, 0.7 / 0.8, 0.3, 0.35, 0.9])
    panels = paper.artefacts(BY_INCREMENT).axes
    means = [
        line.get_ydata()
        for line in panels[1].lines
        if len(line.get_ydata()) == len(BY_INCREMENT) and line.get_ls() == "-"
    ]
    assert [list(y) for y in means] == [pytest.approx([0.7 / 0.8, 0.35 / 0.8]), pytest.approx([0.3, 0.2])]


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
    del run.rows[-1][lacking]
    assert not paper.measured(paper.phase_diagram, {"d=1": [run]})
    assert not paper.measured(paper.artefacts, {"d=1": [run]})


def test_conditions_of_another_kind_are_no_increments():
    run, other = BY_INCREMENT["d=1"]
    claims = [{"claim": "density", "conditions": {"dense": [{"key": run.key}], "sparse": [{"key": other.key}]}}]
    assert charts.by_increment(claims, {run.key: run, other.key: other}) is None
