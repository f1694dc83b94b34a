"""x and y learned together, and every way of learning them apart."""

from dataclasses import replace

import numpy as np
import pytest

from bumplab import profiles
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
CROSS, Y_AS_X, HURT, ALL_IMAGES, BELOW_SPARSE, TOLD = CLAIM.parts
STEP = {"step"}


def test_each_part_reads_its_own_axes_and_runs():
    both = {"probe.correct_x", "probe.correct_y"}
    area = {"probe.correct"} | STEP
    first, *others = CLAIM.runs(SCALE, FIRST_SEED)
    placed = {"probe.correct", "probe.single-wrong", "probe.correct_x", "probe.error_x"}
    reads = {
        CROSS.name: {first: placed | STEP} | dict.fromkeys(others, placed),
        Y_AS_X.name: {"balanced": set(), "imbalanced": both | area},
        HURT.name: {"balanced": area, "imbalanced": area},
        ALL_IMAGES.name: {"probe.correct_x"} | STEP,
        BELOW_SPARSE.name: {"balanced": set(), "imbalanced": area, "sparse": area},
        TOLD.name: {"balanced": set(), "imbalanced": {"layer4.told_x", "layer4.told_y"} | STEP},
    }
    check_reads(CLAIM, reads)


def test_planted_worlds_and_controls_have_their_verdicts():
    check_planted(CLAIM)
    check_verdicts(CLAIM, trained={"factorized generator": factorized})


def factorized(specs, random):
    """x at one pace whatever dy is; y at its own pace, so that other images have a bump."""
    made = {}
    for condition, spec in specs.items():
        x = rise(spec, 0.5)
        bump = rise(spec, random.uniform(0.3, 0.7))
        noise = random.uniform(-0.01, 0.01)  # other images have a bump
        curves = {
            "probe.correct": 0.8 * bump * x,
            "probe.single-wrong": bump - 0.8 * bump * x,
            "probe.correct_x": bump * (x + noise),
        }
        made[condition] = run(spec, curves)
    return made


def test_images_without_a_bump_say_nothing_of_x():
    """In a factorized world y decides which images have a bump. x over all images then depends on dy, not x itself."""
    specs = CLAIM.runs(PROFILES[0], FIRST_SEED)
    bumps = np.linspace(0.5, 0.9, len(specs))
    weights = CROSS.effect.weights(list(specs))
    made = {}
    for (condition, spec), rank in zip(specs.items(), np.argsort(np.argsort(weights)), strict=True):
        bump, x = bumps[rank], rise(spec, 0.5)
        curves = {
            "probe.correct": bump * x,
            "probe.single-wrong": bump * (1 - x),
            "probe.correct_x": bump * x,
        }
        made[condition] = run(spec, curves, {"probe.error_x": 0.2})
    assert mark_of(CROSS, made, FIRST_SEED).mark == "out"
    assert mark_of(CROSS, made, FIRST_SEED).low == 0.0
    assert mark_of(ALL_IMAGES, made, FIRST_SEED).mark == "in"


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
    for part, blank in ((CROSS, ("probe.correct", "probe.single-wrong")), (Y_AS_X, ("probe.correct",))):
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


def test_the_contrast_is_the_fastest_dy_against_all_others():
    assert CROSS.effect.weights(["dy=1", "dy=0.1", "dy=2", "dy=4"]) == [0.0, 0.0, 1.0, 0.0]
    assert CROSS.effect.weights(["dy=0.1", "dy=1", "dy=4"]) == [0.0, 1.0, 0.0]


def test_the_contrast_holds_on_the_explored_canvas_alone():
    """Elsewhere another dy may be the fastest, which would be coupling as well."""
    large = profiles.get("nightly")
    for profile, holds in ((SCALE, True), (large, False)):
        runs = {c: run(spec, {}, {"probe.error_x": 0.2}) for c, spec in CLAIM.runs(profile, 10).items()}
        assert (CROSS.premise.effect(runs) < CROSS.premise.region.high) == holds, profile.name
