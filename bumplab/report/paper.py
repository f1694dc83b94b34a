"""The paper's figures, redrawn from the runs of a claim or a control; and a figure of what raw accuracy hides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bumplab.config import LAYER_4, NON_TRIVIAL_OVERLAP, DataSpec
from bumplab.measure.names import MODES
from bumplab.report.figures import COLOURS, MARKERS, STYLE, from_0_to_1, mean_of
from bumplab.runs.store import RunRecord
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import LEVEL, levels_of

Conditions = Mapping[str, Sequence[RunRecord]]
"""Stored runs by condition, one for each seed."""


ROWS = {"d": "increment d, pixels", "sigma": "sigma, pixels"}
"""Label of a phase diagram's rows, by the first part of its conditions' names."""


@mpl.rc_context(STYLE)
def phase_diagram(conditions: Conditions) -> Figure:
    """Fig. 4 and 8: accuracy and R^2 by training step and condition, as means over seeds.

    A dot is the step at which a seed reaches half its ceiling. Claims on learning times compare these steps. A seed
    that failed counts up to its failure. The background shows where no seed is left.
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
    """Vertical offsets that keep the dots of a row apart."""
    return np.linspace(-0.3, 0.3, count) if count > 1 else np.zeros(count)


@mpl.rc_context(STYLE)
def hole_map(conditions: Conditions) -> Figure:
    """Fig. 9 at the last step: each label asked for, in the shaded hole and around it, and the bump that was drawn.

    One panel for each condition has all of its seeds that did not fail. A line joins a label to a wrong bump. A sample
    is right if it has one bump, at the right place.
    """
    from bumplab.data.bumps import hole_edges  # imports torch, which reading a report does not need

    conditions = finished(conditions)

    figure = Figure(figsize=(4.1 * len(conditions), 4.3), layout="constrained")
    axes = figure.subplots(1, len(conditions), squeeze=False)[0]
    for axis, (condition, records) in zip(axes, conditions.items(), strict=True):
        data = records[0].spec.data
        low, high = hole_edges(data.image_size, data.hole)
        axis.add_patch(Rectangle((low, low), high - low, high - low, color="#888888", alpha=0.3, lw=0))
        for sets in ("off_grid", "in_hole"):
            asked, found, right = (
                np.concatenate(parts) for parts in zip(*(_last(r, sets) for r in records), strict=True)
            )
            for (x, y), (to_x, to_y) in zip(asked[~right], found[~right], strict=True):
                axis.plot([x, to_x], [y, to_y], color=COLOURS[1], lw=0.6, alpha=0.6)
            axis.scatter(*asked[right].T, s=9, marker="o", color=COLOURS[0])
            axis.scatter(*asked[~right].T, s=18, marker="x", color=COLOURS[1], lw=1)
        axis.set(title=condition, xlim=(0.5, data.image_size + 0.5), ylim=(data.image_size + 0.5, 0.5), aspect="equal")
        axis.set(xlabel="x asked for, pixels", ylabel="y asked for, pixels")
    return figure


def _last(record: RunRecord, labels: str) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.bool_]]:
    """Labels asked for ``[K, 2]``, positions found ``[K, 2]`` and whether right ``[K]``, at a run's last checkpoint."""
    step = int(record.rows[-1]["step"])
    asked, found, modes = (record.evidence[f"{step}/{labels}.{name}"] for name in ("labels", "positions", "modes"))
    return asked, found, modes == MODES.index("correct")


@mpl.rc_context(STYLE)
def neighbours(conditions: Conditions) -> Figure:
    """Fig. 7b: the overlap of two bumps by their distance along an axis, for several spreads."""
    from bumplab.data.overlap import overlap  # imports torch, as above

    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axis = figure.subplots()
    distances, size = np.linspace(0, 6, 61), DataSpec().image_size
    for sigma, colour in zip((0.3, 0.5, 0.7, 1.0), COLOURS, strict=True):
        axis.plot(distances, [overlap(d, sigma, size) for d in distances], color=colour, label=f"sigma = {sigma:g}")
    axis.axhline(NON_TRIVIAL_OVERLAP, color="#444444", lw=0.8, ls="--", label="counts as a neighbour above")
    axis.set(xlabel="distance along an axis, pixels", ylabel="normalised overlap", ylim=(0, 1.08))
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def finished(conditions: Conditions) -> Conditions:
    """The same without seeds that failed, and without conditions that have no other seed."""
    kept = {name: [record for record in records if not record.failed] for name, records in conditions.items()}
    return {name: records for name, records in kept.items() if records}


DOTS = (
    "Colours are raw accuracy and R^2, means over seeds; a seed that failed counts up to where it did. A dot is the "
    "step at which a seed's accuracy over its ceiling passes a half, to stay there at the next checkpoint: a seed that "
    "never does has no dot."
)

