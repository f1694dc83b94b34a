"""From the verdicts on parts to that on a claim, and how its controls check it."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.verdicts import evidence
from bumplab.verdicts.claim import Control
from bumplab.verdicts.decision import decide, decide_control, part_in_looks, problem_at, with_controls
from bumplab.verdicts.looks import Looks
from tests.verdicts.seeds import (
    FOURTEEN,
    IN,
    LOOKS,
    NEITHER,
    OUT,
    claim,
    compared,
    first,
    judged,
    part,
    premise,
    scores,
    seed,
    seeds_of,
)

# --- looks ----------------------------------------------------------------------------------------------------------


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


def test_scores_in_the_order_of_the_conditions_decide_in_few_seeds():
    for rows, expected in (([0, 1, 2], "SUPPORTED"), ([2, 1, 0], "CONTRADICTED"), ([1, 1, 1], "CONTRADICTED")):
        verdict = decide(claim(compared()), first([scores(*rows)] * 14), LOOKS)
        assert verdict.verdict == expected, rows
    for values, seeds in ((range(2), 10), (range(3), 7), (range(5), 7)):  # 1.76^10 > 180; 7 of 7 seeds are in
        rising = compared(weights=tuple(values))
        assert len(decide(claim(rising), first([scores(*values)] * 14), LOOKS).parts[0].seeds) == seeds


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


def test_a_claim_with_a_part_that_is_not_testable_is_contradicted_by_no_mean_of_its_parts():
    """Two parts of three have twice the needed evidence against them. One part alone would need three times as much."""
    looks = Looks(3, 9, needed=177.0)
    assert 1.5 * looks.needed <= evidence.counted(9, 0) < 3 * looks.needed
    for p, expected in ((1.0, "CONTRADICTED"), (-1.0, "INCONCLUSIVE")):
        parts = (part("u"), part("v"), part("w", premise=premise()))
        verdict = decide(claim(*parts), first([seed(u=OUT, v=OUT, w=IN, p=p)] * 9), looks)
        assert verdict.verdict == expected, p
        assert ("not testable" in verdict.parts[-1].reason) == (p < 0)


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
