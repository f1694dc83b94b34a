"""Figures of effects and their limits: of all claims on one axis, or of one claim beside its controls."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bumplab.report.document import ClaimEntry, ControlEntry, Number, PartEntry
from bumplab.report.figures import STYLE

SIGNS = {"SUPPORTED": ("#00684a", "o"), "CONTRADICTED": ("#a5220b", "X"), "INCONCLUSIVE": ("#6b5900", "D")}
"""A verdict's colour and marker: colour alone never tells verdicts apart."""
SPAN = (-2.0, 3.0)
"""Range of the axis of `forest`. A limit beyond it is drawn as an arrow at its end."""


def on_common_axis(part: PartEntry, value: Number, otherwise: float) -> float:
    """Places an effect on the axis that all claims share: 0 is the edge of support, 1 the designed effect.

    A region with two edges reaches from 0 to 2. Without a design, 1 is one unit inside the region. An open value is
    placed at ``otherwise``, on the side where it lies: the axis turns round for a region below an edge.
    """
    low, high = part.bounds
    if low is not None and high is not None:
        return otherwise if value is None else 2 * (value - low) / (high - low)
    edge, inwards = (high, -1.0) if high is not None else (low, 1.0)
    if value is None or edge is None:
        return inwards * otherwise
    unit = (0.0 if part.designed is None else abs(part.designed - edge)) or 1.0
    return inwards * (value - edge) / unit


@mpl.rc_context(STYLE)
def forest(rows: Sequence[tuple[str, str, PartEntry]]) -> Figure:
    """One row for each (claim, verdict, deciding part): effect and limits against the region of support."""
    figure = Figure(figsize=(8.2, 0.34 * len(rows) + 0.9), layout="constrained")
    axis = figure.subplots()
    for y, (_, verdict, part) in enumerate(rows):
        low, high = part.bounds
        end = 2.0 if low is not None and high is not None else SPAN[1]
        axis.broken_barh([(0.0, end)], (y - 0.38, 0.76), facecolors="#0072b2", alpha=0.13)
        if part.low is None and part.high is None:
            axis.text(SPAN[0], y, _no_interval(part), fontsize=7.5, va="center", fontstyle="italic")
            continue
        ends = sorted((on_common_axis(part, part.low, -math.inf), on_common_axis(part, part.high, math.inf)))
        estimate = None if part.estimate is None else on_common_axis(part, part.estimate, 0.0)
        _interval(axis, y, ends, estimate, verdict, SPAN)
    axis.set(xlim=SPAN, xticks=[-2, -1, 0, 1, 2, 3])
    _label_rows(axis, [f"{claim}: {part.name}" for claim, _, part in rows])
    axis.set_xlabel("each effect on its own scale: 0 = edge of support (shaded), 1 = designed effect")
    axis.axvline(0, color="#444444", lw=0.8)
    return figure


def _label_rows(axis: Axes, labels: Sequence[str]) -> None:
    """Names the rows of the axis, from top to bottom."""
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_yticks(range(len(labels)), labels)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0, pad=10)


def _no_interval(part: PartEntry) -> str:
    return textwrap.shorten(f"no interval: {part.reason}", 110, placeholder="...")


def _interval(
    axis: Axes, y: float, ends: Sequence[float], estimate: float | None, verdict: str, span: tuple[float, float]
) -> None:
    """Draws an estimate and its limits. A limit beyond ``span`` becomes an arrow at its end.

    The verdict's marker stands at the estimate or, where that is open, at a limit.
    """
    colour, marker = SIGNS[verdict]
    axis.plot(np.clip(ends, *span), [y, y], color=colour, lw=2.2, solid_capstyle="butt")
    for value, arrow in zip(ends, ("<", ">"), strict=True):
        beyond = value < span[0] or value > span[1]
        axis.plot(np.clip(value, *span), y, arrow if beyond else "|", color=colour, ms=7, clip_on=False)
    known = [estimate] if estimate is not None else [value for value in ends if math.isfinite(value)]
    for value in known[:1]:
        axis.plot(np.clip(value, *span), y, marker, color=colour, ms=9, mec="white", clip_on=False)


