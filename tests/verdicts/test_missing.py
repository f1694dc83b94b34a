"""Where runs are missing, a part has the verdict of the last look that has all of its runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.verdicts.claim import Control
from bumplab.verdicts.decision import (
    RunsMissing,
    decide,
    decide_control,
    part_in_looks,
    with_controls,
    without_controls,
)
from bumplab.verdicts.judging import judge
from tests.verdicts.seeds import IN, LOOKS, OUT, claim, part, seed


def there(**seeds_of_parts):
    """Runs of each part for so many seeds, by the part's name: all effects lie in the region."""

    def runs(part, seeds):
        if seeds > seeds_of_parts[part.name]:
            raise RunsMissing("for a test")
        return [seed(**dict.fromkeys(seeds_of_parts, IN))] * seeds

    return runs


@given(effects=st.lists(st.sampled_from([IN, OUT]), min_size=14, max_size=14), seeds=st.integers(3, 14))
def test_a_part_has_the_verdict_of_its_last_complete_look(effects, seeds):
    def runs(part, count):
        if count > seeds:
            raise RunsMissing("for a test")
        return [seed(v=effect) for effect in effects[:count]]

    verdict = part_in_looks(claim(), part(), runs, LOOKS)
    assert verdict.seeds == judge(part(), runs(part(), len(verdict.seeds)), LOOKS, 1).seeds
    assert verdict.stopped == (not verdict.settled and seeds < LOOKS.last)
    assert verdict.reason.endswith(", for a test") == verdict.stopped
    if verdict.stopped:
        assert (len(verdict.seeds), verdict.verdict) == (seeds, "INCONCLUSIVE")


def test_without_its_first_look_there_is_no_verdict():
    for runs in (there(v=2, w=14), there(v=14, w=2)):
        with pytest.raises(RunsMissing):
            decide(claim(part("v"), part("w")), runs, LOOKS)


def test_a_claim_is_stopped_where_a_part_of_it_is_and_none_contradicts():
    both = claim(part("v"), part("w"))
    verdict = decide(both, there(v=14, w=5), LOOKS)
    assert (verdict.verdict, verdict.stopped, verdict.seeds) == ("INCONCLUSIVE", True, 8)
    assert [p.stopped for p in verdict.parts] == [False, True]

    def contradicted(part, seeds):
        if part.name == "w" and seeds > 5:
            raise RunsMissing("for a test")
        return [seed(v=OUT, w=IN)] * seeds

    verdict = decide(both, contradicted, LOOKS)
    assert (verdict.verdict, verdict.stopped) == ("CONTRADICTED", False), "no further seed can change it"
    assert not decide(both, there(v=14, w=14), LOOKS).stopped


def test_a_shown_part_has_the_seeds_that_there_are():
    verdict = decide(claim(part("v"), part("shown", judges=False)), there(v=14, shown=5), LOOKS)
    assert (verdict.verdict, verdict.stopped) == ("SUPPORTED", False)
    assert [len(p.seeds) for p in verdict.parts] == [8, 5]


def test_a_control_without_its_runs_leaves_the_claim_open():
    """``blind`` is a world where the claim is false, and its code does not tell it."""
    true = Control("true", "", change=lambda runs: runs, positive=True)
    false = Control("blind", "", change=lambda runs: runs)
    tested = claim(controls=(true, false))
    verdict = decide(tested, there(v=14), LOOKS)
    told, open_one = (decide_control(tested, true, there(v=seeds), LOOKS) for seeds in (14, 4))
    assert [(c.passed, c.stopped) for c in (told, open_one)] == [(True, False), (False, True)]
    blind = decide_control(tested, false, there(v=14), LOOKS)
    missing = RunsMissing("for a test")
    for checked, stopped in (
        (with_controls(verdict, [told, open_one]), True),
        (with_controls(verdict, [blind, open_one]), False),  # more runs cannot help
        (without_controls(verdict, [told], missing), True),
        (without_controls(verdict, [open_one], missing), True),
        (without_controls(verdict, [blind], missing), False),
    ):
        assert (checked.verdict, checked.unchecked, checked.stopped) == ("INCONCLUSIVE", "SUPPORTED", stopped)
        assert verdict.reason in checked.reason
    undecided = decide(tested, there(v=5), LOOKS)
    assert without_controls(undecided, [], missing).reason == undecided.reason
