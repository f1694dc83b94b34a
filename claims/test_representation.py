"""Representation is key to performance (Section 3, Fig. 4)."""

import numpy as np

from bumplab.verdicts.claim import Claim, Compared, Control, Design, Part, Region, falling
from bumplab.verdicts.curves import Undefined
from bumplab.verdicts.effects import HALF, ORDERED, RIGHT, TOLD, area_of, require_not_told, step_at
from bumplab.verdicts.worlds import learning, rise, run, steps_of

EXCEPTIONS = 0.1
"""Share of the measurements with mostly right bumps that may come without order."""


def orders(runs):
    """The area of O of each run. Raises `Undefined` where the layer holds the label before training."""
    for curves in runs.values():
        require_not_told(curves)
    return area_of(TOLD)(runs)


def least_order_when_right(runs):
    """The O that nine in ten measurements with mostly right bumps exceed.

    The measurements are those of all runs and checkpoints of a seed. It is above a half exactly where O is below a half
    in less than a tenth of them.
    """
    of_measurements = []
    for curves in runs.values():
        require_not_told(curves)
        of_measurements.append(curves[TOLD][curves[RIGHT] > HALF])
    together = np.concatenate(of_measurements)
    if not len(together):
        raise Undefined("no run draws mostly right bumps at any checkpoint")
    return float(np.quantile(together, EXCEPTIONS))


def order_first(runs):
    """Doublings of steps from order to right bumps, as the median over the runs."""
    delays = []
    for condition, curves in runs.items():
        require_not_told(curves)
        ordered = step_at(curves, curves[TOLD], ORDERED, f"order at {condition}")
        right = step_at(curves, curves[RIGHT], HALF, f"half of right bumps at {condition}")
        delays.append(np.log2(right / ordered))
    return float(np.median(delays))


def opposed(runs):
    """The same curves of O, given to each other's runs: the more right bumps a run has, the less order."""
    by_order = sorted(runs, key=lambda condition: runs[condition].area(TOLD))
    by_bumps = sorted(runs, key=lambda condition: -runs[condition].area(RIGHT))
    exchanged = dict(zip(by_bumps, by_order, strict=True))
    return {condition: curves.replaced({TOLD: runs[exchanged[condition]][TOLD]}) for condition, curves in runs.items()}


def never_ordered(runs):
    """The same runs with O as it was before training."""
    return {c: curves.replaced({TOLD: np.full(len(curves.steps), curves[TOLD][0])}) for c, curves in runs.items()}


def following(runs):
    """The same runs with O equal to the share of right bumps."""
    return {condition: curves.replaced({TOLD: curves[RIGHT]}) for condition, curves in runs.items()}


def plant(specs, order_goes_with_accuracy, no_accuracy_without_order):
    """Runs whose right bumps come later at larger increments, and whose areas of O have the order of these scores.

    Where most bumps are right, O grows slowly from about the second number. Until then it is as high as its area
    demands, and may leave its range.
    """
    share = {c: rise(specs[c], area) for c, area in zip(specs, _areas(falling(list(specs))), strict=True)}
    slow = {condition: 0.1 * curve for condition, curve in share.items()}
    when_right = np.concatenate([slow[condition][share[condition] > HALF] for condition in specs])
    shift = no_accuracy_without_order - np.quantile(when_right, EXCEPTIONS)
    made = {}
    for (condition, spec), area in zip(specs.items(), _areas(order_goes_with_accuracy), strict=True):
        is_right = share[condition] > HALF
        late = np.where(is_right, slow[condition] + shift, 0.0)
        early = np.where(is_right | (steps_of(spec) == 0), 0.0, 1.0)
        level = (area - run(spec, {TOLD: late}).area(TOLD)) / run(spec, {TOLD: early}).area(TOLD)
        made[condition] = run(spec, {TOLD: late + level * early, **learning("probe", share[condition])})
    return made


def _areas(scores):
    """Areas from 0.3 to 0.7, in the order of the scores."""
    ranks = np.argsort(np.argsort(scores))
    return 0.3 + 0.4 * ranks / (len(scores) - 1)


CLAIM = Claim(
    id="representation",
    statement="Performance is highly correlated with the learned representation: a high-quality representation is key "
    "to achieving better accuracies in image generation.",
    source="Section 3, Fig. 4",
    prediction="Where a seed's run has more order, it has more right bumps, and most bumps are right only where the "
    "manifold is in order. If it were false, the increment with the most right bumps would have any order, or bumps "
    "would be right without order. A correlation over training is no evidence, as all that rises correlates: right "
    "bumps correlate as much with another seed's order.",
    runs=lambda profile, seed: {f"d={d:g}": profile.run(seed, dx=d) for d in profile.increments},
    parts=(
        Part(
            name="order goes with accuracy",
            reads="comparing Fig. 4 (a) and (b) shows that learning a high-quality representation is key to achieving "
            "better accuracies in image generation",
            holds="the increment with the larger area of O has the larger area of right bumps",
            unit="rank correlation across increments",
            region=Region(low=0),
            why="Any relation counts. Without one, all orders of a seed's areas of O are equally likely, whatever the "
            "order of its right bumps.",
            effect=Compared(orders, falling, area_of(RIGHT)),
            design=Design(0.8, 0.0, "Fig. 4 (a) and (b): both fall with the increment, nearly in order"),
        ),
        Part(
            name="no accuracy without order",
            reads="the formation of an ordered manifold is a strong indicator of good model performance",
            holds="nine in ten measurements with mostly right bumps come with O above a half",
            unit="O as told, exceeded by nine in ten such measurements",
            region=Region(low=ORDERED),
            why="O of a half is order, and half of right bumps is accuracy. One exception in ten is left to noise at "
            "the moment when both rise.",
            effect=least_order_when_right,
            design=Design(0.8, 0.1, "exploring seeds 0 and 1: O is 0.7 to 0.9 when bumps begin to be right"),
        ),
        Part(
            name="order comes first",
            reads="In the terminal learning phase, a semantically meaningful representation emerges",
            holds="the manifold is in order before half of the bumps are right",
            unit="log2(step of right bumps / step of order)",
            region=Region(low=0),
            why="Shown and not judged: the paper does not say which comes first.",
            effect=order_first,
            judges=False,
        ),
    ),
    curves={TOLD: "order O, as told", RIGHT: "one bump, right place"},
    plant=plant,
    controls=(
        Control(
            "order opposed",
            "The claim's own runs, with their curves of O exchanged: the more right bumps a run has, the less order.",
            change=opposed,
            parts=("order goes with accuracy",),
        ),
        Control(
            "never ordered",
            "The claim's own runs, with O as it was before training: bumps are right without order.",
            change=never_ordered,
            parts=("no accuracy without order",),
        ),
        Control(
            "order follows accuracy",
            "The claim's own runs with O equal to the share of right bumps.",
            change=following,
            positive=True,
        ),
    ),
)


def test_representation(experiment, item):
    experiment.judge(CLAIM, item)
