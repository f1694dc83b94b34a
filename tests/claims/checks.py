"""Checks that the tests of every claim make, on synthetic runs whose truth is known (`bumplab.verdicts.worlds`)."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bumplab import profiles
from bumplab.config import TrainingSpec
from bumplab.data.label_sets import label_sets
from bumplab.measure.measure import measure
from bumplab.profiles import QUICK
from bumplab.runs import learners
from bumplab.subjects.registry import resolve
from bumplab.verdicts.claim import FIRST_SEED, Compared
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide, decide_control
from bumplab.verdicts.evidence import ranked
from bumplab.verdicts.judging import mark_of
from bumplab.verdicts.looks import Looks
from bumplab.verdicts.suite import OURS, claims
from bumplab.verdicts.worlds import design_of, drawn, plant, specs_of, world

SCALE = replace(
    QUICK,
    name="scale of the tests",
    base=replace(
        QUICK.base,
        training=TrainingSpec(steps=1_000, batch_size=16, learning_rate=2e-3),
        measure=replace(QUICK.base.measure, every=100),
    ),
    increments=(0.1, 1.0, 4.0),
    imbalances=((0.1, 4.0), (0.1, 1.0)),
    holes=(5.0, 7.0),
    sigmas=(0.5, 0.7, 1.0),
)
"""The profile of the tests. It stays where quick is chosen anew."""
PROFILES = [profiles.get(name) for name in profiles.ALL]
LOOKS = Looks(3, 14, needed=200.0)
CONTROL_LOOKS = Looks(3, 5, needed=200.0)
"""A control must tell its world by 5 seeds."""


def claim_of(id):
    return next(claim for claim in claims(OURS) if claim.id == id)


def one_seed(claim, numbers=None, profile=SCALE):
    """The planted runs of one seed by condition, and the numbers planted by part: those given, else as designed."""
    random = np.random.default_rng(0)
    designed = {part.name: drawn_of(claim, part, random, profile) for part in quiet(claim).judged_parts}
    numbers = designed | (numbers or {})
    return plant(claim, numbers, specs_of(claim, profile)), numbers


def drawn_of(claim, part, random, profile=SCALE, effect=None):
    conditions = list(claim.runs_of(part)(profile, FIRST_SEED))
    return drawn(part, conditions, random, design_of(part).effect if effect is None else effect)


def runs_of(claim, part, runs, profile=SCALE):
    """The runs of one part, from those of all parts."""
    return {condition: runs[condition] for condition in claim.runs_of(part)(profile, FIRST_SEED)}


def quiet(claim):
    """The claim with a tenth of the designed spread, so that few seeds are enough."""

    def quieter(part):
        design = design_of(part)
        sign = math.copysign(1, design.effect)
        effect = sign * (0.9 + abs(design.effect) / 10) if isinstance(part.effect, Compared) else design.effect
        return replace(part, design=replace(design, effect=effect, spread=design.spread / 10))

    return replace(claim, parts=tuple(quieter(part) if part.judges else part for part in claim.parts))


def check_planted(claim, profile=SCALE, within=1e-6, draws=25):
    """Each judged part reads from a planted seed the number that was planted: as designed, and at its region's edges.

    A `Compared` part reads the order of the scores. ``within`` is how far off a number may be, in designed spreads.
    """
    random = np.random.default_rng(1)
    for moved in claim.judged_parts:
        edges = [edge for edge in (moved.region.low, moved.region.high) if math.isfinite(edge)]
        for effect in [None] if isinstance(moved.effect, Compared) else [None, *edges]:
            for _ in range(draws):
                numbers = {part.name: drawn_of(claim, part, random, profile) for part in claim.judged_parts}
                numbers[moved.name] = drawn_of(claim, moved, random, profile, effect)
                _check_read(claim, numbers, profile, within)


def _check_read(claim, numbers, profile, within):
    runs = plant(claim, numbers, specs_of(claim, profile))
    for part in claim.judged_parts:
        own, planted = runs_of(claim, part, runs, profile), numbers[part.name]
        if isinstance(part.effect, Compared):
            assert list(ranked(part.effect.scores_of(own))) == list(ranked(planted)), part.name
        else:
            mark = mark_of(part, own, FIRST_SEED)
            assert mark.low == mark.high, (part.name, mark)
            assert mark.low == pytest.approx(planted, abs=within * design_of(part).spread), (part.name, mark.problem)


def verdict_on(claim, effects=None, change=None, profile=SCALE):
    """The verdict on the claim in its own quiet world, with these true effects and each seed's runs changed."""
    tried = quiet(claim)
    runs = world(tried, effects or {}, np.random.default_rng(len(claim.id)), LOOKS.last, profile)
    return decide(tried if change is None else tried.with_runs(None, change), runs, LOOKS)


