"""The paper's figures that several claims share, described without importing matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bumplab.config import LAYER_4
from bumplab.verdicts.claim import PaperFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bumplab.runs.store import RunRecord


def phase_diagram(number: str) -> PaperFigure:
    """The phase diagram of `paper.phase_diagram`; ``number`` names the figure in the paper, such as ``Fig. 4``."""
    return PaperFigure(
        draw=_draw_phase_diagram,
        note=f"As {number}. Colours are raw accuracy and R^2, means over seeds; a seed that failed counts up to where "
        "it did. A dot is the step at which a seed's accuracy over its ceiling passes a half, to stay there at the "
        "next checkpoint: a seed that never does has no dot.",
        rows=("on_grid.accuracy", "on_grid.ceiling", f"{LAYER_4[0]}.umap_r2"),
    )


def _draw_phase_diagram(conditions: Mapping[str, Sequence[RunRecord]]) -> Figure:
    from bumplab.report import paper  # matplotlib: not while claims are collected

    return paper.phase_diagram(conditions)
