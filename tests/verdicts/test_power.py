"""What a part can find, against SciPy's noncentral t, against simulation, and against what must hold of any power."""

import math
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import stats

from bumplab.verdicts.claim import Claim, Design, Part, Region
from bumplab.verdicts.decision import verdict_of
from bumplab.verdicts.error_rate import MAX_SEEDS, Looks, alpha_at
from bumplab.verdicts.intervals import certain, exact_trend, fieller, student_t
from bumplab.verdicts.power import power, seeds_needed, smallest_effect, table

ABOVE, BELOW, WITHIN = Region(low=0.5), Region(high=0.5), Region(-0.5, 0.5)
DESIGN = Design(effect=1.0, spread=0.2, source="a guess")


def part(region=ABOVE, design=DESIGN, interval=student_t, judges=True):
    return Part(
        name="v",
        unit="units",
        region=region,
        why="because",
        effect=lambda runs: 0.0,
        interval=interval,
        judges=judges,
        design=design,
    )


def coarse(region, resolution):
    return part(region, interval=partial(student_t, resolution=resolution))


def test_with_one_edge_power_is_the_noncentral_t():
    for seeds, alpha in ((2, 0.05), (3, 0.003), (5, 0.05), (8, 0.0006), (20, 0.003)):
        quantile = stats.t.ppf(1 - alpha, seeds - 1)
        for away in (-1.0, 0.0, 1.0, 2.5, 10.0):
            case = (seeds, alpha, away)
            expected = stats.nct.sf(quantile, seeds - 1, away * math.sqrt(seeds))
            assert power(part(), 0.5 + 0.2 * away, seeds, alpha) == pytest.approx(expected, abs=2e-3), case
            assert power(part(BELOW), 0.5 - 0.2 * away, seeds, alpha) == pytest.approx(expected, abs=2e-3), case


def test_with_two_edges_power_is_at_least_one_less_both_misses():
    alpha = 0.05
    for seeds in (3, 8):
        quantile = stats.t.ppf(1 - alpha, seeds - 1)
        for effect in (0.0, 0.2, -0.35, 0.5):
            away = [distance / 0.2 * math.sqrt(seeds) for distance in (0.5 - effect, 0.5 + effect)]
            missed = sum(stats.nct.cdf(quantile, seeds - 1, distance) for distance in away)
            computed = power(part(WITHIN), effect, seeds, alpha)
            assert computed >= 1 - missed - 2e-3, (seeds, effect)
            if seeds == 8:  # so many hardly ever miss both edges at once
                assert computed == pytest.approx(max(1 - missed, 0), abs=3e-3), effect


def test_power_is_how_often_the_parts_own_interval_lies_inside():
    draws, random = 20_000, np.random.default_rng(1)
    for region, spread, resolution, effect, seeds, alpha in [
        (ABOVE, 0.2, 0.0, 0.8, 5, 0.01),
        (BELOW, 0.2, 0.0, 0.3, 8, 0.003),
        (WITHIN, 0.2, 0.0, 0.1, 5, 0.02),
        (WITHIN, 0.5, 0.0, 0.0, 3, 0.3),  # so wide that both edges are missed at once
        (ABOVE, 0.2, 0.2, 0.9, 4, 0.02),
        (WITHIN, 0.2, 0.3, 0.1, 5, 0.05),
    ]:
        case = (region, spread, resolution, effect, seeds, alpha)
        values = random.normal(effect, spread, (draws, seeds))
        deviation = np.maximum(values.std(axis=1, ddof=1), resolution)
        half = stats.t.ppf(1 - alpha, seeds - 1) * deviation / math.sqrt(seeds)
        mean = values.mean(axis=1)
        simulated = np.mean((mean - half > region.low) & (mean + half < region.high))
        assert 0.05 < simulated < 0.98, case
        tried = replace(coarse(region, resolution), design=Design(1.0, spread, "a guess"))
        assert power(tried, effect, seeds, alpha) == pytest.approx(simulated, abs=4 * math.sqrt(0.25 / draws)), case


