"""Learning curves of a claim's runs, and any figure as an SVG element of the page."""

from __future__ import annotations

import io
import math
import re
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
FROM_0_TO_1 = ("share of samples", "order O", "R^2", "share of power")
"""Units whose axis runs from 0 to 1, or farther: O can be negative."""
THINNEST, THINNER = 1.6, 1.4
"""Points of width of the last curve in a panel, and by how much each is thinner than the one before."""
ROUGH = 20.0
"""Coordinates from here on are rounded to 0.1 points, smaller ones and sizes to 0.01."""
MARKED = 4
"""Checkpoints that carry a curve's marker. Each curve of a panel has others, where there are enough."""


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


@mpl.rc_context(STYLE)
def learning_curves(
    conditions: Mapping[str, Sequence[Curves]],
    names: Mapping[str, str],
    links: Mapping[str, Sequence[Mapping[int, str]]],
) -> Figure:
    """A column for each condition and a row for each unit, with a thin line for each seed and a thick one for the mean.

    ``names`` has the titles of the curves by name. ``links`` has the addresses of each run's checkpoints by step, in
    the order of ``conditions``: each is a point of the first curve that links there. The mean is that of the seeds
    that reach a checkpoint. Curves of one row become thinner in their order, so that equal ones do not hide one
    another. Raises ValueError where there are more curves than `COLOURS`.
    """
    if len(names) > len(COLOURS):
        raise ValueError(f"{len(names)} curves: at most {len(COLOURS)} can be told apart: name fewer in the claim")
    by_unit: dict[str, list[str]] = {}
    for name in names:
        by_unit.setdefault(unit(name), []).append(name)
    looks = dict(zip(names, zip(COLOURS, MARKERS, strict=True), strict=False))
    columns = min(len(conditions), len(names))
    legend_height = 0.2 * math.ceil(len(names) / columns)
    width, height = 3.1 * len(conditions) + 0.6, 1.9 * len(by_unit) + 0.7 + legend_height
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(len(by_unit), len(conditions), sharex=True, sharey="row", squeeze=False)
    # fixed margins in inches: matplotlib's constrained layout takes as long as drawing
    figure.subplots_adjust(
        left=0.6 / width,
        right=1 - 0.1 / width,
        top=1 - 0.3 / height,
        bottom=(0.5 + legend_height) / height,
        wspace=0.06,
        hspace=0.12,
    )
    for (of_unit, names_of_unit), row in zip(by_unit.items(), axes, strict=True):
        for axis, runs in zip(row, conditions.values(), strict=True):
            for place, name in enumerate(names_of_unit):
                width = THINNEST + THINNER * (len(names_of_unit) - 1 - place)
                _curve(axis, runs, name, *looks[name], width=width, place=place, title=names[name])
            axis.grid(axis="y", alpha=0.25)
            axis.locator_params(nbins=4)
            axis.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(of_unit)
        if of_unit in FROM_0_TO_1:
            low, high = min(axis.dataLim.y0 for axis in row), max(axis.dataLim.y1 for axis in row)
            row[0].set_ylim(min(0.0, low) - 0.04, max(1.04, high) + 0.04)
    first = next(iter(names))
    for top, bottom, (condition, runs) in zip(axes[0], axes[-1], conditions.items(), strict=True):
        top.set_title(condition)
        bottom.set_xlabel("training step")
        for run, addresses in zip(runs, links[condition], strict=True):
            shown = [
                (step, value) for step, value in zip(run.steps, curve(run, first), strict=True) if step in addresses
            ]
            if shown:
                points = top.scatter(*zip(*shown, strict=True), s=9, color=COLOURS[0], alpha=0.45, lw=0, zorder=3)
                points.set_urls([addresses[int(step)] for step, _ in shown])
    legend = [line for row in axes for line in row[0].get_legend_handles_labels()[0]]
    figure.legend(handles=legend, loc="lower center", ncols=columns, frameon=False, borderaxespad=0.2)
    return figure


