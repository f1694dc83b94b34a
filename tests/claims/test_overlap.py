"""Overlapping neighbours counted for real, and with a bump that widens faster than its spread."""

import math

import pytest

import bumplab.data.overlap
from bumplab.verdicts.decision import decide, decide_in_looks
from bumplab.verdicts.error_rate import Looks


def test_supported_and_shown_to_be_quadratic_over_the_plane(load):
    found = decide(load("overlap"), {}, Looks())
    assert found.verdict == "SUPPORTED", found.reason
    assert found.parts[0].estimate == pytest.approx(1, abs=0.05)
    assert found.parts[1].estimate == pytest.approx(2, abs=0.1)
    assert found.parts[1].verdict == "CONTRADICTED"  # shown, and decides nothing


def test_it_asks_for_no_runs_and_for_one_look(load):
    asked = []
    found = decide_in_looks(load("overlap"), lambda seeds: asked.append(seeds) or {}, Looks())
    assert asked == [Looks().first]
    assert (found.verdict, found.seeds) == ("SUPPORTED", 0)


@pytest.mark.parametrize(("power", "verdict"), [(0.5, "SUPPORTED"), (1.0, "SUPPORTED"), (1.3, "CONTRADICTED")])
def test_not_supported_where_neighbours_grow_faster(load, monkeypatch, power, verdict):
    def overlap(distance, sigma, image_size):
        return math.exp(-(distance**2) / (16 * sigma ** (2 * power)))

    monkeypatch.setattr(bumplab.data.overlap, "overlap", overlap)
    found = decide(load("overlap"), {}, Looks())
    assert found.verdict == verdict, found.reason
    assert found.parts[0].estimate == pytest.approx(power, abs=0.06)
