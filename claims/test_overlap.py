"""How many neighbours a bump overlaps grows at most linearly with its spread (Appendix B.5, Fig. 7b)."""

import numpy as np

from bumplab.config import NON_TRIVIAL_OVERLAP, DataSpec
from bumplab.verdicts.claim import Claim, PaperFigure, Part, Region

PAPER = DataSpec()
SIGMAS = tuple(k / 10 for k in range(1, 11))
"""The paper's spreads in pixels (B.6)."""
THRESHOLDS = (0.05, NON_TRIVIAL_OVERLAP, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Overlaps above which a neighbour counts. The paper does not say which overlap is non-trivial."""
FARTHEST = PAPER.image_size // 4
"""Neighbours are looked for up to this many pixels away. At spread 1 the overlap there is 0.02."""
READS = (
    "the number of neighbors that a given Gaussian bump has non-trivial overlaps with grows roughly linearly to "
    "sub-linearly with the spread"
)


def overlaps(sigma):
    """Overlaps of rendered bumps with their neighbours along an axis: ``[places, neighbours]``.

    The places are those of the paper's densest labels within a pixel: a narrow bump has another norm between two
    pixels than on one. The neighbours lie up to `FARTHEST` pixels away on both sides, and the bump itself is one of
    them. A bump is a product of profiles in x and y, so these profiles alone are compared.
    """
    import torch  # here: importing a claim imports no torch

    from bumplab.data.bumps import render

    places, far = round(1 / PAPER.dx), round(FARTHEST / PAPER.dx)
    middle = PAPER.image_size / 2
    x = middle + PAPER.dx * np.arange(-far, places + far)
    labels = torch.tensor(np.stack([x, np.full_like(x, middle)], axis=1))
    row_of_centres = PAPER.image_size // 2 - 1  # pixels count from 1
    profiles = (255 - render(labels, PAPER.image_size, sigma))[:, row_of_centres].double().numpy()
    which = np.arange(places)[:, None] + np.arange(2 * far + 1)
    own, others = profiles[far : far + places], profiles[which]
    return np.sqrt(np.einsum("pn,pkn->pk", own, others) / (own**2).sum(axis=1)[:, None])


def along_an_axis(overlaps, threshold):
    """How many neighbours along an axis, on both sides, a bump overlaps: the mean over its places."""
    return float((overlaps > threshold).sum(axis=1).mean()) - 1


def over_the_plane(overlaps, threshold):
    """How many neighbours over the plane a bump overlaps: the mean over its places in x and in y.

    The overlap of two bumps is the product of their overlaps in x and in y.
    """
    values = np.sort(overlaps.ravel())
    pairs = len(values) - np.searchsorted(values, threshold / np.maximum(values, 1e-300), side="right")
    return float(pairs.sum()) / len(overlaps) ** 2 - 1


def exponents(count):
    """For each threshold, the slope of log(neighbours) over log(sigma) by least squares."""
    of_sigmas = [overlaps(sigma) for sigma in SIGMAS]
    neighbours = [[count(found, threshold) for found in of_sigmas] for threshold in THRESHOLDS]
    return [float(np.polyfit(np.log(SIGMAS), np.log(counts), 1)[0]) for counts in neighbours]


def largest_exponent(count):
    """The effect: the largest of the `exponents`. It needs no runs."""
    return lambda runs: max(exponents(count))


def neighbours(conditions):
    """Fig. 7b, the overlap of two bumps over their distance along an axis; beside it the neighbours over the spread."""
    import matplotlib as mpl  # here: importing a claim imports no matplotlib
    from matplotlib.figure import Figure

    from bumplab.data.overlap import overlap
    from bumplab.report.figures import COLOURS, STYLE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        distances, size = np.linspace(0, 6, 61), PAPER.image_size
        for sigma, colour in zip((0.3, 0.5, 0.7, 1.0), COLOURS[:4], strict=True):
            left.plot(distances, [overlap(d, sigma, size) for d in distances], color=colour, label=f"sigma = {sigma:g}")
        left.axhline(NON_TRIVIAL_OVERLAP, color="#444444", lw=0.8, ls="--", label="counts as a neighbour above")
        left.set(xlabel="distance along an axis, pixels", ylabel="normalised overlap", ylim=(0, 1.08))
        of_sigmas = [overlaps(sigma) for sigma in SIGMAS]
        for count, label, colour in (
            (along_an_axis, "along an axis", COLOURS[0]),
            (over_the_plane, "over the plane", COLOURS[1]),
        ):
            counts = [count(found, NON_TRIVIAL_OVERLAP) for found in of_sigmas]
            right.plot(SIGMAS, counts, marker="o", color=colour, label=label)
        right.set(xlabel="spread sigma, pixels", ylabel="neighbours at d = 0.1", xscale="log", yscale="log")
        for axis in (left, right):
            axis.legend(frameon=False, fontsize=8, loc="upper right" if axis is left else "upper left")
            axis.spines[["top", "right"]].set_visible(False)
    return figure


CLAIM = Claim(
    id="overlap",
    statement="The number of neighbours that a Gaussian bump has non-trivial overlaps with grows roughly linearly to "
    "sub-linearly with the spread.",
    source="Appendix B.5, Fig. 7b",
    prediction="The number of neighbours along an axis, as Fig. 7b measures it, grows with sigma to a power of about 1 "
    "at most, whatever overlap counts. On a continuous canvas the power is 1 along an axis, and 2 over the plane of "
    "the labels. No training is needed, and nothing is drawn at random.",
    runs=lambda profile, seed: {},
    certain=True,
    parts=(
        Part(
            name="along an axis",
            reads=READS,
            holds="neighbours along an axis grew at most linearly with sigma",
            unit="exponent of sigma, the largest over seven thresholds",
            region=Region(high=1.1),
            why="'Roughly linearly' leaves a tenth above 1, as whole neighbours are counted on whole pixels.",
            effect=largest_exponent(along_an_axis),
        ),
        Part(
            name="over the plane",
            reads=READS,
            holds="neighbours over the plane grew at most linearly with sigma",
            unit="exponent of sigma, the largest over seven thresholds",
            region=Region(high=1.1),
            why="Shown and not judged: Fig. 7b, from which the paper reads the growth, measures along an axis. A "
            "dataset tiles the plane, where neighbours grow as the square. Only at an overlap of 0.9 do they grow "
            "less than linearly there.",
            effect=largest_exponent(over_the_plane),
            judges=False,
        ),
    ),
    curves={},
    figure=PaperFigure(
        neighbours,
        "As Fig. 7b (left), computed here from rendered bumps on a canvas of 32 pixels. Right: the neighbours that "
        "overlap by more than a tenth at d = 0.1. A power of sigma is a straight line there.",
    ),
)


def test_overlap(experiment, item):
    experiment.judge(CLAIM, item)
