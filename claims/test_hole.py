"""A region left out of training is generated all the same (Appendix C.2, Fig. 9)."""

from functools import partial

from bumplab.verdicts.claim import Claim, Part, Region
from bumplab.verdicts.intervals import Undefined, student_t

MARGIN = 0.10
SMALL, LARGE = "3.5 % hole", "10 % hole"
# 200 images resolve half a percent: runs that agree to the image are not taken to agree exactly.
interval = partial(student_t, resolution=0.005)


def inside(runs, condition):
    """Accuracy in the hole relative to its ceiling at the last step of a run that has learned what is outside."""
    outside = float(runs[condition].corrected("off_grid")[-1])
    if not outside > 0.5:
        raise Undefined(f"the {condition} run has not learned outside: {outside:.2f} of its ceiling")
    return float(runs[condition].corrected("in_hole")[-1])


def inside_against_outside(condition):
    """Accuracy in the hole minus accuracy off-grid around it, each relative to its ceiling, at the last step."""

    def effect(runs):
        difference = inside(runs, condition) - float(runs[condition].corrected("off_grid")[-1])
        return difference, difference

    return effect


def large_against_small(runs):
    difference = inside(runs, LARGE) - inside(runs, SMALL)
    return difference, difference


CLAIM = Claim(
    id="hole",
    statement="Given sufficient training, models trained with about 3.5 % or 10 % of the labels left out generate "
    "bumps there, only slightly worse with the larger hole.",
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
    ),
    curves={
        "in_hole.corrected": "in the hole: accuracy / ceiling",
        "off_grid.corrected": "outside: accuracy / ceiling",
    },
)


def test_hole(experiment):
    experiment.judge(CLAIM)
