"""An audit of published runs: some are drawn at random, trained again here, and compared by the rule in `compare`."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from bumplab.measure.names import CEILINGS, ERRORS, MODES, SHARES
from bumplab.runs.record import RunRecord

EARLY_STEPS = 75
"""Steps up to which two trainings of one run stay close on any processor. Rounding grows from step to step."""
TOLERANCES: dict[str, tuple[float, float, float]] = {
    "loss": (1e-3, 0.1, 0.05),
    **dict.fromkeys(CEILINGS, (1e-6, 1e-6, 1e-6)),
    **dict.fromkeys((*SHARES, *MODES, "correct_x", "correct_y"), (0.05, 0.3, 0.05)),
    **dict.fromkeys(ERRORS, (1.0, 1.0, 0.1)),
    **dict.fromkeys(("flatness", "told_flatness"), (0.2, 0.1, 0.1)),
    "dimension": (1.0, 1.0, 1.0),
}
"""Largest difference of a number by the last part of its name: up to `EARLY_STEPS`, after it, and at the last step.

That of the loss is relative, and errors are in pixels. It is loose while a network learns fast, and UMAP adds to it.
"""
OF_OTHERS = (0.2, 0.5, 0.3)
"""The same of the other numbers: order and R^2 of labels, signal."""
SHARE_ALTERED = 0.1
"""The share of altered runs for which `chance_missed` is told."""
Outcome = Literal["equal", "alike", "different"]


@dataclass(frozen=True)
class Difference:
    """A number of one checkpoint in two trainings of a run."""

    step: int
    name: str
    published: float
    retrained: float
    ratio: float
    """The difference over the largest one that is allowed. A run with a ratio above 1 is different."""


@dataclass(frozen=True)
class Comparison:
    """What became of an audited run. ``worst`` is the number that differs most; None where all are equal."""

    outcome: Outcome
    how: str
    """How they were compared, in words."""
    worst: Difference | None = None
    problem: str = ""
    """Why the two cannot be compared number by number, or empty."""


def compare(published: RunRecord, retrained: RunRecord) -> Comparison:
    """Whether two trainings of one spec agree.

    In the same environment on a CPU all rows must be equal bit for bit. In another environment of the same number
    format they must be alike:

    - up to step `EARLY_STEPS` the loss differs by at most a thousandth. So far both trainings see the same images and
      have the same weights, but for rounding. Another seed, learning rate or pairing of labels moves the loss more;
    - all other numbers, and those of later steps, differ by at most `TOLERANCES`. Rounding grows from step to step.

    Measured by ``benchmarks/audit.py`` with runs trained here on AVX-512 and one thread, against the same runs on AVX2
    (37 runs), SSE (21) and two threads (18), and against other runs. PASSED is the number that was not different, LOSS
    the largest relative difference of the early loss: its maximum where a run must pass, its minimum where it must not.

    =============================  ============  =======  ============  =======
    ..                             quick passed  LOSS     smoke passed  LOSS
    =============================  ============  =======  ============  =======
    the same run, other processor  40 of 40      2.1e-04  36 of 36      4.2e-05
    learning rate x 1.02           0 of 4        6.4e-03  0 of 12       4.1e-03
    learning rate x 1.1            0 of 2        3.3e-02  0 of 12       2.0e-02
    labels shuffled                0 of 6        8.6e-03  0 of 12       5.6e-03
    another seed                   0 of 133      6.3e-02  0 of 12       2.2e-01
    =============================  ============  =======  ============  =======

    The largest early loss of a run that passed was that of a factorized subject. All others stayed below 2e-5.
    """
    if problem := _not_comparable(published, retrained):
        return Comparison("different", "not compared", problem=problem)
    differences = list(_differences(published, retrained))
    worst = max(differences, key=lambda difference: difference.ratio, default=None)
    if is_same_environment(published, retrained):
        how = "compared bit for bit, in the same environment"
        return Comparison("equal" if worst is None else "different", how, worst)
    how = "compared by tolerances, in another environment"
    if worst is None:
        return Comparison("equal", how)
    return Comparison("alike" if worst.ratio <= 1 else "different", how, worst)


def is_same_environment(one: RunRecord, other: RunRecord) -> bool:
    """Whether both were trained on machines that read the same, which repeat bit for bit, each in one go."""
    environment = one.environment
    return environment == other.environment and bool(environment.get("exact")) and "before" not in environment


def _not_comparable(published: RunRecord, retrained: RunRecord) -> str:
    if published.arithmetic != retrained.arithmetic:
        kinds = f"published in {published.arithmetic}, and here it is {retrained.arithmetic}"
        return f"{kinds}: audit it on a machine of the first kind"
    if (published.failed is None) != (retrained.failed is None) or len(published.rows) != len(retrained.rows):
        return f"published {_end(published)}, retrained {_end(retrained)}"
    early = [row for row in retrained.rows if 0 < row["step"] <= EARLY_STEPS]
    if not early and not is_same_environment(published, retrained):
        return f"no checkpoint up to step {EARLY_STEPS}, which another environment needs: audit it in the same one"
    return ""


def _end(record: RunRecord) -> str:
    return f"it {'ended' if record.failed is None else 'failed'} at step {record.rows[-1]['step']:g}"


def _differences(published: RunRecord, retrained: RunRecord) -> Iterator[Difference]:
    """Each number that is not equal. A number that one of them lacks, or has as NaN, differs by infinitely much."""
    for old, new in zip(published.rows, retrained.rows, strict=True):
        for name in sorted(old.keys() | new.keys()):
            before, after = old.get(name, math.nan), new.get(name, math.nan)
            if before == after or (math.isnan(before) and math.isnan(after)):
                continue
            step, is_last = int(new["step"]), new is retrained.rows[-1]
            ratio = abs(before - after) / allowed(name, after, step, is_last)
            yield Difference(step, name, before, after, math.inf if math.isnan(ratio) else ratio)


def allowed(name: str, value: float, step: int, is_last: bool) -> float:
    """The largest difference of a number from ``value`` at a step between two processors."""
    last = name.rpartition(".")[2]
    if last in ("step", "samples"):
        return 1e-9
    early, middle, at_last = TOLERANCES.get(last, OF_OTHERS)
    tolerance = early if step <= EARLY_STEPS else at_last if is_last else middle
    return tolerance * max(abs(value), 1e-9) if last == "loss" else tolerance


def drawn(keys: Collection[str], count: int, seed: int) -> list[str]:
    """``count`` of the keys, drawn at random without replacement. The same for the same seed."""
    return sorted(random.Random(seed).sample(sorted(keys), count))


def chance_missed(runs: int, audited: int) -> float:
    """The chance that none of the audited runs is an altered one, where `SHARE_ALTERED` of the runs are, at least one.

    Hypergeometric: runs are drawn without replacement.
    """
    altered = max(1, round(SHARE_ALTERED * runs))
    return math.comb(runs - altered, audited) / math.comb(runs, audited)
