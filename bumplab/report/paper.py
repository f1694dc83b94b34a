"""Figures of the report: the paper's phase diagram, and the artefacts that raw accuracy hides.

A figure that one claim alone has stands in the module of that claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bumplab.config import LAYER_4
from bumplab.report.figures import COLOURS, MARKERS, STYLE, from_0_to_1, mean_of
from bumplab.runs.store import RunRecord
from bumplab.verdicts.claim import PaperFigure
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import LEVEL, levels_of

Conditions = Mapping[str, Sequence[RunRecord]]
"""The stored runs of a claim by condition, one a seed."""
ROWS = {"d": "increment d, pixels", "sigma": "sigma, pixels"}
"""Labels of a phase diagram's rows, by the prefix of its conditions' names."""


@mpl.rc_context(STYLE)
def phase_diagram(conditions: Conditions) -> Figure:
    """Fig. 4 and 8: accuracy and R^2, means over seeds, by training step and condition.

    A dot is the step at which a seed reaches half its ceiling. Claims on learning times compare these steps. A failed
    seed counts up to its last row. Steps without any seed are grey.
    """
    runs = {name: [Curves.of(record) for record in records] for name, records in conditions.items()}
    steps = max((run.steps for seeds in runs.values() for run in seeds), key=len)
    panels = {"predicted label accuracy": "on_grid.accuracy", "R^2 (UMAP), mean of x and y": f"{LAYER_4[0]}.umap_r2"}
    figure = Figure(figsize=(8.4, 1.5 + 0.45 * len(runs)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, (title, name) in zip(axes, panels.items(), strict=True):
        means = np.ma.stack([mean_of([run[name] for run in seeds], len(steps)) for seeds in runs.values()])
        edges = np.concatenate([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]])
        mesh = axis.pcolormesh(edges, np.arange(len(runs) + 1) - 0.5, means, cmap="cividis", vmin=0, vmax=1)
        axis.set(title=title, xlabel="training step", facecolor="#dddddd")
        axis.set_yticks(range(len(runs)), list(runs))
    for y, seeds in enumerate(runs.values()):
        reached = [run.crossing(run.corrected("on_grid"), LEVEL) for run in seeds]
        at = [low for low, high in reached if np.isfinite(high)]
        axes[0].scatter(at, y + _spread(len(at)), s=14, color="white", edgecolors="black", lw=0.7, zorder=3)
    axes[0].set_ylabel(ROWS.get(next(iter(runs)).partition("=")[0], "condition"))
    figure.colorbar(mesh, ax=axes, shrink=0.9, label="accuracy or R^2")
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


ARTEFACTS = (
    ("ceiling", "Perfect images as the detector sees them", ("on_grid.ceiling", "off_grid.ceiling")),
    ("accuracy / ceiling", "Samples, each over its ceiling", ("on_grid", "off_grid")),
    ("R^2 (UMAP)", "Layer 4, label injected or not", tuple(f"{role}.umap_r2" for role in LAYER_4)),
)
"""Panels of `artefacts`: label of the axis, title, and the two numbers it compares."""


def artefact(run: Curves, name: str) -> float:
    """One of the numbers of `ARTEFACTS` at a run's last checkpoint."""
    return float(run.corrected(name)[-1]) if "." not in name else run.last(name)


def artefact_table(conditions: Conditions) -> tuple[list[str], dict[str, list[float]]]:
    """The means over seeds that `artefacts` draws: the heads of the columns, and one row a condition."""
    conditions = finished(conditions)
    names = [name for _, _, pair in ARTEFACTS for name in pair]
    heads = [f"{unit}, {_legend(name)}" for unit, _, pair in ARTEFACTS for name in pair]
    rows = {}
    for condition, records in conditions.items():
        runs = [Curves.of(record) for record in records]
        rows[condition] = [float(np.mean([artefact(run, name) for run in runs])) for name in names]
    return heads, rows


@mpl.rc_context(STYLE)
def artefacts(conditions: Conditions) -> Figure:
    """A panel for each of `ARTEFACTS` by increment at the last step: one point a seed, and a line through the means.

    Failed seeds are left out.
    """
    conditions = finished(conditions)
    runs = [[Curves.of(record) for record in records] for records in conditions.values()]
    levels = levels_of(conditions)
    figure = Figure(figsize=(10.5, 3.2), layout="constrained")
    for axis, (unit, title, names) in zip(figure.subplots(1, len(ARTEFACTS)), ARTEFACTS, strict=True):
        for name, colour, marker in zip(names, COLOURS, MARKERS, strict=False):
            values = [[artefact(run, name) for run in seeds] for seeds in runs]
            for level, of_level in zip(levels, values, strict=True):
                axis.plot([level] * len(of_level), of_level, marker, color=colour, ms=3.5, alpha=0.5)
            axis.plot(levels, [np.mean(v) for v in values], color=colour, label=_legend(name))
        axis.set_title(title, fontsize=9)
        axis.set(xlabel="increment d, pixels", ylabel=unit, xscale="log")
        from_0_to_1(axis)
        axis.set_xticks(levels, [f"{level:g}" for level in levels])
        axis.minorticks_off()
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


ARTEFACTS_FIGURE = PaperFigure(
    draw=artefacts,
    note="",
    rows=(
        *("on_grid.accuracy", "on_grid.ceiling", "off_grid.accuracy", "off_grid.ceiling"),
        *(f"{role}.umap_r2" for role in LAYER_4),
    ),
    finished_only=True,
)
"""The figure of `artefacts`. The page writes its caption."""


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


def _legend(name: str) -> str:
    """The legend's text for one of the numbers of `ARTEFACTS`."""
    return {
        f"{LAYER_4[0]}.umap_r2": "before injection",
        f"{LAYER_4[1]}.umap_r2": "after injection",
    }.get(name, "on the grid" if name.startswith("on_grid") else "off the grid")
