"""Smaller increments are learned faster, and larger ones catch up with training (Section 3, Fig. 4)."""

import math

import numpy as np

from bumplab.report.paper_figures import phase_diagram
from bumplab.verdicts.claim import Claim, Compared, Control, Design, Part, Premise, Region, falling, levels, rising
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import (
    HALF,
    ORDERED,
    RIGHT,
    TOLD,
    apart,
    area_of,
    areas_of_order,
    epochs,
    labels_in,
    one_for_all,
    paced,
    require_not_told,
    step_at,
    where_learned,
)
from bumplab.verdicts.worlds import learning, rise, run

ERROR = "probe.error"
MARGIN = 0.1
"""A sparse run has caught up when its O is at most this much lower."""


def log_errors(runs):
    """The mean of log2 of the error over log steps, for each run. NaN where a run draws no single bump at the end.

    The mean runs over the checkpoints after the last one at which a run has no error, as it drew no single bump.
    """
    known = np.isfinite([curves[ERROR] for curves in runs.values()]).all(axis=0)
    before = max((0, *np.flatnonzero(~known)))
    later = [Curves(curves.rows[before:], curves.spec) for curves in runs.values()]
    return [curves.replaced({ERROR: np.log2(curves[ERROR])}).area(ERROR) for curves in later]


def densest_and_sparsest(runs):
    """The runs at the smallest and at the largest increment."""
    by_increment = dict(zip(levels(list(runs)), runs.values(), strict=True))
    return by_increment[min(by_increment)], by_increment[max(by_increment)]


def catch_up(runs):
    """O at the end, at the largest increment minus at the smallest.

    Where the densest run ends with less than a half, a half stands in for it: without order there is nothing to catch
    up with.
    """
    dense, sparse = densest_and_sparsest(runs)
    require_not_told(dense)
    require_not_told(sparse)
    return sparse.last(TOLD) - max(dense.last(TOLD), ORDERED)


def increments_apart(runs):
    """How clearly the data tell the densest and the sparsest increment apart."""
    dense, sparse = densest_and_sparsest(runs)
    return apart(dense.spec, sparse.spec)


def time_by_increment(clock):
    """Slope of log2 of the time to half of right bumps over log2 of the increment. ``clock`` turns steps into time."""

    def effect(runs):
        times = []
        for condition, curves in runs.items():
            steps = step_at(curves, curves[RIGHT], HALF, f"half of right bumps at {condition}")
            times.append(clock(curves.spec, steps))
        return float(np.polyfit(np.log2(levels(list(runs))), np.log2(times), 1)[0])

    return effect


def distinct_labels(spec, steps):
    """How many labels of the training set are expected to have been seen by this step."""
    return labels_in(spec) * -math.expm1(-epochs(spec, steps))


def never_learning(runs):
    """The same runs, with that at the largest increment as it was before training."""
    _, sparse = densest_and_sparsest(runs)
    before = sparse.replaced({TOLD: np.full(len(sparse.steps), sparse[TOLD][0])})
    return {condition: before if curves is sparse else curves for condition, curves in runs.items()}


def plant(specs, order_sooner, error_lower, right_sooner, catches_up):
    """Runs whose areas have the order of these scores. O ends at 0.8, and at the sparsest run this much above it."""
    told, right, error = (_areas(scores) for scores in (order_sooner, right_sooner, error_lower))
    sparsest = int(np.argmax(levels(list(specs))))
    made = {}
    for i, (condition, spec) in enumerate(specs.items()):
        curves = {TOLD: 0.8 * rise(spec, told[i]), ERROR: 4 * 2 ** (-3 * rise(spec, 1 - error[i]))}
        end = 0.8 + (catches_up if i == sparsest else 0.0)
        made[condition] = run(spec, curves | learning("probe", 0.9 * rise(spec, right[i])), {TOLD: end})
    return made


def _areas(scores):
    """Areas from 0.3 to 0.7, in the order of the scores."""
    ranks = np.argsort(np.argsort(scores))
    return 0.3 + 0.4 * ranks / (len(scores) - 1)


