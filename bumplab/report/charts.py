"""Which figures stand in a claim's section, or in a folder for a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from bumplab.report import effects, figures, paper, wording
from bumplab.runs.store import RunRecord
from bumplab.verdicts.curves import Curves

Claims = Sequence[Mapping[str, Any]]
Records = Mapping[str, RunRecord]

INCREMENTS = "density"
"""The claim whose conditions are increments of runs that are else alike."""
CURVES_NOTE = (
    "Thin lines are seeds, thick lines their mean, markers the measured checkpoints; a seed's points open its samples "
    "there."
)
CONTROLS_NOTE = (
    "The measured effect of each judged part: of the claim and, by the same code, of worlds where it is known to be "
    "false, or true: what would have been seen then. Shaded: the region that supports. Small points: seeds, where one "
    "has an effect of its own. Bars: the limits, arrows where they go on. Circle: SUPPORTED, cross: CONTRADICTED, "
    "diamond: INCONCLUSIVE."
)
OWN = "The claim's own runs."


@dataclass(frozen=True)
class Chart:
    """A figure of a claim's own runs or, if ``control`` is not empty, of that control's."""

    name: str
    control: str
    what: str
    note: str
    figure: Figure
    panels: int


def of_claim(claim: Mapping[str, Any], records: Records) -> Iterator[Chart]:
    """The paper's figure and the learning curves of a claim, then of each control that trains runs of its own.

    Last come the effects of the claim beside those of all its controls, whatever these change.
    """
    own = {run["key"] for runs in claim.get("conditions", {}).values() for run in runs}
    shown = [("", claim.get("conditions", {}))]
    for control in claim.get("controls", []):
        conditions = control.get("conditions", {})
        # the first seed alone: a control that only changes measurements may have gone on to later seeds than the claim
        if any(run["key"] not in own for runs in conditions.values() for run in runs[:1]):
            shown.append((control["name"], conditions))
    draw, note = paper.FIGURES.get(claim["claim"], (None, ""))
    for number, (control, conditions) in enumerate(shown):
        suffix = f"-control-{number}" if number else ""
        stored = _stored(conditions, records)
        if draw is not None and "parts" in claim and all(stored.values()) and paper.measured(draw, stored):
            said = f"{OWN} {note}" if stored else note
            yield Chart(f"{claim['claim']}{suffix}-paper", control, "The paper's figure", said, draw(stored), 2)
        if stored and claim.get("curves") and all(stored.values()):
            runs = {name: [Curves.of(record) for record in of_name] for name, of_name in stored.items()}
            keys = {name: [record.key for record in of_name] for name, of_name in stored.items()}
            figure = figures.learning_curves(runs, claim["curves"], keys)
            yield Chart(
                f"{claim['claim']}{suffix}", control, "Learning curves", f"{OWN} {CURVES_NOTE}", figure, len(runs)
            )
    if claim.get("controls"):
        figure, panels = effects.beside_controls(claim), sum(part["judges"] for part in claim["parts"])
        name, what = f"{claim['claim']}-effects", "Effects beside those of its controls,"
        yield Chart(name, "", what, CONTROLS_NOTE, figure, panels)


def of_all(claims: Claims, records: Records, in_full: Sequence[RunRecord]) -> dict[str, Figure]:
    """Every figure that a paper might use, by the name of its file; manifolds of the records ``in_full``."""
    drawn = {} if (overview := forest(claims)) is None else {"claims": overview}
    drawn |= {chart.name: chart.figure for claim in claims for chart in of_claim(claim, records)}
    if conditions := by_increment(claims, records):
        drawn["artefacts"] = paper.artefacts(conditions)
    return drawn | {f"manifold-seed-{record.spec.seed}": figures.manifold_figure(record) for record in in_full}


def forest(claims: Claims) -> Figure | None:
    """The deciding effects of all claims on one axis; None where there is none."""
    found = [(claim["claim"], claim["verdict"], wording.deciding(claim)) for claim in claims]
    rows = [(claim, verdict, part) for claim, verdict, part in found if part is not None]
    return effects.forest(rows) if rows else None


def by_increment(claims: Claims, records: Records) -> paper.Conditions | None:
    """The stored runs of `INCREMENTS` by increment, or None."""
    stored = _stored(next((c.get("conditions", {}) for c in claims if c["claim"] == INCREMENTS), {}), records)
    several = len(stored) > 1 and all(stored.values()) and all(re.fullmatch(r"d=[0-9.]+", name) for name in stored)
    return stored if several and paper.measured(paper.artefacts, stored) else None


def _stored(conditions: Mapping[str, Sequence[Mapping[str, Any]]], records: Records) -> paper.Conditions:
    return {name: [records[run["key"]] for run in runs if run["key"] in records] for name, runs in conditions.items()}
