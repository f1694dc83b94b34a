"""The power of a part is how often the rule itself supports it, through all its looks."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.profiles import QUICK
from bumplab.verdicts.claim import FIRST_SEED, Design, Region
from bumplab.verdicts.decision import part_in_looks
from bumplab.verdicts.looks import MAX_SEEDS, Looks
from bumplab.verdicts.power import WANTED, chances, counted, least_share, seeds_needed, share_in, table
from bumplab.verdicts.worlds import drawn
from tests.verdicts.planted import CLAIM
from tests.verdicts.seeds import LOOKS, claim, compared, part, scores, seed

DESIGN = Design(1.0, 0.5, "a guess")


def simulated(tried, conditions, looks, draws):
    """The share of sessions in which the package's own rule supports the part."""
    random = np.random.default_rng(3)
    verdicts = []
    for _ in range(draws):
        numbers = [drawn(tried, conditions, random, tried.design.effect) for _ in range(looks.last)]
        seeds = [scores(*number) if isinstance(number, tuple) else seed(v=number) for number in numbers]
        verdicts.append(part_in_looks(claim(tried), tried, lambda _, count, seeds=seeds: seeds[:count], looks).verdict)
    return verdicts.count("SUPPORTED") / draws


@pytest.mark.parametrize(
    ("tried", "looks", "draws"),
    [
        (part(region=Region(low=0.3), design=DESIGN), LOOKS, 300),
        (part(region=Region(-1.0, 2.0), design=replace(DESIGN, effect=-0.2)), Looks(9, 16, needed=60.0), 300),
        (compared(design=Design(0.8, 0.0, "s")), Looks(3, 6, needed=60.0), 150),
        (compared(region=Region(low=0.7), design=Design(0.8, 0.0, "s")), Looks(3, 9, needed=60.0), 150),
        (compared(weights=(2.0, 0.0, 0.0, 1.0), design=Design(0.6, 0.0, "s")), Looks(4, 6, needed=30.0), 150),
    ],
)
def test_power_is_how_often_the_rule_supports_the_part(tried, looks, draws):
    conditions = ["a", "b", "c", "d"]
    expected = chances(tried, conditions, looks)[looks.last]
    assert 0.15 < expected < 0.97
    assert simulated(tried, conditions, looks, draws) == pytest.approx(expected, abs=4 * math.sqrt(0.25 / draws))


@given(share=st.floats(0, 1), more=st.floats(0, 1))
def test_power_grows_with_seeds_and_with_the_share_of_seeds_that_are_in(share, more):
    larger = share + more * (1 - share)
    low, high = counted(share, LOOKS), counted(larger, LOOKS)
    assert (np.diff(low) >= 0).all()
    assert (high >= low - 1e-12).all()
    assert low[-1] <= 1 + 1e-9
    assert not low[:8].any(), "8 of 8 seeds are the fewest"


def test_nothing_is_supported_before_the_first_look():
    looks = Looks(9, 16, needed=60.0)
    for supported in (counted(1.0, looks), chances(compared(design=Design(1.0, 0.0, "s")), ["a", "b", "c"], looks)):
        assert not supported[:9].any()
        assert supported[9] == pytest.approx(1)


def test_at_the_edge_a_part_is_supported_as_seldom_as_promised():
    assert 0.003 < counted(0.5, LOOKS)[MAX_SEEDS] <= 1 / LOOKS.needed
    no_effect = chances(compared(design=Design(0.0, 0.0, "s")), ["a", "b", "c"], LOOKS)
    assert no_effect[MAX_SEEDS] <= 1 / LOOKS.needed + 4 * math.sqrt(1 / LOOKS.needed / 2_000)


def test_the_design_of_the_rule_has_its_power():
    """Section 4 of the design: 95 % of seeds in, 0.87 by 14 seeds; 98 %, 0.97."""
    assert counted(0.95, LOOKS)[14] == pytest.approx(0.87, abs=0.02)
    assert counted(0.98, LOOKS)[14] == pytest.approx(0.97, abs=0.01)
    assert counted(least_share(LOOKS), LOOKS)[14] >= WANTED > counted(least_share(LOOKS) - 0.002, LOOKS)[14]
    assert math.isnan(least_share(Looks(3, 7, needed=180.0))), "7 seeds can never be enough"


@given(effect=st.floats(-2, 2), spread=st.floats(0.01, 2))
def test_the_share_of_seeds_that_are_in(effect, spread):
    design = Design(effect, spread, "s")
    shares = [
        share_in(part(region=region, design=design)) for region in (Region(high=-1), Region(-1, 1), Region(low=1))
    ]
    assert sum(shares) == pytest.approx(1)
    assert share_in(part(region=Region(low=effect), design=design)) == pytest.approx(0.5)


def test_the_seeds_needed_are_the_first_with_the_power():
    supported = counted(0.9, LOOKS)
    needed = seeds_needed(supported, LOOKS.first)
    assert supported[needed] >= WANTED > supported[needed - 1]
    assert seeds_needed(counted(0.6, LOOKS), 3) is None


def test_no_part_has_power_without_a_design_or_with_conditions_that_do_not_differ():
    with pytest.raises(ValueError, match="part 'v' has no design"):
        chances(part(), ["a"], LOOKS)
    same = compared(weights=(1.0, 1.0), design=Design(0.9, 0.0, "s"))
    assert not chances(same, ["a", "b"], LOOKS).any()


def test_the_table_holds_every_judged_part_and_all_of_a_claim_together():
    sure = replace(claim(part("exact"), certain=True), id="overlap")
    bare = replace(claim(part("bare")), id="hole")
    text = table([CLAIM, bare, sure], LOOKS, QUICK)
    rows = [re.split(r"\s{2,}", line) for line in text.splitlines() if line.startswith(("density", "hole", "overlap"))]
    flat, pace = CLAIM.judged_parts
    conditions = list(CLAIM.runs_of(pace)(QUICK, FIRST_SEED))
    of_flat, of_pace = chances(flat, [], LOOKS), chances(pace, conditions, LOOKS)
    assert [row[:2] for row in rows] == [
        *(["density", name] for name in ("flat", "pace", "all parts")),
        ["hole", "bare"],
        ["overlap", "exact"],
    ]
    assert rows[0][2:6] == ["below 0.05", "0.035 +- 0.01", f"{share_in(flat):.1%}", "8"]
    assert rows[0][6:] == [str(seeds_needed(of_flat, 3)), f"{of_flat[14]:.2f}"]
    assert rows[1][5:] == ["7", str(seeds_needed(of_pace, 3)), f"{of_pace[14]:.2f}"]
    assert rows[2][-1] == f"{of_flat[14] * of_pace[14]:.2f}"
    assert of_flat[14] < 0.9 * of_pace[14], "all parts together have less power than the best"
    assert (rows[3][-1], rows[4][-1]) == ("has no design", "exact, needs no seeds")
    assert "density, pace: Fig. 4; in units" in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "over 64" in table([claim(part(design=Design(0.1, 1.0, "s")))], LOOKS)