def test_where_power_is_lost():
    assert power(part(WITHIN, Design(0.0, 1.0, "")), 0.0, 3, 0.001) == pytest.approx(0, abs=1e-3), "both edges missed"
    assert power(coarse(ABOVE, 0.4), 1.0, 5, 0.01) < power(part(), 1.0, 5, 0.01) - 0.1, "a coarse measurement"
    assert power(coarse(ABOVE, 1e-9), 1.0, 5, 0.01) == power(part(), 1.0, 5, 0.01)
    for region in (ABOVE, BELOW, WITHIN):
        for edge in filter(math.isfinite, (region.low, region.high)):
            for seeds in (2, 3, 8):
                assert power(part(region), edge, seeds, 0.01) <= 0.01 + 1e-3, (region, edge, seeds)


def test_power_grows_with_seeds_alpha_and_distance():
    grid = [power(part(), 0.9, seeds, 0.01) for seeds in range(1, 12)]
    assert grid[0] == 0  # one seed has no spread
    assert grid == sorted(grid)
    for values in (
        [power(part(), 0.9, 5, alpha) for alpha in (0.001, 0.01, 0.1)],
        [power(part(), effect, 5, 0.01) for effect in (0.6, 0.8, 1.0, 2.0)],
    ):
        assert values == sorted(values)
        assert values[-1] > values[0]


def drawn(random, effect, spread):
    return float(random.normal(effect, spread)), float(random.normal(1, spread))


RATIO = part(design=Design(effect=1.0, spread=0.1, source="a guess", draw=drawn), interval=fieller)


def outcomes(random, effect, spread):
    odds = np.exp(random.normal(-1, spread) + effect * np.array([-1.0, 0.0, 1.0]))
    return (-1.0, 0.0, 1.0, *(random.random(3) < odds / (1 + odds)).astype(float).tolist())


TREND = part(Region(low=0), Design(effect=3.0, spread=0.5, source="a guess", draw=outcomes), exact_trend)


def test_other_intervals_are_simulated_and_always_alike():
    simulated = power(RATIO, 0.72, 5, 0.02)
    assert 0.2 < simulated < 0.95
    random = np.random.default_rng(1)
    limits = [fieller([drawn(random, 0.72, 0.1) for _ in range(5)], 0.02) for _ in range(1_000)]
    inside = sum(verdict_of(interval, interval, ABOVE) == "SUPPORTED" for interval in limits)
    assert simulated == pytest.approx(inside / 1_000, abs=0.1)
    power.cache_clear()
    assert power(RATIO, 0.72, 5, 0.02) == simulated
    assert power(TREND, 3.0, 8, 0.05) > 0.6
    assert power(TREND, 0.0, 8, 0.05) < 0.1


def test_a_trend_whose_limit_is_infinite_is_found():
    """Every failure at the largest level leaves the upper limit open, which a region above 0 does not mind."""
    steep = part(
        Region(low=0),
        Design(effect=1.0, spread=1.0, source="", draw=lambda random, effect, spread: (0.0, 1.0, 0.0, 1.0)),
        exact_trend,
    )
    assert power(steep, 1.0, 8, 0.01) == 1.0


def test_the_smallest_effect_is_found_and_a_nearer_one_is_not():
    alpha, edge = 0.02, 0.5
    for tried, seeds in ((part(), 3), (part(BELOW), 5), (RATIO, 5), (part(), 8), (part(BELOW), 8)):
        least = smallest_effect(tried, seeds, alpha)
        assert power(tried, least, seeds, alpha) >= 0.8, (tried, seeds)
        assert power(tried, least - (least - edge) * 0.1, seeds, alpha) < 0.8, (tried, seeds)
        assert (least < edge) == (tried.region is BELOW), (tried, seeds)


