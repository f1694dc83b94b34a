"""From effects to a verdict: nothing is dropped, nothing is claimed more often than its error rate allows."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide, decide_in_looks, seed_effect, verdict_of, with_controls
from bumplab.verdicts.error_rate import Looks, alpha_at
from bumplab.verdicts.intervals import Interval, Undefined, student_t

ABOVE = Region(low=0.0)


def value(name):
    """The number or the datum planted in the run; a text is the reason of an undefined effect."""

    def effect(runs):
        planted = runs["a"].rows[-1][name]
        if isinstance(planted, str):
            raise Undefined(planted)
        return planted

    return effect


def part(name="v", region=ABOVE, judges=True, interval=student_t):
    return Part(
        name=name, unit="units", region=region, why="because", effect=value(name), interval=interval, judges=judges
    )


def claim(*parts):
    return Claim(
        id="density",
        statement="s",
        source="Fig. 0",
        prediction="p",
        runs=lambda profile, seed: {},
        parts=parts or (part(),),
        curves={},
    )


def judge(values, *parts, failed=None):
    """The verdict on seeds whose effects are ``values``: one dict of parts a seed, or one number of part ``v``.

    Their number is fixed beforehand: one look spends all.
    """
    return decide(claim(*parts), seeds_of(values, failed), Looks(len(values), len(values)))


def seeds_of(values, failed=None):
    rows = [v if isinstance(v, dict) else {"v": v} for v in values]
    return {"a": [Curves([row], failed if i == 0 else None) for i, row in enumerate(rows)]}


CLOSE = [1.0, 1.1, 0.9]


def minus(values):
    return [-v for v in values]


def test_an_interval_inside_the_region_supports_and_one_outside_contradicts():
    for low, high, region, verdict in [
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
    ]:
        interval = Interval(None, low, high)
        assert verdict_of(interval, interval, region) == verdict, (low, high, region)
    narrow, wide = Interval(-0.2, -0.3, -0.1), Interval(-0.2, -0.5, 0.1)
    assert verdict_of(narrow, wide, ABOVE) == "INCONCLUSIVE", "contradiction takes the wider interval"
    assert verdict_of(narrow, narrow, ABOVE) == "CONTRADICTED"


def test_the_three_verdicts():
    assert judge(CLOSE).verdict == "SUPPORTED"
    assert judge(minus(CLOSE)).verdict == "CONTRADICTED"
    assert judge([1.0, -1.0, 0.1]).verdict == "INCONCLUSIVE"


def test_an_effect_is_a_number_or_a_datum():
    for effect, datum in [
        (1.5, (1.5, 1.5)),
        (np.float64(1.5), (1.5, 1.5)),
        (2, (2, 2)),
        ((1.0, math.inf), (1.0, math.inf)),
        ((0.0, 1.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0)),
    ]:
        assert seed_effect(part(), {"a": Curves([{"v": effect}])}) == (datum, None), effect
    assert judge([1.0, 1.1, (0.9, 0.9)]).parts[0].effects == [[1.0, 1.0], [1.1, 1.1], [0.9, 0.9]]


def test_one_seed_without_an_effect_makes_the_part_inconclusive():
    for problem in ("not reached", math.nan, (math.nan, 1.0)):
        for sign in (1, -1):
            verdict = judge([*(sign * v for v in CLOSE), problem])
            assert verdict.verdict == "INCONCLUSIVE", (problem, sign)
            assert ("not reached" if isinstance(problem, str) else "not a number") in verdict.reason
            assert "(seed 13)" in verdict.reason
            (shown,) = verdict.parts
            assert shown.effects == [*([sign * v] * 2 for v in CLOSE), None]
            assert (shown.estimate, shown.low, shown.high) == (None, None, None)
    assert "(seeds 10, 12)" in judge(["gone", 1.0, "gone"]).reason


def test_one_failed_seed_makes_every_part_inconclusive_but_those_that_count_failures():
    for sign in (1, -1):
        verdict = judge([sign * v for v in CLOSE], failed="the loss is nan")
        assert verdict.verdict == "INCONCLUSIVE"
        assert "the run 'a' failed: the loss is nan" in verdict.reason
        assert verdict.parts[0].effects == [None, *([sign * v] * 2 for v in CLOSE[1:])]
    counting = replace(part(), counts_failures=True)
    assert judge(CLOSE, counting, failed="the loss is nan").verdict == "SUPPORTED"


def test_seeds_that_agree_exactly_decide_nothing_without_a_designed_spread():
    for seeds in (2, 3, 8, 32):
        verdict = judge([1.0] * seeds)
        assert (verdict.verdict, verdict.parts[0].low) == ("INCONCLUSIVE", None)
        assert f"all {seeds} seeds agree exactly" in verdict.reason
    assert not verdict.stuck, "another seed may differ"


def test_seeds_that_agree_exactly_are_taken_to_spread_as_designed():
    """So that many that agree may decide, and three do not."""
    designed = replace(part(), design=Design(1.0, 0.5, "made up"))
    few, many = judge([1.0] * 3, designed), judge([1.0] * 8, designed)
    assert (few.verdict, many.verdict) == ("INCONCLUSIVE", "SUPPORTED")
    expected = student_t([(1.0, 1.0)] * 8, many.alpha, resolution=0.5)
    assert (many.parts[0].low, many.parts[0].high) == (expected.low, expected.high)


def test_there_is_no_look_at_one_seed():
    with pytest.raises(ValueError, match="no look at 1 seeds"):
        decide(claim(), seeds_of([1.0]), Looks())


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
    alpha = Looks().alpha
    asked = []

    def spy(effects, alpha_of_this):
        asked.append(alpha_of_this)
        return student_t(effects, alpha_of_this)

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


def test_a_part_that_does_not_judge_is_shown_and_decides_nothing():
    for values in (minus(CLOSE), [1.0, -1.0, 0.1], ["gone", "gone", "gone"]):
        rows = [{"v": v, "w": w} for v, w in zip(CLOSE, values, strict=True)]
        verdict = judge(rows, part("v"), part("w", judges=False))
        assert verdict.verdict == "SUPPORTED", values
        assert [p.name for p in verdict.parts] == ["v", "w"]
        assert verdict.parts[1].verdict != "SUPPORTED", values


def test_a_reason_gives_the_estimate_its_limits_and_their_level():
    verdict = judge(CLOSE, part("v"))
    (v,) = verdict.parts
    for number in (v.estimate, v.low, v.high):
        assert f"{number:.3g}" in verdict.reason
    assert f"{100 * (1 - verdict.alpha):.4g} %" in verdict.reason


def test_a_verdict_is_plain_json():
    for values in (CLOSE, [1.0, 1.0, (1.0, math.inf)], [(-math.inf, 2.0), 1.0, "gone"]):
        verdict = asdict(judge(values, part("v"), part("v", region=Region(-1, 1), judges=False)))
        assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict, values
        assert (verdict["claim"], verdict["seeds"], verdict["alpha"]) == ("density", len(values), Looks().alpha)
        assert [p["bounds"] for p in verdict["parts"]] == [[0.0, None], [-1, 1]], values


def test_a_claim_at_the_edge_of_its_region_is_seldom_decided():
    """At the region's edge SUPPORTED and CONTRADICTED are both false: each comes at most as often as alpha."""
    draws, looks = 600, Looks(3, 3, alpha=0.05)
    samples = np.random.default_rng(3).normal(0, 1, (draws, 3))
    verdicts = [decide(claim(), seeds_of(sample.tolist()), looks).verdict for sample in samples]
    for verdict in ("SUPPORTED", "CONTRADICTED"):
        assert 0 < verdicts.count(verdict) <= draws * 0.05 + 4 * math.sqrt(draws * 0.05), verdict


