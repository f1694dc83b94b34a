"""Three learning phases, in order (Section 3, Fig. 3)."""

import math

import numpy as np

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.intervals import Undefined
from bumplab.verdicts.worlds import CEILING, EVERY, LATE, STEPS, learning, r2, ramp, run

MANIFOLD_DIMENSION = 2


def phase_starts(curves):
    """The steps at which phase B and phase C begin.

    From B on, half of the images show one bump. From C on, accuracy is above half its ceiling.
    """
    begin_b = curves.crossing(curves["on_grid.single-wrong"] + curves["on_grid.correct"], 0.5)
    begin_c = curves.crossing(curves.corrected("on_grid"), 0.5)
    for phase, begin in (("B", begin_b), ("C", begin_c)):
        if math.isinf(begin[1]):
            raise Undefined(f"phase {phase} is not reached in {begin[0]:g} steps")
    if begin_b[0] <= 0:
        raise Undefined("the untrained network already draws single bumps")
    return begin_b[0], begin_c[0]


def order(runs):
    """log2 of the step where phase C begins over the step where phase B begins."""
    begin_b, begin_c = phase_starts(runs["dense"])
    return math.log2(begin_c / begin_b)


def wrong_place_in_b(runs):
    """The share of single bumps at a wrong place among all failures, averaged over phase B."""
    dense = runs["dense"]
    begin_b, begin_c = phase_starts(dense)
    if begin_c <= begin_b:
        raise Undefined("there is no phase B: accuracy rises before single bumps are drawn")
    within = np.linspace(begin_b, begin_c, 21)
    wrong = np.interp(within, dense.steps, dense["on_grid.single-wrong"])
    failures = 1 - np.interp(within, dense.steps, dense["on_grid.correct"])
    return float(np.mean(wrong / failures))


def nearer_to_two(runs):
    """The fall, from the first step to the last, of the distance between the intrinsic dimension and 2.

    It is the dimension before label injection.
    """
    phase_starts(runs["dense"])  # undefined for a run that has not reached phase C
    distance = np.abs(runs["dense"]["layer4.dimension"] - MANIFOLD_DIMENSION)
    return float(distance[0] - distance[-1])


def rise_of_order(runs):
    """R^2 of position read linearly from the 3D embedding, at the last step minus at the first."""
    phase_starts(runs["dense"])
    curve = runs["dense"]["layer4.umap_r2"]
    return float(curve[-1] - curve[0])


def plant(seed, conditions, order, wrong_in_b, nearer, rise):
    """A run with these four effects.

    The share of failures in phase B is about a half at its begin. So it cannot leave the range that the slowest and the
    fastest change of single bumps give.
    """
    begin_b, begin_c = LATE * 2 ** -max(order, 0.0), LATE * 2 ** min(order, 0.0)
    correct = CEILING * ramp(begin_c + EVERY)  # none is right before phase C, so that every failure counts there
    if order > 0:
        single = single_bumps(begin_b, begin_c, correct, wrong_in_b)
    else:
        single = ramp(begin_b)
        correct = np.minimum(correct, single)
    curves = {
        **learning("on_grid", ramp(begin_c)),
        "on_grid.correct": correct,
        "on_grid.single-wrong": single - correct,
        "on_grid.none": 0.9 * (1 - single),
        "on_grid.several": 0.1 * (1 - single),
        "layer4.dimension": 22.0 - nearer * STEPS / STEPS[-1],
        **r2(0.05 + rise * STEPS / STEPS[-1]),
    }
    return {"dense": run(seed, curves)}


def single_bumps(begin_b, begin_c, correct, share):
    """The share of single bumps at each step. It passes a half at ``begin_b``.

    ``share`` of the failures in phase B are single bumps at a wrong place. That share is linear in the curve, so a
    weighted mean of the slowest and of the fastest curve has it.
    """
    after = int(np.searchsorted(STEPS, begin_b, side="right"))
    passed = (begin_b - STEPS[after - 1]) / EVERY

    def passing(steepness, then):
        single = np.zeros(len(STEPS))
        single[after - 1] = 0.5 - steepness * passed
        single[after] = 0.5 + steepness * (1 - passed)
        rest = len(STEPS) - after - 1
        single[after + 1 :] = [*then, *[then[-1]] * rest][:rest]
        return np.maximum(single, correct)

    def share_of(single):
        within = np.linspace(begin_b, begin_c, 21)
        failures = 1 - np.interp(within, STEPS, correct)
        return float(np.mean(np.interp(within, STEPS, single - correct) / failures))

    slowest, fastest = passing(0.02, (0.51, 0.0)), passing(0.5 / max(passed, 1 - passed), (1.0,))
    least, most = share_of(slowest), share_of(fastest)
    weight = min(max((share - least) / (most - least), 0.0), 1.0) if most - least > 1e-9 else 0.5
    return (1 - weight) * slowest + weight * fastest


CLAIM = Claim(
    id="phases",
    statement="Diffusion models undergo three learning phases: no structure, a disordered manifold with single bumps "
    "at wrong places, an ordered two-dimensional manifold with the desired bumps.",
    source="Section 3, Fig. 3",
    prediction="Single bumps become the rule before they are at the right place; until then a wrong place is the main "
    "failure; the representation's dimension falls towards 2 and position becomes readable from it. If it were false, "
    "bumps would appear at the right place at once, several bumps would stay the main failure, or no order would come.",
    runs=lambda profile, seed: {"dense": profile.run(seed)},
    parts=(
        Part(
            name="order",
            unit="log2(step C / step B)",
            region=Region(low=0),
            why="Any delay is a phase B; 0 is none. C begins at half the ceiling, B when half of the images show one "
            "bump.",
            effect=order,
            design=Design(1.0, 0.3, "Fig. 3 and 4: phase C begins after about twice the steps of phase B"),
        ),
        Part(
            name="failure in B",
            unit="share of failures",
            region=Region(low=0.5),
            why="Above a half, it is the predominant failure, in the paper's word. B begins when half of the images "
            "show one bump, so the share begins near a half by definition. It must grow from there.",
            effect=wrong_place_in_b,
            design=Design(0.75, 0.1, "half-way between a bare majority and all failures"),
        ),
        Part(
            name="dimension",
            unit="dimensions nearer to 2",
            region=Region(low=0),
            why="The paper gives no number: any approach to 2 counts, none or a retreat does not.",
            effect=nearer_to_two,
            design=Design(5.0, 2.0, "the prototype's fall from 28 to 3, of which a fifth would do"),
        ),
        Part(
            name="ordered manifold",
            unit="rise of R^2",
            region=Region(low=0.3),
            why="About a third of the scale; in Fig. 4b R^2 goes from near 0 to near 1.",
            effect=rise_of_order,
            design=Design(0.7, 0.15, "Fig. 4b: R^2 goes from near 0 to near 1"),
        ),
    ),
    curves={
        "on_grid.none": "no bump",
        "on_grid.several": "several bumps",
        "on_grid.single-wrong": "one bump, wrong place",
        "on_grid.correct": "one bump, right place",
    },
    plant=plant,
    page_section="manifold",
    controls=(
        Control(
            "labels shuffled",
            "Trained with each image under the label of another: single bumps come, and stay at wrong places.",
            runs=lambda profile, seed: {"dense": profile.shuffled(profile.run(seed))},
        ),
        Control(
            "untrained",
            "The same network after one step.",
            runs=lambda profile, seed: {"dense": profile.untrained(profile.run(seed))},
        ),
    ),
)


def test_phases(experiment):
    experiment.judge(CLAIM)
