"""Which figures stand in a claim's section, or in a folder for a paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from bumplab.report import effects, figures, paper, wording
from bumplab.runs.store import RunRecord
from bumplab.verdicts import suite
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import levels_of

Claims = Sequence[Mapping[str, Any]]
Records = Mapping[str, RunRecord]

INCREMENTS = "density"
"""The claim whose conditions are increments of runs that are else alike."""
PANEL = 3.1
"""Inches of a panel of learning curves."""
OWN = "The claim's own runs."
CURVES_NOTE = (
    "Thin lines are seeds, thick lines the mean of those that reach a checkpoint, markers the measured checkpoints; a "
    "seed's points open its samples there, or at the nearest checkpoint whose samples this page holds."
)
CEILING_NOTE = "Accuracy over its ceiling passes 1 where fewer bumps drawn at the border are misplaced than true ones."
CONTROLS_NOTE = (
    "The measured effect of each judged part: of the claim and, by the same code, of worlds where it is known to be "
    "false, or true: what would have been seen then. Shaded: the region that supports. Small points: seeds, where one "
    "has an effect of its own, arrows where it is open or beyond the axis. Bars: the limits, arrows where they go on. "
    "The verdict on that part alone, at the estimate or, where it is open, at a limit: circle SUPPORTED, cross "
    "CONTRADICTED, diamond INCONCLUSIVE."
)


@dataclass(frozen=True)
class Chart:
    """A figure of a claim's own runs or, if ``control`` is not empty, of that control's: then ``note`` is its why.

    ``figure`` is None where it cannot be drawn, and ``problem`` says why. ``panels`` is its width in `PANEL`s: the page
    gives each as much room, so that all have text of one size.
    """

    name: str
    control: str
    what: str
    note: str
    panels: float
    figure: Figure | None
    svg: str
    problem: str


@dataclass(frozen=True)
class Charts:
    """The figures of a page. ``artefacts`` has its table of numbers: heads, and a row a condition."""

    forest: Chart | None
    by_claim: Mapping[str, Sequence[Chart]]
    artefacts: tuple[Chart, tuple[list[str], dict[str, list[float]]]] | None

    def figures(self) -> dict[str, Figure]:
        """Those that could be drawn, by the name of their file."""
        charts = [self.forest, *(chart for of_claim in self.by_claim.values() for chart in of_claim)]
        charts.append(self.artefacts[0] if self.artefacts else None)
        return {chart.name: chart.figure for chart in charts if chart and chart.figure}


def of_page(claims: Claims, records: Records) -> Charts:
    """Every figure of a report, each drawn once."""
    by_claim = {claim["claim"]: list(of_claim(claim, records)) for claim in claims}
    conditions = by_increment(claims, records)
    if conditions is None:
        return Charts(forest(claims), by_claim, None)
    artefacts = _drawn("artefacts", lambda: paper.artefacts(conditions), "What raw accuracy hides")
    return Charts(forest(claims), by_claim, (artefacts, paper.artefact_table(conditions)))


def _drawn(
    name: str, draw: Callable[[], Figure], what: str, note: str = "", of: Mapping[str, Any] | None = None
) -> Chart:
    """``of``: the control whose runs are drawn."""
    control, note = (of["name"], of["why"]) if of else ("", note)
    try:
        figure = draw()
        panels = round(figure.get_figwidth() / PANEL, 1)
        return Chart(name, control, what, note, panels, figure, figures.as_svg(figure, name), "")
    except Exception as error:  # hours of training lie behind a report: one figure must not cost it
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        return Chart(name, control, what, note, 1, None, "", problem)


def of_claim(claim: Mapping[str, Any], records: Records) -> Iterator[Chart]:
    """The paper's figure and the learning curves of a claim, then of each control that trains runs of its own.

    Last come the effects of the claim beside those of all its controls, whatever these change.
    """
    own = {run["key"] for runs in claim.get("conditions", {}).values() for run in runs}
    shown: list[tuple[Any, Any]] = [(None, claim.get("conditions", {}))]
    for control in claim.get("controls", []):
        conditions = control.get("conditions", {})
        # the first seed alone: a control that only changes measurements may have gone on to later seeds than the claim
        if any(run["key"] not in own for runs in conditions.values() for run in runs[:1]):
            shown.append((control, conditions))
    for number, (control, conditions) in enumerate(shown):
        name = f"{claim['claim']}-control-{number}" if number else claim["claim"]
        stored = _stored(conditions, records)
        if all(stored.values()):
            yield from _of_runs(name, control, claim, stored)
    if claim.get("controls") and any(part["judges"] for part in claim["parts"]):
        name, what = f"{claim['claim']}-effects", "Effects beside those of its controls,"
        yield _drawn(name, lambda: effects.beside_controls(claim), what, CONTROLS_NOTE)


def _of_runs(
    name: str, control: Mapping[str, Any] | None, claim: Mapping[str, Any], stored: paper.Conditions
) -> Iterator[Chart]:
    figure = {ours.id: ours.figure for ours in suite.claims(suite.OURS)}.get(claim["claim"])
    if figure is not None and "parts" in claim and paper.measured(figure, stored):
        note = f"{OWN} {figure.note}" if stored else figure.note
        yield _drawn(f"{name}-paper", lambda: figure.draw(stored), "The paper's figure", note, control)
    if stored and claim.get("curves"):
        said = f"{OWN} {CURVES_NOTE}"
        if any(".corrected" in curve for curve in claim["curves"]):
            said += f" {CEILING_NOTE}"
        yield _drawn(name, lambda: _learning_curves(stored, claim["curves"]), "Learning curves", said, control)


def _learning_curves(stored: paper.Conditions, names: Mapping[str, str]) -> Figure:
    runs = {condition: [Curves.of(record) for record in records] for condition, records in stored.items()}
    keys = {condition: [record.key for record in records] for condition, records in stored.items()}
    return figures.learning_curves(runs, names, keys)


def forest(claims: Claims) -> Chart | None:
    """The deciding effects of all claims on one axis; None where there is none."""
    found = [(claim["claim"], claim["verdict"], wording.deciding(claim)) for claim in claims]
    rows = [(claim, verdict, part) for claim, verdict, part in found if part is not None]
    return _drawn("claims", lambda: effects.forest(rows), "The deciding effect of each claim") if rows else None


def by_increment(claims: Claims, records: Records) -> paper.Conditions | None:
    """The stored runs of `INCREMENTS` by increment, the smallest first, or None."""
    stored = _stored(next((c.get("conditions", {}) for c in claims if c["claim"] == INCREMENTS), {}), records)
    if not all(stored.values()) or not all(re.fullmatch(r"d=\d+(\.\d+)?", name) for name in stored):
        return None
    if len(paper.finished(stored)) < 2 or not paper.measured(paper.ARTEFACTS_FIGURE, stored):
        return None
    return {name: stored[name] for _, name in sorted(zip(levels_of(stored), stored, strict=True))}


def _stored(conditions: Mapping[str, Sequence[Mapping[str, Any]]], records: Records) -> paper.Conditions:
    return {name: [records[run["key"]] for run in runs if run["key"] in records] for name, runs in conditions.items()}
