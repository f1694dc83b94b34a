"""Figures of effects by seed: of one part alone, or of a part beside the claim's controls."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bumplab.report import wording
from bumplab.report.document import ClaimEntry, ControlEntry, Number, PartEntry
from bumplab.report.figures import STYLE

FOR, AGAINST, NEITHER = "#00684a", "#a5220b", "#6b6b6b"
"""Colours of evidence for a part, of evidence against it, and of seeds that count for neither."""
WIDE, NARROW = 40, 24
"""Characters that fit beside or below the axis of a part alone, and of one that stands beside its controls."""
LINE = 0.16
"""Height of a line of text, in inches."""
MARKS = {"in": (FOR, "o", FOR), "out": (AGAINST, "X", AGAINST), "neither": (NEITHER, "o", "white")}
"""A seed's colour, marker and filling: colour alone never tells marks apart."""


@mpl.rc_context(STYLE)
def by_seed(part: PartEntry) -> Figure:
    """Each seed's effect, the first seed at the top. The region of support is shaded. A certain part has its number."""
    figure = Figure(figsize=(3.1, 1.2))
    axis = figure.add_axes((0.08, 0.48, 0.9, 0.37))
    span = _panel(axis, part, [], WIDE)
    if part.method == "certain" and part.estimate is not None:
        axis.plot(part.estimate, 0, "D", color="#444444", ms=6)
    else:
        _seeds(axis, 0, part, span)
    axis.set_title(f"shaded: {part.region}", fontsize=8, pad=3)
    axis.set(ylim=(0.5, -0.5), yticks=[], ylabel="" if part.method == "certain" else "seeds")
    axis.spines[["top", "right", "left"]].set_visible(False)
    return figure


@mpl.rc_context(STYLE)
def beside_controls(claim: ClaimEntry, own: PartEntry) -> Figure:
    """A judged part of a claim, with one line for the claim and one for each control. The region of support is shaded.

    A line has each seed's effect, and the mean with its t interval.
    """
    of_controls = [next((p for p in control.parts if p.name == own.name), None) for control in claim.controls]
    title = textwrap.fill(own.name, NARROW)
    top, bottom = LINE * (title.count("\n") + 1.5), LINE * (textwrap.fill(own.unit, NARROW).count("\n") + 3)
    labels = ["the claim", *map(_row_label, claim.controls)]
    row = max(0.6, LINE * (max(label.count("\n") for label in labels) + 1.5))
    width, height = 4.2, row * len(labels) + top + bottom
    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((2.1 / width, bottom / height, 2.0 / width, 1 - (top + bottom) / height))
    span = _panel(axis, own, [part for part in of_controls if part is not None], NARROW)
    for y, part in enumerate([own, *of_controls]):
        if part is None:
            _note(axis, y, "not tried")
            continue
        _seeds(axis, y, part, span)
        if part.estimate is not None and part.low is not None and part.high is not None:
            axis.plot(np.clip([part.low, part.high], *span), [y + 0.4] * 2, "-", color="#444444", lw=1.2)
            axis.plot(np.clip(part.estimate, *span), y + 0.4, "|", color="#444444", ms=6)
    axis.set_title(title, fontsize=9)
    _label_rows(axis, labels)
    return figure


def _panel(axis: Axes, own: PartEntry, others: Sequence[PartEntry], width: int) -> tuple[float, float]:
    """Shades the region of support, names the axis in lines of ``width`` characters, and returns its range."""
    span = _span(own, others)
    low, high = (np.clip(edge, *span) for edge in _infinite_where_open(*own.bounds))
    axis.axvspan(low, high, facecolor="#0072b2", alpha=0.13, lw=0)
    axis.set(xlabel=textwrap.fill(own.unit, width), xlim=span)
    axis.locator_params(axis="x", nbins=5)
    return span


def _label_rows(axis: Axes, labels: Sequence[str]) -> None:
    """Names the rows of the axis, from top to bottom."""
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_yticks(range(len(labels)), labels)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0, pad=10)


def _row_label(control: ControlEntry) -> str:
    lines = [control.name, f"(it is {wording.truth(control)} here:", f"{wording.control_outcome(control)})"]
    return "\n".join(textwrap.fill(line, NARROW) for line in lines)


def _seeds(axis: Axes, y: int, part: PartEntry, span: tuple[float, float]) -> None:
    """The seeds of one row, each at its effect. A bound beyond ``span`` is an arrow at its end."""
    places: dict[tuple[str, str], list[tuple[float, float]]] = {}  # one call for all marks of a kind: a smaller SVG
    for seed, offset in zip(part.seeds, np.linspace(-0.35, 0.25, len(part.seeds)), strict=True):
        if seed.low is None and seed.high is None:
            continue
        bounds = _infinite_where_open(seed.low, seed.high)
        exact = seed.low == seed.high
        if not exact:
            axis.plot(np.clip(bounds, *span), [y + offset] * 2, "-", color="#444444", lw=0.8, alpha=0.7)
        for value, arrow in zip(bounds[:1] if exact else bounds, ("<", ">"), strict=False):
            beyond = "" if span[0] <= value <= span[1] else arrow
            places.setdefault((seed.mark, beyond), []).append((np.clip(value, *span), y + offset))
    for (mark, beyond), points in places.items():
        colour, marker, filling = MARKS[mark]
        filling = colour if beyond else filling
        lines = axis.plot(*zip(*points, strict=True), ls="", color=colour, mew=0.9, mfc=filling, clip_on=False)
        lines[0].set(marker=beyond or marker, markersize=4 if beyond else 5)
    if not any(seed.low is not None or seed.high is not None for seed in part.seeds):
        problems = "; ".join(dict.fromkeys(seed.problem for seed in part.seeds if seed.problem))
        _note(axis, y, textwrap.shorten(f"no seed has an effect: {problems}", 110, placeholder="..."))


def _note(axis: Axes, y: float, text: str) -> None:
    where = axis.get_yaxis_transform()
    wrapped = textwrap.fill(text, 32)
    axis.text(0.5, y, wrapped, fontsize=7.5, va="center", ha="center", fontstyle="italic", transform=where)


def _infinite_where_open(low: Number, high: Number) -> tuple[float, float]:
    return -math.inf if low is None else low, math.inf if high is None else high


def _span(own: PartEntry, others: Sequence[PartEntry]) -> tuple[float, float]:
    """A range with room for every seed and mean, and for the region and the designed effect."""
    values = [*own.bounds, own.designed, own.low, own.high]
    for part in (own, *others):
        values += [part.estimate, *(bound for seed in part.seeds for bound in (seed.low, seed.high))]
    known = [value for value in values if value is not None and math.isfinite(value)] or [0.0]
    margin = 0.15 * (max(known) - min(known)) or 1.0
    return min(known) - margin, max(known) + margin
