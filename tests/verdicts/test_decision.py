"""From counted seeds to a verdict: nothing is dropped, and nothing is claimed without its evidence."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.verdicts import evidence
from bumplab.verdicts.claim import FIRST_SEED, Control, Premise, Region
from bumplab.verdicts.curves import Undefined
from bumplab.verdicts.decision import decide, decide_control, judge, mark_of, part_in_looks, problem_at, with_controls
from bumplab.verdicts.looks import Looks
from tests.verdicts.seeds import ABOVE, IN, LOOKS, OUT, claim, compared, first, part, scores, seed

NEITHER = "not reached"
EFFECTS = st.sampled_from([IN, OUT, NEITHER])
FOURTEEN = st.lists(EFFECTS, min_size=14, max_size=14)
DECIDED = {"SUPPORTED", "CONTRADICTED"}


def seeds_of(effects):
    return [seed(v=effect) for effect in effects]


def judged(effects, looks=LOOKS, parts=1):
    return judge(part(), seeds_of(effects), looks, parts)


# --- one seed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "region", "mark"),
    [
        (0.1, Region(low=0), "in"),
        (0.0, Region(low=0), "out"),  # regions are open
        (-0.1, Region(low=0), "out"),
        (0.0, Region(high=0), "out"),
        (0.4, Region(-0.5, 0.5), "in"),
        (0.5, Region(-0.5, 0.5), "out"),
        (-0.6, Region(-0.5, 0.5), "out"),
        ((0.1, math.inf), Region(low=0), "in"),
        ((-0.1, math.inf), Region(low=0), "neither"),
        ((-math.inf, 0.0), Region(low=0), "out"),
        ((0.4, 0.6), Region(-0.5, 0.5), "neither"),
        ((0.5, math.inf), Region(-0.5, 0.5), "out"),
        ((-math.inf, math.inf), Region(low=0), "neither"),
        (math.nan, Region(low=0), "neither"),
        ((math.nan, 1.0), Region(low=0), "neither"),
        (NEITHER, Region(low=0), "neither"),
        (np.float64(0.1), Region(low=0), "in"),
    ],
)
def test_where_an_effect_lies(effect, region, mark):
    marked = mark_of(part(region=region), seed(v=effect), 12)
    assert (marked.seed, marked.mark) == (12, mark)
    assert bool(marked.problem) == (mark == "neither")
    if isinstance(effect, str):
        assert (marked.low, marked.high, marked.problem) == (None, None, effect)


def test_a_failed_run_has_no_effect():
    marked = mark_of(part(), seed(failed="the loss is nan", v=IN), 10)
    assert (marked.mark, marked.low) == ("neither", None)
    assert "'a' failed: the loss is nan" in marked.problem


# --- one part -------------------------------------------------------------------------------------------------------


@given(effects=st.lists(EFFECTS, max_size=14), parts=st.integers(1, 4))
def test_a_part_is_decided_by_its_counted_evidence_alone(effects, parts):
    verdict = judged(effects, parts=parts)
    hits, outs, seeds = effects.count(IN), effects.count(OUT), len(effects)
    assert verdict.support == evidence.counted(hits, seeds - hits), "neither counts against support"
    assert verdict.against == evidence.counted(outs, seeds - outs), "and against contradiction"
    assert verdict.hits == hits
    assert [mark.seed for mark in verdict.seeds] == list(range(FIRST_SEED, FIRST_SEED + seeds))
    assert (verdict.verdict == "SUPPORTED") == (verdict.support >= LOOKS.needed)
    assert (verdict.verdict == "CONTRADICTED") == (verdict.against >= parts * LOOKS.needed)


@given(effects=FOURTEEN, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_seeds_does_not_matter(effects, shuffle):
    other = list(effects)
    shuffle.shuffle(other)
    before, after = judged(effects), judged(other)
    assert (before.support, before.against, before.verdict) == (after.support, after.against, after.verdict)


def test_the_design_s_seeds_decide():
    """8 of 8 seeds, 13 of 14, 16 of 18, at 9 claims."""
    for hits, seeds in ((8, 8), (13, 14), (16, 18)):
        looks = Looks(3, 32, needed=180.0)
        effects = [IN] * hits + [OUT] * (seeds - hits)
        assert judged(effects, looks).verdict == "SUPPORTED", (hits, seeds)
        assert judged([OUT, *effects[1:]], looks).verdict == "INCONCLUSIVE", (hits, seeds)
        assert judged([-effect for effect in effects], looks).verdict == "CONTRADICTED", (hits, seeds)


@given(first_ones=st.lists(EFFECTS, min_size=3, max_size=14), rest=FOURTEEN, parts=st.integers(1, 3))
def test_what_is_settled_stays_inconclusive_whatever_follows(first_ones, rest, parts):
    verdict = judged(first_ones, parts=parts)
    if verdict.settled and verdict.verdict == "INCONCLUSIVE":
        for seeds in range(len(first_ones), LOOKS.last + 1):
            later = judged([*first_ones, *rest][:seeds], parts=parts)
            assert later.verdict == "INCONCLUSIVE", seeds
    elif verdict.verdict == "INCONCLUSIVE":
        left = LOOKS.last - len(first_ones)
        most = [judged(first_ones + [effect] * left) for effect in (IN, OUT)]
        assert {verdict.verdict for verdict in most} & DECIDED, "it might still be decided"


@given(effects=FOURTEEN)
def test_looking_stops_at_the_first_look_that_settles(effects):
    asked = []

    def runs(part, count):
        asked.append(count)
        return seeds_of(effects[:count])

    verdict = part_in_looks(claim(), part(), runs, LOOKS)
    assert asked == list(range(3, len(verdict.seeds) + 1))
    assert verdict.settled or asked[-1] == LOOKS.last
    assert not any(judged(effects[:count]).settled for count in asked[:-1])


def test_a_reason_says_how_many_seeds_and_how_much_evidence():
    verdict = judged([IN] * 7 + [NEITHER])
    for words in ("in 7 of 8 seeds v is so", f"{verdict.support:.3g}", "180", "1 neither", NEITHER):
        assert words in verdict.reason


# --- conditions compared within a seed ------------------------------------------------------------------------------

ENDS = ([0.0, 1.0, 2.0], [2.0, 1.0, 0.0])
ROWS = st.lists(st.permutations([0.0, 1.0, 2.0]) | st.just([0.0, 1.0, math.nan]), min_size=3, max_size=12)


@given(rows=ROWS)
def test_a_compared_part_multiplies_its_seeds_factors_and_counts_its_seeds(rows):
    """A seed without scores has the smallest factor and is not in."""
    weights = (0.0, 1.0, 2.0)
    verdict = judge(compared(), [scores(*row) for row in rows], LOOKS, 1)
    factors = [evidence.smallest_factor(weights) if math.isnan(sum(r)) else evidence.compared(r, weights) for r in rows]
    rising = sum(evidence.correlation(row, weights) > 0 for row in rows if not math.isnan(sum(row)))
    most = evidence.GUARD * evidence.counted(rising, len(rows) - rising)
    assert verdict.support == pytest.approx(min(math.prod(factors), most))
    assert (verdict.verdict == "SUPPORTED") == (verdict.support >= LOOKS.needed)
    falling = sum(evidence.correlation(row, weights) <= 0 for row in rows if not math.isnan(sum(row)))
    assert verdict.against == evidence.counted(falling, len(rows) - falling)
    assert verdict.method == "compared"


@given(rows=ROWS, rest=st.lists(st.permutations([0.0, 1.0, 2.0]), min_size=11, max_size=11))
def test_a_compared_part_that_is_settled_stays_so_too(rows, rest):
    def at(seeds):
        return judge(compared(), [scores(*row) for row in [*rows, *rest][:seeds]], LOOKS, 1)

    verdict = at(len(rows))
    if verdict.settled and verdict.verdict == "INCONCLUSIVE":
        assert {at(seeds).verdict for seeds in range(len(rows), LOOKS.last + 1)} == {"INCONCLUSIVE"}
    elif verdict.verdict == "INCONCLUSIVE":
        left = LOOKS.last - len(rows)
        most = [judge(compared(), [scores(*row) for row in rows + [end] * left], LOOKS, 1) for end in ENDS]
        assert {verdict.verdict for verdict in most} & DECIDED, "it might still be decided"


def test_scores_in_the_order_of_the_conditions_decide_in_few_seeds():
    for rows, expected in (([0, 1, 2], "SUPPORTED"), ([2, 1, 0], "CONTRADICTED"), ([1, 1, 1], "CONTRADICTED")):
        verdict = decide(claim(compared()), first([scores(*rows)] * 14), LOOKS)
        assert verdict.verdict == expected, rows
    for values, seeds in ((range(2), 10), (range(3), 7), (range(5), 7)):  # 1.76^10 > 180; 7 of 7 seeds are in
        rising = compared(weights=tuple(values))
        assert len(decide(claim(rising), first([scores(*values)] * 14), LOOKS).parts[0].seeds) == seeds


def test_scores_that_fall_in_one_seed_of_seven_are_not_those_of_the_typical_seed():
    """Their factors alone would support them: 11^6 times the smallest one is above 180. A miss takes 12 seeds."""
    rising = compared(weights=tuple(range(5)))
    for seeds, expected in ((7, "INCONCLUSIVE"), (11, "INCONCLUSIVE"), (12, "SUPPORTED")):
        rows = [scores(*range(5))] * (seeds - 1) + [scores(*reversed(range(5)))]
        assert judge(rising, rows, LOOKS, 1).verdict == expected, seeds


def test_a_seed_of_a_compared_part_is_in_where_its_correlation_lies_in_the_region():
    """Correlations of 0.8: their factors are enough, and they lie in one region of two."""
    rows = [scores(0, 2, 1, 4, 3)] * 14
    for low, expected in ((0.75, "SUPPORTED"), (0.85, "CONTRADICTED")):
        assert judge(compared(weights=tuple(range(5)), region=Region(low=low)), rows, LOOKS, 1).verdict == expected, low


# --- premises -------------------------------------------------------------------------------------------------------


def premise():
    def effect(runs):
        if runs["a"].rows[-1]["p"] is None:
            raise Undefined("no number")
        return runs["a"].last("p")

    return Premise("contrast", "the conditions must differ", "units", ABOVE, effect)


def test_without_its_premise_a_part_is_not_testable():
    for effect in (IN, OUT):
        for numbers, holds in (([1, 1, -1], True), ([1, -1, -1], False), ([1, -1], True), ([None, None, 1], False)):
            seeds = [seed(v=effect, p=number) for number in numbers * 5]
            verdict = judge(part(premise=premise()), seeds, Looks(2, 15, needed=180.0), 1)
            assert verdict.premise.holds == holds, numbers
            assert (verdict.verdict in DECIDED) == holds, numbers
            assert ("not testable at this profile: the conditions must differ" in verdict.reason) != holds
            assert verdict.settled, numbers


def test_two_seeds_do_not_show_that_a_premise_fails():
    few = [seed(v=IN, p=-1.0)] * 2
    assert not judge(part(premise=premise()), few, Looks(2, 14, needed=180.0), 1).settled
    assert judge(part(premise=premise()), [*few, few[0]], Looks(2, 14, needed=180.0), 1).settled


def test_a_failed_run_has_no_premise():
    """Its rows end early, and may lack what the premise reads."""
    broken = {"a": replace(seed(v=IN)["a"], rows=[], failed="the loss is nan")}
    verdict = judge(part(premise=premise()), [broken, *[seed(v=IN, p=1.0)] * 2], LOOKS, 1)
    assert (verdict.premise.numbers, verdict.premise.hits) == ([None, 1.0, 1.0], 2)


def test_a_claim_is_not_contradicted_by_evidence_of_parts_that_are_not_testable():
    """The premise holds up to 8 seeds. At 9 the mean of the evidence against both parts is enough."""
    seeds = [seed(v=OUT, w=OUT, p=1.0 if i < 4 else -1.0) for i in range(14)]
    both = claim(part("v", premise=premise()), part("w", premise=premise()))
    verdict = decide(both, first(seeds), LOOKS)
    assert [(len(shown.seeds), shown.against >= LOOKS.needed) for shown in verdict.parts] == [(9, True)] * 2
    assert verdict.verdict == "INCONCLUSIVE"


# --- claims ---------------------------------------------------------------------------------------------------------

WORLDS = {"yes": [IN] * 14, "no": [OUT] * 14, "open": [IN, OUT] * 7, "undefined": [NEITHER] * 14}


@pytest.mark.parametrize("v", WORLDS)
@pytest.mark.parametrize("w", WORLDS)
def test_all_judged_parts_must_hold_and_one_that_fails_decides(v, w):
    seeds = [seed(v=a, w=b) for a, b in zip(WORLDS[v], WORLDS[w], strict=True)]
    verdict = decide(claim(part("v"), part("w")), first(seeds), LOOKS)
    expected = "SUPPORTED" if (v, w) == ("yes", "yes") else "CONTRADICTED" if "no" in (v, w) else "INCONCLUSIVE"
    assert verdict.verdict == expected
    alone = {"yes": "SUPPORTED", "no": "CONTRADICTED"}
    for name, world in (("v", v), ("w", w)):
        assert (f"{name}: " in verdict.reason) == (alone.get(world, "INCONCLUSIVE") == expected)


def test_contradiction_takes_the_mean_of_the_parts_evidence():
    """9 of 9 seeds are enough for two parts of which both fail, and not for one part of two."""
    looks = Looks(3, 9, needed=180.0)
    assert 180 <= evidence.counted(9, 0) < 2 * 180
    for w, expected in ((OUT, "CONTRADICTED"), (IN, "INCONCLUSIVE")):
        verdict = decide(claim(part("v"), part("w")), first([seed(v=OUT, w=w)] * 9), looks)
        assert verdict.verdict == expected, w


def test_each_part_has_its_own_number_of_seeds_and_a_shown_one_that_of_the_first_to_end():
    seeds = [seed(v=IN, w=IN if i else OUT, x=OUT) for i in range(14)]
    verdict = decide(claim(part("v"), part("w"), part("x", judges=False)), first(seeds), LOOKS)
    assert [len(shown.seeds) for shown in verdict.parts] == [8, 14, 8]
    assert (verdict.verdict, verdict.seeds) == ("SUPPORTED", 14)


def test_a_shown_part_decides_nothing_and_ends_no_looking():
    for effect in (IN, OUT, NEITHER):
        verdict = decide(claim(part("v"), part("x", judges=False)), first([seed(v=IN, x=effect)] * 14), LOOKS)
        assert (verdict.verdict, verdict.seeds) == ("SUPPORTED", 8)


def test_a_claim_without_chance_is_decided_at_once():
    for value, expected in ((IN, "SUPPORTED"), (OUT, "CONTRADICTED"), (0.0, "CONTRADICTED")):
        sure = claim(part(effect=lambda runs, value=value: value), certain=True)
        verdict = decide(sure, lambda part, count: pytest.fail("no runs are needed"), LOOKS)
        assert (verdict.verdict, verdict.seeds, verdict.parts[0].method) == (expected, 0, "certain")
        assert json.loads(json.dumps(asdict(verdict), allow_nan=False)) == asdict(verdict)
        assert problem_at(sure, LOOKS, {}) == ""


@given(effects=FOURTEEN, infinite=st.sampled_from([-math.inf, math.inf]))
def test_a_verdict_is_plain_json(effects, infinite):
    bounds = (min(0.0, infinite), max(0.0, infinite))
    verdict = asdict(
        decide(claim(part(premise=premise())), first([seed(v=v, p=1.0) for v in [*effects[1:], bounds]]), LOOKS)
    )
    assert json.loads(json.dumps(verdict, allow_nan=False)) == verdict


# --- controls -------------------------------------------------------------------------------------------------------


def under(effect, positive=False, seeds=5):
    """The verdict on a control in whose world the part's effect is this in every seed."""
    control = Control(
        "world", "because", change=lambda runs: {"a": runs["a"].replaced({"v": np.array([effect])})}, positive=positive
    )
    tried = claim(part(), controls=(control, Control("other", "", change=lambda runs: runs)))
    return decide_control(tried, control, first([seed(v=0.5)] * seeds), Looks(3, seeds, needed=180.0))


