"""A bottleneck with less signal than layer 4, as much, or more."""

import math

import pytest

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
    check_reads(CLAIM, {LESS.name: SIGNALS | {"probe.correct"}, BY_TRAINING.name: SIGNALS, READABLE.name: told})
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


def test_a_dead_tap_has_the_least_signal_and_two_dead_taps_are_neither():
    """A dead tap holds the same numbers for every image, but for rounding."""
    runs, _ = one_seed(CLAIM)
    for signal in (0.0, 1e-15):
        mark = mark_of(LESS, {"dense": with_last(runs["dense"], layer4=0.5, bottleneck=signal)}, FIRST_SEED)
        assert (mark.mark, mark.low, mark.high) == ("in", pytest.approx(math.log2(0.5e12)), None), signal
    for bottleneck, expected in ((0.1, "out"), (0.0, "neither")):
        mark = mark_of(LESS, {"dense": with_last(runs["dense"], layer4=0.0, bottleneck=bottleneck)}, FIRST_SEED)
        assert mark.mark == expected, bottleneck
    assert mark.problem == "both taps are the same for every image"


def test_a_bottleneck_that_is_dead_before_training_too_bounds_nothing():
    runs, _ = one_seed(CLAIM)
    most = math.log2(0.4e12) - 2
    for trained, untrained, mark, low, high in (
        (0.0, 0.1, "in", most, None),
        (0.1, 0.0, "out", None, -most),
        (0.0, 0.0, "neither", None, None),
    ):
        signals = {"dense": trained, "untrained": untrained}
        dead = {c: with_last(runs[c], layer4=0.4, bottleneck=signal) for c, signal in signals.items()}
        read = mark_of(BY_TRAINING, dead, FIRST_SEED)
        assert (read.mark, read.low, read.high) == (mark, pytest.approx(low), pytest.approx(high)), signals


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
