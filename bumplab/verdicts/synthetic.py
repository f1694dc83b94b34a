"""Made-up runs on which a claim's behaviour is hashed. A number is made when its name is read.

Each curve depends on the run's number, its condition and the curve's name alone. So a name that is added later changes
no other curve. The numbers come from a hash, as NumPy's generators may change between versions.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from bumplab.config import DataSpec, MeasureSpec, RunSpec, TrainingSpec
from bumplab.measure.names import MODES, row_names
from bumplab.profiles import Profile
from bumplab.verdicts.curves import Curve, Curves

REFERENCE = Profile(
    name="reference",
    purpose="the scale at which a claim's behaviour is hashed; nothing is trained at it",
    base=RunSpec(
        data=DataSpec(image_size=16),
        training=TrainingSpec(steps=1_000, batch_size=16),
        measure=MeasureSpec(every=100, samples=300, probe_low=3.0, probe_high=12.0),
    ),
    increments=(0.1, 0.5, 1.0, 2.0, 4.0),
    imbalances=((0.1, 4.0), (0.1, 1.0), (0.1, 2.0)),
    holes=(3.0, 5.0),
    sigmas=(0.5, 0.7, 1.0),
)
"""It stays as it is when other profiles change. A changed reference changes the behaviour of all claims."""


@dataclass(frozen=True)
class _Range:
    """Between which values a curve begins and ends, and at which shares of the steps it is half-way."""

    begin: tuple[float, float] = (0.0, 0.4)
    end: tuple[float, float] = (0.4, 1.0)
    middle: tuple[float, float] = (0.05, 0.8)


RANGES = {
    "none": _Range((0.8, 1.0), (0.0, 0.1), (0.02, 0.3)),
    "several": _Range((0.0, 0.2), (0.0, 0.1)),
    "single-wrong": _Range((0.0, 0.2), (0.1, 0.3), (0.02, 0.3)),
    "correct": _Range((0.0, 0.1), (0.2, 1.0), (0.1, 0.7)),
    "error": _Range((3.0, 8.0), (0.1, 3.0)),
    **dict.fromkeys(("error_x", "error_y"), _Range((3.0, 8.0), (0.1, 1.1), (0.05, 0.7))),
    **dict.fromkeys(("flatness", "told_flatness"), _Range((0.1, 0.3), (0.0, 0.1))),
    "loss": _Range((0.5, 2.0), (0.0, 0.5)),
    "dimension": _Range((10.0, 20.0), (1.0, 10.0)),
}
"""By the last part of a curve's name. All others rise between 0 and 1. So most made-up runs learn, each in its way.

In half of the made-up seeds every run of the coupling claim places x within a pixel, as its premise asks.
"""


@dataclass(frozen=True)
class _Row(Mapping[str, float]):
    """A row that makes a number when its name is read."""

    curve: Callable[[str], Curve]
    index: int
    names: frozenset[str]

    def __getitem__(self, name: str) -> float:
        if name not in self.names:
            raise KeyError(name)
        return float(self.curve(name)[self.index])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.names))

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class _Synthetic(Curves):
    """A run of lazy rows. Its methods do as those of `Curves`, without making a curve that nobody reads."""

    rows: Sequence[_Row]

    def __getitem__(self, name: str) -> Curve:
        if any(name not in row.names for row in self.rows):
            raise KeyError(name)
        return self.rows[0].curve(name).copy()

    def replaced(self, curves: Mapping[str, Curve]) -> Curves:
        made = self.rows[0].curve

        def curve(name: str) -> Curve:
            return curves[name] if name in curves else made(name)

        return replace(self, rows=[_Row(curve, row.index, row.names | set(curves)) for row in self.rows])

    def delayed(self, factor: float) -> Curves:
        made, steps = self.rows[0].curve, self.steps
        in_all_rows = frozenset.intersection(*(row.names for row in self.rows)) - {"step"}

        @cache
        def curve(name: str) -> Curve:
            return np.interp(steps / factor, steps, made(name)) if name in in_all_rows else made(name)

        return replace(self, rows=[_Row(curve, row.index, row.names) for row in self.rows])


def synthetic(spec: RunSpec, condition: str, number: int) -> Curves:
    """The made-up run of this number under a condition, with the rows that a run of this spec has.

    Each curve goes smoothly from one value to another. The modes of a label set add to 1.
    """
    steps = tuple(spec.measured_steps())

    @cache
    def curve(name: str) -> Curve:
        labels, _, last = name.rpartition(".")
        if name == "step":
            return np.array(steps, dtype=np.float64)
        if last == "samples":
            return np.full(len(steps), float(spec.measure.samples))
        if last not in MODES:
            return _curve(f"{number} {condition} {name}", RANGES.get(last, _Range()), steps)
        shares = {mode: _curve(f"{number} {condition} {labels}.{mode}", RANGES[mode], steps) for mode in MODES}
        return np.asarray(shares[last] / np.sum(list(shares.values()), axis=0))

    return _Synthetic([_Row(curve, index, names) for index, names in enumerate(_names(spec))], spec)


@cache
def _names(spec: RunSpec) -> tuple[frozenset[str], ...]:
    """The names of each row of a run."""
    return tuple(frozenset(row_names(spec, step)) for step in spec.measured_steps())


def _curve(key: str, range_: _Range, steps: Sequence[int]) -> Curve:
    """A smooth step between two values: ``[checkpoints]``. The key decides where in the range it goes."""
    digest = hashlib.blake2b(key.encode(), digest_size=32).digest()
    *shares, width = (number / 2**64 for number in struct.unpack("<4Q", digest))
    ranges = (range_.begin, range_.end, range_.middle)
    begin, end, middle = (low + share * (high - low) for share, (low, high) in zip(shares, ranges, strict=True))
    done = np.array(steps, dtype=np.float64) / steps[-1]
    return np.asarray(begin + (end - begin) / (1 + np.exp(-(done - middle) / (0.02 + 0.1 * width))))