@pytest.mark.parametrize(
    ("effect", "positive", "seeds", "passed"),
    [
        (OUT, False, 5, True),
        (IN, False, 5, False),
        (OUT, False, 4, False),  # 4 of 4 seeds are not enough to tell
        (math.nan, False, 5, False),  # a world in which nothing is defined is not told from any other
        (IN, True, 5, True),
        (OUT, True, 5, False),
    ],
)
def test_a_control_must_come_out_as_known_by_five_seeds(effect, positive, seeds, passed):
    assert under(effect, positive, seeds).passed == passed


def test_a_control_is_tried_on_its_own_parts_without_their_premises():
    control = Control("world", "", change=lambda runs: runs, parts=("w",))
    tried = claim(part("v"), part("w", premise=premise()), controls=(control,))
    verdict = decide_control(tried, control, first([seed(v=IN, w=OUT, p=-1.0)] * 14), LOOKS)
    assert verdict.passed
    assert [shown.name for shown in verdict.parts] == ["w"]


def test_a_false_world_breaks_every_part_that_its_control_names():
    """Each part is judged alone, so a world that breaks one of two guards only that one."""
    control = Control("world", "", change=lambda runs: runs)
    both = claim(part("v"), part("w"), controls=(control, Control("true", "", change=lambda runs: runs, positive=True)))
    for v, w, verdict in ((OUT, OUT, "CONTRADICTED"), (OUT, IN, "INCONCLUSIVE"), (IN, IN, "SUPPORTED")):
        tried = decide_control(both, control, first([seed(v=v, w=w)] * 5), Looks(3, 5, needed=180.0))
        assert (tried.verdict, tried.seeds) == (verdict, 5)


