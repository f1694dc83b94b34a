"""A region left out of training is generated all the same (Appendix C.2, Fig. 9)."""

from functools import partial

from bumplab.verdicts.claim import Claim, Part, Region
from bumplab.verdicts.intervals import student_t

MARGIN = 0.10
SMALL, LARGE = "3.5 % hole", "10 % hole"
# 200 images resolve half a percent: runs that agree to the image are not taken to agree exactly.
interval = partial(student_t, resolution=0.005)


def inside_against_outside(condition):
    """Accuracy in the hole minus accuracy off-grid around it, each relative to its ceiling, at the last step."""

    def effect(runs):
        run = runs[condition]
        difference = float(run.corrected("in_hole")[-1] - run.corrected("off_grid")[-1])
        return difference, difference

    return effect


def large_against_small(runs):
    difference = float(runs[LARGE].corrected("in_hole")[-1] - runs[SMALL].corrected("in_hole")[-1])
    return difference, difference


def learned_outside(runs):
    """The lesser of both runs' accuracies outside the hole, relative to its ceiling, at the last step."""
    least = float(min(runs[condition].corrected("off_grid")[-1] for condition in (SMALL, LARGE)))
    return least, least


CLAIM = Claim(
    id="hole",
    statement="Models trained with about 3.5 % or 10 % of the labels left out generate bumps there, only slightly "
    "worse with the larger hole.",
    source="Appendix C.2, Fig. 9",
    prediction="Accuracy in the hole, at least 1 pixel inside its edge, equals that around it. A generator that falls "
    "back on the nearest training label scores zero there.",
    runs=lambda profile, seed: {
        SMALL: profile.run(seed, hole=profile.holes[0]),
        LARGE: profile.run(seed, hole=profile.holes[1]),
    },
    parts=(
        Part(
            "3.5 %",
            "accuracy / ceiling, inside minus outside",
            Region(low=-MARGIN),
            "Worse by less than one image in ten: a non-inferiority margin; the paper gives none.",
            inside_against_outside(SMALL),
            interval=interval,
        ),
        Part(
            "10 %",
            "accuracy / ceiling, inside minus outside",
            Region(low=-MARGIN),
            "As for the small hole.",
            inside_against_outside(LARGE),
            interval=interval,
        ),
        Part(
            "10 % against 3.5 %",
            "accuracy / ceiling in the hole",
            Region(low=-MARGIN),
            "'Only slightly worse' read as the same margin.",
            large_against_small,
            interval=interval,
        ),
        Part(
            "learned outside",
            "accuracy / ceiling off-grid",
            Region(low=0.5),
            "'Given sufficient training': a model that is as bad inside as outside has generalised nothing.",
            learned_outside,
            interval=interval,
        ),
    ),
    curves={
        "in_hole.corrected": "in the hole: accuracy / ceiling",
        "off_grid.corrected": "outside: accuracy / ceiling",
    },
)


def test_hole(experiment):
    experiment.judge(CLAIM)