def check_verdicts(claim, broken=None, trained=None, profile=SCALE):
    """Planted worlds have the verdicts that are known.

    As designed the claim is SUPPORTED. With one part beyond the edge of its region it is CONTRADICTED; ``broken`` gives
    the part's effect there where it is not the designed effect, mirrored at the nearer edge. Every control tells
    (`check_controls`).
    """
    verdict = verdict_on(claim, profile=profile)
    assert verdict.verdict == "SUPPORTED", verdict.reason
    for part in claim.judged_parts:
        effect = (broken or {}).get(part.name, _mirrored(part))
        verdict = verdict_on(claim, {part.name: effect}, profile=profile)
        assert verdict.verdict == "CONTRADICTED", (part.name, effect, verdict.reason)
        assert f"{part.name}: " in verdict.reason
    check_controls(claim, trained, profile)


def _mirrored(part):
    effect = design_of(part).effect
    if isinstance(part.effect, Compared):
        return -effect
    edge = min((part.region.low, part.region.high), key=lambda edge: abs(edge - effect))
    return 2 * edge - effect


def check_controls(claim, trained=None, profile=SCALE):
    """Each control tells its world by 5 seeds. One with a change is tried on the claim's own world.

    ``trained`` makes, for each control with runs of its own, what one seed of these would show:
    ``trained[name](specs, random)``, ``specs`` by condition.
    """
    trained = trained or {}
    assert {control.name for control in claim.controls if control.runs} == set(trained)
    own = world(quiet(claim), {}, np.random.default_rng(len(claim.id)), CONTROL_LOOKS.last, profile)
    for control in claim.controls:
        runs = own if control.change else _trained(control, trained[control.name], profile)
        _check_tells(claim, control, runs)


def check_rendered(claim, name, profile=SCALE):
    """The control of this name, whose runs are rendered images, tells its world by what is measured of them."""
    few = replace(profile, base=replace(profile.base, measure=replace(profile.base.measure, samples=32)))
    control = next(control for control in claim.controls if control.name == name)
    by_seed = []
    for seed in range(FIRST_SEED, FIRST_SEED + CONTROL_LOOKS.last):
        by_seed.append({condition: _measured(spec) for condition, spec in control.runs(few, seed).items()})
    _check_tells(claim, control, lambda part, count: by_seed[:count])


def _check_tells(claim, control, runs):
    """The control tells its world, and every part that it names is broken there in each seed, or kept."""
    verdict = decide_control(claim, control, runs, CONTROL_LOOKS)
    assert verdict.passed, (control.name, verdict.verdict, verdict.reason)
    for part in claim.under(control).parts:
        seeds = [mark_of(part, one, FIRST_SEED) for one in runs(part, CONTROL_LOOKS.last)]
        expected = "in" if control.positive else "out"
        assert [seed.mark for seed in seeds] == [expected] * CONTROL_LOOKS.last, (control.name, part.name, seeds)


def _measured(spec):
    subject, step = resolve(spec.subject, None), spec.training.steps
    drawn = learners.draw(learners.start(spec, subject, "cpu"), spec, step, subject)
    return Curves([{"step": float(step), **measure(spec, step, label_sets(spec, True), drawn).row}], spec)


def _trained(control, made, profile):
    random = np.random.default_rng(7)
    seeds = range(FIRST_SEED, FIRST_SEED + CONTROL_LOOKS.last)
    by_seed = [made(control.runs(profile, seed), random) for seed in seeds]
    return lambda part, count: by_seed[:count]


def check_reads(claim, reads, profile=SCALE):
    """Each part reads these numbers and no others: its effect, or whether it is defined, depends on them.

    ``reads`` gives by part the names that it reads of each of its conditions: a set for all conditions, or one set by
    condition. A part that is only shown is checked too.
    """
    runs, _ = one_seed(claim, profile=profile)
    assert {part.name for part in claim.parts} == set(reads)
    for part in claim.parts:
        own = runs_of(claim, part, runs, profile)
        names = reads[part.name]
        names = names if isinstance(names, dict) else dict.fromkeys(own, names)
        others = {condition: set(run.rows[-1]) - names.get(condition, set()) for condition, run in own.items()}
        assert _read_alone(part, own, names) == names, part.name
        assert not _is_read(part, own, others), f"{part.name} also reads {_read_alone(part, own, others)}"


def _is_read(part, runs, names):
    """Whether the part changes where these numbers of each condition are unknown, far smaller or far larger."""

    def scaled(curves, names, factor):
        rows = [row | {name: factor * row[name] for name in names & set(row)} for row in curves.rows]
        return Curves(rows, curves.spec)

    unchanged = mark_of(part, runs, FIRST_SEED)
    assert unchanged.low is not None or unchanged.high is not None, (part.name, unchanged.problem)
    for factor in (math.nan, 0.25, 4.0):
        if mark_of(part, runs | {c: scaled(runs[c], of, factor) for c, of in names.items()}, FIRST_SEED) != unchanged:
            return True
    return False


def _read_alone(part, runs, names):
    return {c: {name for name in of if _is_read(part, runs, {c: {name}})} for c, of in names.items()}
