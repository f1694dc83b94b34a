"""A bottleneck with less signal than layer 4, as much, or more."""

from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.judging import mark_of
from tests.claims.checks import PROFILES, check_planted, check_reads, check_verdicts, claim_of, one_seed, runs_of

CLAIM = claim_of("bottleneck")
LESS, BY_TRAINING, READABLE = CLAIM.parts
SIGNALS = {"layer4.signal", "bottleneck.signal"}


def test_planted_worlds_and_controls_have_their_verdicts():
    check_planted(CLAIM)
    check_verdicts(CLAIM)


def test_each_part_reads_the_two_roles_at_the_last_step():
    told = {"layer4.told", "bottleneck.told"}
    check_reads(CLAIM, {LESS.name: SIGNALS, BY_TRAINING.name: SIGNALS, READABLE.name: told})
    runs, _ = one_seed(CLAIM)
    dense = runs["dense"]
    earlier = Curves([*({"step": row["step"]} for row in dense.rows[:-1]), dense.rows[-1]], dense.spec)
    for part in CLAIM.parts:
        own = runs_of(CLAIM, part, runs)
        assert mark_of(part, own | {"dense": earlier}, FIRST_SEED) == mark_of(part, own, FIRST_SEED), part.name


def with_last(curves, **signals):
    last = {f"{role}.signal": value for role, value in signals.items()}
    return Curves([*curves.rows[:-1], {**curves.rows[-1], **last}], curves.spec)


def test_training_is_compared_with_one_step():
    runs, _ = one_seed(CLAIM)
    trained = with_last(runs["dense"], layer4=0.4, bottleneck=0.1)
    for untrained, mark in ((0.01, "out"), (0.1, "out"), (0.3, "in")):
        others = {"dense": trained, "untrained": with_last(runs["untrained"], layer4=0.4, bottleneck=untrained)}
        assert mark_of(BY_TRAINING, others, FIRST_SEED).mark == mark, untrained


def test_a_dead_bottleneck_is_neither():
    """It holds the same numbers for every image."""
    runs, _ = one_seed(CLAIM)
    mark = mark_of(LESS, {"dense": with_last(runs["dense"], bottleneck=0.0)}, FIRST_SEED)
    assert (mark.mark, mark.problem) == ("neither", "a tap is the same for every image")


def test_swapping_moves_every_number_of_the_two_taps_and_nothing_else():
    runs, _ = one_seed(CLAIM)
    before = runs["dense"].rows[-1]
    swapped = CLAIM.controls[0].change({"dense": runs["dense"]})["dense"].rows[-1]
    assert swapped.keys() == before.keys()
    assert swapped["layer4.signal"] == before["bottleneck.signal"] != before["layer4.signal"]
    assert swapped["bottleneck.signal"] == before["layer4.signal"]
    assert {name for name in before if swapped[name] != before[name]} <= {
        name for name in before if name.split(".")[0] in ("layer4", "bottleneck")
    }


def test_its_runs_are_the_dense_one():
    for profile in PROFILES:
        assert CLAIM.runs(profile, 10) == {"dense": profile.run(10)}, profile.name
