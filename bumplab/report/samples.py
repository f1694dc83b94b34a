"""What a checkpoint drew and how it lays its labels out: sheets of samples as WebP, manifolds as numbers."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bumplab.measure.names import MODES
from bumplab.runs.store import RunRecord

PROBE = "probe"
"""The label set that every checkpoint of every run measures."""
LABEL_SETS = {PROBE: "probe labels", "in_hole": "labels in the hole", "on_grid": "training labels"}
"""Label sets in the order in which the page offers them, each with its words."""
GAP = 2
"""White pixels between the images of a sample sheet."""


def has_samples(record: RunRecord, step: int, labels: str = PROBE) -> bool:
    """Whether the record holds the samples of a checkpoint. A stored checkpoint has all of its arrays or none."""
    return f"{step}/{labels}.images" in record.evidence


def mosaic(record: RunRecord, step: int, labels: str = PROBE, side: int = 5) -> NDArray[np.uint8]:
    """The first ``side * side`` samples of a checkpoint on one square sheet, `GAP` pixels apart."""
    pitch = record.spec.data.image_size + GAP
    sheet: NDArray[np.uint8] = np.full((side * pitch + GAP, side * pitch + GAP), 200, np.uint8)
    for i, image in enumerate(record.evidence[f"{step}/{labels}.images"][: side * side]):
        top, left = _corner(i, side, pitch)
        sheet[top : top + pitch - GAP, left : left + pitch - GAP] = image
    return sheet


def marks(record: RunRecord, step: int, labels: str = PROBE, side: int = 5) -> list[dict[str, Any]]:
    """For each image of the `mosaic`: the asked and the drawn position in pixels of the sheet, and the failure mode.

    The drawn position is None unless there is exactly one bump.
    """
    asked, drawn = (record.evidence[f"{step}/{labels}.{name}"] for name in ("labels", "positions"))
    modes = record.evidence[f"{step}/{labels}.modes"]
    pitch = record.spec.data.image_size + GAP
    made = []
    for i in range(min(len(asked), side * side)):
        top, left = _corner(i, side, pitch)
        made.append(
            {
                "asked": _on_sheet(asked[i], left, top),
                "found": _on_sheet(drawn[i], left, top),
                "asked_label": [round(float(value), 1) for value in asked[i]],
                "found_label": [round(float(v), 1) for v in drawn[i]] if np.isfinite(drawn[i]).all() else None,
                "mode": MODES[int(modes[i])],
            }
        )
    return made


def sheet(record: RunRecord, step: int, labels: str = PROBE, side: int = 5) -> dict[str, Any]:
    """The `mosaic` of a checkpoint as an image for the page, its size in pixels, and its `marks`."""
    pixels = mosaic(record, step, labels, side)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "webp", lossless=True)
    image = data_uri("image/webp", encoded.getvalue())
    return {"step": step, "image": image, "size": len(pixels), "marks": marks(record, step, labels, side)}


def sheets(record: RunRecord, step: int, side: int) -> dict[str, Any]:
    """The `sheet` of each label set whose samples the checkpoint holds, by the name of the set."""
    return {labels: sheet(record, step, labels, side) for labels in LABEL_SETS if has_samples(record, step, labels)}


def _corner(i: int, side: int, pitch: int) -> tuple[int, int]:
    """Top and left of the image with this index."""
    return GAP + i // side * pitch, GAP + i % side * pitch


def _on_sheet(position: NDArray[np.floating], left: int, top: int) -> list[float] | None:
    """A label in pixels of the sheet; None unless finite. Label 1 is the centre of the pixel that spans 0 to 1."""
    if not np.isfinite(position).all():
        return None
    return [round(left + float(position[0]) - 0.5, 2), round(top + float(position[1]) - 0.5, 2)]


def has_embedding(record: RunRecord) -> bool:
    """Whether layer 4 has an embedding at some checkpoint. One that the subject lacks, or that collapsed, has none."""
    names = [f"{row['step']:.0f}/layer4.embedding" for row in record.rows]
    return any(np.isfinite(record.evidence[name]).any() for name in names if name in record.evidence)


def embedding(record: RunRecord, step: int) -> NDArray[np.float64]:
    """``[samples, 3]``: layer 4 by UMAP, centred and scaled to within -1 and 1. 0 for what is not finite."""
    points = record.evidence[f"{step}/layer4.embedding"].astype(np.float64)
    points = np.nan_to_num(points, nan=0.0, posinf=0.0, neginf=0.0)
    points -= points.mean(axis=0)
    return np.asarray(points / max(float(np.abs(points).max()), 1e-9))


def embedding_labels(record: RunRecord) -> NDArray[np.float64]:
    """``[samples, 2]``: the probe labels of the embedded points, in pixels."""
    return record.evidence[f"{int(record.rows[-1]['step'])}/embedding.labels"].astype(np.float64)


def manifold(record: RunRecord) -> dict[str, Any]:
    """The embeddings of all checkpoints, and the labels that colour them."""
    frames = []
    for row in record.rows:
        step = int(row["step"])
        frames.append({"step": step, "points": np.round(embedding(record, step), 2).tolist()})
    labels = np.round(embedding_labels(record), 2).tolist()
    return {"frames": frames, "labels": labels, "extent": record.spec.data.image_size}


def data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
