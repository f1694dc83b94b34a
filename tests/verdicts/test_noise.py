"""The sampling noise of an effect: what redrawing as many images would change, and nothing else."""

import math

import numpy as np
import pytest

from bumplab.verdicts.claim import Claim, Part, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.intervals import Undefined
from bumplab.verdicts.noise import sampling_noise


def claim(effect, rates=("off_grid.correct",)):
    part = Part(name="share", unit="u", region=Region(low=0), why="because", effect=effect, rates=rates)
    return Claim(
        id="hole",
        statement="s",
        source="Fig. 0",
        prediction="p",
        runs=lambda profile, seed: {},
        parts=(part,),
        curves={},
    )


def share(runs):
    return runs["a"].last("off_grid.correct")


def runs(shares, samples=400, failed=None):
    rows = [[{"step": 0.0, "off_grid.correct": s, "off_grid.samples": samples}] for s in shares]
    return {"a": [Curves(row, failed if i == 0 else None) for i, row in enumerate(rows)]}


def test_a_share_has_binomial_noise():
    shares = np.linspace(0.4, 0.6, 30)
    for samples in (100, 2_500):
        of_share = sampling_noise(claim(share), runs(shares, samples))["share"]
        expected = math.sqrt(np.mean(shares * (1 - shares)) / samples)
        assert of_share["noise"] == pytest.approx(expected, rel=0.1), samples  # 30 seeds of 40 redraws: known to 2 %
        assert of_share["spread"] == pytest.approx(shares.std(ddof=1))
        assert of_share["ratio"] == of_share["noise"] / of_share["spread"]
    assert sampling_noise(claim(share), runs([0.5, 0.5]))["share"]["ratio"] is None, "seeds that do not differ"
    assert sampling_noise(claim(share, rates=()), runs([0.2, 0.4])) == {}, "a part without rates"


def test_seeds_whose_effect_is_not_known_are_left_out():
    def known_below_a_half(runs):
        value = share(runs)
        if value > 0.9:
            raise Undefined("too high")
        return value, math.inf if value > 0.8 else value

    certain = [0.0, 0.0, 1.0, 0.85]  # shares of 0 stay 0 when drawn again
    of_share = sampling_noise(claim(known_below_a_half), runs(certain))["share"]
    assert (of_share["noise"], of_share["spread"]) == (0, 0)
    assert sampling_noise(claim(known_below_a_half), runs([0.0, 1.0, 0.85])) == {}
    assert sampling_noise(claim(share), runs([0.2, 0.4], failed="the loss is nan")) == {}


def test_what_is_no_number_is_no_noise():
    """A ratio to an accuracy of 0 is infinite, and a share on the edge of what is defined may have no known redraw."""

    def over(runs):
        return math.inf if share(runs) == 0 else 1 / share(runs)

    of_share = sampling_noise(claim(over), runs([0.0, 0.5, 0.6, 0.0]))["share"]
    assert all(math.isfinite(value) for value in of_share.values())

    def at_the_edge(runs):
        if share(runs) not in (0.123, 0.456):  # never of so many images
            raise Undefined("between images")
        return share(runs)

    assert sampling_noise(claim(at_the_edge), runs([0.123, 0.456], samples=10)) == {}
