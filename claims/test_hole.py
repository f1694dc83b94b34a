"""A region left out of training is generated all the same (Appendix C.2, Fig. 9)."""

from functools import partial

from bumplab.verdicts.claim import Claim, Control, Design, Part, Region
from bumplab.verdicts.intervals import Undefined, student_t

MARGIN = 0.10
SMALL, LARGE = "3.5 % hole", "10 % hole"
# Runs that agree to half a percent, about what the fewest images drawn can tell, are not taken to agree exactly.
interval = partial(student_t, resolution=0.005)
RATES = ("in_hole.correct", "off_grid.correct")
DESIGN = Design(0.0, 0.03, "Fig. 9: no difference to be seen; seeds may differ by three images in a hundred")


def drawn(run, labels):
    """The share of images with one bump at the right place at the last step, relative to the ceiling.

    Not accuracy alone: on an image that shows nothing, Algorithm 1 falls back on the centroid, the middle of the
    canvas, which is the middle of the hole.
    """
    return float(run[f"{labels}.correct"][-1] / run[f"{labels}.ceiling"][-1])


def inside(runs, condition):
    """What a run that has learned to draw outside the hole draws inside."""
    outside = drawn(runs[condition], "off_grid")
    if not outside > 0.5:
        raise Undefined(f"the {condition} run has not learned outside: {outside:.2f} of its ceiling")
    return drawn(runs[condition], "in_hole")


def inside_against_outside(condition):
    """Right bumps in the hole minus right bumps off-grid around it."""

    def effect(runs):
        difference = inside(runs, condition) - drawn(runs[condition], "off_grid")
        return difference, difference

    return effect


def large_against_small(runs):
    difference = inside(runs, LARGE) - inside(runs, SMALL)
    return difference, difference


def holes(profile, seed):
    return {SMALL: profile.run(seed, hole=profile.holes[0]), LARGE: profile.run(seed, hole=profile.holes[1])}


CLAIM = Claim(
    id="hole",
    statement="Given sufficient training, models trained with about 3.5 % or 10 % of the labels left out generate "
    "bumps there, only slightly worse with the larger hole.",
    source="Appendix C.2, Fig. 9",
    prediction="The share of right bumps in the hole, at least 1 pixel inside its edge, equals that around it. A "
    "generator that falls back on the nearest training label, or draws nothing there, scores zero.",
    runs=holes,
    parts=(
        Part(
            "3.5 %",
            "right bumps / ceiling, inside minus outside",
            Region(low=-MARGIN),
            "Worse by less than one image in ten: a non-inferiority margin; the paper gives none.",
            inside_against_outside(SMALL),
            design=DESIGN,
            interval=interval,
            rates=RATES,
        ),
        Part(
            "10 %",
            "right bumps / ceiling, inside minus outside",
            Region(low=-MARGIN),
            "As for the small hole.",
            inside_against_outside(LARGE),
            design=DESIGN,
            interval=interval,
            rates=RATES,
        ),
        Part(
            "10 % against 3.5 %",
            "right bumps / ceiling in the hole",
            Region(low=-MARGIN),
            "'Only slightly worse' read as the same margin.",
            large_against_small,
            design=DESIGN,
            interval=interval,
            rates=RATES,
        ),
    ),
    curves={
        "in_hole.correct": "in the hole: one bump, right place",
        "off_grid.correct": "outside: one bump, right place",
        "in_hole.corrected": "in the hole: accuracy / ceiling",
    },
    controls=(
        Control(
            "nearest training label",
            "A generator that draws a perfect bump at the training label nearest to the one asked for.",
            runs=lambda profile, seed: {
                c: profile.rendered(r, "nearest-label") for c, r in holes(profile, seed).items()
            },
        ),
        Control(
            "untrained",
            "The same network after one step.",
            runs=lambda profile, seed: {c: profile.untrained(r) for c, r in holes(profile, seed).items()},
        ),
        Control(
            "true images",
            "A generator that draws a perfect bump where it is asked to, in the hole as outside.",
            runs=lambda profile, seed: {c: profile.rendered(r, "true") for c, r in holes(profile, seed).items()},
            positive=True,
        ),
    ),
)


def test_hole(experiment):
    experiment.judge(CLAIM)
