"""Figures of evidence and of seeds: of all judged parts on one axis, or of one claim beside its controls."""

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
MARKS = {"in": (FOR, "o", FOR), "out": (AGAINST, "X", AGAINST), "neither": (NEITHER, "o", "white")}
"""A seed's colour, marker and filling: colour alone never tells marks apart."""
BEYOND = 1.5
"""The axis of evidence ends at the largest needed evidence to this power. More evidence is an arrow at its end."""
ROW = 0.27
"""Inches of a row of `evidence`."""
COLUMNS = 3
"""Panels in a row of `beside_controls`, as many as a page shows side by side with text that can be read."""


@mpl.rc_context(STYLE)
def evidence(rows: Sequence[tuple[str, PartEntry]]) -> Figure:
    """One row for each (claim, judged part): a mark for each seed, and the evidence for and against.

    The evidence is on a logarithmic axis that all parts share. A dashed line shows what a part needs. A part without
    chance has its number in place of seeds. One that is not testable has that in place of evidence.
    """
    figure = Figure(figsize=(8.6, ROW * len(rows) + 1.1), layout="constrained")
    seeds, bars = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.7])
    most = max((part.needed for _, part in rows if part.needed > 1), default=20.0)
    end = most**BEYOND
    for y, (_, part) in enumerate(rows):
        if part.method == "certain":
            seeds.text(0.5, y, f"{wording.estimate(part)} (exact)", fontsize=7.5, va="center")
            bars.text(1.05, y, "nothing is drawn at random", fontsize=7.5, va="center", fontstyle="italic")
            continue
        for x, seed in enumerate(part.seeds, 1):
            _mark(seeds, x, y, seed.mark)
        if not part.testable:
            bars.text(1.05, y, "not testable at this profile", fontsize=7.5, va="center", fontstyle="italic")
            continue
        for value, colour, offset in ((part.support, FOR, -0.17), (part.against, AGAINST, 0.17)):
            bars.barh(y + offset, min(max(value, 1.0), end) - 1, left=1, height=0.3, color=colour)
            if value > end:
                bars.plot(end, y + offset, ">", color=colour, ms=5, clip_on=False)
        bars.plot([part.needed] * 2, [y - 0.45, y + 0.45], "--", color="#444444", lw=1)
    bars.set(xscale="log", xlim=(1, end))
    bars.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    bars.set_xlabel("evidence for (upper bar), against (lower); dashed: needed")
    most_seeds = max((len(part.seeds) for _, part in rows), default=1)
    seeds.set(xlim=(0.3, max(8, most_seeds) + 0.7), xlabel="seeds, in their order")
    seeds.xaxis.get_major_locator().set_params(integer=True)
    _label_rows(seeds, [f"{claim}: {part.name}" for claim, part in rows])
    bars.spines[["top", "right"]].set_visible(False)
    bars.tick_params(axis="y", length=0, labelleft=False)
    return figure


def _mark(axis: Axes, x: float, y: float, mark: str) -> None:
    colour, marker, filling = MARKS[mark]
    axis.plot(x, y, marker, color=colour, mfc=filling, ms=5, mew=0.9, clip_on=False)


def _label_rows(axis: Axes, labels: Sequence[str]) -> None:
    """Names the rows of the axis, from top to bottom."""
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.set_yticks(range(len(labels)), labels)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0, pad=10)


@mpl.rc_context(STYLE)
def beside_controls(claim: ClaimEntry) -> Figure:
    """One panel for each judged part, `COLUMNS` in a row, with one line for the claim and one for each control.

    A line has each seed's effect, and the mean with its t interval. The region of support is shaded.
    """
    labels = ["the claim", *map(_row_label, claim.controls)]
    judged = [part for part in claim.parts if part.judges]
    columns = min(COLUMNS, len(judged))
    rows = math.ceil(len(judged) / columns)
    size = 2.5 * columns + 1.8, (0.6 * len(labels) + 0.9) * rows
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axis, own in zip(axes, judged, strict=False):
        of_controls = [next((p for p in control.parts if p.name == own.name), None) for control in claim.controls]
        span = _span(own, [part for part in of_controls if part is not None])
        low, high = (np.clip(edge, *span) for edge in _infinite_where_open(*own.bounds))
        axis.axvspan(low, high, facecolor="#0072b2", alpha=0.13, lw=0)
        for y, part in enumerate([own, *of_controls]):
            _row(axis, y, part, span)
        axis.set_title(textwrap.fill(own.name, 34), fontsize=9)
        axis.set(xlabel=textwrap.fill(own.unit, 36), xlim=span)
        _label_rows(axis, labels)
        axis.locator_params(axis="x", nbins=5)
    for axis in axes[len(judged) :]:
        axis.remove()
    return figure


def _row_label(control: ControlEntry) -> str:
    world = "true" if control.positive else "false"
    return f"{textwrap.fill(control.name, 26)}\n(it is {world} here: {wording.control_outcome(control)})"


def _row(axis: Axes, y: int, part: PartEntry | None, span: tuple[float, float]) -> None:
    """The seeds of one row, each at its effect. A bound beyond ``span`` is an arrow at its end."""
    if part is None:
        _note(axis, y, "not tried")
        return
    if part.estimate is not None and part.low is not None and part.high is not None:
        axis.plot(np.clip([part.low, part.high], *span), [y + 0.4] * 2, "-", color="#444444", lw=1.2)
        axis.plot(np.clip(part.estimate, *span), y + 0.4, "|", color="#444444", ms=6)
    for seed, offset in zip(part.seeds, np.linspace(-0.35, 0.25, len(part.seeds)), strict=True):
        if seed.low is None and seed.high is None:
            continue
        bounds = _infinite_where_open(seed.low, seed.high)
        axis.plot(np.clip(bounds, *span), [y + offset] * 2, "-", color="#444444", lw=0.8, alpha=0.7)
        for value, arrow in zip(bounds, ("<", ">"), strict=True):
            if span[0] <= value <= span[1]:
                _mark(axis, value, y + offset, seed.mark)
            else:
                axis.plot(np.clip(value, *span), y + offset, arrow, color=MARKS[seed.mark][0], ms=4, clip_on=False)
    if not any(seed.low is not None or seed.high is not None for seed in part.seeds):
        problems = "; ".join(dict.fromkeys(seed.problem for seed in part.seeds if seed.problem))
        _note(axis, y, textwrap.shorten(f"no seed has an effect: {problems}", 110, placeholder="..."))


def _note(axis: Axes, y: float, text: str) -> None:
    where = axis.get_yaxis_transform()
    wrapped = textwrap.fill(text, 34)
    axis.text(0.5, y, wrapped, fontsize=6.5, va="center", ha="center", fontstyle="italic", transform=where)


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