# --- looks ----------------------------------------------------------------------------------------------------------


def look(values, *parts, looks=None, until=None, failed=None):
    """The verdict of `decide_in_looks` on these seeds, and the numbers of seeds that were asked for."""
    asked = []

    def runs(seeds):
        asked.append(seeds)
        return seeds_of(values[:seeds], failed)

    return decide_in_looks(claim(*parts), runs, looks or Looks(), until), asked


UNDECIDED = [0.2, -0.4, 0.3, -0.1, 0.4, -0.2, 0.1, 0.0]
TIGHT = [1.0, 1.001, 0.999, 1.0, 1.001, 0.999, 1.0, 1.001]


def test_looking_stops_at_the_first_decision():
    for sign, expected in ((1, "SUPPORTED"), (-1, "CONTRADICTED")):
        verdict, asked = look([sign * v for v in TIGHT])
        assert (verdict.verdict, verdict.seeds, asked) == (expected, 3, [3])
        assert verdict.settled
    verdict, asked = look([1.0, 1.4, 0.7, 1.0, 1.1, 0.9, 1.0, 1.1])
    assert verdict.verdict == "SUPPORTED"
    assert asked == list(range(3, verdict.seeds + 1))
    assert 3 < verdict.seeds < 8


def test_looking_ends_at_the_last_look_or_where_it_is_told_to():
    verdict, asked = look(UNDECIDED)
    assert (verdict.verdict, asked) == ("INCONCLUSIVE", [3, 4, 5, 6, 7, 8])
    assert not verdict.settled
    verdict, asked = look(UNDECIDED, until=5)
    assert (verdict.seeds, asked) == (5, [3, 4, 5])
    verdict, asked = look(TIGHT, until=5)
    assert (verdict.verdict, asked) == ("SUPPORTED", [3])


def test_each_look_spends_its_own_share():
    looks = Looks()
    assert look(TIGHT)[0].alpha == pytest.approx(alpha_at(3, looks))
    assert look(UNDECIDED)[0].alpha == pytest.approx(alpha_at(8, looks))
    assert look(TIGHT, looks=Looks(alpha=0.03))[0].alpha == pytest.approx(alpha_at(3, Looks(alpha=0.03)))
    values = [0.9, 1.0, 1.1]  # found where three seeds are all there will be, and not at the first of six looks
    assert look(values, looks=Looks(3, 3))[0].verdict == "SUPPORTED"
    assert look(values, until=3)[0].verdict == "INCONCLUSIVE"