FIGURES: dict[str, tuple[Callable[[Conditions], Figure], str]] = {
    "density": (phase_diagram, f"As Fig. 4. {DOTS}"),
    "sigma": (phase_diagram, f"As Fig. 8. {DOTS}"),
    "hole": (
        hole_map,
        "As Fig. 9, at the last step. Shaded: the labels left out of training; those asked for in there lie at least a "
        "pixel inside. Dots: one bump at the right place; crosses: anything else, with a line to where the detector "
        "found it. Of each seed the first 25 samples inside and the first 25 outside: the effect judged is of all, "
        "2,000 each at quick. Seeds that failed are left out. As in the images, y grows downwards.",
    ),
    "overlap": (neighbours, "As Fig. 7b, computed here from rendered bumps on a canvas of 32 pixels."),
}
"""By claim: its figure in the paper, and what to read in it. Fig. 3 and 5 are the manifold and the learning curves."""

ARTEFACTS = (
    ("ceiling", "Perfect images as the detector sees them", ("on_grid.ceiling", "off_grid.ceiling")),
    ("accuracy / ceiling", "Samples, each over its ceiling", ("on_grid", "off_grid")),
    ("R^2 (UMAP)", "Layer 4, label injected or not", tuple(f"{tap}.umap_r2" for tap in LAYER_4)),
)
"""The panels of `artefacts`: axis label, title, and the two numbers that are compared."""


def artefact(run: Curves, name: str) -> float:
    """A number of `ARTEFACTS` at a run's last checkpoint; for a label set its accuracy over its ceiling."""
    return float(run.corrected(name)[-1]) if "." not in name else run.last(name)


def artefact_table(conditions: Conditions) -> tuple[list[str], dict[str, list[float]]]:
    """The means over seeds that `artefacts` draws: column heads, and one row for each condition."""
    conditions = finished(conditions)
    names = [name for _, _, pair in ARTEFACTS for name in pair]
    heads = [f"{unit}, {_series_name(name)}" for unit, _, pair in ARTEFACTS for name in pair]
    rows = {
        condition: [float(np.mean([artefact(Curves.of(record), name) for record in records])) for name in names]
        for condition, records in conditions.items()
    }
    return heads, rows


@mpl.rc_context(STYLE)
def artefacts(conditions: Conditions) -> Figure:
    """What raw accuracy hides: one panel for each of `ARTEFACTS`, by increment, at the last step.

    A point is a seed that did not fail, and a line joins the means.
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
            axis.plot(levels, [np.mean(v) for v in values], color=colour, label=_series_name(name))
        axis.set_title(title, fontsize=9)
        axis.set(xlabel="increment d, pixels", ylabel=unit, xscale="log")
        from_0_to_1(axis)
        axis.set_xticks(levels, [f"{level:g}" for level in levels])
        axis.minorticks_off()
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


class Needs(NamedTuple):
    """The numbers of every row, and the label sets with samples at the last checkpoint, that a figure shows."""

    rows: tuple[str, ...]
    sets: tuple[str, ...] = ()
    at_end: bool = False
    """Only runs that did not fail are shown."""


NEEDS: dict[Callable[[Conditions], Figure], Needs] = {
    phase_diagram: Needs(("on_grid.accuracy", "on_grid.ceiling", f"{LAYER_4[0]}.umap_r2")),
    hole_map: Needs((), ("off_grid", "in_hole"), at_end=True),
    artefacts: Needs(
        (
            *(f"{labels}.{kind}" for labels in ("on_grid", "off_grid") for kind in ("accuracy", "ceiling")),
            *(f"{tap}.umap_r2" for tap in LAYER_4),
        ),
        at_end=True,
    ),
}
"""By figure that shows runs: what they must hold."""


def measured(draw: Callable[[Conditions], Figure], conditions: Conditions) -> bool:
    """Whether there are runs, and all of them hold what ``draw`` shows: another's measurements need not."""
    if draw not in NEEDS:
        return True
    needs = NEEDS[draw]
    shown = finished(conditions) if needs.at_end else conditions
    return bool(shown) and all(
        record.rows
        and all(name in row for row in record.rows for name in needs.rows)
        and all(f"{int(record.rows[-1]['step'])}/{labels}.modes" in record.evidence for labels in needs.sets)
        for records in shown.values()
        for record in records
    )


def _series_name(name: str) -> str:
    return {
        f"{LAYER_4[0]}.umap_r2": "before injection",
        f"{LAYER_4[1]}.umap_r2": "after injection",
    }.get(name, "on the grid" if name.startswith("on_grid") else "off the grid")