TOLD_APART = Premise(
    name="what tells the increments apart",
    needs="a densest set that is seen more than once, or a sparsest one whose neighbours are apart",
    unit="times the least",
    region=Region(low=1),
    effect=increments_apart,
)
IN_ORDER = "Any order by the increment counts. Without an effect of the increment, all orders are equally likely."
FASTER = "in general, we observe that datasets with smaller increments lead to faster learning of the desired "
FASTER += "representation"
SAME_DATA = (
    "given the same amount of training (having seen the same amount of data), the models trained using datasets that "
    "are more information-dense will result in a better-quality representation learned"
)
SHOWN = "Shown and not judged: whether a dense set is learned faster depends on the clock. "
SLOPE = "log2 time / log2 increment"
FIG_4 = "Fig. 4: by the increment nearly in order, but for d near 1"
CLAIM = Claim(
    id="density",
    statement="In general, datasets with smaller increments lead to faster learning of the desired representation. "
    "With fewer data, an accurate representation can eventually be learned given enough training to compensate.",
    source="Section 3, Fig. 4",
    prediction="On one set of labels for all increments, the areas under the curves of O and of right bumps fall with "
    "the increment, and that of the error grows. At the end the sparsest run is as good as the densest. If it were "
    "false, the increments would come in any order, or the sparsest run would stay behind.",
    runs=lambda profile, seed: {f"d={d:g}": profile.run(seed, dx=d) for d in profile.increments},
    parts=(
        Part(
            name="order sooner",
            reads=FASTER,
            holds="the area under the curve of O falls with the increment",
            unit="rank correlation with falling increment",
            region=Region(low=0),
            why=IN_ORDER,
            effect=Compared(where_learned(areas_of_order), falling),
            premise=TOLD_APART,
            design=Design(0.8, 0.0, FIG_4),
        ),
        Part(
            name="error lower",
            reads=SAME_DATA,
            holds="the error grows with the increment",
            unit="rank correlation with the increment",
            region=Region(low=0),
            why=IN_ORDER + " The error's logarithm is averaged, so that each halving counts alike.",
            effect=Compared(where_learned(log_errors), rising),
            premise=TOLD_APART,
            design=Design(0.8, 0.0, FIG_4),
        ),
        Part(
            name="right sooner",
            reads=FASTER,
            holds="the area under the curve of right bumps falls with the increment",
            unit="rank correlation with falling increment",
            region=Region(low=0),
            why=IN_ORDER,
            effect=Compared(where_learned(area_of(RIGHT)), falling),
            premise=TOLD_APART,
            design=Design(0.85, 0.0, "exploring seeds 0 to 3 at d = 0.1, 1 and 4: in order or with one tie"),
        ),
        Part(
            name="catches up",
            reads="with fewer data, an accurate representation can eventually be learned given enough training to "
            "compensate",
            holds="the sparsest run ends at most 0.1 of O below the densest",
            unit="O as told, sparsest minus densest",
            region=Region(low=-MARGIN),
            why="A tenth of the scale: exploring runs of one condition end up to 0.14 apart, most within 0.05. The "
            "densest run must be in order itself: it counts as a half where its O is lower.",
            effect=where_learned(catch_up),
            design=Design(-0.02, 0.04, "Fig. 4b: at the end R^2 is high at nearly all increments"),
        ),
        Part(
            name="time in steps",
            reads=SAME_DATA,
            holds="the steps to half of right bumps grow with the increment",
            unit=SLOPE,
            region=Region(low=0),
            why=SHOWN + "Here the clock counts steps, as in Fig. 4.",
            effect=time_by_increment(lambda spec, steps: steps),
            judges=False,
        ),
        Part(
            name="time in epochs",
            reads=SAME_DATA,
            holds="the epochs to half of right bumps grow with the increment",
            unit=SLOPE,
            region=Region(low=0),
            why=SHOWN + "Here it counts how often each label was seen. A sparse set is seen more often in equal steps.",
            effect=time_by_increment(epochs),
            judges=False,
        ),
        Part(
            name="time in distinct labels",
            reads=SAME_DATA,
            holds="the distinct labels seen by half of right bumps grow with the increment",
            unit=SLOPE,
            region=Region(low=0),
            why=SHOWN + "Here it counts labels that were seen at least once. A sparse set has fewer.",
            effect=time_by_increment(distinct_labels),
            judges=False,
        ),
    ),
    curves={TOLD: "order O, as told", RIGHT: "one bump, right place", ERROR: "error in pixels"},
    plant=plant,
    figure=phase_diagram("Fig. 4"),
    controls=(
        Control(
            "one increment under every name",
            "The run at the smallest increment under every name. The increments do not differ.",
            change=one_for_all(min),
            parts=("order sooner", "error lower", "right sooner"),
        ),
        Control(
            "sparsest never learns",
            "The claim's own runs, with the order of the sparsest one as it was before training.",
            change=never_learning,
            parts=("catches up",),
        ),
        Control(
            "pace planted",
            "The run at the smallest increment under every name, slowed down by the fourth root of the increment.",
            change=paced(min, 0.25),
            positive=True,
            parts=("order sooner", "error lower", "right sooner"),
        ),
    ),
)


def test_density(experiment, item):
    experiment.judge(CLAIM, item)
