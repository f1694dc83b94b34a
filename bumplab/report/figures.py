"""The report's figures: learning curves as SVG, sample sheets as PNG, manifolds as plain numbers."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from bumplab.config import LAYER_4
from bumplab.measure.names import MODES
from bumplab.runs.store import RunRecord
from bumplab.verdicts.curves import Curve, Curves

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart with any colour vision (Okabe and Ito)
MARKERS = ("o", "s", "^", "D")
GAP = 2
"""White pixels between the images of a sample sheet."""


def curve(curves: Curves, name: str) -> Curve:
    """A run's curve by its name in a claim; ``<set>.corrected<_axis>`` is accuracy relative to its ceiling.

    NaN at checkpoints where it is not measured: some things are known of the last one alone.
    """
    labels, _, measure = name.partition(".")
    if measure.startswith("corrected"):
        return curves.corrected(labels, measure.removeprefix("corrected"))
    return np.array([row.get(name, np.nan) for row in curves.rows], dtype=np.float64)


STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9, "text.parse_math": False}
"""A name with a dollar sign is a name."""


def mean_of(curves: Sequence[Curve], length: int) -> np.ma.MaskedArray[Any, Any]:
    """The mean at each of ``length`` checkpoints of the curves that reach it; masked where none does."""
    padded = [np.pad(curve, (0, length - len(curve)), constant_values=np.nan) for curve in curves]
    mean: np.ma.MaskedArray[Any, Any] = np.ma.masked_invalid(padded).mean(axis=0)
    return mean


def from_0_to_1(*axes: Axes) -> None:
    """The range of shares and of R^2, wider where something lies outside: R^2 may be negative."""
    low, high = min(axis.dataLim.y0 for axis in axes), max(axis.dataLim.y1 for axis in axes)
    for axis in axes:
        axis.set_ylim(min(0.0, low) - 0.04, max(1.04, high) + 0.04)


@mpl.rc_context(STYLE)
def learning_curves(
    conditions: Mapping[str, Sequence[Curves]], names: Mapping[str, str], keys: Mapping[str, Sequence[str]]
) -> Figure:
    """One panel a condition: each seed a thin line, a thick one the mean of those that reach a checkpoint.

    The first curve has a point for each seed and checkpoint, which links to ``#<key of its run>/<step>``.
    """
    columns = min(len(conditions), len(names))
    size = 3.1 * len(conditions) + 0.6, 2.6 + 0.2 * math.ceil(len(names) / columns)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(conditions), sharey=True, squeeze=False)[0]
    for axis, (condition, runs) in zip(axes, conditions.items(), strict=True):
        for (name, title), colour, marker in zip(names.items(), COLOURS, MARKERS, strict=False):
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
    axes[0].set_ylabel(" or ".join(dict.fromkeys("R^2" if "r2" in name else "share of samples" for name in names)))
    from_0_to_1(*axes)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)
    return figure


def as_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element, whose parts have ids that begin with a hash of ``name``.

    Its links are left out of the order of tabs, which they would fill.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    drawn = buffer.getvalue()
    links = (
        drawn[drawn.index("<svg") :]
        .replace(' target="_blank"', "")
        .replace('<style type="text/css">*{', "<style>.chart *{")
    )
    links = re.sub(r'<g id="[^"]*"', "<g", links)  # they repeat from figure to figure, and nothing refers to them
    return links.replace("<a xlink:href", '<a tabindex="-1" xlink:href')


@mpl.rc_context(STYLE)
def manifold_figure(record: RunRecord) -> Figure:
    """Fig. 3 on paper: the 3D embedding before label injection, early, half-way and at the end, coloured by x."""
    rows = [record.rows[k] for k in (min(1, len(record.rows) - 1), len(record.rows) // 2, -1)]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    labels = record.evidence[f"{int(record.rows[-1]['step'])}/embedding.labels"]
    for k, row in enumerate(rows, 1):
        axis = figure.add_subplot(1, 3, k, projection="3d")
        points = _embedding(record, int(row["step"]), LAYER_4[0])
        axis.scatter(*points.T, c=labels[:, 0], s=7, cmap="viridis")
        axis.set(title=f"step {row['step']:.0f}", xticklabels=[], yticklabels=[])
        axis.tick_params(labelleft=False, labelbottom=False)
    return figure


def _embedding(record: RunRecord, step: int, tap: str) -> NDArray[np.float64]:
    """``[B, 3]``, and 0 where it is not known."""
    points = record.evidence[f"{step}/{tap}.embedding"].astype(np.float64)
    return np.nan_to_num(points, nan=0.0, posinf=0.0, neginf=0.0)


def has_samples(record: RunRecord, step: int) -> bool:
    """Whether the record holds what was drawn at a checkpoint: of a stored one all of it, or nothing."""
    return f"{step}/on_grid.images" in record.evidence


def sample_sheet(record: RunRecord, step: int, labels: str = "on_grid", side: int = 5) -> dict[str, Any]:
    """The first samples kept at a checkpoint as one sheet of ``side x side``: image, its size, and a mark for each.

    A mark has the position asked for and found, both in pixels of the sheet, the outlines that Algorithm 1 sees, as an
    SVG path, and the failure mode.
    """
    images = record.evidence[f"{step}/{labels}.images"]
    asked, found = (record.evidence[f"{step}/{labels}.{name}"] for name in ("labels", "positions"))
    modes = record.evidence[f"{step}/{labels}.modes"]
    pitch = record.spec.data.image_size + GAP
    sheet: NDArray[np.uint8] = np.full((side * pitch + GAP, side * pitch + GAP), 200, np.uint8)
    marks = []
    for i, image in enumerate(images[: side * side]):
        top, left = GAP + i // side * pitch, GAP + i % side * pitch
        sheet[top : top + pitch - GAP, left : left + pitch - GAP] = image
        marks.append(
            {
                "asked": _on_sheet(asked[i], left, top),
                "found": _on_sheet(found[i], left, top),
                "asked_label": [round(float(value), 1) for value in asked[i]],
                "found_label": [round(float(v), 1) for v in found[i]] if np.isfinite(found[i]).all() else None,
                "outline": "".join(_path(outline, left, top) for outline in _outlines(image)),
                "mode": MODES[int(modes[i])],
            }
        )
    encoded = io.BytesIO()
    Image.fromarray(sheet).save(encoded, "webp", lossless=True)
    return {"step": step, "image": data_uri("image/webp", encoded.getvalue()), "size": len(sheet), "marks": marks}


def _outlines(image: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
    """What Algorithm 1 takes for objects. None where OpenCV cannot be imported: a report needs it for nothing else."""
    try:
        from bumplab.measure.detector import outlines
    except ImportError:
        return []
    return outlines(image)


def _on_sheet(position: NDArray[np.floating], left: int, top: int) -> list[float] | None:
    """Label 1 is the centre of the first pixel, which spans 0 .. 1 on the sheet."""
    if not np.isfinite(position).all():
        return None
    return [round(left + float(position[0]) - 0.5, 2), round(top + float(position[1]) - 0.5, 2)]


def _path(outline: NDArray[np.int32], left: int, top: int) -> str:
    """Through the centres of an outline's pixels; a single pixel is a dot."""
    points = [f"{x + left}.5 {y + top}.5" for x, y in outline[:, 0].tolist()]
    return f"M{'L'.join(points)}z"


def manifold(record: RunRecord) -> dict[str, Any]:
    """The 3D embeddings of every checkpoint, centred and scaled to a unit ball, with the labels that colour them."""
    frames = []
    for row in record.rows:
        step = int(row["step"])
        taps = {}
        for tap in LAYER_4:
            points = _embedding(record, step, tap)
            points -= points.mean(axis=0)
            points /= max(float(np.abs(points).max()), 1e-9)
            taps[tap] = np.round(points, 2).tolist()
        frames.append({"step": step, "taps": taps})
    last = int(record.rows[-1]["step"])
    labels = np.round(record.evidence[f"{last}/embedding.labels"].astype(np.float64), 2).tolist()
    return {"frames": frames, "labels": labels, "extent": record.spec.data.image_size}


def data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