def test_an_undefined_seed_ends_the_looking_where_no_other_part_can_contradict():
    verdict, asked = look(["gone", *TIGHT])
    assert (verdict.verdict, asked) == ("INCONCLUSIVE", [3])
    assert verdict.settled
    assert verdict.parts[0].stuck
    rows = [{"v": "gone" if i == 4 else 1.0, "w": w} for i, w in enumerate(TIGHT)]
    verdict, asked = look(rows, part("v", interval=lambda effects, alpha: Interval(0, -1, 1)), part("w"))
    assert asked == [3, 4, 5], "v is stuck from the fifth seed on, w is supported"


def test_an_undefined_seed_does_not_end_it_while_another_part_may_contradict():
    rows = [{"v": "gone", "w": w} for w in [-1.0, -1.4, -0.7, -1.0, -1.1, -0.9, -1.0, -1.1]]
    verdict, asked = look(rows, part("v"), part("w"))
    assert verdict.verdict == "CONTRADICTED"
    assert len(asked) > 1
    verdict, asked = look([{"v": "gone", "w": w} for w in UNDECIDED], part("v"), part("w"))
    assert (verdict.verdict, asked[-1], verdict.settled) == ("INCONCLUSIVE", 8, False)


def test_a_part_that_does_not_judge_neither_ends_the_looking_nor_prolongs_it():
    shown = part("w", judges=False)
    _, asked = look([{"v": v, "w": "gone"} for v in UNDECIDED], part("v"), shown)
    assert asked[-1] == 8
    _, asked = look([{"v": "gone", "w": w} for w in UNDECIDED], part("v"), shown)
    assert asked == [3]


def test_an_interval_without_limits_is_not_stuck():
    """More seeds may define it: only a seed without an effect cannot be mended."""

    def undefined(effects, alpha):
        raise Undefined("the denominator cannot be told from zero")

    verdict, asked = look(TIGHT, part("v", interval=undefined))
    assert (asked[-1], verdict.settled, verdict.parts[0].stuck) == (8, False, False)


def test_looking_six_times_spends_no_more_than_looking_once():
    """At the region's edge, at an error rate so large that 300 simulations show what a share for each look prevents."""
    draws = 300
    samples = np.random.default_rng(0).normal(0, 1, (draws, 8))
    verdicts = [look(sample.tolist(), looks=Looks(alpha=0.05))[0].verdict for sample in samples]
    for verdict in ("SUPPORTED", "CONTRADICTED"):
        assert 0 < verdicts.count(verdict) <= 0.05 * draws + 2 * math.sqrt(0.05 * draws)


# --- controls -------------------------------------------------------------------------------------------------------

BROKEN, PLANTED = Control("broken", "because"), Control("planted", "because", positive=True)
YES, NO, OPEN = CLOSE, minus(CLOSE), [1.0, -1.0, 0.1]


def test_what_controls_make_of_a_verdict():
    for values, broken, planted, expected in [
        (YES, NO, YES, "SUPPORTED"),
        (YES, OPEN, YES, "SUPPORTED"),
        (YES, YES, YES, "INCONCLUSIVE"),  # the same code supports a world in which the claim is false
        (YES, NO, NO, "SUPPORTED"),  # that it misses an effect elsewhere does not make it see one here
        (NO, NO, YES, "CONTRADICTED"),
        (NO, YES, YES, "CONTRADICTED"),
        (NO, NO, NO, "INCONCLUSIVE"),  # the same code contradicts a world in which the claim is true
        (NO, NO, OPEN, "CONTRADICTED"),
        (OPEN, YES, NO, "INCONCLUSIVE"),
    ]:
        case = (values, broken, planted)
        verdict = judge(values)
        checked = with_controls(verdict, [(BROKEN, judge(broken)), (PLANTED, judge(planted))])
        assert checked.verdict == expected, case
        assert checked.unchecked == verdict.verdict, case
        assert [control.name for control in checked.controls] == ["broken", "planted"]
        assert [control.passed for control in checked.controls] == [broken is not YES, planted is not NO], case
        if expected == verdict.verdict:
            assert checked.reason == verdict.reason, case
        else:
            refuting, other = ("planted", "broken") if verdict.verdict == "CONTRADICTED" else ("broken", "planted")
            assert f"'{refuting}'" in checked.reason, case
            assert f"'{other}'" not in checked.reason, case
            assert verdict.verdict in checked.reason, case
            assert verdict.reason in checked.reason, case


def test_without_controls_nothing_changes():
    verdict = judge(YES)
    assert with_controls(verdict, []) == verdict
    assert verdict.unchecked == verdict.verdict == "SUPPORTED"


def test_a_control_is_stuck_as_a_claim_is():
    undefined = judge(["gone", *CLOSE])
    (control,) = with_controls(judge(YES), [(BROKEN, undefined)]).controls
    assert (control.stuck, control.seeds, control.why) == (True, 4, "because")
    (control,) = with_controls(judge(YES), [(BROKEN, judge(OPEN))]).controls
    assert not control.stuck
