"""The paper's phase diagram shows the numbers of the runs: colours are means, dots are crossings."""

from dataclasses import replace

import numpy as np
import pytest

from bumplab import profiles
from bumplab.report import paper
from bumplab.report.paper_figures import phase_diagram
from bumplab.runs.store import RunRecord
from bumplab.verdicts.effects import HALF
from tests.report.extents import require_readable

SMOKE = profiles.get("smoke")


def record_with(accuracies, seed=10, **changes):
    """A run with these accuracies by eq. 1, twice as much share of right bumps up to 1, and half as much O as told."""
    record = RunRecord(SMOKE.run(seed, **changes))
    for step, accuracy in enumerate(accuracies):
        right = min(1.0, 2 * accuracy)
        numbers = {"probe.accuracy": accuracy, "probe.correct": right, "layer4.told": accuracy / 2}
        record.rows.append({"step": 10.0 * step, **numbers})
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
    accuracy, told = (axis.collections[0].get_array() for axis in figure.axes[:2])
    assert np.allclose(accuracy, [[0, 0.1, 0.5, 0.5], [0, 0, 0, 0.35]])
    assert np.allclose(told, accuracy / 2)
    dots = np.concatenate([points.get_offsets()[:, 0] for points in figure.axes[0].collections[1:]])
    assert HALF == 0.5
    # right bumps pass a half from accuracy 0.25 on; not in one that has it at the last alone
    assert sorted(dots) == pytest.approx([10 + 10 / 6, 15])


def test_a_phase_diagram_says_what_its_rows_and_colours_are():
    for names, rows in [
        (("d=0.1", "d=1"), "increment d, pixels"),
        (("sigma=0.5", "sigma=1"), "sigma, pixels"),
        (("a", "b"), "condition"),
    ]:
        panel, _, colours = paper.phase_diagram(dict(zip(names, BY_INCREMENT.values(), strict=True))).axes
        assert (panel.get_ylabel(), colours.get_ylabel()) == (rows, "accuracy or O"), names


def test_a_failed_seed_counts_up_to_where_it_failed_and_blanks_nothing_else():
    failed = {"d=1": [record_with([0.1]), record_with([0.3, 0.5, 0.7, 0.7], 11)], "d=4": [record_with([0.2, 0.4])]}
    accuracy, told = (axis.collections[0].get_array() for axis in paper.phase_diagram(failed).axes[:2])
    assert np.allclose(accuracy[0].filled(-1), [0.2, 0.5, 0.7, 0.7])
    assert np.allclose(accuracy[1].filled(-1), [0.2, 0.4, -1, -1])
    assert (told.mask == accuracy.mask).all()


def test_runs_of_one_checkpoint_can_be_drawn(tmp_path):
    paper.phase_diagram({"d=1": [record_with([0.5])]}).savefig(tmp_path / "one.svg")


def test_no_text_of_a_phase_diagram_is_cut_off():
    for name in ("d=1", "d=0.1 at a condition of a long name"):
        require_readable(paper.phase_diagram({name: [record_with([0.5])]}))


def test_a_figure_is_drawn_where_all_runs_hold_its_numbers():
    figure = phase_diagram("Fig. 4")
    assert figure.note.startswith("As Fig. 4. ")
    assert len(figure.draw(BY_INCREMENT).axes) == 3
    for lacking in figure.rows:
        run = record_with([0.0, 0.5])
        assert paper.measured(figure, {"d=1": [run]}), lacking
        assert not paper.measured(figure, {}), lacking
        del run.rows[0][lacking]  # known at the last checkpoint alone
        assert not paper.measured(figure, {"d=1": [run]}), lacking
        assert not paper.measured(figure, {"d=1": [record_with([0.5]), run]}), lacking
    empty = record_with([])
    assert not paper.measured(figure, {"d=1": [empty]})
    assert paper.measured(figure, {"d=1": [diverged()]})
    assert not paper.measured(replace(figure, finished_only=True), {"d=1": [diverged()]}), "failed runs are not shown"
    assert paper.measured(replace(figure, rows=()), {}), "a figure without runs"
    samples = replace(figure, rows=(), label_sets=("in_hole",))
    assert not paper.measured(samples, {"d=1": [run]})
    run.evidence["10/in_hole.modes"] = np.zeros(1)
    assert paper.measured(samples, {"d=1": [run]})
