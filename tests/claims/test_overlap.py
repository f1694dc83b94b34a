"""Overlapping neighbours counted for real, by brute force, and with a bump that widens faster than its spread."""

import math

import numpy as np
import pytest

import bumplab.data.bumps
from bumplab.data.bumps import render
from bumplab.data.overlap import overlap
from bumplab.verdicts.decision import decide
from bumplab.verdicts.looks import Looks
from tests.claims.checks import claim_of

CLAIM = claim_of("overlap")
AXIS, PLANE = CLAIM.parts
LOOKS = Looks(3, 14, needed=180)


def no_runs(part, seeds):
    raise AssertionError("it needs no runs")


def test_linear_along_an_axis_and_quadratic_over_the_plane():
    verdict = decide(CLAIM, no_runs, LOOKS)
    assert verdict.verdict == "SUPPORTED", "the plane is shown and not judged"
    along, over = verdict.parts
    assert (along.verdict, over.verdict) == ("SUPPORTED", "CONTRADICTED")
    assert along.estimate == pytest.approx(1, abs=0.06)
    assert over.estimate == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("power", "expected"), [(0.5, "SUPPORTED"), (1.0, "SUPPORTED"), (1.15, "CONTRADICTED")])
def test_the_exponents_are_those_of_the_bumps(monkeypatch, power, expected):
    def widening(labels, image_size, sigma):
        return render(labels, image_size, sigma**power)

    monkeypatch.setattr(bumplab.data.bumps, "render", widening)
    verdict = decide(CLAIM, no_runs, LOOKS)
    assert verdict.verdict == expected, verdict.reason
    for part, dimensions in zip(verdict.parts, (1, 2), strict=True):
        assert part.estimate == pytest.approx(dimensions * power, abs=0.1 * dimensions), part.name


def test_neighbours_are_counted_as_by_hand():
    """Four places in x and y, five neighbours on each axis, one of which is the bump itself."""
    count_axis, count_plane = (part.effect.__closure__[0].cell_contents for part in (AXIS, PLANE))
    random = np.random.default_rng(3)
    overlaps = random.uniform(0, 0.99, (4, 5))
    overlaps[:, 2] = 1.0
    for threshold in (0.1, 0.5, 0.9):
        along = np.mean([sum(overlaps[x] > threshold) - 1 for x in range(4)])
        over = np.mean([np.sum(np.outer(overlaps[x], overlaps[y]) > threshold) - 1 for x in range(4) for y in range(4)])
        assert count_axis(overlaps, threshold) == pytest.approx(along)
        assert count_plane(overlaps, threshold) == pytest.approx(over)


def test_overlaps_are_the_closed_form_where_bumps_are_wide():
    overlaps = CLAIM.figure.draw.__globals__["overlaps"](1.0)
    distances = 0.1 * np.arange(-80, 81)
    closed = np.array([math.exp(-(distance**2) / 16) for distance in distances])
    assert overlaps.shape == (10, 161)
    assert np.allclose(overlaps, closed, atol=2e-3)


def test_its_figure_draws_the_overlap_and_both_counts():
    left, right = CLAIM.figure.draw({}).axes
    line = next(line for line in left.lines if line.get_label() == "sigma = 0.7")
    assert line.get_ydata()[20] == overlap(2.0, 0.7, 32)
    slopes = [np.polyfit(np.log(line.get_xdata()), np.log(line.get_ydata()), 1)[0] for line in right.lines]
    assert slopes == pytest.approx([1, 2], abs=0.15)
