"""How many neighbours a bump overlaps grows at most linearly with its spread (Appendix B.5, Fig. 7b)."""

import numpy as np

from bumplab.config import NON_TRIVIAL_OVERLAP, DataSpec
from bumplab.verdicts.claim import Claim, PaperFigure, Part, Region
from bumplab.verdicts.intervals import certain

PAPER = DataSpec()
SIGMAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def overlaps(sigma):
    """The overlap with the neighbours at 0, 1, 2, ... increments along an axis, up to a quarter of the canvas."""
    from bumplab.data.overlap import overlap  # torch: not while claims are collected

    near = range(round(PAPER.image_size / 4 / PAPER.dx))
    return np.array([overlap(k * PAPER.dx, sigma, PAPER.image_size) for k in near])


def along_an_axis(sigma):
    """How many neighbours along an axis, on both sides, a bump overlaps."""
    return 2 * int((overlaps(sigma)[1:] > NON_TRIVIAL_OVERLAP).sum())


def over_the_plane(sigma):
    """How many neighbours over the plane a bump overlaps.

    A bump is the product of a profile in x and one in y, and so is the overlap of two.
    """
    one = overlaps(sigma)
    both = np.concatenate([one[:0:-1], one])
    return int((np.outer(both, both) > NON_TRIVIAL_OVERLAP).sum()) - 1


def exponent(count):
    """The slope of log(neighbours) over log(sigma), by least squares."""
    return lambda runs: float(np.polyfit(np.log(SIGMAS), np.log([count(sigma) for sigma in SIGMAS]), 1)[0])


def neighbours(conditions):
    """Fig. 7b: the overlap of two bumps over their distance along an axis, for four spreads."""
    import matplotlib as mpl  # here: importing a claim imports no matplotlib
    from matplotlib.figure import Figure

    from bumplab.data.overlap import overlap
    from bumplab.report.figures import COLOURS, STYLE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        axis = figure.subplots()
        distances, size = np.linspace(0, 6, 61), PAPER.image_size
        for sigma, colour in zip((0.3, 0.5, 0.7, 1.0), COLOURS, strict=True):
            axis.plot(distances, [overlap(d, sigma, size) for d in distances], color=colour, label=f"sigma = {sigma:g}")
        axis.axhline(NON_TRIVIAL_OVERLAP, color="#444444", lw=0.8, ls="--", label="counts as a neighbour above")
        axis.set(xlabel="distance along an axis, pixels", ylabel="normalised overlap", ylim=(0, 1.08))
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


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
            name="along an axis (Fig. 7b)",
            unit="exponent of sigma",
            region=Region(high=1.1),
            why="'Roughly linearly' leaves a tenth above 1, as whole neighbours are counted on whole pixels.",
            effect=exponent(along_an_axis),
            interval=certain,
        ),
        Part(
            name="over the plane",
            unit="exponent of sigma",
            region=Region(high=1.1),
            why="Shown and not judged: Fig. 7b measures along an axis. Labels lie in both directions, and over the "
            "plane the neighbours that overlap grow as sigma squared. The number of labels grows as 1/d squared. The "
            "paper's contrast between the two does not hold there.",
            effect=exponent(over_the_plane),
            interval=certain,
            judges=False,
        ),
    ),
    curves={},
    figure=PaperFigure(neighbours, "As Fig. 7b, computed here from rendered bumps on a canvas of 32 pixels."),
)


def test_overlap(experiment):
    experiment.judge(CLAIM)
