"""A claim on other runs or on changed measurements keeps its words, its regions and its parts."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.profiles import QUICK
from bumplab.verdicts.claim import Compared, Control, Premise, Region, falling, keyword, rising, slug
from bumplab.verdicts.curves import Curves, Undefined
from bumplab.verdicts.looks import MAX_SEEDS, MIN_SEEDS, Looks, needed_of
from tests.verdicts.seeds import ABOVE, SPEC, claim, compared, part, scores


def summed(runs):
    return float(sum(run["v"][-1] for run in runs.values()))


def doubled(runs):
    return {condition: run.replaced({"v": 2 * run["v"]}) for condition, run in runs.items()}


def plus_one(runs):
    return {condition: run.replaced({"v": run["v"] + 1}) for condition, run in runs.items()}


def shuffled(profile, seed):
    return {"b": profile.shuffled(profile.run(seed))}


def own_runs(profile, seed):
    return {"own": profile.run(seed, dx=4.0)}


PREMISE = Premise("p", "n", "u", ABOVE, summed)
CLAIM = claim(
    part("v", effect=summed, premise=PREMISE),
    part("w", Region(high=3), effect=summed, runs=own_runs),
    part("shown", effect=summed, judges=False),
)
RUNS = {"a": Curves([{"step": 0.0, "v": 1.0}, {"step": 5.0, "v": 3.0}], SPEC)}


def test_a_control_s_change_is_seen_by_every_judged_part_and_by_nothing_else():
    changed = CLAIM.under(Control("c", "w", change=doubled))
    assert [(part.name, part.effect(RUNS)) for part in changed.parts] == [("v", 6.0), ("w", 6.0)]
    assert [part.effect(RUNS) for part in CLAIM.parts] == [3.0] * 3
    assert RUNS["a"]["v"][-1] == 3
    kept = [replace(part, effect=summed, premise=None) for part in CLAIM.judged_parts]
    assert [replace(part, effect=summed) for part in changed.parts] == kept
    assert changed.runs is CLAIM.runs


def test_a_control_s_runs_replace_those_of_the_claim_and_of_its_parts():
    other = CLAIM.under(Control("c", "w", runs=shuffled))
    for part_there in other.parts:
        (spec,) = other.runs_of(part_there)(QUICK, 3).values()
        assert spec.data.pairing == "shuffled"
    assert list(CLAIM.runs_of(CLAIM.parts[1])(QUICK, 3)) == ["own"]


def test_a_control_is_tried_on_the_parts_it_names():
    assert [part.name for part in CLAIM.under(Control("c", "w", change=doubled, parts=("w",))).parts] == ["w"]


def test_changes_are_made_from_the_last_to_the_first():
    twice = CLAIM.with_runs(None, doubled).with_runs(None, plus_one)
    assert twice.parts[0].effect(RUNS) == 8.0


def test_a_change_reaches_the_scores_of_a_compared_part():
    def reversed_runs(runs):
        return dict(zip(runs, reversed(runs.values()), strict=True))

    changed = claim(compared()).under(Control("c", "w", change=reversed_runs)).parts[0].effect
    assert isinstance(changed, Compared)
    assert changed.scores_of(scores(1, 2, 3)) == (3, 2, 1)
    assert changed(scores(1, 2, 3)) == pytest.approx(-1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_leaves_the_comparison_undefined(bad):
    with pytest.raises(Undefined, match="the score of d=1"):
        compared().effect(scores(1.0, bad, 2.0))


@given(levels=st.lists(st.floats(0.1, 10), min_size=2, max_size=6, unique=True))
def test_weights_are_the_ranks_of_levels(levels):
    conditions = [f"d={level!r}" for level in levels]
    assert sorted(range(len(levels)), key=rising(conditions).__getitem__) == sorted(
        range(len(levels)), key=levels.__getitem__
    )
    assert [-weight for weight in falling(conditions)] == rising(conditions)
    assert sorted(rising(conditions)) == list(range(len(levels)))


def test_a_region_is_said_in_words():
    assert str(Region(low=0.5)) == "above 0.5"
    assert str(Region(high=1.1)) == "below 1.1"
    assert str(Region(-0.25, 0.25)) == "between -0.25 and 0.25"


@given(
    name=st.text("abcXYZ 0123456789.,%()/=-", min_size=1, max_size=20).filter(lambda text: any(map(str.isalnum, text)))
)
def test_a_slug_has_no_signs_that_a_shell_or_pytest_reads_and_a_keyword_none_that_python_does(name):
    assert set(slug(name)) <= set("abcxyz0123456789%.-")
    assert not slug(name).startswith("-")
    word = keyword(part(name))
    assert ("_" + word).isidentifier()
    assert slug(slug(name)) == slug(name)


NEGATIVE, POSITIVE = Control("no", "w", change=doubled), Control("yes", "w", change=doubled, positive=True)


@pytest.mark.parametrize(
    ("parts", "controls", "words"),
    [
        ([part(judges=False)], (), "no part judges"),
        ([part("a b"), part("a  b")], (), "'a-b'"),
        ([part("v", Region())], (), "'v' has no region"),
        ([part("v", Region(1.0, 1.0))], (), "'v' has an empty region"),
        ([part("v"), part("w", judges=False)], (replace(NEGATIVE, parts=("w",)),), "'no' names 'w'"),
        ([part("v")], (replace(NEGATIVE, parts=("x",)),), "'no' names 'x'"),
        ([part("v")], (replace(NEGATIVE, change=None),), "'no' must have either runs or a change"),
        ([part("v")], (replace(NEGATIVE, runs=shuffled),), "'no' must have either runs or a change"),
        ([part("v")], (POSITIVE,), "all its controls are positive"),
        ([part("v")], (NEGATIVE, POSITIVE), ""),
        ([part("v")], (), ""),
    ],
)
def test_a_claim_that_could_never_be_decided_is_refused_in_one_line(parts, controls, words):
    if not words:
        assert claim(*parts, controls=controls).controls == controls
        return
    with pytest.raises(ValueError, match=words) as refused:
        claim(*parts, controls=controls)
    assert "'density'" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_looks_are_checked_and_counted():
    assert list(Looks(3, 5, needed=20.0)) == [3, 4, 5]
    for first, last in ((MIN_SEEDS - 1, 5), (5, 4), (3, MAX_SEEDS + 1)):
        with pytest.raises(ValueError, match=f"looks from {first} to {last} seeds"):
            Looks(first, last, needed=20.0)
    for needed in (1.0, math.nan):
        with pytest.raises(ValueError, match="must be above 1"):
            Looks(3, 5, needed=needed)
    assert needed_of(9) == pytest.approx(180)
    assert needed_of(0) == needed_of(1) == pytest.approx(20)
