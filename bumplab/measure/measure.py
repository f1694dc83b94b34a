"""Measures what was drawn at one checkpoint: a row of numbers, and the arrays behind them (`docs/measures.md`).

It needs NumPy, OpenCV and UMAP. It sees no network, so it can measure again what was drawn long ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bumplab.config import FOLLOWED, ROLES, RunSpec
from bumplab.measure.accuracy import Detections, accuracy, detect, failure_modes, placement, positions_of_eq_1
from bumplab.measure.detector import Image, quantise
from bumplab.measure.names import OF_EQ_1, SHOWN, is_end
from bumplab.measure.order import flatness, neighbour_r2
from bumplab.measure.representation import intrinsic_dimension, linear_r2, pca_r2, signal, umap_embedding
from bumplab.measure.sample import Sample
from bumplab.randomness import derive

UMAP_SEEDS = 8
"""Embeddings whose R^2 is averaged at the last checkpoint. Five seeds gave the same activations 0.49 to 0.85."""
Labels = NDArray[np.float64]
Embedding = NDArray[np.float32]
"""``[samples, 3]``; NaN without activations."""


class Asked(Protocol):
    """Labels ``[B, 2]`` in pixels, and their true images ``[B, N, N]`` (`bumplab.data.label_sets.LabelSet`)."""

    @property
    def labels(self) -> NDArray[np.float32]: ...
    @property
    def truth(self) -> NDArray[np.float32]: ...
    def __hash__(self) -> int: ...


@dataclass
class Measurement:
    """What one checkpoint gives (`bumplab.measure.names` lists it)."""

    row: dict[str, float]
    """Named numbers; NaN where unknown."""
    evidence: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    """Named arrays that the report shows."""


def measure(spec: RunSpec, step: int, sets: Mapping[str, Asked], drawn: Sample) -> Measurement:
    """Everything that is measured at one checkpoint, but for ``step`` and ``loss``.

    The measures of a role or a reading that is missing, or not finite, are NaN.
    """
    measurement = Measurement({})
    ends = np.cumsum([len(asked.labels) for asked in sets.values()])
    images = dict(zip(sets, np.split(drawn.images, ends[:-1]), strict=True))
    detections = {name: detect(images[name], spec.data.sigma) for name in sets}
    for name, asked in sets.items():
        _add_label_set(measurement, spec=spec, name=name, asked=asked, images=images[name], detections=detections[name])
    labels = sets["probe"].labels.astype(np.float64)
    measurement.row["image.order"] = _order(images["probe"].reshape(len(labels), -1), labels)["order"]
    embedding = _embedding(drawn.activations.get(FOLLOWED), spec, 0, len(labels))
    _add_followed(
        measurement, spec=spec, drawn=drawn, labels=labels, detections=detections["probe"], embedding=embedding
    )
    if is_end(spec, step):
        measurement.row[f"{FOLLOWED}.canvas"] = _order(drawn.canvas.get(FOLLOWED), labels)["order"]
    if step == spec.training.steps:
        _add_last(measurement, spec=spec, drawn=drawn, labels=labels, embedding=embedding)
    return measurement


def _add_label_set(
    measurement: Measurement, *, spec: RunSpec, name: str, asked: Asked, images: Image, detections: Detections
) -> None:
    """Adds the numbers of a label set, and the first `SHOWN` images with what was detected in them."""
    labels = asked.labels.astype(np.float64)
    row = placement(detections, labels) | {"samples": float(len(labels))}
    if name in OF_EQ_1:
        row |= accuracy(positions_of_eq_1(images), labels)
        row |= _ceilings(asked, spec.data.sigma)
    measurement.row |= {f"{name}.{key}": value for key, value in row.items()}
    measurement.evidence |= {
        f"{name}.images": images[:SHOWN],
        f"{name}.labels": labels[:SHOWN].astype(np.float32),
        f"{name}.positions": detections.positions[:SHOWN].astype(np.float32),
        f"{name}.modes": failure_modes(detections, labels)[:SHOWN].astype(np.uint8),
    }


@lru_cache(maxsize=16)
def _ceilings(asked: Asked, sigma: float) -> dict[str, float]:
    """What the true images of a label set show (`CEILINGS`). It is the same at every checkpoint of a run."""
    truth, _ = quantise(asked.truth)
    labels = asked.labels.astype(np.float64)
    of_eq_1 = accuracy(positions_of_eq_1(truth), labels)
    correct = placement(detect(truth, sigma), labels)["correct"]
    return {key.replace("accuracy", "ceiling"): share for key, share in of_eq_1.items()} | {"ceiling_correct": correct}


def _add_followed(
    measurement: Measurement,
    *,
    spec: RunSpec,
    drawn: Sample,
    labels: Labels,
    detections: Detections,
    embedding: Embedding,
) -> None:
    """Adds what every checkpoint measures of layer 4, and its embedding."""
    activations = drawn.activations.get(FOLLOWED)
    row = _order(activations, labels) | {
        name.replace("order", "told"): value for name, value in _order(drawn.told.get(FOLLOWED), labels).items()
    }
    row["seen"] = _order(drawn.seen.get(FOLLOWED), labels)["order"]
    single = detections.counts == 1
    drawn_at = None if activations is None else activations[single]
    row["order_drawn"] = _order(drawn_at, detections.positions[single])["order"]
    row["flatness"] = flatness(embedding)
    row["told_flatness"] = flatness(_embedding(drawn.told.get(FOLLOWED), spec, 0, len(labels)))
    measurement.row |= {f"{FOLLOWED}.{name}": value for name, value in row.items()}
    measurement.evidence[f"{FOLLOWED}.embedding"] = embedding.astype(np.float16)
    measurement.evidence["embedding.labels"] = labels.astype(np.float32)


def _add_last(measurement: Measurement, *, spec: RunSpec, drawn: Sample, labels: Labels, embedding: Embedding) -> None:
    """Adds what the last checkpoint alone measures: UMAP's R^2 of layer 4, and all roles."""
    activations = drawn.activations.get(FOLLOWED)
    others = [_embedding(activations, spec, number, len(labels)) for number in range(1, UMAP_SEEDS)]
    by_seed = np.array([linear_r2(points, labels) for points in (embedding, *others)])
    (x, y), spread = by_seed.mean(axis=0), by_seed.mean(axis=1).std(ddof=1)
    umap_r2 = {"umap_r2": (x + y) / 2, "umap_r2_x": x, "umap_r2_y": y, "umap_r2_sd": spread}
    measurement.row |= {f"{FOLLOWED}.{name}": float(value) for name, value in umap_r2.items()}
    for role in ROLES:
        rows = drawn.activations.get(role, np.full((len(labels), 1), np.nan))
        row = {
            "order": _order(rows, labels)["order"],
            "told": _order(drawn.told.get(role), labels)["order"],
            "signal": signal(rows),
            "dimension": intrinsic_dimension(rows),
            "pca_r2": pca_r2(rows, labels),
        }
        measurement.row |= {f"{role}.{name}": value for name, value in row.items()}


def _order(points: NDArray[Any] | None, targets: Labels) -> dict[str, float]:
    """Order O of ``points [B, D]``: the mean over x and y, and each. NaN without points."""
    x, y = (np.nan, np.nan) if points is None else neighbour_r2(points, targets)
    return {"order": float((x + y) / 2), "order_x": float(x), "order_y": float(y)}


def _embedding(activations: NDArray[Any] | None, spec: RunSpec, number: int, count: int) -> Embedding:
    """UMAP's embedding ``[count, 3]`` by the run's seed of this number. NaN without activations."""
    if activations is None:
        return np.full((count, 3), np.nan, np.float32)
    return umap_embedding(activations, derive(spec.seed, "embedding", number) % 2**32)
