"""From effects to a verdict: nothing is dropped, nothing is claimed more often than its error rate allows."""

import json
import math

import numpy as np
import pytest

from bumplab.verdicts.claim import Claim, Part, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import CLAIMS, FAMILY_ALPHA, alpha_of, decide, place
from bumplab.verdicts.intervals import Interval, Undefined, student_t

ABOVE = Region(low=0.0)


def value(name):
    def effect(runs):
        found = runs["a"].rows[-1][name]
        if isinstance(found, str):
            raise Undefined(found)
        return found if isinstance(found, tuple) else (found, found)

    return effect


def part(name="v", region=ABOVE, judges=True, interval=student_t):
    return Part(name, "units", region, "because", value(name), interval=interval, judges=judges)


def claim(*parts):
    return Claim("density", "s", "Fig. 0", "p", lambda profile, seed: {}, parts or (part(),), {})


def judge(values, *parts, failed=None):
    """The verdict on seeds whose effects are ``values``: one dict of parts a seed, or one number of part ``v``."""
    rows = [v if isinstance(v, dict) else {"v": v} for v in values]
    runs = {"a": [Curves([row], failed if i == 0 else None) for i, row in enumerate(rows)]}
    return decide(claim(*parts), runs)


CLOSE = [1.0, 1.1, 0.9]


def minus(values):
    return [-v for v in values]


@pytest.mark.parametrize(
    ("low", "high", "region", "verdict"),
    [
        (0.1, 0.2, Region(low=0), "SUPPORTED"),
        (0.0, 0.2, Region(low=0), "INCONCLUSIVE"),  # regions are open
        (-0.1, 0.1, Region(low=0), "INCONCLUSIVE"),
        (-0.2, 0.0, Region(low=0), "CONTRADICTED"),
        (-0.2, -0.1, Region(low=0), "CONTRADICTED"),
        (0.1, math.inf, Region(low=0), "SUPPORTED"),
        (-math.inf, -0.1, Region(high=0), "SUPPORTED"),
        (-0.2, 0.0, Region(high=0), "INCONCLUSIVE"),
        (0.0, 0.2, Region(high=0), "CONTRADICTED"),
        (-0.4, 0.4, Region(-0.5, 0.5), "SUPPORTED"),
        (-0.4, 0.5, Region(-0.5, 0.5), "INCONCLUSIVE"),
        (0.5, 0.6, Region(-0.5, 0.5), "CONTRADICTED"),
        (-0.6, -0.5, Region(-0.5, 0.5), "CONTRADICTED"),
        (-0.6, 0.6, Region(-0.5, 0.5), "INCONCLUSIVE"),
        (-math.inf, math.inf, Region(low=0), "INCONCLUSIVE"),
    ],
)
def test_place(low, high, region, verdict):
    interval = Interval(None, low, high)
    assert place(interval, interval, region) == verdict


def test_contradiction_takes_the_wider_interval():
    narrow, wide = Interval(-0.2, -0.3, -0.1), Interval(-0.2, -0.5, 0.1)
    assert place(narrow, wide, ABOVE) == "INCONCLUSIVE"
    assert place(narrow, narrow, ABOVE) == "CONTRADICTED"


def test_the_three_verdicts():
    assert judge(CLOSE).verdict == "SUPPORTED"
    assert judge(minus(CLOSE)).verdict == "CONTRADICTED"
    assert judge([1.0, -1.0, 0.1]).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("problem", ["not reached", math.nan, (math.nan, 1.0)])
def test_one_seed_without_an_effect_makes_the_part_inconclusive(problem, sign):
    verdict = judge([*(sign * v for v in CLOSE), problem])
    assert verdict.verdict == "INCONCLUSIVE"
    assert ("not reached" if isinstance(problem, str) else "not a number") in verdict.reason
    assert "3" in verdict.reason  # the seed is named
    assert len(verdict.parts[0].effects) == 4
    assert verdict.parts[0].effects[3] is None
    assert (verdict.parts[0].estimate, verdict.parts[0].low, verdict.parts[0].high) == (None, None, None)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_failed_seed_makes_every_part_inconclusive(sign):
    verdict = judge([sign * v for v in CLOSE], failed="the loss is nan")
    assert verdict.verdict == "INCONCLUSIVE"
    assert "the loss is nan" in verdict.reason
    assert verdict.parts[0].effects == [None, *([sign * v] * 2 for v in CLOSE[1:])]


