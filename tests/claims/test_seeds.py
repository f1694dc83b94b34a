"""Seeds: pairs of trainings end further apart at larger increments, where they end apart at all."""

import pytest

from bumplab.verdicts.judging import judge, mark_of
from bumplab.verdicts.worlds import level, run, specs_of
from tests.claims.checks import LOOKS, PROFILES, SCALE, check_planted, check_reads, check_verdicts, claim_of, one_seed

CLAIM = claim_of("seeds")
PART = {part.name: part for part in CLAIM.parts}
RIGHT, TOLD = "probe.correct", "layer4.told"


def test_known_worlds_have_known_verdicts():
    check_verdicts(CLAIM)


def test_it_reads_what_was_planted():
    check_planted(CLAIM)


def test_each_part_reads_its_own_numbers():
    check_reads(CLAIM, {"further apart": {TOLD}, "right bumps further apart": {RIGHT}, "not learned": {TOLD}})


def test_the_two_trainings_of_a_pair_differ_in_their_seed_alone():
    for profile in PROFILES:
        specs = CLAIM.runs(profile, 10)
        assert len(specs) == 2 * min(3, len(profile.increments)), profile.name
        increments = profile.increments
        for d in {increments[0], increments[len(increments) // 2], increments[-1]}:
            first, again = specs[f"d={d:g}"], specs[f"d={d:g} again"]
            assert first == profile.run(10, dx=d), profile.name
            assert (again.seed != first.seed, again.data, again.training) == (True, first.data, first.training)
        seeds = {spec.seed for seed in range(10, 74) for spec in CLAIM.runs(profile, seed).values()}
        assert len(seeds) == 128, "a training belongs to one seed alone"


def ending(told):
    return {c: run(spec, {}, {TOLD: end}) for (c, spec), end in zip(specs_of(CLAIM, SCALE).items(), told, strict=True)}


def test_lower_order_at_larger_increments_is_no_spread():
    """Both trainings of each pair end lower, and equally far apart."""
    runs = ending((0.9, 0.6, 0.3, 0.7, 0.4, 0.1))
    assert mark_of(PART["further apart"], runs, 0).mark == "out"


def test_which_training_of_a_pair_is_better_does_not_matter():
    for told in ((0.9, 0.9, 0.9, 0.8, 0.6, 0.4), (0.8, 0.9, 0.4, 0.9, 0.6, 0.9)):
        assert PART["further apart"].effect(ending(told)) == pytest.approx(1), told


def test_it_is_not_testable_where_all_trainings_end_alike():
    alike = ending((0.95, 0.95, 0.95, 0.94, 0.92, 0.90))
    verdict = judge(PART["further apart"], [alike] * 3, LOOKS, 1)
    assert "not testable at this profile" in verdict.reason
    assert (verdict.verdict, verdict.settled) == ("INCONCLUSIVE", True)


def test_a_run_without_order_is_not_learned():
    assert PART["not learned"].effect(ending((0.9, 0.9, 0.2, 0.9, 0.9, 0.9))) == pytest.approx(1 / 6)


def test_a_layer_that_holds_its_label_is_undefined():
    runs, _ = one_seed(CLAIM)
    last = list(runs)[-1]
    runs = {**runs, last: runs[last].replaced({TOLD: level(runs[last].spec, 0.95)})}
    assert "holds the label" in mark_of(PART["further apart"], runs, 0).problem
