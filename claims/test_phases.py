"""Three learning phases, in order (Section 3, Fig. 3)."""

import math
from dataclasses import replace

import numpy as np

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.curves import Undefined
from bumplab.verdicts.effects import (
    FLAT,
    FLATNESS,
    HALF,
    ORDERED,
    RIGHT,
    TOLD,
    WRONG,
    log2_ratio,
    one_bump,
    require_not_told,
)
from bumplab.verdicts.worlds import learning, ramp, run, steps_of

ERROR = "probe.error"
IN_B = 2
"""Fewest checkpoints in phase B. With fewer it is seen too coarsely to say what happens in it."""
LONG = 0.5
"""Doublings of steps: a phase, or a delay, is at least this long."""
LEARNED_ORDER = 0.7
"""O at the end of a run that has learned. Six exploring runs on shuffled labels end at -0.05 to 0.57, on true labels at
0.85 to 0.99."""
PLANTED = {"right": 0.7, "order": 0.6}
"""Shares of a planted run's steps at which it is right, and at which its manifold is in order."""
ENDS = {"ends_right": RIGHT, "ends_ordered": TOLD, "ends_flat": FLATNESS}
"""Curves whose last value is planted."""
DESIGNED_ENDS = {"ends_right": 0.95, "ends_ordered": 0.95, "ends_flat": 0.02}


def only(runs):
    """The run of a part that reads one run."""
    (curves,) = runs.values()
    return curves


def phase_b(curves):
    """Bounds of the steps at which phase B begins and ends.

    It begins when half of the images show one bump. It ends when half of them show it at the right place.
    """
    begin = curves.crossing(one_bump(curves), HALF)
    if math.isinf(begin[1]):
        raise Undefined(f"phase B is not reached in {begin[0]:g} steps")
    if begin[0] <= 0:
        raise Undefined("the untrained network already draws single bumps")
    return begin, curves.crossing(curves[RIGHT], HALF)


def in_b(curves):
    """Indices of the checkpoints in phase B. Where it does not end, it lasts to the last checkpoint."""
    (begin, _), (end, _) = phase_b(curves)
    return np.flatnonzero((curves.steps >= begin) & (curves.steps <= end))


def order(runs):
    """Doublings of steps from the begin of phase B to its end."""
    curves = only(runs)
    begin, end = phase_b(curves)
    low, high = log2_ratio(end, begin)
    if high > LONG and len(in_b(curves)) < IN_B:
        raise Undefined(f"phase B is shorter than {IN_B} checkpoints")
    return low, high


def wrong_place_in_b(runs):
    """The share of single bumps at a wrong place among all failures, averaged over the checkpoints of phase B.

    A phase B without a checkpoint is read at its begin.
    """
    curves = only(runs)
    (begin, _), _ = phase_b(curves)
    at = curves.steps[in_b(curves)] if len(in_b(curves)) else np.array([begin])
    wrong, right = (np.interp(at, curves.steps, curves[name]) for name in (WRONG, RIGHT))
    return float(np.mean(wrong / (1 - right)))


def trend_of_error(runs):
    """Slope of log2 of the error over log2 of the step, by least squares over the begin of phase B and its checkpoints.

    The error at the begin is interpolated.
    """
    curves = only(runs)
    (begin, _), _ = phase_b(curves)
    if not len(in_b(curves)):
        raise Undefined("no checkpoint lies in phase B")
    steps = np.log2(np.maximum(curves.steps, 1.0))
    at = np.append(np.log2(begin), steps[in_b(curves)])
    return float(np.polyfit(at, np.interp(at, steps, np.log2(curves[ERROR])), 1)[0])


def flat_before_order(runs):
    """Doublings of steps from a flat manifold to one in order."""
    curves = only(runs)
    require_not_told(curves)
    return log2_ratio(curves.crossing(curves[TOLD], ORDERED), curves.crossing(-curves[FLATNESS], -FLAT))


def ends_with(name):
    """The last value of this name."""
    return lambda runs: only(runs).last(name)


def ends_ordered(runs):
    """O at the end, of a layer that does not hold the label before training."""
    require_not_told(only(runs))
    return only(runs).last(TOLD)


def at_another(values, given, nearest_to):
    """The value nearest to this one, on a scale of doublings, among those that the dense run does not have."""
    others = [value for value in values if value != given]
    return min(others, key=lambda value: abs(math.log2(value / nearest_to)))


def dense(profile, seed):
    return {"dense": profile.run(seed)}


def another_increment(profile, seed):
    """Increment 1, the largest of the paper, or the one nearest to it."""
    d = at_another(profile.increments, profile.increments[0], 1.0)
    return {f"d={d:g}": profile.run(seed, dx=d)}


