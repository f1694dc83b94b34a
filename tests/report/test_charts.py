"""Which figures stand in a report, in a claim's section and in a folder, and what is said below them."""

import re
import shutil
from html import unescape

import numpy as np
import pytest

from bumplab.report import charts, figures
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.suite import OURS
from bumplab.verdicts.suite import claims as claims_of
from tests.report.planted import (
    DENSITY,
    HOSTILE,
    OWN,
    PAPER_FIGURES,
    PHASES,
    REPORT,
    claim_of,
    part_of,
    report_of,
    runs_of,
    section_of,
    shown,
    write,
)


@pytest.mark.slow
def test_a_figure_is_not_written_through_a_link(tmp_path):
    """A folder of figures that someone handed over."""
    (tmp_path / "precious").write_text("x")
    write(tmp_path, REPORT, tmp_path / "figures")
    for path in (figures_made := sorted((tmp_path / "figures").iterdir())):
        path.unlink()
        path.symlink_to(tmp_path / "precious")
    shutil.rmtree(tmp_path / "runs")
    write(tmp_path, REPORT, tmp_path / "figures")
    assert (tmp_path / "precious").read_text() == "x"
    assert not any(path.is_symlink() for path in figures_made)


def test_figures_are_written_for_a_paper(report_files):
    assert report_files.drawn == 5  # three claims and two controls: the page and the folder share what is drawn
    paths = list(report_files.figures.iterdir())
    drawn = {
        "phases", "phases-control-1", "phases-effects-0", "phases-paper", "phases-seeds", "density", "density-paper",
        "density-control-1", "density-control-1-paper", "density-effects-0", "density-seeds", "overlap-paper",
        "overlap-seeds", "seeds", "seeds-seeds",
    }  # fmt: skip
    assert {path.name for path in paths} == {f"{name}.{suffix}" for name in drawn for suffix in ("svg", "png")}
    assert all(path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml") for path in paths)


def test_a_claim_without_conditions_has_no_figure_of_its_runs():
    for claim in ("density", "hole"):
        assert list(charts.of_claim(claim_of(claim), {}, PAPER_FIGURES["density"], {})) == [], claim


def test_a_chart_that_cannot_be_drawn_is_a_line_and_costs_nothing_else(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no <such>\nnumber")

    monkeypatch.setattr(charts.phases, "figure", broken)
    monkeypatch.setattr(charts.effects, "by_seed", broken)
    monkeypatch.setattr(charts.figures, "learning_curves", broken)
    text = write(tmp_path, report_of(DENSITY, PHASES), tmp_path / "figures").read_text()
    lines = shown(text)
    for what in ("Effects by seed, one,", "Effects by seed, pace,", "Phase A", "Phase B", "Phase C"):
        assert f"{what}: cannot be drawn (ValueError: no <such> number)" in lines
    assert lines.count("Learning curves: cannot be drawn") == 4
    assert 'aria-label="The paper' in text
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert names == {"density-paper", "density-control-1-paper", "density-effects-0", "phases-effects-0"}


def test_names_that_look_like_formulas_are_drawn_as_they_are(tmp_path):
    claim = claim_of(
        "phases",
        parts=[part_of("$\\no_{$", unit="$u_{$")],
        curves={"probe.correct": "$cost"},
        conditions=runs_of("$\\d_{$", OWN),
    )
    text = unescape(write(tmp_path, report_of(claim)).read_text())
    assert "cannot be drawn" not in text
    assert all(f">{name}<" in text for name in ("$cost", "$\\d_{$", "$u_{$"))


def test_learning_curves_go_on_where_one_seed_failed():
    runs = [
        Curves([{"step": s, "r2": v} for s, v in enumerate(curve)], OWN[0])
        for curve in ([0.0, 0.2], [-0.4, 0.2, 0.6, 0.8])
    ]
    axis = figures.learning_curves({"d": runs}, {"r2": "R^2"}, {"d": [{}, {}]}).axes[0]
    (mean,) = (line for line in axis.lines if line.get_marker() == "o")
    assert mean.get_xdata().tolist() == [0, 1, 2, 3]
    assert np.allclose(mean.get_ydata(), [-0.2, 0.2, 0.6, 0.8])
    assert axis.get_ylim()[0] < -0.4


def test_every_learning_curve_is_drawn_and_differs_from_the_others():
    names = {f"n{k}": f"title {k}" for k in range(len(figures.COLOURS))}
    run = Curves([{"step": s, **dict.fromkeys(names, 0.5)} for s in (0, 1)], OWN[0])
    figure = figures.learning_curves({"d": [run]}, names, {"d": [{}]})
    means = [line for line in figure.axes[0].lines if line.get_label() in names.values()]
    assert [line.get_label() for line in means] == list(names.values())
    for look in ("get_color", "get_marker"):
        assert len({getattr(line, look)() for line in means}) == len(names), look
    with pytest.raises(ValueError, match="8 curves"):
        figures.learning_curves({"d": [run]}, {**names, "one more": "t"}, {"d": [{}]})


def test_the_curves_of_each_claim_can_be_told_apart():
    assert max(len(claim.curves) for claim in claims_of(OURS)) <= len(figures.COLOURS)


def test_learning_curves_have_a_row_and_a_label_for_each_unit():
    names = ("probe.correct", "layer4.told", "layer4.order_x", "layer4.flatness", "probe.error_y", "layer4.umap_r2")
    run, titles = Curves([dict.fromkeys(("step", *names), 0.5)], OWN[0]), {name: name for name in names}
    axes = figures.learning_curves({"a": [run], "b": [run]}, titles, {"a": [{}], "b": [{}]}).axes
    assert [axis.get_ylabel() for axis in axes[::2]] == [
        "share of samples",
        "order O",
        "flatness F",
        "error, pixels",
        "R^2",
    ]
    assert not any(axis.get_ylabel() for axis in axes[1::2]), "both conditions have one axis"
    drawn = [[line.get_label() for line in axis.lines if line.get_label() in names] for axis in axes[::2]]
    assert drawn == [[names[0]], [*names[1:3]], [names[3]], [names[4]], [names[5]]]


def test_equal_curves_do_not_hide_one_another():
    """The later one is thinner and lies in front, so that the earlier one shows beside it."""
    names = {"layer4.told_x": "x", "layer4.told_y": "y"}
    run = Curves([{"step": s, **dict.fromkeys(names, 0.5)} for s in range(9)], OWN[0])
    (axis,) = figures.learning_curves({"d": [run]}, names, {"d": [{}]}).axes
    behind, front = (line for line in axis.lines if line.get_label() in names.values())
    assert behind.get_linewidth() > front.get_linewidth() + 1
    assert set(behind.get_markevery()).isdisjoint(front.get_markevery())


def test_captions_say_whose_runs_are_shown_and_what_is_left_out(written):
    density = section_of(written, "density")
    captions = [shown(caption) for caption in re.findall(r"<figcaption>.*?</figcaption>", density, re.S)]
    controls = [unescape(caption) for caption in captions if "Control: " in caption]
    assert controls == [f"Control: one name (the claim is false here). {HOSTILE}"] * 2, (
        "the paper's figure and the curves"
    )
    assert sum(caption.startswith(charts.CLAIMS_RUNS) for caption in captions) == 2
    assert charts.CURVES_NOTE + charts.LINKED_NOTE in shown(density)
    assert PAPER_FIGURES["density"].note in shown(density)


def test_a_control_stands_beside_its_claim_whatever_it_changes(written):
    phases = section_of(written, "phases")
    captions = [shown(caption) for caption in re.findall(r"<figcaption>.*?</figcaption>", phases, re.S)]
    assert captions[-3].startswith(charts.CLAIMS_RUNS)
    assert captions[-2].startswith(f"Control: {HOSTILE}".split(".")[0])
    drawn = phases.partition('aria-label="Effects of one beside those of its controls')[2].partition("</figure>")[0]
    assert ">planted<" in drawn  # it changes measurements alone, and has no runs of its own to draw
    assert drawn.count(">(it is ") == 2
    assert "beside those of its controls" not in section_of(written, "overlap") + section_of(written, "seeds")


def test_conditions_of_one_name_rise_and_others_keep_their_place():
    conditions = {name: [] for name in ("dy=0.1", "dy=3", "balanced", "dy=2", "dense sigma=1, d=2")}
    assert list(charts._stored(conditions, {})) == ["dy=0.1", "dy=2", "dy=3", "balanced", "dense sigma=1, d=2"]
