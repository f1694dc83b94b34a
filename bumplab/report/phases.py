"""The paper's Fig. 3 from one run: what is drawn, and how layer 4 lays the labels out, in phases A, B and C."""

from __future__ import annotations

import math
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
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
KEY_SIDE = 24
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


def caption(record: RunRecord) -> list[str]:
    """One sentence for each phase: its step, what is right, and F and O there."""
    lines = []
    for phase in phases_of(record):
        if phase.step is None:
            lines.append(f"{phase.name}, {phase.what}: no checkpoint lies in this phase.")
            continue
        row = next(row for row in record.rows if row["step"] == phase.step)
        numbers = {name: row.get(name, math.nan) for name in (RIGHT, WRONG, *SHOWN_READING, FLATNESS, TOLD)}
        order, flatness = (_plain(numbers[name]) for name in SHOWN_READING)
        lines.append(
            f"{phase.name}, {phase.what}, step {phase.step}: {100 * numbers[RIGHT]:.0f} % of the images show one bump "
            f"at the right place, and {100 * numbers[WRONG]:.0f} % show one at a wrong place. As the image is drawn, "
            f"which the manifold shows, F is {flatness} and O is {order}. As told, F is {_plain(numbers[FLATNESS])} "
            f"and O is {_plain(numbers[TOLD])}."
        )
    return lines


def _plain(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.2f}"


def colours(labels: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """``[B, 3]``: a colour for each label of ``[B, 2]`` from ``low`` to ``high`` pixels: hue by x, brightness by y."""
    x, y = np.clip((labels - low) / (high - low), 0, 1).T
    hue = HUES[0] + (HUES[1] - HUES[0]) * x
    value = BRIGHTNESS[0] + (BRIGHTNESS[1] - BRIGHTNESS[0]) * y
    return np.asarray(hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.8), value], axis=-1)))


@mpl.rc_context(STYLE)
def figure(record: RunRecord) -> Figure:
    """Fig. 3: a column for each phase, its samples above, the embedding of layer 4 below, and a key of the colours."""
    made = Figure(figsize=(9.3, 5.9), layout="constrained")
    grid = made.add_gridspec(2, 4, width_ratios=[1, 1, 1, 0.3])
    for column, phase in enumerate(phases_of(record)):
        _samples(made, grid, column, record, phase)
        _manifold(made, grid, column, record, phase.step)
    _key(made, grid, record)
    return made


def _samples(made: Figure, grid: GridSpec, column: int, record: RunRecord, phase: Phase) -> None:
    axis = made.add_subplot(grid[0, column])
    axis.set(xticks=[], yticks=[])
    if phase.step is None:
        axis.set_title(f"{phase.name}: {phase.what}", fontsize=9)
        axis.text(0.5, 0.5, "no checkpoint\nlies in this phase", ha="center", va="center", transform=axis.transAxes)
        return
    axis.set_title(f"{phase.name}: step {phase.step}\n{phase.what}", fontsize=9)
    pixels = samples.mosaic(record, phase.step)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=(0, len(pixels), len(pixels), 0))
    for mark in samples.marks(record, phase.step):
        axis.plot(*mark["asked"], ".", color="#e2001a", ms=3)
        if mark["found"]:
            axis.plot(*mark["found"], "x", color="#0072b2", ms=4, mew=0.8)


def _manifold(made: Figure, grid: GridSpec, column: int, record: RunRecord, step: int | None) -> None:
    axis = made.add_subplot(grid[1, column], projection="3d")
    axis.set(xticklabels=[], yticklabels=[])
    axis.tick_params(labelleft=False, labelbottom=False)
    if step is None or not samples.has_embedding(record):
        axis.set_axis_off()
        return
    points = samples.embedding(record, step)
    measure = record.spec.measure
    of_labels = colours(samples.embedding_labels(record), measure.probe_low, measure.probe_high)
    axis.set_box_aspect(None, zoom=1.2)
    axis.scatter(*points.T, c=of_labels, s=7, depthshade=False)


def _key(made: Figure, grid: GridSpec, record: RunRecord) -> None:
    axis = made.add_subplot(grid[1, 3])
    low, high = record.spec.measure.probe_low, record.spec.measure.probe_high
    ticks = np.linspace(low, high, KEY_SIDE)
    labels = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    pixels = colours(labels, low, high).reshape(KEY_SIDE, KEY_SIDE, 3)
    axis.imshow(pixels, extent=(low, high, high, low))
    axis.set(xlabel="asked x, pixels", ylabel="asked y, pixels", xticks=[low, high], yticks=[low, high])
    axis.tick_params(labelsize=7)