def another_spread(profile, seed):
    """The spread nearest to that of the dense run."""
    own = profile.base.data.sigma
    sigma = at_another(profile.sigmas, own, own)
    return {f"sigma={sigma:g}": profile.run(seed, sigma=sigma)}


def right_at_once(runs):
    """The same runs, in which each single bump is at the right place."""
    ((condition, run),) = runs.items()
    return {condition: run.replaced({RIGHT: one_bump(run), WRONG: 0 * run.steps})}


def error_stays(runs):
    """The same runs, in which the error stays as at the end."""
    ((condition, run),) = runs.items()
    return {condition: run.replaced({ERROR: 0 * run.steps + run.last(ERROR)})}


def planted_phases(runs):
    """Runs of the same specs with the designed effects in place of what was measured."""
    orders = {"order": 1.0, "order_at_another_increment": 1.0, "order_at_another_spread": 1.0}
    return plant({condition: run.spec for condition, run in runs.items()}, **orders, **DESIGNED_ENDS)


def plant(specs, order, order_at_another_increment, order_at_another_spread, **of_dense):
    """A dense run with these effects, and two runs with these orders."""
    made = {}
    for condition, spec in specs.items():
        if condition == "dense":
            made[condition] = _planted(spec, order, **of_dense)
        else:
            spread = condition.startswith("sigma=")
            made[condition] = _planted(spec, order_at_another_spread if spread else order_at_another_increment)
    return made


def _planted(spec, order, failure_in_b=0.75, error_falls=-1.0, flat_before_order=1.0, **ends):
    """A run in which phase B ends at a checkpoint, ``order`` doublings after its begin.

    In B ``failure_in_b`` of the failures are single bumps at a wrong place, at least a quarter. The last value before B
    makes half of the images show one bump at its begin, and may leave the range of a share.
    """
    steps = steps_of(spec)
    end = float(steps[np.searchsorted(steps, PLANTED["right"] * steps[-1])])
    begin = end * 2**-order
    right = np.select([steps < begin, steps < end, steps == end], [0.0, 0.4, HALF], 0.95)
    single = np.where(steps < begin, 0.0, right + failure_in_b * (1 - right))
    after = int(np.searchsorted(steps, begin))
    passed = (begin - steps[after - 1]) / (steps[after] - steps[after - 1])
    single[after - 1] = (HALF - passed * single[after]) / (1 - passed) if passed < 1 else 0.0
    ordered = PLANTED["order"] * steps[-1]
    curves = {
        **learning("probe", right, single),
        ERROR: 4 * (np.maximum(steps, 1.0) / end) ** error_falls,
        TOLD: ramp(spec, ordered),
        FLATNESS: 2 * FLAT * (1 - ramp(spec, min(ordered * 2**-flat_before_order, steps[-3]))),
    }
    return run(spec, curves, {ENDS[name]: value for name, value in ends.items()})


UNIVERSAL = (
    "We train various diffusion models on datasets of various increments d and sigma between the value of 0.1 to "
    "1.0. [...] we observe the universal emergence of three phases in manifold formation"
)
ORDER = Part(
    name="order",
    reads="we observe the universal emergence of three phases in manifold formation each corresponding to "
    "distinct generation behavior",
    holds="single bumps come at least 0.5 doublings of steps before right ones",
    unit="log2(step of right bumps / step of single bumps)",
    region=Region(low=LONG),
    why="Half a doubling is 1.4 times the steps. A B that short is no more than the width of one transition. It also "
    "needs two checkpoints, so that something can be seen in it.",
    effect=order,
    design=Design(
        1.0,
        0.15,
        "Fig. 3 and 4: phase C begins after about twice the steps of phase B; each is known to half a checkpoint",
    ),
)


def order_at(choice, runs):
    """The first part in runs at another value of one choice."""
    name = f"order at another {choice}"
    return replace(ORDER, name=name, reads=UNIVERSAL, holds=f"{ORDER.holds}, at another {choice}", runs=runs)


