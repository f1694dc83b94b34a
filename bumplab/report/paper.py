"""The paper's figures that several claims share: the phase diagram, and which runs a figure can be drawn of.

A figure that one claim alone has stands in the module of that claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bumplab.report.figures import STYLE, mean_of
from bumplab.runs.store import RunRecord
from bumplab.verdicts.claim import PaperFigure
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import HALF, RIGHT, TOLD

Conditions = Mapping[str, Sequence[RunRecord]]
"""The stored runs of a claim by condition, one a seed."""
ROWS = {"d": "increment d, pixels", "sigma": "sigma, pixels"}
"""Labels of a phase diagram's rows, by the prefix of its conditions' names."""


@mpl.rc_context(STYLE)
def phase_diagram(conditions: Conditions) -> Figure:
    """Fig. 4 and 8: accuracy and O of layer 4 as told, means over seeds, by training step and condition.

    A dot is the step from which a seed draws half of its bumps at the right place. A failed seed counts up to its last
    row. Steps without any number are grey.
    """
    runs = {name: [Curves.of(record) for record in records] for name, records in conditions.items()}
    steps = max((run.steps for seeds in runs.values() for run in seeds), key=len)
    panels = {"predicted label accuracy (eq. 1), probe labels": "probe.accuracy", "O of layer 4 as told": TOLD}
    left = 0.5 + 0.075 * max(map(len, runs))
    width, height = 7.3 + left, max(2.0, 1.0 + 0.45 * len(runs))
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(1, len(panels), sharey=True)
    figure.subplots_adjust(left=left / width, right=1, bottom=0.55 / height, top=1 - 0.3 / height, wspace=0.12)
    for axis, (title, name) in zip(axes, panels.items(), strict=True):
        means = np.ma.stack([mean_of([run[name] for run in seeds], len(steps)) for seeds in runs.values()])
        edges = np.concatenate([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]])
        mesh = axis.pcolormesh(edges, np.arange(len(runs) + 1) - 0.5, means, cmap="cividis", vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
        axis.set(xlabel="training step", facecolor="#dddddd")
        axis.set_yticks(range(len(runs)), list(runs))
    for y, seeds in enumerate(runs.values()):
        reached = [run.crossing(run[RIGHT], HALF) for run in seeds]
        at = [low for low, high in reached if np.isfinite(high)]
        axes[0].scatter(at, y + _spread(len(at)), s=14, color="white", edgecolors="black", lw=0.7, zorder=3)
    axes[0].set_ylabel(ROWS.get(next(iter(runs)).partition("=")[0], "condition"))
    figure.colorbar(mesh, ax=axes, shrink=0.9, label="accuracy or O")
    return figure


def _spread(count: int) -> NDArray[np.float64]:
    """Offsets that keep the seeds of a row apart."""
    return np.linspace(-0.3, 0.3, count) if count > 1 else np.zeros(count)


def finished(conditions: Conditions) -> Conditions:
    """The runs without failed seeds, and without conditions that have no other seed.

    The last checkpoint of a failed seed is the one before training.
    """
    kept = {name: [record for record in records if not record.failed] for name, records in conditions.items()}
    return {name: records for name, records in kept.items() if records}


def measured(figure: PaperFigure, conditions: Conditions) -> bool:
    """Whether there are runs to show, and all of them hold the numbers and the samples that the figure shows.

    A figure that needs neither is always drawn.
    """
    if not figure.rows and not figure.label_sets:
        return True
    shown = finished(conditions) if figure.finished_only else conditions
    records = [record for of_condition in shown.values() for record in of_condition]
    return bool(shown) and all(_holds(record, figure) for record in records)


def _holds(record: RunRecord, figure: PaperFigure) -> bool:
    if not record.rows:
        return False
    step = int(record.rows[-1]["step"])
    has_samples = all(f"{step}/{labels}.modes" in record.evidence for labels in figure.label_sets)
    return has_samples and all(name in row for row in record.rows for name in figure.rows)
