"""The paper's Fig. 3 from one run: what is drawn, and how layer 4 lays the labels out, in phases A, B and C."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bumplab.report import samples
from bumplab.report.figures import STYLE
from bumplab.runs.store import RunRecord
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import FLATNESS, HALF, RIGHT, TOLD, WRONG, one_bump

SHOWN_READING = ("layer4.order", "layer4.flatness")
"""Order and flatness of the activations whose manifold is shown: those of the last sampling step."""
HUES = 260 / 360, 40 / 360
"""Hues of the least and the largest x, as in the page's viewer."""
BRIGHTNESS = 0.45, 1.0
"""Brightness of the least and the largest y."""
KEY_SIDE = 12
"""Cells of the key of colours, squared."""


@dataclass(frozen=True)
class Phase:
    """A phase and the checkpoint that shows it: None where no checkpoint lies in the phase."""

    name: str
    what: str
    step: int | None


def phases_of(record: RunRecord) -> list[Phase]:
    """Phases A, B and C of a run, by what it draws on the probe labels.

    A ends where half of the images show a single bump, and B where half show it at the right place. A and B are shown
    by their middle checkpoint, and C by the last checkpoint of the run.
    """
    run = Curves.of(record)
    single, _ = run.crossing(one_bump(run), HALF)
    right, _ = run.crossing(run[RIGHT], HALF)
    steps = run.steps[:-1]
    is_right = run[RIGHT][-1] > HALF
    return [
        Phase("A", "before single bumps", _middle(steps[steps < single])),
        Phase("B", "single bumps at wrong places", _middle(steps[(steps >= single) & (steps < right)])),
        Phase(
            "C", "single bumps at the right place" if is_right else "not reached at the last step", int(run.steps[-1])
        ),
    ]


def _middle(steps: NDArray[np.float64]) -> int | None:
    return int(steps[len(steps) // 2]) if len(steps) else None


def caption(record: RunRecord, phase: Phase) -> str:
    """What the phase is, what is right at its checkpoint, and F and O there."""
    if phase.step is None:
        return f"{phase.name}, {phase.what}: no checkpoint lies in this phase."
    row = next(row for row in record.rows if row["step"] == phase.step)
    numbers = {name: row.get(name, math.nan) for name in (RIGHT, WRONG, *SHOWN_READING, FLATNESS, TOLD)}
    order, flatness = (_plain(numbers[name]) for name in SHOWN_READING)
    return (
        f"{phase.name}, {phase.what}: {100 * numbers[RIGHT]:.0f} % of the images have one bump at the right place, "
        f"{100 * numbers[WRONG]:.0f} % at a wrong one. As drawn F is {flatness}, O {order}; as told F "
        f"{_plain(numbers[FLATNESS])}, O {_plain(numbers[TOLD])}."
    )


def _plain(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.2f}"


def colours(labels: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """``[B, 3]``: a colour for each label of ``[B, 2]`` from ``low`` to ``high`` pixels: hue by x, brightness by y."""
    x, y = np.clip((labels - low) / (high - low), 0, 1).T
    hue = HUES[0] + (HUES[1] - HUES[0]) * x
    value = BRIGHTNESS[0] + (BRIGHTNESS[1] - BRIGHTNESS[0]) * y
    return np.asarray(hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.8), value], axis=-1)))


@mpl.rc_context(STYLE)
def figure(record: RunRecord, phases: Sequence[Phase]) -> Figure:
    """Fig. 3: for each phase its samples and, beside them, the embedding of layer 4 with a key of its colours."""
    width, height = 4.1 * len(phases), 2.3
    made = Figure(figsize=(width, height))
    for number, phase in enumerate(phases):  # in inches a phase takes 4.1, and each of its two squares 2.0
        squares = [((4.1 * number + at) / width, 0.05 / height, 2.0 / width, 2.0 / height) for at in (0.04, 2.06)]
        left, right = (made.add_axes(square, xticks=[], yticks=[]) for square in squares)
        _samples(left, record, phase)
        right.set_axis_off()
        if phase.step is not None and samples.has_embedding(record):
            right.set_title("layer 4 by UMAP", fontsize=9)
            _manifold(right.inset_axes((-0.05, -0.02, 1.1, 1.04), projection="3d"), record, phase.step)
            _key(right.inset_axes((0.86, 0.0, 0.14, 0.14)), record)
    return made


def _samples(axis: Axes, record: RunRecord, phase: Phase) -> None:
    if phase.step is None:
        axis.set_title(phase.name, fontsize=9)
        axis.text(0.5, 0.5, "no checkpoint\nlies in this phase", ha="center", va="center", transform=axis.transAxes)
        return
    axis.set_title(f"{phase.name}: step {phase.step}", fontsize=9)
    pixels = samples.mosaic(record, phase.step)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=(0, len(pixels), len(pixels), 0))
    for mark in samples.marks(record, phase.step):
        axis.plot(*mark["asked"], ".", color="#e2001a", ms=3)
        if mark["found"]:
            axis.plot(*mark["found"], "x", color="#0072b2", ms=4, mew=0.8)
    axis.set(xlim=(0, len(pixels)), ylim=(len(pixels), 0))


def _manifold(axis: Any, record: RunRecord, step: int) -> None:
    axis.set_axis_off()
    points = samples.embedding(record, step)
    measure = record.spec.measure
    of_labels = colours(samples.embedding_labels(record), measure.probe_low, measure.probe_high)
    axis.set_box_aspect(None, zoom=1.35)
    axis.scatter(*points.T, c=of_labels, s=7, depthshade=False)


def _key(axis: Axes, record: RunRecord) -> None:
    """The colour of each label: x to the right, y downwards, as in the images."""
    low, high = record.spec.measure.probe_low, record.spec.measure.probe_high
    ticks = np.linspace(low, high, KEY_SIDE)
    labels = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    axis.imshow(colours(labels, low, high).reshape(KEY_SIDE, KEY_SIDE, 3))
    axis.set(xticks=[], yticks=[])
    axis.set_title("x", fontsize=7, pad=2)
    axis.set_ylabel("y", fontsize=7, labelpad=1)
