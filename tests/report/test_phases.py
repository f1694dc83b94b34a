"""Phases A, B and C of a run: which checkpoint shows each, and what is said of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.report import phases
from bumplab.runs.store import RunRecord
from tests.report.planted import OWN, record_of

SHARES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12)


def run_of(shares):
    """A run with these (right, wrong) shares of single bumps, 10 steps apart."""
    rows = [
        {"step": 10.0 * i, "probe.correct": right, "probe.single-wrong": wrong}
        for i, (right, wrong) in enumerate(shares)
    ]
    return RunRecord(OWN[0], rows)


def steps_of(*shares):
    return [phase.step for phase in phases.phases_of(run_of(shares))]


NONE, WRONG, RIGHT = (0.0, 0.1), (0.1, 0.8), (0.9, 0.1)


def test_a_and_b_are_shown_by_their_middle_and_c_by_the_last_checkpoint():
    assert steps_of(NONE, NONE, NONE, WRONG, WRONG, WRONG, RIGHT, RIGHT) == [10, 40, 70]
    assert steps_of(NONE, NONE, RIGHT, RIGHT) == [10, None, 30], "no checkpoint lies in phase B"
    assert steps_of(WRONG, WRONG, RIGHT, RIGHT) == [None, 10, 30]
    assert steps_of(NONE, NONE, NONE) == [10, None, 20]
    assert steps_of(RIGHT) == [None, None, 0], "a run that failed at once"


def test_a_run_that_ends_before_c_is_not_said_to_reach_it():
    reached = [phases.phases_of(run_of(shares))[2].what for shares in ((NONE, WRONG, WRONG), (NONE, RIGHT, RIGHT))]
    assert reached == ["not reached at the last step", "single bumps at the right place"]


@given(SHARES)
def test_the_phases_are_in_order_whatever_the_run(shares):
    record = run_of(shares)
    steps = [step for step in steps_of(*shares) if step is not None]
    assert steps == sorted(set(steps))
    assert set(steps) <= {row["step"] for row in record.rows}
    assert steps[-1] == record.rows[-1]["step"]


def test_a_caption_has_the_numbers_of_its_checkpoint():
    record = record_of(OWN[0], np.random.default_rng(0))
    shares = {"A": ("0 %", "12 %"), "B": ("12 %", "75 %"), "C": ("88 %", "12 %")}
    for phase in phases.phases_of(record):
        told = OWN[0].measured_steps().index(phase.step) / 10
        for words in (*shares[phase.name], "F is 0.16", "O 0.40", f"O {told:.2f}"):
            assert words in phases.caption(record, phase), words
    record.rows[-1] |= {"layer4.told": np.nan, "layer4.flatness": np.nan}
    assert "F is not known" in phases.caption(record, phase)
    assert "O not known" in phases.caption(record, phase)
    assert "no checkpoint" in phases.caption(record, phases.Phase("B", "wrong", None))


def test_neighbours_in_label_space_have_like_colours_and_corners_have_none_alike():
    corners = phases.colours(np.array([[3.0, 3.0], [12.0, 3.0], [3.0, 12.0], [12.0, 12.0]]), 3, 12)
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    assert apart[~np.eye(4, dtype=bool)].min() > 0.4
    line = np.stack([np.linspace(3, 12, 200)] * 2, axis=1)
    assert np.linalg.norm(np.diff(phases.colours(line, 3, 12), axis=0), axis=1).max() < 0.05
    outside = phases.colours(np.array([[99.0, -9.0]]), 3, 12)
    assert outside[0] == pytest.approx(corners[1]), "as the nearest corner"


def test_the_figure_shows_samples_and_points_of_each_phase(tmp_path):
    record = record_of(OWN[0], np.random.default_rng(0))
    figure = phases.figure(record, phases.phases_of(record))
    sheets = [axis for axis in figure.axes if axis.images and axis.get_title()]
    clouds = [inset for axis in figure.axes for inset in axis.child_axes if inset.name == "3d"]
    assert [axis.get_title().partition(":")[0] for axis in sheets] == ["A", "B", "C"]
    assert [len(axis.collections[0].get_offsets()) for axis in clouds] == [24] * 3
    no_b = run_of([NONE, NONE, RIGHT, RIGHT])
    no_b.evidence = {}
    for step in (10, 30):
        no_b.evidence |= {f"{step}/{name.partition('/')[2]}": array for name, array in record.evidence.items()}
    figure = phases.figure(no_b, phases.phases_of(no_b))
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["no checkpoint\nlies in this phase"]
    figure.savefig(tmp_path / "f.svg")