def test_one_seed_alone_decides_nothing():
    assert judge([1.0]).verdict == "INCONCLUSIVE"
    assert "one seed" in judge([1.0]).reason


def test_all_judging_parts_must_hold_and_one_that_fails_decides():
    parts = part("v"), part("w")
    worlds = {"yes": CLOSE, "no": minus(CLOSE), "open": [1.0, -1.0, 0.1], "undefined": ["gone", 1.0, 1.0]}

    def verdict(v, w):
        rows = [{"v": a, "w": b} for a, b in zip(worlds[v], worlds[w], strict=True)]
        return judge(rows, *parts)

    assert verdict("yes", "yes").verdict == "SUPPORTED"
    for other in ("open", "undefined"):
        assert verdict("yes", other).verdict == verdict(other, "yes").verdict == "INCONCLUSIVE"
        assert verdict("no", other).verdict == verdict(other, "no").verdict == "CONTRADICTED"
    assert verdict("yes", "no").verdict == "CONTRADICTED"
    assert "w: " in verdict("yes", "no").reason
    assert "v: " not in verdict("yes", "no").reason


def test_contradiction_shares_the_error_rate_among_the_judging_parts():
    alpha = alpha_of("density")
    asked = []

    def spy(effects, given):
        asked.append(given)
        return student_t(effects, given)

    parts = [part("v", interval=spy), part("w", interval=spy), part("x", judges=False, interval=spy)]
    judge([{"v": v, "w": v, "x": v} for v in CLOSE], *parts)
    assert sorted(set(asked)) == pytest.approx([alpha / 2, alpha])
    # an effect that lies outside at alpha, yet not at alpha / 2
    base = np.array([-1.0, 0.0, 1.0])
    high = student_t([(v, v) for v in base], alpha).high
    edge = [float(v) for v in base - high * 1.05]
    assert judge(edge).verdict == "CONTRADICTED"
    rows = [{"v": v, "w": w} for v, w in zip(edge, CLOSE, strict=True)]
    assert judge(rows, part("v"), part("w")).verdict == "INCONCLUSIVE"
    assert judge(rows, part("v"), part("w", judges=False)).verdict == "CONTRADICTED"


@pytest.mark.parametrize("shown", [minus(CLOSE), [1.0, -1.0, 0.1], ["gone", "gone", "gone"]])
def test_a_part_that_does_not_judge_is_shown_and_decides_nothing(shown):
    rows = [{"v": v, "w": w} for v, w in zip(CLOSE, shown, strict=True)]
    verdict = judge(rows, part("v"), part("w", judges=False))
    assert verdict.verdict == "SUPPORTED"
    assert [p.name for p in verdict.parts] == ["v", "w"]
    assert verdict.parts[1].verdict != "SUPPORTED"


def test_the_claims_share_the_error_rate():
    assert sum(map(alpha_of, CLAIMS)) == pytest.approx(FAMILY_ALPHA)
    with pytest.raises(KeyError, match=r"decision\.CLAIMS"):
        alpha_of("unheard-of")


@pytest.mark.parametrize("values", [CLOSE, [1.0, 1.0, (1.0, math.inf)], [(-math.inf, 2.0), 1.0, "gone"], [1.0]])
def test_a_verdict_is_plain_json(values):
    verdict = judge(values, part("v"), part("v", region=Region(-1, 1), judges=False)).as_dict()
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict
    assert (verdict["claim"], verdict["seeds"], verdict["alpha"]) == ("density", len(values), alpha_of("density"))


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_claim_at_the_edge_of_its_region_is_seldom_decided(seeds):
    """At the region's edge SUPPORTED and CONTRADICTED are both false: each comes at most as often as alpha."""
    draws, alpha = 1_500, alpha_of("density")
    samples = np.random.default_rng(seeds).normal(0, 1, (draws, seeds))
    verdicts = [judge([float(v) for v in sample]).verdict for sample in samples]
    allowed = draws * alpha + 4 * math.sqrt(draws * alpha)
    for verdict in ("SUPPORTED", "CONTRADICTED"):
        assert 0 < verdicts.count(verdict) <= allowed
