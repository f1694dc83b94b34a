"""Which figures stand in a report, in a claim's section and in a folder, and what is said below them."""

import base64
import re
import shutil
import sys
from html import unescape

import cv2
import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.data.bumps import render
from bumplab.measure.accuracy import TOLERANCE
from bumplab.measure.names import SHOWN
from bumplab.profiles import QUICK
from bumplab.report import charts, figures
from bumplab.runs.store import RunRecord
from bumplab.verdicts.curves import Curves
from tests.report.planted import (
    DENSITY,
    HOSTILE,
    OWN,
    PAPER_FIGURES,
    REPORT,
    claim_of,
    part_of,
    report_of,
    rows_of,
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
        "claims", "phases", "phases-control-1", "density", "density-paper", "density-control-1",
        "density-control-1-paper", "density-effects", "phases-effects", "overlap-paper", "seeds", "artefacts",
        "manifold-seed-10", "manifold-seed-11",
    }  # fmt: skip
    assert {path.name for path in paths} == {f"{name}.{suffix}" for name in drawn for suffix in ("svg", "png")}
    assert all(path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml") for path in paths)


def test_a_claim_without_conditions_has_no_figure_of_its_runs():
    for claim in ("density", "hole"):
        assert list(charts.of_claim(claim_of(claim), {}, PAPER_FIGURES[claim])) == [], claim


def test_a_chart_that_cannot_be_drawn_is_a_line_and_costs_nothing_else(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no <such>\nnumber")

    monkeypatch.setattr(charts.paper, "artefacts", broken)
    monkeypatch.setattr(charts.effects, "forest", broken)
    monkeypatch.setattr(charts.figures, "learning_curves", broken)
    text = write(tmp_path, report_of(DENSITY), tmp_path / "figures").read_text()
    lines = shown(text)
    assert "The deciding effect of each claim: cannot be drawn (ValueError: no <such> number)" in lines
    assert "What raw accuracy hides: cannot be drawn (ValueError: no <such> number)" in lines
    assert lines.count("Learning curves: cannot be drawn") == 2
    assert "d=0.1 0.5 0.5 1 1 0.25 0.75" in lines  # the artefacts' table
    assert 'aria-label="The paper' in text
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert names == {"density-paper", "density-control-1-paper", "density-effects"}


def test_names_that_look_like_formulas_are_drawn_as_they_are(tmp_path):
    claim = claim_of(
        "phases",
        parts=[part_of("$\\no_{$")],
        curves={"on_grid.correct": "$cost"},
        conditions=runs_of("$\\d_{$", OWN),
    )
    text = unescape(write(tmp_path, report_of(claim)).read_text())
    assert "cannot be drawn" not in text
    assert all(f">{name}<" in text for name in ("$cost", "$\\d_{$", "phases: $\\no_{$"))


def test_learning_curves_go_on_where_one_seed_failed():
    runs = [
        Curves([{"step": s, "r2": v} for s, v in enumerate(curve)]) for curve in ([0.0, 0.2], [-0.4, 0.2, 0.6, 0.8])
    ]
    axis = figures.learning_curves({"d": runs}, {"r2": "R^2"}, {"d": ["a", "b"]}).axes[0]
    (mean,) = (line for line in axis.lines if line.get_marker() == "o")
    assert mean.get_xdata().tolist() == [0, 1, 2, 3]
    assert np.allclose(mean.get_ydata(), [-0.2, 0.2, 0.6, 0.8])
    assert axis.get_ylim()[0] < -0.4


def test_learning_curves_say_what_they_measure():
    labels = {
        ("on_grid.correct", "on_grid.none"): "share of samples",
        ("layer4-injected.umap_r2", "layer4-injected.pca_r2"): "R^2",
        ("on_grid.correct", "layer4-injected.umap_r2", "layer4-injected.pca_r2"): "share of samples or R^2",
    }
    for names, label in labels.items():
        run, titles = Curves([dict.fromkeys(("step", *names), 0.5)]), dict.fromkeys(names, "t")
        first, second = figures.learning_curves({"a": [run], "b": [run]}, titles, {"a": ["k"], "b": ["l"]}).axes
        assert (first.get_ylabel(), second.get_ylabel()) == (label, ""), "both have one axis"


def test_captions_say_whose_runs_are_shown_and_what_is_left_out(written):
    density = section_of(written, "density")
    captions = [shown(caption) for caption in re.findall(r"<figcaption>.*?</figcaption>", density, re.S)]
    controls = [unescape(caption) for caption in captions if "Control: " in caption]
    assert controls == [f"Control: one name. {HOSTILE}"] * 2, "the paper's figure and the learning curves"
    assert sum(caption.startswith(charts.CLAIMS_RUNS) for caption in captions) == 2
    assert charts.CURVES_NOTE in shown(density)
    assert PAPER_FIGURES["density"].note in shown(density)
    assert charts.CEILING_NOTE not in shown(density)
    assert charts.CEILING_NOTE in shown(section_of(written, "phases"))
    assert "left out" in shown(section_of(written, "artefacts"))
    for words in ("first 25 samples", "2,000 each at quick", "at least a pixel inside", "failed are left out"):
        assert words in PAPER_FIGURES["hole"].note
    assert (SHOWN, QUICK.hole_samples, TOLERANCE) == (25, 2_000, 1.0), "the caption of the hole's map says so"


def test_what_raw_accuracy_hides_is_drawn_and_in_numbers(written):
    dense, sparse = rows_of(section_of(written, "artefacts"), "Increment")
    assert dense == "d=0.1 0.5 0.5 1 1 0.25 0.75"
    assert sparse.startswith("d=1 ")
    assert '<a href="#density">' in section_of(written, "artefacts")


def test_a_control_stands_beside_its_claim_whatever_it_changes(written):
    phases = section_of(written, "phases")
    captions = [shown(caption) for caption in re.findall(r"<figcaption>.*?</figcaption>", phases, re.S)]
    own, control = (caption.split(".")[0] for caption in captions[:2])
    assert (f"{own}.", control) == (charts.CLAIMS_RUNS, f"Control: {HOSTILE}".split(".")[0])
    drawn = phases.partition('aria-label="Effects beside those of its controls')[2].partition("</figure>")[0]
    assert ">planted<" in drawn  # it changes measurements alone, and has no runs of its own to draw
    assert drawn.count(">(a world where it is ") == 2
    assert "Effects beside" not in section_of(written, "overlap") + section_of(written, "seeds")


def test_samples_are_marked_where_the_bump_should_be():
    """A bump rendered at its label lies under its mark on the sheet."""
    spec = profiles.get("smoke").run(0)
    labels = torch.tensor([[4.0, 9.0], [12.0, 3.0]])
    record = RunRecord(spec, [{"step": 0}])
    record.evidence = {
        "0/on_grid.images": render(labels, 16, 1.0).round().to(torch.uint8).numpy(),
        "0/on_grid.labels": labels.numpy(),
        "0/on_grid.positions": labels.numpy(),
        "0/on_grid.modes": np.array([3, 3], np.uint8),
    }
    sheet = figures.sample_sheet(record, 0)
    png = np.frombuffer(base64.b64decode(sheet["image"].partition(",")[2]), np.uint8)
    pixels = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)
    for mark in sheet["marks"]:
        x, y = mark["asked"]
        assert pixels[int(y), int(x)] == 0  # the bump's darkest pixel
        assert mark["found"] == mark["asked"]


def test_a_sheet_needs_no_opencv_but_for_outlines(monkeypatch):
    image = np.full((16, 16), 255, np.uint8)
    image[4:7, 4:7] = 0
    assert len(figures._outlines(image)) == 1
    monkeypatch.setitem(sys.modules, "bumplab.measure.detector", None)
    assert figures._outlines(image) == []