def test_within_two_edges_it_is_the_largest_effect_still_found():
    largest = smallest_effect(part(WITHIN), 8, 0.02)
    assert 0 < largest < 0.5
    assert power(part(WITHIN), largest, 8, 0.02) >= 0.8 > power(part(WITHIN), largest + 0.02, 8, 0.02)
    assert smallest_effect(part(WITHIN), 3, 0.003) is None  # even no effect at all is not found
    assert smallest_effect(part(Region(1.0, 2.0)), 8, 0.02) == pytest.approx(1.5 + largest, abs=0.01)


def test_what_cannot_be_found_has_no_smallest_effect():
    """Three seeds of three outcomes each: the least chance there is is 1 / 27."""
    assert smallest_effect(TREND, 3, 0.03) is None
    assert power(TREND, 20.0, 8, 0.03) >= 0.8


def test_seeds_needed_are_the_first_look_that_finds_it():
    looks = Looks()
    for effect in (0.9, 1.0, 2.5):
        needed = seeds_needed(part(), effect, looks)
        assert power(part(), effect, needed, alpha_at(needed, looks)) >= 0.8
        assert all(power(part(), effect, n, alpha_at(n, looks)) < 0.8 for n in range(3, needed))
    assert seeds_needed(part(), 2.5, looks) < seeds_needed(part(), 0.9, looks) <= 8
    beyond = seeds_needed(part(), 0.65, looks)  # beyond the looks the last one is moved
    assert 8 < beyond <= MAX_SEEDS
    assert power(part(), 0.65, beyond, alpha_at(beyond, Looks(3, beyond))) >= 0.8
    assert power(part(), 0.65, beyond - 1, alpha_at(beyond - 1, Looks(3, beyond - 1))) < 0.8
    assert seeds_needed(part(), 0.51, looks) is None


def test_a_part_without_a_design_has_no_power():
    with pytest.raises(ValueError, match="part 'v' has no design"):
        power(part(design=None), 1.0, 3, 0.05)


def claim(*parts, id="density"):
    return Claim(
        id=id, statement="s", source="Fig. 0", prediction="p", runs=lambda profile, seed: {}, parts=parts, curves={}
    )


def test_the_table_holds_every_judged_part():
    text = table(
        [
            claim(part(), part(WITHIN), replace(part(), name="w", judges=False)),
            claim(replace(part(), name="bare", design=None), id="hole"),
            claim(replace(part(), name="counted", interval=certain, design=None), id="overlap"),
        ],
        Looks(),
    )
    rows = [re.split(r"\s{2,}", line) for line in text.splitlines() if line.startswith(("density", "hole", "overlap"))]
    least = f"{smallest_effect(part(), 8, alpha_at(8, Looks())):.2g}"
    assert rows[0][:4] == ["density", "v", "above 0.5", "1 +- 0.2"]
    assert rows[0][6] == least
    assert rows[0][7] == str(seeds_needed(part(), 1.0, Looks()))
    assert rows[0][8] == f"{power(part(), 1.0, 8, alpha_at(8, Looks())):.2f}"
    assert rows[1][2:6] == ["between -0.5 and 0.5", "1 +- 0.2", "none", "none"]
    assert rows[1][7] == "over 32"  # its designed effect lies outside its own region
    assert rows[2] == ["hole", "bare", "above 0.5", "has no design"]
    assert rows[3] == ["overlap", "counted", "above 0.5", "exact, needs no seeds"]
    assert len(rows) == 4
    head = next(line for line in text.splitlines() if line.startswith("claim "))
    assert re.split(r"\s{2,}", head)[3:] == ["designed", "at 3", "at 5", "at 8", "needed", "power at 8"]
    assert "3, 5 and 8 seeds" in text
    assert "density, v: a guess; in units" in text
    assert all(line == line.rstrip() for line in text.splitlines())
    fixed = table([claim(part())], Looks(5, 5))
    assert "at 5" in fixed
    assert "5 seeds" in fixed
    assert "at 3" not in fixed
    assert table([], Looks(2, 3)).splitlines()
