"""Overlapping neighbours counted for real, and with a bump that widens faster than its spread."""

import math

import pytest

import bumplab.data.overlap
from bumplab.verdicts.decision import decide, decide_in_looks
from bumplab.verdicts.error_rate import Looks
from tests.claims.checks import claim_of

CLAIM = claim_of("overlap")


def test_supported_and_shown_to_be_quadratic_over_the_plane():
    asked = []
    verdict = decide_in_looks(CLAIM, lambda seeds: asked.append(seeds) or {}, Looks())
    assert (verdict.verdict, verdict.seeds, asked) == ("SUPPORTED", 0, [Looks().first]), verdict.reason
    assert verdict.parts[0].estimate == pytest.approx(1, abs=0.05)
    assert verdict.parts[1].estimate == pytest.approx(2, abs=0.1)
    assert verdict.parts[1].verdict == "CONTRADICTED"  # shown, and decides nothing


def test_not_supported_where_neighbours_grow_faster(monkeypatch):
    for power, expected in ((0.5, "SUPPORTED"), (1.0, "SUPPORTED"), (1.3, "CONTRADICTED")):

        def overlap(distance, sigma, image_size, power=power):
            return math.exp(-(distance**2) / (16 * sigma ** (2 * power)))

        monkeypatch.setattr(bumplab.data.overlap, "overlap", overlap)
        verdict = decide(CLAIM, {}, Looks())
        assert verdict.verdict == expected, (power, verdict.reason)
        assert verdict.parts[0].estimate == pytest.approx(power, abs=0.06), power


def test_its_figure_draws_the_overlap_itself():
    axis = CLAIM.figure.draw({}).axes[0]
    line = next(line for line in axis.lines if line.get_label() == "sigma = 0.7")
    assert line.get_ydata()[20] == bumplab.data.overlap.overlap(2.0, 0.7, 32)