@mpl.rc_context(STYLE)
def beside_controls(claim: ClaimEntry) -> Figure:
    """One panel for each judged part, with one row for the claim and one for each control.

    A row has each seed's effect, the estimate and its limits. The region of support is shaded.
    """
    rows = [("the claim", claim.parts), *((_row_label(control), control.parts) for control in claim.controls)]
    judged = [i for i, part in enumerate(claim.parts) if part.judges]
    figure = Figure(figsize=(2.7 * len(judged) + 1.4, 0.5 * len(rows) + 0.9), layout="constrained")
    for axis, i in zip(figure.subplots(1, len(judged), sharey=True, squeeze=False)[0], judged, strict=True):
        parts = [parts_of_row[i] for _, parts_of_row in rows]  # a control has its claim's parts, in their order
        span = _span(parts)
        low, high = (np.clip(edge, *span) for edge in _infinite_where_open(parts[0].bounds))
        axis.axvspan(low, high, facecolor="#0072b2", alpha=0.13, lw=0)
        for y, part in enumerate(parts):
            _row(axis, y, part, span)
        axis.set(title=parts[0].name, xlabel=textwrap.fill(parts[0].unit, 40), xlim=span)
        _label_rows(axis, [label for label, _ in rows])
        axis.locator_params(axis="x", nbins=5)
    return figure


def _row_label(control: ControlEntry) -> str:
    return f"{textwrap.fill(control.name, 24)}\n(a world where it is {'true' if control.positive else 'false'})"


def _row(axis: Axes, y: int, part: PartEntry, span: tuple[float, float]) -> None:
    for effect, offset in zip(_seed_bounds(part), np.linspace(-0.3, 0.3, len(part.effects)), strict=True):
        for value, arrow in zip(effect, ("<", ">"), strict=True):
            marker = arrow if value < span[0] or value > span[1] else "."
            axis.plot(np.clip(value, *span), y + offset, marker, color="#444444", ms=3.5, alpha=0.7, clip_on=False)
        axis.plot(np.clip(effect, *span), [y + offset] * 2, "-", color="#444444", lw=0.8, alpha=0.7)
    if part.low is None and part.high is None:
        middle = axis.get_yaxis_transform()
        axis.text(
            0.5,
            y,
            textwrap.fill(_no_interval(part), 30),
            fontsize=6.5,
            va="center",
            ha="center",
            fontstyle="italic",
            transform=middle,
        )
        return
    _interval(axis, y, _infinite_where_open((part.low, part.high)), part.estimate, part.verdict, span)


def _infinite_where_open(limits: Sequence[Number]) -> tuple[float, float]:
    low, high = limits
    return -math.inf if low is None else low, math.inf if high is None else high


def _seed_bounds(part: PartEntry) -> list[tuple[float, float]]:
    """The bounds of each seed's effect. NaN where the effect is undefined or a seed's numbers are not its bounds."""
    return [
        (math.nan, math.nan) if part.datum_form != "bounds" or effect is None else _infinite_where_open(effect)
        for effect in part.effects
    ]


def _span(parts: Sequence[PartEntry]) -> tuple[float, float]:
    """A range with room for every seed and estimate, and for the first part's region, design and limits."""
    claims_own = parts[0]
    values = [*claims_own.bounds, claims_own.designed, claims_own.low, claims_own.high]
    values += [part.estimate for part in parts]
    values += [bound for part in parts for seed in _seed_bounds(part) for bound in seed]
    known = [value for value in values if value is not None and math.isfinite(value)]
    margin = 0.15 * (max(known) - min(known)) or 1.0
    return min(known) - margin, max(known) + margin
