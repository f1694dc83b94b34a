"""What is measured at a checkpoint. This module imports no OpenCV, which reading and planning of runs do without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bumplab.config import Role

Activations = Mapping[Role, NDArray[Any]]
"""For each role ``[samples, D]``, a row for each probe label."""


@dataclass(frozen=True)
class Sample:
    """What a checkpoint gave, as it is measured and stored. A role or a reading may be missing.

    ``told``, ``seen`` and ``canvas`` are float16: only neighbours are read of them. `bumplab.runs.learners` centres and
    scales them.
    """

    images: NDArray[np.uint8]
    """``[B, N, N]``, for the labels of all sets, one after another."""
    activations: Activations = field(default_factory=dict)
    """At the last sampling step, float32."""
    told: Activations = field(default_factory=dict)
    """At the first sampling step, where there is no image yet."""
    seen: Activations = field(default_factory=dict)
    """Of true images of the probe labels, all of them with one label."""
    canvas: Activations = field(default_factory=dict)
    """Of white images with the probe labels."""
