"""How many neighbours a bump overlaps grows at most linearly with its spread (Appendix B.5, Fig. 7b)."""

import numpy as np

from bumplab.config import NON_TRIVIAL_OVERLAP, DataSpec
from bumplab.verdicts.claim import Claim, Part, Region
from bumplab.verdicts.intervals import certain

PAPER = DataSpec()
SIGMAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def overlaps(sigma):
    """The overlap with the neighbours 0, 1, 2, ... increments away along an axis."""
    from bumplab.data.overlap import overlap  # torch: not while claims are collected

    near = range(round(PAPER.image_size / 4 / PAPER.dx))
    return np.array([overlap(k * PAPER.dx, sigma, PAPER.image_size) for k in near])


def along_an_axis(sigma):
    return 2 * int((overlaps(sigma)[1:] > NON_TRIVIAL_OVERLAP).sum())


def over_the_plane(sigma):
    """Bumps are products of a profile in x and one in y, and so are their overlaps."""
    one = overlaps(sigma)
    both = np.concatenate([one[:0:-1], one])
    return int((np.outer(both, both) > NON_TRIVIAL_OVERLAP).sum()) - 1


def exponent(count):
    """The slope of log(neighbours) over log(sigma), by least squares."""

    def effect(runs):
        slope = float(np.polyfit(np.log(SIGMAS), np.log([count(sigma) for sigma in SIGMAS]), 1)[0])
        return slope, slope

    return effect


CLAIM = Claim(
    id="overlap",
    statement="The number of neighbours that a Gaussian bump has non-trivial overlaps with grows roughly linearly to "
    "sub-linearly with the spread.",
    source="Appendix B.5, Fig. 7b",
    prediction="The number of neighbours along an axis whose overlap exceeds a tenth grows with sigma to a power of at "
    "most 1. On a continuous canvas the power is 1 exactly. No training is needed, and nothing is drawn at random.",
    runs=lambda profile, seed: {},
    parts=(
        Part(
            "along an axis (Fig. 7b)",
            "exponent of sigma",
            Region(high=1.1),
            "'Roughly linearly': a tenth above 1 for counting whole neighbours on whole pixels.",
            exponent(along_an_axis),
            interval=certain,
        ),
        Part(
            "over the plane",
            "exponent of sigma",
            Region(high=1.1),
            "Shown and not judged: Fig. 7b measures along an axis. Counted in both directions, as labels lie, those "
            "that overlap grow as sigma squared, like the labels themselves with 1/d: the paper's contrast between the "
            "two does not hold there.",
            exponent(over_the_plane),
            interval=certain,
            judges=False,
        ),
    ),
    curves={},
)


def test_overlap(experiment):
    experiment.judge(CLAIM)
