"""Three learning phases, in order (Section 3, Fig. 3)."""

import math

import numpy as np

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.intervals import Undefined

MANIFOLD_DIMENSION = 2


def phase_starts(run):
    """The steps at which phase B and phase C begin: one bump is drawn, and it is drawn at the right place."""
    begin_b = run.crossing(run["on_grid.single-wrong"] + run["on_grid.correct"], 0.5)
    begin_c = run.crossing(run.corrected("on_grid"), 0.5)
    for phase, begin in (("B", begin_b), ("C", begin_c)):
        if math.isinf(begin[1]):
            raise Undefined(f"phase {phase} is not reached in {begin[0]:g} steps")
    if begin_b[0] <= 0:
        raise Undefined("the untrained network already draws single bumps")
    return begin_b[0], begin_c[0]


def order(runs):
    begin_b, begin_c = phase_starts(runs["dense"])
    ratio = math.log2(begin_c / begin_b)
    return ratio, ratio


def wrong_place_in_b(runs):
    """The share of single bumps at a wrong place among all failures, averaged over phase B."""
    run = runs["dense"]
    begin_b, begin_c = phase_starts(run)
    if begin_c <= begin_b:
        raise Undefined("there is no phase B: accuracy rises before single bumps are drawn")
    within = np.linspace(begin_b, begin_c, 21)
    wrong = np.interp(within, run.steps, run["on_grid.single-wrong"])
    failures = 1 - np.interp(within, run.steps, run["on_grid.correct"])
    share = float(np.mean(wrong / failures))
    return share, share


def nearer_to_two(runs):
    """How much nearer to 2 the intrinsic dimension before label injection has come between the first and last step."""
    phase_starts(runs["dense"])  # a run that has not reached phase C says nothing of it
    distance = np.abs(runs["dense"]["up1-features.dimension"] - MANIFOLD_DIMENSION)
    change = float(distance[0] - distance[-1])
    return change, change


def rise_of_order(runs):
    """How much of position a linear map reads from the 3D embedding at the last step beyond the first: R^2."""
    phase_starts(runs["dense"])
    r2 = runs["dense"]["up1-features.umap_r2"]
    rise = float(r2[-1] - r2[0])
    return rise, rise


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
            "order",
            "log2(step C / step B)",
            Region(low=0),
            "Any delay is a phase B; 0 is none. C begins at half the ceiling, B when half of the images show one bump.",
            order,
            design=Design(1.0, 0.3, "Fig. 3 and 4: phase C begins after about twice the steps of phase B"),
        ),
        Part(
            "failure in B",
            "share of failures",
            Region(low=0.5),
            "Above half, it is the predominant failure, in the paper's word. B begins when half of the images show one "
            "bump, so the share begins near a half by definition: it must grow from there.",
            wrong_place_in_b,
            design=Design(0.75, 0.1, "half-way between a bare majority and all failures"),
        ),
        Part(
            "dimension",
            "dimensions nearer to 2",
            Region(low=0),
            "The paper gives no number: any approach to 2 counts, none or a retreat does not.",
            nearer_to_two,
            design=Design(5.0, 2.0, "the prototype's fall from 28 to 3, of which a fifth would do"),
        ),
        Part(
            "ordered manifold",
            "rise of R^2",
            Region(low=0.3),
            "About a third of the scale; in Fig. 4b R^2 goes from near 0 to near 1.",
            rise_of_order,
            design=Design(0.7, 0.15, "Fig. 4b: R^2 goes from near 0 to near 1"),
        ),
    ),
    curves={
        "on_grid.none": "no bump",
        "on_grid.several": "several bumps",
        "on_grid.single-wrong": "one bump, wrong place",
        "on_grid.correct": "one bump, right place",
    },
    page_section="manifold",
    controls=(
        Control(
            "labels shuffled",
            "Trained with each image under another's label: bumps come, one at a time, at wrong places for ever.",
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
