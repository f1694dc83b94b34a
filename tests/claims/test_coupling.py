"""x and y learned together, and every way of learning them apart."""

from dataclasses import replace

import numpy as np
import pytest

from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.judging import mark_of
from bumplab.verdicts.worlds import learning, level, ramp, rise, run
from tests.claims.checks import (
    PROFILES,
    SCALE,
    check_planted,
    check_reads,
    check_verdicts,
    claim_of,
    one_seed,
    runs_of,
)

CLAIM = claim_of("coupling")
PACE, Y_AS_X, HURT, BELOW_SPARSE, TOLD = CLAIM.parts
STEP = {"step"}


def test_each_part_reads_its_own_axes_and_runs():
    both = {"probe.correct_x", "probe.correct_y"}
    area = {"probe.correct"} | STEP
    first, *others = CLAIM.runs(SCALE, FIRST_SEED)
    placed = {"probe.correct", "probe.single-wrong", "probe.error_x"} | both
    reads = {
        PACE.name: {first: placed | STEP} | dict.fromkeys(others, placed),
        Y_AS_X.name: {"balanced": set(), "imbalanced": both | area},
        HURT.name: {"balanced": area, "imbalanced": area},
        BELOW_SPARSE.name: {"balanced": set(), "imbalanced": area, "sparse": area},
        TOLD.name: {"balanced": set(), "imbalanced": {"layer4.told_x", "layer4.told_y"} | STEP},
    }
    check_reads(CLAIM, reads)


def test_planted_worlds_and_controls_have_their_verdicts():
    check_planted(CLAIM)
    check_verdicts(CLAIM, {PACE.name: -0.9}, trained={"factorized generator": factorized})


def factorized(specs, random):
    """x at one pace whatever dy is; y at a pace of its own, so that other images have a bump."""
    made = {}
    for condition, spec in specs.items():
        x, y = rise(spec, 0.5), rise(spec, random.uniform(0.3, 0.7))
        noise = random.uniform(-0.005, 0.005)  # other images have a bump
        curves = {
            "probe.correct": 0.8 * y * x,
            "probe.single-wrong": y - 0.8 * y * x,
            "probe.correct_x": y * (x + noise),
            "probe.correct_y": 0.9 * y**2,
        }
        made[condition] = run(spec, curves)
    return made


def test_images_without_a_bump_say_nothing_of_the_pace():
    """Runs that draw bumps sooner are right sooner in x and in y. That is no coupling of x with y."""
    specs = CLAIM.runs(PROFILES[0], FIRST_SEED)
    made = {}
    for (condition, spec), bump in zip(specs.items(), np.linspace(0.5, 0.9, len(specs)), strict=True):
        right = bump * rise(spec, 0.5)
        curves = {
            "probe.correct": right,
            "probe.single-wrong": bump - right,
            "probe.correct_x": right,
            "probe.correct_y": right,
        }
        made[condition] = run(spec, curves, {"probe.error_x": 0.2})
    assert mark_of(PACE, made, FIRST_SEED).mark == "neither"
    for exponent, (condition, curves) in enumerate(made.items(), 1):
        bump = curves["probe.correct"] + curves["probe.single-wrong"]
        made[condition] = curves.replaced({"probe.correct_y": bump * rise(curves.spec, 0.5) ** exponent})
    mark = mark_of(PACE, made, FIRST_SEED)
    assert (mark.mark, mark.low) == ("out", 0.0), "y has a pace of its own, and x has one for all"


def test_x_and_y_of_each_run_are_compared():
    """The same x against y in the same order, in the opposite one, and of another run."""
    own = runs_of(CLAIM, PACE, one_seed(CLAIM)[0])
    names = sorted(own, key=lambda name: own[name].spec.data.dy)
    assert mark_of(PACE, own, FIRST_SEED).mark == "in"
    turned = {
        name: own[name].replaced({"probe.correct_y": own[other]["probe.correct_y"]})
        for name, other in zip(names, names[::-1], strict=True)
    }
    mark = mark_of(PACE, turned, FIRST_SEED)
    assert (mark.mark, mark.low) == ("out", -1.0)


def test_coupling_is_planted_in_a_slow_seed_too():
    """Half of the dense run's images show one bump after 0.3 of its steps, and a right one after 0.6."""

    def late(spec):
        single, right = (ramp(spec, share * spec.training.steps) for share in (0.3, 0.6))
        return learning("probe", right, single)

    (control,) = (control for control in CLAIM.controls if control.positive)
    for part in CLAIM.under(control).parts:
        specs = CLAIM.runs_of(part)(SCALE, FIRST_SEED)
        slow = {c: run(spec, late(spec)) for c, spec in specs.items()}
        mark = mark_of(part, slow, FIRST_SEED)
        assert mark.mark == "in", (part.name, mark)


def test_a_seed_that_draws_no_bumps_is_neither():
    runs, _ = one_seed(CLAIM)
    for part, blank in ((PACE, ("probe.correct", "probe.single-wrong")), (Y_AS_X, ("probe.correct",))):
        own = runs_of(CLAIM, part, runs)
        last = list(own)[-1]
        none = {name: level(own[last].spec, 0.1) for name in blank}
        mark = mark_of(part, own | {last: own[last].replaced(none)}, FIRST_SEED)
        assert (mark.mark, mark.low) == ("neither", None), part.name
        assert mark.problem
    unlearned = {"imbalanced": runs["imbalanced"].replaced({"probe.correct": level(own[last].spec, 0.4)})}
    for part in (Y_AS_X, HURT):
        assert part.premise.effect(runs | unlearned) < part.premise.region.low < part.premise.effect(runs)


def test_imbalance_is_judged_where_the_data_tell_dy_from_dx():
    """Neighbours 3 pixels apart tell it. Those 2 pixels apart do so where the dense set is seen more than once."""
    for dy, steps, judged in ((3.0, 1_000, True), (2.0, 1_000, False), (2.0, 2_000, True)):
        training = replace(SCALE.base.training, steps=steps)
        profile = replace(SCALE, imbalances=((0.1, dy),), base=replace(SCALE.base, training=training))
        runs, _ = one_seed(CLAIM, profile=profile)
        for part in (Y_AS_X, HURT):
            mark = mark_of(part, runs_of(CLAIM, part, runs, profile), FIRST_SEED)
            assert mark.mark == ("in" if judged else "neither"), (part.name, dy, steps, mark)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_its_runs_share_the_dense_x(profile):
    dense, sparse = profile.imbalances[0]
    by_dy = CLAIM.runs(profile, 10)
    all_dy = (dense, *(dy for _, dy in profile.imbalances))
    assert by_dy == {f"dy={dy:g}": profile.run(10, dx=dense, dy=dy) for dy in all_dy}
    pair = CLAIM.runs_of(HURT)(profile, 10)
    assert pair == {"balanced": profile.run(10, dx=dense), "imbalanced": profile.run(10, dx=dense, dy=sparse)}
    assert CLAIM.runs_of(BELOW_SPARSE)(profile, 10) == pair | {"sparse": profile.run(10, dx=sparse)}
    generators = CLAIM.controls[0].runs(profile, 10)
    assert generators == {condition: profile.factorized(spec) for condition, spec in by_dy.items()}