def test_a_control_that_cannot_tell_makes_the_claim_inconclusive():
    told, blind = under(OUT), replace(under(IN), name="blind")
    for effect in (IN, OUT):
        verdict = decide(claim(), first([seed(v=effect)] * 14), LOOKS)
        assert with_controls(verdict, [told]).verdict == verdict.verdict
        checked = with_controls(verdict, [told, blind])
        assert (checked.verdict, checked.unchecked) == ("INCONCLUSIVE", verdict.verdict)
        assert "'blind'" in checked.reason
        assert "'world'" not in checked.reason
        assert verdict.reason in checked.reason
        assert checked.controls == [told, blind]
    undecided = decide(claim(), first([seed(v=NEITHER)] * 14), LOOKS)
    assert with_controls(undecided, [blind]).reason == undecided.reason


# --- what could never be decided ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tried", "looks", "conditions", "words"),
    [
        (part(), Looks(3, 7, needed=180.0), ["a"], ["at most 7 seeds", "8 seeds or more"]),
        (compared(), Looks(3, 6, needed=180.0), ["a", "b", "c"], ["at most 6 seeds", "7 seeds or more"]),
        (compared(weights=(0.0, 1.0)), Looks(3, 9, needed=180.0), ["a", "b"], ["at most 9 seeds", "10 seeds or more"]),
        (compared(), LOOKS, ["a"], ["compares conditions and has 1", "2 or more"]),
        (compared(weights=(1.0, 1.0)), LOOKS, ["a", "b"], ["no number of seeds"]),
        (part(), LOOKS, ["a"], []),
        (compared(), Looks(3, 7, needed=180.0), ["a", "b", "c"], []),
    ],
)
def test_a_claim_that_can_never_be_decided_is_one_line(tried, looks, conditions, words):
    problem = problem_at(claim(tried), looks, {tried.name: conditions})
    assert "\n" not in problem
    assert bool(problem) == bool(words)
    assert all(word in problem for word in [repr(tried.name), *words] if words)
