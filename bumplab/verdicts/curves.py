"""The learning curves of a run, and the steps at which they cross a level."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bumplab.config import RunSpec
from bumplab.runs.store import RunRecord

Curve = NDArray[np.float64]
Bounds = tuple[float, float]
"""Bounds of a number that is not known exactly, such as of a step that was not reached. They may be infinite."""


class Undefined(Exception):
    """The runs define no effect. The message gives the reason, which the verdict quotes."""


@dataclass(frozen=True)
class Curves:
    """One run's rows as arrays over its measured steps. ``failed`` is the reason of a failed run, otherwise None."""

    rows: Sequence[Mapping[str, float]]
    spec: RunSpec
    failed: str | None = None

    @classmethod
    def of(cls, record: RunRecord) -> Curves:
        """The curves of a stored run."""
        return cls(record.rows, record.spec, record.failed)

    @property
    def steps(self) -> Curve:
        """The measured steps: ``[checkpoints]``."""
        return self["step"]

    def __getitem__(self, name: str) -> Curve:
        """The curve of that name, such as ``on_grid.accuracy``: ``[checkpoints]``. KeyError where a row lacks it."""
        return np.array([row[name] for row in self.rows], dtype=np.float64)

    def last(self, name: str) -> float:
        """The number of that name in the last row. Some numbers are measured at the last step alone."""
        return float(self.rows[-1][name])

    def replaced(self, curves: Mapping[str, Curve]) -> Curves:
        """The same run with these curves in place of its own."""
        rows = []
        for i, row in enumerate(self.rows):
            new = {name: float(curve[i]) for name, curve in curves.items()}
            rows.append(ChainMap(new, row))  # type: ignore[arg-type]  # it reads a row, and writes none
        return Curves(rows, self.spec, self.failed)

    def delayed(self, factor: float) -> Curves:
        """The same run at a pace ``factor`` times as slow, 1 or above: each curve is read at ``step / factor``."""
        names = [name for name in self.rows[-1] if name != "step" and all(name in row for row in self.rows)]
        return self.replaced({name: np.interp(self.steps / factor, self.steps, self[name]) for name in names})

    def area(self, name: str) -> float:
        """Mean of the curve over the logarithm of the steps, from the first step after 0 to the last.

        Nothing is censored and no level is chosen: early and late training count alike, doubling by doubling. NaN where
        a value is not a number.
        """
        curve, steps = self[name][1:], np.log2(self.steps[1:])
        if len(steps) < 2:
            return float(curve.mean()) if len(curve) else math.nan
        return float(np.trapezoid(curve, steps) / (steps[-1] - steps[0]))

    def crossing(self, curve: Curve, level: float) -> Bounds:
        """Bounds of the first step where ``curve`` is above ``level`` at two checkpoints in a row.

        The step is interpolated between checkpoints: (step, step). The bounds are (last step, infinity) for a curve
        that never rises above the level. They are (interpolated step, infinity) for a curve that rises above it at the
        last checkpoint only, as nothing shows whether it stays there.
        """
        steps = self.steps
        above = curve > level
        last = len(steps) - 1
        for i in range(last + 1):
            if above[i] and (i == last or above[i + 1]):
                if i == 0:
                    return float(steps[0]), float(steps[0])
                share = (level - curve[i - 1]) / (curve[i] - curve[i - 1])
                if math.isnan(share):  # the value before is unknown
                    return float(steps[i - 1]), math.inf if i == last else float(steps[i])
                at = float(steps[i - 1] + share * (steps[i] - steps[i - 1]))
                return at, math.inf if i == last else at
        return float(steps[-1]), math.inf
