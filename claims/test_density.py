"""Smaller increments are learned faster (Section 3, Fig. 4)."""

import math

import numpy as np

from bumplab.verdicts.claim import Claim, Part, Region
from bumplab.verdicts.intervals import Undefined

LEVEL = 0.5
LEAST_SLOPE = 0.1
WHY = (
    "0.1 doublings of training a doubling of the increment are a quarter more steps over the paper's range of 0.1 to "
    "1.0: less would not be seen in Fig. 4."
)


def learning_slope(accuracy):
    """Doublings of the steps to `LEVEL` for each doubling of the increment, by least squares, within one seed."""

    def effect(runs):
        increments = np.log2([float(condition.removeprefix("d=")) for condition in runs])
        weights = increments - increments.mean()
        weights = weights / (weights @ weights)
        times = [run.crossing(accuracy(run), LEVEL) for run in runs.values()]
        if all(math.isinf(high) for _, high in times):
            raise Undefined(f"no increment reaches half its ceiling in {times[0][0]:g} steps")
        if any(low <= 0 for low, _ in times):
            raise Undefined("an untrained network is already past half its ceiling")
        # a level that is not reached leaves the slope open on the side it would move to
        terms = [(w, low, high) for w, (low, high) in zip(weights, times, strict=True) if w]
        least = sum(w * math.log2(low if w > 0 else high) for w, low, high in terms)
        most = sum(w * math.log2(high if w > 0 else low) for w, low, high in terms)
        return float(least), float(most)

    return effect


CLAIM = Claim(
    id="density",
    statement="In general, datasets with smaller increments lead to faster learning of the desired representation.",
    source="Section 3, Fig. 4",
    prediction="The steps to half of the reachable accuracy grow with the increment. If it were false, curves of all "
    "increments would coincide once each is compared with its own ceiling.",
    runs=lambda profile, seed: {f"d={d:g}": profile.run(seed, dx=d) for d in profile.increments},
    parts=(
        Part(
            "ceiling-corrected",
            "log2 steps / log2 increment",
            Region(low=LEAST_SLOPE),
            WHY,
            learning_slope(lambda run: run.corrected("on_grid")),
        ),
        Part(
            "off-grid",
            "log2 steps / log2 increment",
            Region(low=LEAST_SLOPE),
            WHY + " Off-grid, increments above 2 pixels also test generalisation: a copy of the nearest training label "
            "is too far off there, however long it is trained. So this part never decides alone.",
            learning_slope(lambda run: run.corrected("off_grid")),
        ),
        Part(
            "raw accuracy (as in the paper)",
            "log2 steps / log2 increment",
            Region(low=LEAST_SLOPE),
            "Shown and not judged: bumps cut off at the border, more of them at larger increments, lower raw accuracy "
            "even of perfect images.",
            learning_slope(lambda run: run["on_grid.accuracy"]),
            judges=False,
        ),
    ),
    curves={
        "on_grid.corrected": "accuracy / ceiling",
        "off_grid.corrected": "off-grid accuracy / ceiling",
        "on_grid.accuracy": "raw accuracy",
    },
)


def test_density(experiment):
    experiment.judge(CLAIM)
