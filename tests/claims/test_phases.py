"""Three phases where there are three, and not where there are not."""

import numpy as np
import pytest

from bumplab.verdicts.curves import Undefined
from bumplab.verdicts.judging import mark_of
from bumplab.verdicts.worlds import learning, level, ramp, run, steps_of, untrained
from tests.claims.checks import PROFILES, check_planted, check_reads, check_verdicts, claim_of, one_seed

CLAIM = claim_of("phases")
BUMPS = {"probe.single-wrong", "probe.correct", "step"}
MANIFOLD = {"layer4.told", "layer4.told_flatness", "step"}
PART = {part.name: part for part in CLAIM.parts}


def never_right(specs, random):
    """As the exploring run on shuffled labels that ends with the most order."""
    spec = specs["dense"]
    single = ramp(spec, random.normal(200, 20))
    told = 0.6 - 0.03 * steps_of(spec) / spec.training.steps
    return {"dense": run(spec, {**learning("probe", 0.02 * single, single), "layer4.told": told})}


def right_at_once(specs, random):
    """Under the last grain in which it is found, one bump in five is at a wrong place."""
    spec = specs["dense"]
    single = ramp(spec, random.normal(400, 20))
    return {"dense": run(spec, learning("probe", (1 - 0.2 * (single < 0.7)) * single, single))}


def test_known_worlds_have_known_verdicts():
    trained = {
        "labels shuffled": never_right,
        "untrained": lambda specs, random: {"dense": untrained(specs["dense"])},
        "fading grain": right_at_once,
    }
    check_verdicts(CLAIM, trained=trained)


def test_it_reads_what_was_planted():
    check_planted(CLAIM)


def test_each_part_reads_its_own_numbers():
    others = {"order at another increment": BUMPS, "order at another spread": BUMPS}
    ends = {"ends flat": {"layer4.told_flatness"}, "ends ordered": {"layer4.told"}, "ends right": {"probe.correct"}}
    reads = {
        "order": BUMPS,
        "failure in B": BUMPS,
        "error falls": BUMPS | {"probe.error"},
        "flat before order": MANIFOLD,
    }
    check_reads(CLAIM, reads | ends | others)


def dense_run(**curves):
    runs, _ = one_seed(CLAIM)
    return {"dense": runs["dense"].replaced({name.replace("_", ".", 1): curve for name, curve in curves.items()})}


def spec_of_dense():
    return one_seed(CLAIM)[0]["dense"].spec


def test_a_run_that_is_never_right_shows_the_order_and_not_the_end():
    """Phase B may still last when training ends. Only the parts on the end tell whether phase C came."""
    runs = never_right({"dense": spec_of_dense()}, np.random.default_rng(0))
    assert mark_of(PART["order"], runs, 0).mark == "in"
    assert mark_of(PART["ends right"], runs, 0).mark == "out"
    assert mark_of(PART["ends ordered"], runs, 0).mark == "out"


def test_right_at_once_leaves_no_phase_b_in_runs_that_are_never_right():
    """At another spread some runs do not end right. The control must tell its world from them too."""
    (control,) = [control for control in CLAIM.controls if control.name == "right at once"]
    runs = never_right({"dense": spec_of_dense()}, np.random.default_rng(0))
    assert mark_of(PART["order"], control.change(runs), 0).mark == "out"


def test_a_phase_b_between_two_checkpoints_is_too_short_to_see():
    spec = spec_of_dense()
    runs = {"dense": run(spec, learning("probe", ramp(spec, 590), ramp(spec, 401)))}
    assert mark_of(PART["order"], runs, 0).mark == "neither"
    assert "shorter than 2 checkpoints" in mark_of(PART["order"], runs, 0).problem


def test_one_bump_in_every_image_before_training_is_no_phase():
    spec = spec_of_dense()
    runs = {"dense": run(spec, learning("probe", ramp(spec, 590), level(spec, 1.0)))}
    with pytest.raises(Undefined, match="already draws single bumps"):
        PART["order"].effect(runs)


def test_a_layer_that_holds_its_label_before_training_has_learned_no_order():
    told = dense_run(**{"layer4_told": level(spec_of_dense(), 0.97)})
    for name in ("ends ordered", "flat before order"):
        assert mark_of(PART[name], told, 0).mark == "neither"


def test_an_error_that_jumps_after_phase_b_does_not_fall_in_it():
    error = np.where(steps_of(spec_of_dense()) > 750, 0.2, 4.0)
    assert mark_of(PART["error falls"], dense_run(probe_error=error), 0).mark == "out"


def test_the_other_runs_differ_from_the_dense_one_in_one_number():
    for profile in PROFILES:
        base = profile.run(10).data
        (increment,) = PART["order at another increment"].runs(profile, 10).values()
        (spread,) = PART["order at another spread"].runs(profile, 10).values()
        assert increment.data.dx == increment.data.dy != base.dx, profile.name
        assert increment.data.sigma == base.sigma, profile.name
        assert spread.data.sigma != base.sigma, profile.name
        assert spread.data.dx == base.dx, profile.name