CLAIM = Claim(
    id="phases",
    statement="Diffusion models undergo three learning phases: no structure, single bumps at wrong places, an ordered "
    "two-dimensional manifold with the desired bumps.",
    source="Section 3, Fig. 3",
    prediction="Single bumps come clearly before they are at the right place. Until then a wrong place is the main "
    "failure, and the error shrinks. At the end the manifold is flat and in order. If it were false, bumps would "
    "appear at the right place at once, another failure would prevail, or the manifold would stay a cloud.",
    runs=dense,
    parts=(
        ORDER,
        Part(
            name="failure in B",
            reads="The predominant failure mode of generation during this phase is ii",
            holds="most failures in phase B are single bumps at a wrong place",
            unit="share of failures",
            region=Region(low=0.5),
            why="Above a half is predominant. B begins when half of the images show one bump, so the share begins near "
            "a half by definition. It must grow from there.",
            effect=wrong_place_in_b,
            design=Design(0.75, 0.1, "half-way between a bare majority and all failures"),
        ),
        Part(
            name="error falls",
            reads="the difference between the locations of the generated Gaussian bumps from their ground truths "
            "gradually diminishes as we proceed in training",
            holds="the error of single bumps falls within phase B",
            unit="log2 pixels / log2 steps",
            region=Region(high=-0.1),
            why="7 % a doubling is the least that counts, as the paper gives no number. Checkpoints after B are left "
            "out, as right bumps are the majority there by definition.",
            effect=trend_of_error,
            design=Design(-1.0, 0.4, "the paper gives no number: the error halves over a B of one doubling"),
        ),
        Part(
            name="flat before order",
            reads="phase B emerging, where the manifold formed is 2-dimensional or quasi-2D but unordered",
            holds="the manifold is flat at least 0.5 doublings of steps before it is in order",
            unit="log2(step of order / step of flatness)",
            region=Region(low=LONG),
            why="Shown and not judged: O and F cannot be timed against each other. A smooth sheet in white noise, in "
            "which nothing is unordered, reads O = 0.5 at a signal of 0.18 and F = 0.05 at 0.6. So order comes first.",
            effect=flat_before_order,
            judges=False,
        ),
        Part(
            name="ends flat",
            reads="Eventually, the model learns a 2D ordered manifold",
            holds="the manifold is flat at the end",
            unit="F",
            region=Region(high=FLAT),
            why="Noise has 0.16 to 0.19, a blob of five dimensions 0.12, a sheet 0.001 to 0.005, also under noise of "
            "four neighbour spacings.",
            effect=ends_with(FLATNESS),
            design=Design(0.02, 0.01, "a sheet under noise, of which exploring runs had below 0.05 from step 400 on"),
        ),
        Part(
            name="ends ordered",
            reads="Eventually, the model learns a 2D ordered manifold",
            holds="the manifold is in order at the end",
            unit="O as told",
            region=Region(low=LEARNED_ORDER),
            why="Exploring runs end at 0.85 to 0.99 on true labels, and at -0.05 to 0.57 on shuffled ones.",
            effect=ends_ordered,
            design=Design(0.95, 0.04, "exploring seeds 0 to 5 at quick: 0.85 to 0.99"),
        ),
        Part(
            name="ends right",
            reads="with the desired generation behavior, reaching the terminal phase C",
            holds="most bumps are at the right place at the end",
            unit="share of images",
            region=Region(low=HALF),
            why="Phase C begins when half of the images show one bump at the right place.",
            effect=ends_with(RIGHT),
            design=Design(0.95, 0.04, "exploring seeds 0 to 3 at quick: 0.98 +- 0.02"),
        ),
        order_at("increment", another_increment),
        order_at("spread", another_spread),
    ),
    curves={
        "probe.none": "no bump",
        "probe.several": "several bumps",
        WRONG: "one bump, wrong place",
        RIGHT: "one bump, right place",
        TOLD: "order O, as told",
        FLATNESS: "flatness F",
    },
    plant=plant,
    controls=(
        Control(
            "labels shuffled",
            "Trained with each image under the label of another: single bumps come, and stay at wrong places.",
            runs=lambda profile, seed: {"dense": profile.shuffled(profile.run(seed))},
            parts=("ends ordered", "ends right"),
        ),
        Control(
            "untrained",
            "The same network after one step. Its layer is a cloud without order, and no bump is right.",
            runs=lambda profile, seed: {"dense": profile.untrained(profile.run(seed))},
            parts=("ends flat", "ends ordered", "ends right"),
        ),
        Control(
            "fading grain",
            "True images under grain that fades over training. A bump is at the right place as soon as it can be seen, "
            "so there is no phase B.",
            runs=lambda profile, seed: {"dense": profile.fading(profile.run(seed))},
            parts=("order", "failure in B"),
        ),
        Control(
            "right at once",
            "The other runs with each single bump counted as right: phase C begins with phase B.",
            change=right_at_once,
            parts=("order at another increment", "order at another spread"),
        ),
        Control(
            "error stays",
            "The dense run with the error of its end at all steps.",
            change=error_stays,
            parts=("error falls",),
        ),
        Control(
            "phases planted",
            "Runs of the same specs in which each phase lasts a doubling of steps, and which end in order.",
            change=planted_phases,
            positive=True,
        ),
    ),
)


def test_phases(experiment, item):
    experiment.judge(CLAIM, item)
