"""Learning curves of a claim's runs, and any figure as an SVG element of the page."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bumplab.verdicts.curves import Curve, Curves

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Distinct for any colour vision (Okabe and Ito). Their yellow is left out: it is too pale on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
UNITS = {
    "error": "error, pixels",
    **dict.fromkeys(("order", "told", "seen", "canvas"), "order O"),
    "flatness": "flatness F",
    **dict.fromkeys(("umap_r2", "pca_r2"), "R^2"),
    "dimension": "dimension",
    "signal": "share of power",
}
"""What a curve measures, by the last part of its name without its axis. Others are shares of samples."""


def curve(curves: Curves, name: str) -> Curve:
    """A run's curve by its name: ``[checkpoints]``, NaN where it was not measured, as most are at some checkpoints."""
    return np.array([row.get(name, np.nan) for row in curves.rows], dtype=np.float64)


def unit(name: str) -> str:
    """What the curve of this name measures, such as ``order O`` for ``layer4.told_x``."""
    measure = name.rpartition(".")[2].removesuffix("_x").removesuffix("_y")
    return UNITS.get(measure, "share of samples")


STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9, "text.parse_math": False}
"""Texts stay texts in the SVG, and a dollar sign in a name begins no formula."""


def mean_of(curves: Sequence[Curve], length: int) -> np.ma.MaskedArray[Any, Any]:
    """``[length]``: the mean of the curves that reach each checkpoint, masked where no curve does."""
    padded = [np.pad(curve, (0, length - len(curve)), constant_values=np.nan) for curve in curves]
    mean: np.ma.MaskedArray[Any, Any] = np.ma.masked_invalid(padded).mean(axis=0)
    return mean


def from_0_to_1(*axes: Axes) -> None:
    """Sets the range of the y axes to that of shares and O, or a wider one: O can be negative."""
    low, high = min(axis.dataLim.y0 for axis in axes), max(axis.dataLim.y1 for axis in axes)
    for axis in axes:
        axis.set_ylim(min(0.0, low) - 0.04, max(1.04, high) + 0.04)


@mpl.rc_context(STYLE)
def learning_curves(
    conditions: Mapping[str, Sequence[Curves]], names: Mapping[str, str], keys: Mapping[str, Sequence[str]]
) -> Figure:
    """One panel for each condition, with a thin line for each seed and a thick line for their mean.

    ``names`` has the titles of the curves by name, ``keys`` the runs' keys by condition. The mean is that of the seeds
    that reach a checkpoint. Each seed has a point at each checkpoint of the first curve, which links to
    ``#<key>/<step>``. Raises ValueError where there are more curves than `COLOURS`.
    """
    count = len(names)
    if count > len(COLOURS):
        raise ValueError(f"{count} curves: at most {len(COLOURS)} can be told apart: name fewer in the claim")
    columns = min(len(conditions), len(names))
    size = 3.1 * len(conditions) + 0.6, 2.6 + 0.2 * math.ceil(len(names) / columns)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(conditions), sharey=True, squeeze=False)[0]
    for axis, (condition, runs) in zip(axes, conditions.items(), strict=True):
        for (name, title), colour, marker in zip(names.items(), COLOURS[:count], MARKERS[:count], strict=True):
            for run in runs:
                axis.plot(run.steps, curve(run, name), color=colour, alpha=0.35, lw=0.8)
            steps = max((run.steps for run in runs), key=len)
            mean = mean_of([curve(run, name) for run in runs], len(steps))
            axis.plot(steps, mean, color=colour, lw=2, marker=marker, ms=3, label=title)
        first = next(iter(names))
        for run, key in zip(runs, keys[condition], strict=True):
            points = axis.scatter(run.steps, curve(run, first), s=9, color=COLOURS[0], alpha=0.45, lw=0, zorder=3)
            points.set_urls([f"#{key}/{step:.0f}" for step in run.steps])
        axis.set(title=condition, xlabel="training step")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(textwrap.fill(" or ".join(dict.fromkeys(map(unit, names))), 32))
    from_0_to_1(*axes)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)
    return figure


def as_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element. ``name`` makes its ids differ from those of other figures.

    The Tab key skips its links, as there can be hundreds.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    svg = buffer.getvalue()
    svg = (
        svg[svg.index("<svg") :]
        .replace(' target="_blank"', "")
        .replace('<style type="text/css">*{', "<style>.chart *{")
    )
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # figures share these ids, and nothing refers to them
    return svg.replace("<a xlink:href", '<a tabindex="-1" xlink:href')
