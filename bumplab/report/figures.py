"""Parts of the report's page: learning curves as SVG, sheets of samples as WebP, manifolds as numbers."""

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

from bumplab.config import LAYER_4, Role
from bumplab.measure.names import MODES
from bumplab.runs.store import RunRecord
from bumplab.verdicts.curves import Curve, Curves

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # distinct for any colour vision (Okabe and Ito)
MARKERS = ("o", "s", "^", "D")
GAP = 2
"""White pixels between the images of a sample sheet."""


def curve(curves: Curves, name: str) -> Curve:
    """A run's curve by its name in a claim: ``[checkpoints]``, NaN where it was not measured.

    ``<set>.corrected<_axis>`` is accuracy over its ceiling. Some numbers are measured at the last checkpoint alone.
    """
    labels, _, measure = name.partition(".")
    if measure.startswith("corrected"):
        return curves.corrected(labels, measure.removeprefix("corrected"))
    return np.array([row.get(name, np.nan) for row in curves.rows], dtype=np.float64)


STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 9, "text.parse_math": False}
"""Texts stay texts in the SVG, and a dollar sign in a name begins no formula."""


def mean_of(curves: Sequence[Curve], length: int) -> np.ma.MaskedArray[Any, Any]:
    """``[length]``: the mean of the curves that reach each checkpoint, masked where no curve does."""
    padded = [np.pad(curve, (0, length - len(curve)), constant_values=np.nan) for curve in curves]
    mean: np.ma.MaskedArray[Any, Any] = np.ma.masked_invalid(padded).mean(axis=0)
    return mean


def from_0_to_1(*axes: Axes) -> None:
    """Sets the range of the y axes to that of shares and R^2, or a wider one: R^2 can be negative."""
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
    ``#<key>/<step>``.
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


@mpl.rc_context(STYLE)
def manifold_figure(record: RunRecord) -> Figure:
    """Fig. 3: the 3D embedding before label injection at three checkpoints, early, half-way and last, coloured by x."""
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


def embedded_roles(record: RunRecord) -> list[Role]:
    """The roles of `LAYER_4` that have an embedding. One that the subject lacks, or that collapsed, has none."""
    roles = []
    for role in LAYER_4:
        if any(np.isfinite(record.evidence[f"{row['step']:.0f}/{role}.embedding"]).any() for row in record.rows):
            roles.append(role)
    return roles


def _embedding(record: RunRecord, step: int, role: Role) -> NDArray[np.float64]:
    """``[B, 3]``: the embedding at a step, with 0 for coordinates that are not finite."""
    points = record.evidence[f"{step}/{role}.embedding"].astype(np.float64)
    return np.nan_to_num(points, nan=0.0, posinf=0.0, neginf=0.0)


def has_samples(record: RunRecord, step: int) -> bool:
    """Whether the record holds the samples of a checkpoint. A stored checkpoint has all of its arrays or none."""
    return f"{step}/on_grid.images" in record.evidence


def sample_sheet(record: RunRecord, step: int, labels: str = "on_grid", side: int = 5) -> dict[str, Any]:
    """The first samples of a checkpoint on one sheet of ``side x side``: the image, its size, and a mark for each.

    A mark has the asked and the detected position in pixels of the sheet, and the failure mode. It also has the
    outlines that Algorithm 1 sees, as an SVG path.
    """
    images = record.evidence[f"{step}/{labels}.images"]
    asked, detected = (record.evidence[f"{step}/{labels}.{name}"] for name in ("labels", "positions"))
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
                "found": _on_sheet(detected[i], left, top),
                "asked_label": [round(float(value), 1) for value in asked[i]],
                "found_label": [round(float(v), 1) for v in detected[i]] if np.isfinite(detected[i]).all() else None,
                "outline": "".join(_path(outline, left, top) for outline in _outlines(image)),
                "mode": MODES[int(modes[i])],
            }
        )
    encoded = io.BytesIO()
    Image.fromarray(sheet).save(encoded, "webp", lossless=True)
    return {"step": step, "image": data_uri("image/webp", encoded.getvalue()), "size": len(sheet), "marks": marks}


def _outlines(image: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
    """The objects that Algorithm 1 sees. Empty where OpenCV cannot be imported, which a report needs for this alone."""
    try:
        from bumplab.measure.detector import outlines
    except ImportError:
        return []
    return outlines(image)


def _on_sheet(position: NDArray[np.floating], left: int, top: int) -> list[float] | None:
    """A label in pixels of the sheet; None unless finite. Label 1 is the centre of the pixel that spans 0 to 1."""
    if not np.isfinite(position).all():
        return None
    return [round(left + float(position[0]) - 0.5, 2), round(top + float(position[1]) - 0.5, 2)]


def _path(outline: NDArray[np.int32], left: int, top: int) -> str:
    """An SVG path through the centres of an outline's pixels. A single pixel is a dot."""
    points = [f"{x + left}.5 {y + top}.5" for x, y in outline[:, 0].tolist()]
    return f"M{'L'.join(points)}z"


def manifold(record: RunRecord) -> dict[str, Any]:
    """The 3D embeddings of all checkpoints, centred and scaled to within -1 and 1, and the labels that colour them.

    Only the roles of `embedded_roles` are in it.
    """
    frames = []
    for row in record.rows:
        step = int(row["step"])
        roles = {}
        for role in embedded_roles(record):
            points = _embedding(record, step, role)
            points -= points.mean(axis=0)
            points /= max(float(np.abs(points).max()), 1e-9)
            roles[role] = np.round(points, 2).tolist()
        frames.append({"step": step, "roles": roles})
    last = int(record.rows[-1]["step"])
    labels = np.round(record.evidence[f"{last}/embedding.labels"].astype(np.float64), 2).tolist()
    return {"frames": frames, "labels": labels, "extent": record.spec.data.image_size}


def data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
