"""How the examples that are needed grow with the number of cells (Fig. 1; the experiment is ours)."""

from dataclasses import replace

import numpy as np

from bumplab.verdicts.claim import Claim, Control, Design, Part, Premise, Region
from bumplab.verdicts.effects import HALF, RIGHT, log2_ratio
from bumplab.verdicts.worlds import level, run

APART = 4.0
"""Pixels between the centres of two cells. At spread 0.5 their bumps overlap by 0.02, so none lies between two."""
SIGMA = 0.5
HALF_OF_CELLS = HALF - 0.02
"""Share of right images that counts as half of the cells. A network misses a few images of the cells that it knows."""


def cells_of(profile):
    """Cells on each axis: as many as fit on the profile's canvas, and half of them."""
    most = int(profile.base.data.image_size / APART)
    return most // 2, most


def matrices_of(cells):
    """Numbers of permutation matrices that are trained: 1, 2, 4, ... up to half of all cells."""
    return [2**k for k in range(cells.bit_length()) if 2 ** (k + 1) <= cells]


def cell_runs(profile, seed):
    """For each number of cells a run with each number of matrices. All cells are asked for."""
    runs = {}
    for cells in cells_of(profile):
        for matrices in matrices_of(cells):
            spec = profile.run(seed, dx=APART, sigma=SIGMA)
            data = replace(spec.data, cells=cells, matrices=matrices)
            runs[f"{cells} x {cells} cells, {matrices * cells} examples"] = replace(spec, data=data)
    return runs


def rendered(profile, seed):
    """Copies of the nearest training image: only cells that were trained are right."""
    return {c: profile.rendered(spec, "nearest-label") for c, spec in cell_runs(profile, seed).items()}


def factorized(profile, seed):
    return {condition: profile.factorized(spec) for condition, spec in cell_runs(profile, seed).items()}


def by_cells(runs):
    """The runs of each number of cells, from few to many; of each number the runs from few examples to many."""
    groups = {}
    for curves in sorted(runs.values(), key=lambda curves: (curves.spec.data.cells, curves.spec.data.matrices)):
        groups.setdefault(curves.spec.data.cells, []).append(curves)
    return list(groups.values())


def examples_to_half(group):
    """Bounds of the number of examples at which half of all cells are right at the last step (`HALF_OF_CELLS`).

    The share of right cells is interpolated between numbers of examples. With no examples it is 0. So a learner that
    needs one matrix for all cells has nearly K / 2 examples, and one that is right only where it was trained K^2 / 2.
    """
    examples = [0.0] + [float(curves.spec.data.cells * curves.spec.data.matrices) for curves in group]
    shares = [0.0] + [curves.last(RIGHT) for curves in group]
    for i in range(1, len(shares)):
        if shares[i] >= HALF_OF_CELLS:
            between = (HALF_OF_CELLS - shares[i - 1]) / (shares[i] - shares[i - 1])
            at = examples[i - 1] + between * (examples[i] - examples[i - 1])
            return at, at
    return examples[-1], np.inf


def exponent(runs):
    """beta: the doublings of examples that twice as many cells on each axis ask for."""
    few, many = by_cells(runs)
    return log2_ratio(examples_to_half(many), examples_to_half(few))


def least_trained(runs):
    """The last share of right bumps in the share of cells that was trained, the smallest of the runs.

    Right bumps in other cells count as well. So it lies above 1 for a learner that composes.
    """
    data = [curves.spec.data for curves in runs.values()]
    trained = [of_run.matrices / of_run.cells for of_run in data]
    return float(np.min([curves.last(RIGHT) / share for curves, share in zip(runs.values(), trained, strict=True)]))


def all_composed(runs):
    """The same runs, each as right in all cells as it is in those that were trained: one matrix is enough."""
    changed = {}
    for condition, curves in runs.items():
        data = curves.spec.data
        changed[condition] = curves.replaced({RIGHT: curves[RIGHT] * data.cells / data.matrices})
    return changed


def composed_from_two(runs):
    """The same runs. From two matrices on each is as right in all cells as in those that were trained."""
    several = {c: curves for c, curves in runs.items() if curves.spec.data.matrices >= 2}
    return runs | all_composed(several)


def plant(specs, exponent):
    """Runs that are right in a share of cells that grows with the examples, up to all cells.

    Few cells are right where they were trained. Half of many cells is right after 2^exponent times as many examples.
    """
    few = min(spec.data.cells for spec in specs.values())
    made = {}
    for condition, spec in specs.items():
        half = few**2 / 2 * (1 if spec.data.cells == few else 2**exponent)
        share = HALF * spec.data.cells * spec.data.matrices / half
        made[condition] = run(spec, {RIGHT: level(spec, share)})
    return made


CLAIM = Claim(
    id="composition",
    statement="A diffusion model needs examples of a share of all pairs (x, y), as a coupled learner does, and not of "
    "each x and each y alone, as a factorized one.",
    source="Section 1.1, Fig. 1",
    prediction="K x K cells lie 4 pixels apart. Training holds some permutation matrices of them: each x and each y as "
    "often. The examples at which half of all cells are right grow as K^beta. A factorized learner has beta = 1, and a "
    "learner of each pair has beta = 2. The paper draws the two and does not try it.",
    runs=cell_runs,
    parts=(
        Part(
            name="exponent",
            reads="a network that recognized the independence of generation in x,y could learn with O(2K) examples, "
            "while otherwise it would take O(K^2) examples",
            holds="the examples needed grew nearer to K^2 than to K",
            unit="beta (1 factorized, 2 coupled)",
            region=Region(low=1.5),
            why="The middle between the two learners of Fig. 1. One matrix shows half of 2 x 2 cells, so a learner "
            "that composes none there has the same number as one that memorizes. Two matrices show half of 4 x 4 "
            "cells: beta is above 1.5 unless 79 % of the others are composed. A perfect learner of 2K examples has "
            "1.44 at quick.",
            effect=exponent,
            premise=Premise(
                name="the last share of right bumps in the cells that were trained",
                needs="the network must learn to draw bumps of spread 0.5 where it is shown the pair",
                unit="of these cells",
                region=Region(low=HALF_OF_CELLS / HALF),
                effect=least_trained,
            ),
            design=Design(
                1.9, 0.05, "Fig. 1b: K^2. Exploring seeds 10 to 16 were right where they were trained, and else not"
            ),
        ),
    ),
    curves={RIGHT: "one bump in the asked cell, within a pixel of its centre"},
    plant=plant,
    controls=(
        Control(
            "factorized generator",
            "Two networks that each see one coordinate (Fig. 1a). One matrix shows them each x and each y: beta is 1.",
            runs=factorized,
        ),
        Control(
            "one matrix is enough",
            "The claim's own runs, each as right in all cells as in those that were trained: beta is 1.",
            change=all_composed,
        ),
        Control(
            "two matrices are enough",
            "The claim's own runs, with all cells right from two matrices on, as with 2K examples: beta is 1.44.",
            change=composed_from_two,
        ),
        Control(
            "nearest training label",
            "A generator that copies the nearest training image: right only where it was trained, so beta is 2.",
            runs=rendered,
            positive=True,
        ),
    ),
)


def test_composition(experiment, item):
    experiment.judge(CLAIM, item)
