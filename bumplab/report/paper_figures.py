"""The paper's figures that several claims share, described without importing matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bumplab.verdicts.claim import PaperFigure
from bumplab.verdicts.effects import RIGHT, TOLD

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bumplab.runs.store import RunRecord


def phase_diagram(number: str) -> PaperFigure:
    """The phase diagram of `paper.phase_diagram`; ``number`` names the figure in the paper, such as ``Fig. 4``."""
    return PaperFigure(
        draw=_draw_phase_diagram,
        note=f"As {number}. Colours are accuracy on the probe labels and O of layer 4 as told, means over seeds. A "
        "failed seed counts up to where it failed. A dot is the step from which a seed draws half of its bumps at the "
        "right place, also at the next checkpoint. A seed without such a step has no dot.",
        rows=("probe.accuracy", RIGHT, TOLD),
    )


def _draw_phase_diagram(conditions: Mapping[str, Sequence[RunRecord]]) -> Figure:
    from bumplab.report import paper  # matplotlib: not while claims are collected

    return paper.phase_diagram(conditions)
