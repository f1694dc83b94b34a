"""Measures what was drawn at one checkpoint: a row of numbers, and the arrays behind them (Appendix B.3).

It needs NumPy, OpenCV and UMAP. It sees no network, so it can measure again what was drawn long ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bumplab.config import Role, RunSpec
from bumplab.measure.accuracy import Detections, accuracy, detect, failure_modes
from bumplab.measure.detector import Image, quantise
from bumplab.measure.names import MODES, SHOWN, roles_at
from bumplab.measure.representation import represent
from bumplab.randomness import derive


class Asked(Protocol):
    """Labels ``[B, 2]`` in pixels, and their true images ``[B, N, N]`` (`bumplab.data.label_sets.LabelSet`)."""

    @property
    def labels(self) -> NDArray[np.float32]: ...
    @property
    def truth(self) -> NDArray[np.float32]: ...
    def __hash__(self) -> int: ...


class Sample(Protocol):
    """What was drawn for all label sets, one after another (`bumplab.subjects.protocol.Drawn`).

    ``images`` are uint8 ``[B, N, N]``. ``activations`` hold a row for each label of the first set, by role.
    """

    @property
    def images(self) -> Image: ...
    @property
    def activations(self) -> Mapping[Role, NDArray[Any]]: ...


@dataclass
class Measurement:
    """What one checkpoint gives (`bumplab.measure.names` lists it)."""

    row: dict[str, float]
    """Named numbers; NaN where unknown."""
    evidence: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    """Named arrays that the report shows."""


def measure(spec: RunSpec, step: int, sets: Mapping[str, Asked], drawn: Sample) -> Measurement:
    """Everything that is measured at one checkpoint, but for ``step`` and ``loss``.

    The measures of a role whose activations are missing, or not finite, are NaN.
    """
    measurement = Measurement({})
    ends = np.cumsum([len(asked.labels) for asked in sets.values()])
    for (name, asked), images in zip(sets.items(), np.split(drawn.images, ends[:-1]), strict=True):
        labels = asked.labels.astype(np.float64)
        detections = detect(images, spec.data.sigma)
        _add_label_set(
            measurement, name=name, images=images, labels=labels, detections=detections,
            ceiling=_ceiling(asked, spec.data.sigma),
        )  # fmt: skip
        if name == "on_grid":
            measurement.evidence["embedding.labels"] = labels.astype(np.float32)
            for role in roles_at(spec, step):
                _add_role(measurement, spec, role, drawn.activations.get(role), labels, detections)
    return measurement


def _add_role(
    measurement: Measurement,
    spec: RunSpec,
    role: Role,
    activations: NDArray[Any] | None,
    labels: NDArray[np.float64],
    detections: Detections,
) -> None:
    """Adds the measures of a role and its embedding."""
    if activations is None:
        activations = np.full((len(labels), 1), np.nan)
    seed = derive(spec.seed, "embedding") % 2**32
    representation = represent(activations.reshape(len(labels), -1), labels, detections.positions, seed)
    measurement.row |= {f"{role}.{key}": value for key, value in representation.measures.items()}
    measurement.evidence[f"{role}.embedding"] = representation.embedding.astype(np.float16)


def _add_label_set(
    measurement: Measurement,
    *,
    name: str,
    images: Image,
    labels: NDArray[np.float64],
    detections: Detections,
    ceiling: Mapping[str, float],
) -> None:
    """Adds the numbers of a label set, and the first `SHOWN` images with what was detected in them."""
    modes = failure_modes(detections, labels)
    measurement.row |= {f"{name}.{key}": value for key, value in accuracy(detections.positions, labels).items()}
    measurement.row |= {f"{name}.{key.replace('accuracy', 'ceiling')}": value for key, value in ceiling.items()}
    measurement.row |= {f"{name}.{mode}": float((modes == k).mean()) for k, mode in enumerate(MODES)}
    measurement.row[f"{name}.samples"] = float(len(labels))
    measurement.evidence |= {
        f"{name}.images": images[:SHOWN],
        f"{name}.labels": labels[:SHOWN].astype(np.float32),
        f"{name}.positions": detections.positions[:SHOWN].astype(np.float32),
        f"{name}.modes": modes[:SHOWN].astype(np.uint8),
    }


@lru_cache(maxsize=16)
def _ceiling(asked: Asked, sigma: float) -> dict[str, float]:
    """The detector's accuracy on the true images of a label set. It is the same at every checkpoint of a run."""
    truth, _ = quantise(asked.truth)
    return accuracy(detect(truth, sigma).positions, asked.labels.astype(np.float64))
