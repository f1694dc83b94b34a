"""Effects and their limits against the region that supports a claim: of all claims, or of one beside its controls."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bumplab.report.figures import STYLE

SIGNS = {"SUPPORTED": ("#00684a", "o"), "CONTRADICTED": ("#a5220b", "X"), "INCONCLUSIVE": ("#6b5900", "D")}
"""A verdict's colour and marker: colour is never the only sign."""
SPAN = (-2.0, 3.0)
"""The common axis of `forest`; what lies beyond is drawn at its end, as an arrow."""


def on_common_axis(part: Mapping[str, Any], value: float | None, otherwise: float) -> float:
    """An effect on the axis that claims share: 0 at the edge of its region of support, 1 at the effect designed for.

    A region between two edges reaches from 0 to 2; without a design, 1 is one unit inside. ``otherwise`` where the
    value is open.
    """
    low: float | None
    high: float | None
    low, high = part["bounds"]
    if value is None:
        return otherwise if high is None or low is not None else -otherwise
    if low is not None and high is not None:
        return 2 * (value - low) / (high - low)
    edge: float = part["bounds"][1 if low is None else 0]
    designed: float | None = part["designed"]
    unit = (0.0 if designed is None else abs(designed - edge)) or 1.0
    return (value - edge) / (unit if low is not None else -unit)


@mpl.rc_context(STYLE)
def forest(rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Figure:
    """A row for each (claim, verdict, deciding part): its effect and limits against its region."""
    figure = Figure(figsize=(8.2, 0.34 * len(rows) + 0.9), layout="constrained")
    axis = figure.subplots()
    for y, (_, verdict, part) in enumerate(rows):
        low, high = part["bounds"]
        end = 2.0 if low is not None and high is not None else SPAN[1]
        axis.broken_barh([(0.0, end)], (y - 0.38, 0.76), facecolors="#0072b2", alpha=0.13)
        if part["low"] is None and part["high"] is None:
            axis.text(SPAN[0], y, _no_interval(part), fontsize=7.5, va="center", fontstyle="italic")
            continue
        ends = sorted((on_common_axis(part, part["low"], -math.inf), on_common_axis(part, part["high"], math.inf)))
        estimate = None if part["estimate"] is None else on_common_axis(part, part["estimate"], 0.0)
        _interval(axis, y, ends, estimate, verdict, SPAN)
    axis.set(xlim=SPAN, xticks=[-2, -1, 0, 1, 2, 3])
    _label_rows(axis, [f"{claim}: {part['name']}" for claim, _, part in rows])
    axis.set_xlabel("each effect on its own scale: 0 = edge of support (shaded), 1 = designed effect")
    axis.axvline(0, color="#444444", lw=0.8)
    return figure


def _label_rows(axis: Axes, labels: Sequence[str]) -> None:
    """A row a label, the first on top."""
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_yticks(range(len(labels)), labels)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0, pad=10)


def _no_interval(part: Mapping[str, Any]) -> str:
    return textwrap.shorten(f"no interval: {part['reason']}", 110, placeholder="...")


def _interval(
    axis: Axes, y: float, ends: Sequence[float], estimate: float | None, verdict: str, span: tuple[float, float]
) -> None:
    """An estimate and its limits; what lies beyond ``span`` is drawn at its end, a limit as an arrow.

    The verdict's marker stands at the estimate, and where that is open at a limit.
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
def beside_controls(claim: Mapping[str, Any]) -> Figure:
    """A panel for each judged part of a claim, and in it a row for the claim and for each of its controls.

    What each seed says, the estimate and its limits, against the region of support (shaded).
    """
    rows = [("the claim", claim), *((_spoken(control), control) for control in claim["controls"])]
    judged = [i for i, part in enumerate(claim["parts"]) if part["judges"]]
    figure = Figure(figsize=(2.7 * len(judged) + 1.4, 0.5 * len(rows) + 0.9), layout="constrained")
    for axis, i in zip(figure.subplots(1, len(judged), sharey=True, squeeze=False)[0], judged, strict=True):
        parts = [entry["parts"][i] for _, entry in rows]  # a control has its claim's parts
        span = _span(parts)
        low, high = (np.clip(edge, *span) for edge in _open(parts[0]["bounds"]))
        axis.axvspan(low, high, facecolor="#0072b2", alpha=0.13, lw=0)
        for y, part in enumerate(parts):
            _row(axis, y, part, span)
        axis.set(title=parts[0]["name"], xlabel=textwrap.fill(parts[0]["unit"], 40), xlim=span)
        _label_rows(axis, [label for label, _ in rows])
        axis.locator_params(axis="x", nbins=5)
    return figure


def _spoken(control: Mapping[str, Any]) -> str:
    return f"{textwrap.fill(control['name'], 24)}\n(a world where it is {'true' if control['positive'] else 'false'})"


def _row(axis: Axes, y: int, part: Mapping[str, Any], span: tuple[float, float]) -> None:
    for effect, offset in zip(_seeds(part), np.linspace(-0.3, 0.3, len(part["effects"])), strict=True):
        for value, arrow in zip(effect, ("<", ">"), strict=True):
            marker = arrow if value < span[0] or value > span[1] else "."
            axis.plot(np.clip(value, *span), y + offset, marker, color="#444444", ms=3.5, alpha=0.7, clip_on=False)
        axis.plot(np.clip(effect, *span), [y + offset] * 2, "-", color="#444444", lw=0.8, alpha=0.7)
    if part["low"] is None and part["high"] is None:
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
    _interval(axis, y, _open((part["low"], part["high"])), part["estimate"], part["verdict"], span)


def _open(pair: Sequence[float | None]) -> tuple[float, float]:
    low, high = pair
    return -math.inf if low is None else low, math.inf if high is None else high


def _seeds(part: Mapping[str, Any]) -> list[tuple[float, float]]:
    """The bounds of each seed's effect; NaN where it is undefined, or where a seed's numbers are not the effect."""
    return [(math.nan, math.nan) if part["datum"] or e is None else _open(e) for e in part["effects"]]


def _span(parts: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Room for the region's edges, the design, every seed and estimate, and the limits of the first part."""
    shown = [*parts[0]["bounds"], parts[0]["designed"], parts[0]["low"], parts[0]["high"]]
    shown += [part["estimate"] for part in parts] + [bound for part in parts for seed in _seeds(part) for bound in seed]
    known = [value for value in shown if value is not None and math.isfinite(value)]
    room = 0.15 * (max(known) - min(known)) or 1.0
    return min(known) - room, max(known) + room
