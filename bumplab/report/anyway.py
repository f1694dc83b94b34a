"""What would have been seen anyway: the paper's measures before and after training, and what else they contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bumplab.runs.store import RunRecord
from bumplab.verdicts.effects import PASSED_THROUGH, TOLD

CEILING = "on_grid.ceiling"
OTHER_ROLES = {"encoder": "encoder", "bottleneck": "bottleneck", "layer4-injected": "layer 4 after its injection"}
"""Roles through which the label passes, each with its words."""
TRAINED_AND_UNTRAINED = (
    (
        TOLD,
        "O of layer 4 as told (first sampling step)",
        "The input is pure noise here, so all of this O is the label. The claims judge the O itself. They refuse a run "
        f"with an O above {PASSED_THROUGH:g} before training.",
    ),
    (
        "layer4.canvas",
        "O of layer 4 on a white canvas, told the true labels",
        "No image shows a bump here, so all of this O is the label. At quick an untrained network reads 0.01 and 0.04, "
        "and a trained one 0.98 and 0.87 (exploring seeds 0 and 1). Passing the label on is learned too.",
    ),
    (
        "layer4.order",
        "O of layer 4 as the image is drawn (last sampling step, the paper's reading)",
        "This reading mixes the label that the network is told with the image that it has already drawn.",
    ),
    (
        "image.order",
        "O of the pixels of the drawn images",
        "The input of the last sampling step holds the drawn image. Layer 4 needs no order of its own to reach this O.",
    ),
    (
        "layer4.seen",
        "O of layer 4, blind (true images, one constant label)",
        "The network is told nothing here. An untrained network sees places too, so only the difference is learned.",
    ),
)
"""Name of a number, what it is, and what it tells. Each is measured before training and after it."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what is measured, its medians over seeds before and after training, and what they tell."""

    what: str
    untrained: str
    trained: str
    tells: str


def rows(records: Sequence[RunRecord], by_condition: Mapping[str, Sequence[RunRecord]]) -> list[Row]:
    """The table, from the runs of one condition, one a seed, and from other conditions for the ceiling of eq. 1.

    A number that no run holds has no line. Failed runs are left out.
    """
    finished = _finished(records)
    made = []
    for name, what, tells in TRAINED_AND_UNTRAINED:
        if any(name in record.rows[-1] for record in finished):
            made.append(Row(what, _median(finished, name, 0), _median(finished, name, -1), tells))
    for reading, words in (("told", "as told"), ("order", "as the image is drawn")):
        medians = []
        for role, role_words in OTHER_ROLES.items():
            if any(f"{role}.{reading}" in record.rows[-1] for record in finished):
                medians.append(f"{role_words} {_median(finished, f'{role}.{reading}', -1)}")
        if medians:
            tells = "The label passes through these layers, with whatever the network learns. No claim judges their O."
            made.append(Row(f"O of other layers {words}", "not measured", "; ".join(medians), tells))
    if any("layer4.umap_r2" in record.rows[-1] for record in finished):
        spread = f"{_median(finished, 'layer4.umap_r2', -1)} ± {_median(finished, 'layer4.umap_r2_sd', -1)}"
        tells = "After ± stands the standard deviation over 8 UMAP seeds of the same activations: it is UMAP's own."
        made.append(Row("Linear R² of layer 4 by UMAP (the paper's kind of number)", "not measured", spread, tells))
    ceilings = []
    for condition, of_condition in by_condition.items():
        if held := [record for record in _finished(of_condition) if CEILING in record.rows[-1]]:
            ceilings.append(f"{condition}: {_median(held, CEILING, -1)}")
    if ceilings:
        tells = "Perfect images reach this share only: Algorithm 1 misplaces bumps that the border cuts off."
        made.append(Row("Ceiling of eq. 1 on training labels", "the same", "; ".join(ceilings), tells))
    return made


def _finished(records: Sequence[RunRecord]) -> list[RunRecord]:
    return [record for record in records if record.rows and not record.failed]


def _median(records: Sequence[RunRecord], name: str, row: int) -> str:
    """Median over the runs that hold a finite number of this name in this row; "undefined" where none does."""
    values = [record.rows[row].get(name, np.nan) for record in records]
    finite = [value for value in values if np.isfinite(value)]
    return f"{np.median(finite):.2f}" if finite else "undefined"