def _curve(
    axis: Axes, runs: Sequence[Curves], name: str, colour: str, marker: str, *, width: float, place: int, title: str
) -> None:
    """The curve of each run, all in one path, and their mean, with markers from the checkpoint ``place`` on."""
    x, y = list[float](), list[float]()
    for run in runs:
        x += [*run.steps, math.nan]
        y += [*curve(run, name), math.nan]
    axis.plot(x, y, color=colour, alpha=0.35, lw=0.8)
    steps = max((run.steps for run in runs), key=len)
    mean = mean_of([curve(run, name) for run in runs], len(steps))
    every = max(1, len(steps) // MARKED)
    marked = range(place % every, len(steps), every)
    axis.plot(steps, mean, color=colour, lw=width, marker=marker, ms=width + 2, markevery=marked, label=title)


def as_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element. ``name`` makes its ids differ from those of other figures.

    It has attributes in place of styles, which a strict content security policy forbids. Coordinates are rounded
    (`ROUGH`). The Tab key skips its links, as there can be hundreds.
    """
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if axis.get_scale() == "log"):
        axis.set_major_formatter("{x:g}")  # matplotlib's own has formulas, which `STYLE` would show as they are written
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"<[^<>]*>", _plain_tag, re.sub(r">\s+<", "><", svg)).replace("<defs></defs>", "")
    svg = re.sub(r'(<g clip-path="[^"]*">)<use [^<>]*/></g>(?:\1<use [^<>]*/></g>)+', _in_one_group, svg)
    svg = re.sub(r"<g>(<(?:path|use|text) [^<>]*/?>)</g>", r"\1", svg)
    svg = re.sub(r'(?:<path d="[^"]*"[^<>]* fill="none"[^<>]*/>){2,}', _in_few_paths, svg)
    svg = re.sub(r"<g([^<>]*)>((?:<use [^<>]*/>){2,})</g>", _with_common_attributes, svg)
    return svg.replace("<svg ", '<svg font-family="DejaVu Sans, Verdana, sans-serif" stroke-linejoin="round" ', 1)


def _plain_tag(match: re.Match[str]) -> str:
    """A tag of a figure without what a page does not need. Nothing refers to the ids of groups."""
    tag = re.sub(r'^<g id="[^"]*"', "<g", re.sub(r"\s+", " ", match[0]))
    tag = re.sub(r' target="_blank"| transform="rotate\(-0 [^"]*"', "", tag)
    tag = re.sub(r' style="([^"]*)"', _as_attributes, tag)
    tag = re.sub(r' d="([MLz\d\s.-]*)"', lambda d: f' d="{d[1].replace(" L ", " ").strip()}"', tag)
    tag = re.sub(r"-?\d+\.\d{2,}", _rounded, tag)
    return tag.replace("<use xlink:href", "<use href").replace("<a xlink:href", '<a tabindex="-1" xlink:href')


def _rounded(match: re.Match[str]) -> str:
    number = float(match[0])
    return f"{number:.{1 if abs(number) >= ROUGH else 2}f}".rstrip("0").rstrip(".")


def _as_attributes(match: re.Match[str]) -> str:
    """The properties of a style as attributes. The font stands at the root."""
    pairs = [text.split(":", 1) for text in match[1].split(";") if ":" in text]
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs if name.strip() != "font-family")


def _in_one_group(match: re.Match[str]) -> str:
    return match[1] + match[0].replace(match[1], "").replace("</g>", "") + "</g>"


def _in_few_paths(match: re.Match[str]) -> str:
    """Lines that follow one another and look the same, as one path."""
    merged: list[tuple[str, str]] = []
    for d, look in re.findall(r'<path d="([^"]*)"([^<>]*)/>', match[0]):
        if merged and merged[-1][1] == look:
            merged[-1] = (f"{merged[-1][0]} {d}", look)
        else:
            merged.append((d, look))
    return "".join(f'<path d="{d}"{look}/>' for d, look in merged)


def _with_common_attributes(match: re.Match[str]) -> str:
    """A group of markers whose fill and stroke, where all have the same, stand at the group."""
    looks = set(re.findall(r' y="[^"]*"([^<>]*)/>', match[2]))
    if len(looks) != 1:
        return match[0]
    (look,) = looks
    return f"<g{match[1]}{look}>{match[2].replace(f'{look}/>', '/>')}</g>"
