"""The report's figures show the numbers of the runs: colours are means, dots are crossings, artefacts are means."""

from dataclasses import replace

import numpy as np
import pytest

from bumplab import profiles
from bumplab.report import charts, paper
from bumplab.report.document import RunReference
from bumplab.report.paper_figures import phase_diagram
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
                "off_grid.accuracy": min(accuracy, 0.3), "layer4.umap_r2": accuracy / 2, "layer4-injected.umap_r2": 0.9,
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
    for names, rows in [
        (("d=0.1", "d=1"), "increment d, pixels"),
        (("sigma=0.5", "sigma=1"), "sigma, pixels"),
        (("a", "b"), "condition"),
    ]:
        panel, _, colours = paper.phase_diagram(dict(zip(names, BY_INCREMENT.values(), strict=True))).axes
        assert (panel.get_ylabel(), colours.get_ylabel()) == (rows, "accuracy or R^2"), names


def test_a_failed_seed_counts_up_to_where_it_failed_and_blanks_nothing_else():
    failed = {"d=1": [record_with([0.1]), record_with([0.3, 0.5, 0.7, 0.7], 11)], "d=4": [record_with([0.2, 0.4])]}
    accuracy, r2 = (axis.collections[0].get_array() for axis in paper.phase_diagram(failed).axes[:2])
    assert np.allclose(accuracy[0].filled(-1), [0.2, 0.5, 0.7, 0.7])
    assert np.allclose(accuracy[1].filled(-1), [0.2, 0.4, -1, -1])
    assert (r2.mask == accuracy.mask).all()


def test_runs_of_one_checkpoint_can_be_drawn(tmp_path):
    paper.phase_diagram({"d=1": [record_with([0.5])]}).savefig(tmp_path / "one.svg")


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
    low.rows[-1]["layer4-injected.umap_r2"] = -0.4
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


def test_a_figure_is_drawn_where_all_runs_hold_its_numbers():
    figure = phase_diagram("Fig. 4")
    assert figure.note.startswith("As Fig. 4. ")
    assert len(figure.draw(BY_INCREMENT).axes) == 3
    for lacking in figure.rows:
        run = record_with([0.0, 0.5])
        for shown in (figure, paper.ARTEFACTS_FIGURE):
            assert paper.measured(shown, {"d=1": [run]}), lacking
            assert not paper.measured(shown, {}), lacking
        del run.rows[0][lacking]  # known at the last checkpoint alone
        for shown in (figure, paper.ARTEFACTS_FIGURE):
            assert not paper.measured(shown, {"d=1": [run]}), lacking
            assert not paper.measured(shown, {"d=1": [record_with([0.5]), run]}), lacking
    empty = record_with([])
    assert not paper.measured(figure, {"d=1": [empty]})
    assert paper.measured(figure, {"d=1": [diverged()]})
    assert not paper.measured(paper.ARTEFACTS_FIGURE, {"d=1": [diverged()]}), "failed runs are not shown"
    assert paper.measured(replace(figure, rows=()), {}), "a figure without runs"
    samples = replace(figure, rows=(), label_sets=("in_hole",))
    assert not paper.measured(samples, {"d=1": [run]})
    run.evidence["10/in_hole.modes"] = np.zeros(1)
    assert paper.measured(samples, {"d=1": [run]})
