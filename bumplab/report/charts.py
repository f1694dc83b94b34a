"""The figures of a report: those in a claim's section, those of all claims, and those in a folder for a paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from bumplab.report import effects, figures, paper, wording
from bumplab.report.document import ClaimEntry, ControlEntry, Report, RunReference
from bumplab.runs.store import RunRecord
from bumplab.verdicts.claim import PaperFigure
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.effects import levels_of

Records = Mapping[str, RunRecord]
"""Stored runs by key."""
References = Mapping[str, Sequence[RunReference]]
"""The runs of an entry by condition."""

PANEL = 3.1
"""Inches of a panel of learning curves."""
CLAIMS_RUNS = "The claim's own runs."
CURVES_NOTE = (
    "A thin line is a seed. A thick line is the mean of the seeds that reach a checkpoint, and its markers are the "
    "measured checkpoints. A seed's point opens its samples at that checkpoint, or at the nearest checkpoint whose "
    "samples this page holds."
)
CEILING_NOTE = "Accuracy over its ceiling passes 1 where fewer drawn bumps than true ones are misplaced at the border."
CONTROLS_NOTE = (
    "The effect of each judged part, measured by the same code for the claim and for worlds in which the claim is "
    "known to be false, or true. Shaded: the region that supports the claim. Small points: the effects of seeds, where "
    "a seed defines one. Bars: the limits. An arrow marks a value that is open or lies beyond the axis. The large "
    "marker is the verdict on that part alone: circle SUPPORTED, cross CONTRADICTED, diamond INCONCLUSIVE. It stands "
    "at the estimate or, where that is open, at a limit."
)


@dataclass(frozen=True)
class Chart:
    """One figure. ``control`` names the control whose runs it shows, and is empty for the claim's own.

    ``figure`` is None where it cannot be drawn, and ``problem`` gives the reason. ``panels`` is its width in `PANEL`s:
    the page scales all figures alike, so that their text has one size. ``note`` is its caption.
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
class Artefacts:
    """What raw accuracy hides, in the runs of ``claim``: a chart, and its means as a table with a row a condition."""

    claim: str
    chart: Chart
    heads: list[str]
    rows: dict[str, list[float]]


@dataclass(frozen=True)
class Charts:
    """The figures of a page."""

    forest: Chart | None
    by_claim: Mapping[str, Sequence[Chart]]
    artefacts: Artefacts | None

    def figures(self) -> dict[str, Figure]:
        """The figures that could be drawn, by the name of their file."""
        charts = [self.forest, *(chart for charts in self.by_claim.values() for chart in charts)]
        charts.append(self.artefacts.chart if self.artefacts else None)
        return {chart.name: chart.figure for chart in charts if chart and chart.figure}


def of_page(report: Report, records: Records, paper_figures: Mapping[str, PaperFigure]) -> Charts:
    """Every figure of a report, each drawn once. ``paper_figures`` has the paper's figures by the id of their claim."""
    by_claim = {claim.claim: list(of_claim(claim, records, paper_figures.get(claim.claim))) for claim in report.claims}
    return Charts(forest(report.claims), by_claim, artefacts(report, records))


def _drawn(
    name: str, draw: Callable[[], Figure], what: str, note: str = "", control: ControlEntry | None = None
) -> Chart:
    """The chart of what ``draw`` makes. With ``control`` its caption is the control's reason."""
    control_name = control.name if control else ""
    caption = control.why if control else note
    try:
        figure = draw()
        svg = figures.as_svg(figure, name)
    except Exception as error:  # a report stands for hours of training, and one figure must not cost it
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        return Chart(name, control_name, what, caption, panels=1, figure=None, svg="", problem=problem)
    panels = round(figure.get_figwidth() / PANEL, 1)
    return Chart(name, control_name, what, caption, panels=panels, figure=figure, svg=svg, problem="")


def of_claim(claim: ClaimEntry, records: Records, paper_figure: PaperFigure | None) -> Iterator[Chart]:
    """The figures in a claim's section.

    First come the paper's figure and the learning curves of the claim, then of each control that trains other runs.
    Last come the claim's effects beside those of all its controls.
    """
    claims_keys = {run.key for runs in claim.conditions.values() for run in runs}
    shown: list[tuple[ControlEntry | None, References]] = [(None, claim.conditions)]
    for control in claim.controls:
        # the first seed tells: a control on the claim's runs may still have gone on to later seeds than the claim
        first_keys = {run.key for runs in control.conditions.values() for run in runs[:1]}
        if not first_keys <= claims_keys:
            shown.append((control, control.conditions))
    for number, (shown_control, conditions) in enumerate(shown):
        name = f"{claim.claim}-control-{number}" if number else claim.claim
        stored = _stored(conditions, records)
        if all(stored.values()):
            yield from _of_runs(name, shown_control, claim, stored, paper_figure)
    if claim.controls and any(part.judges for part in claim.parts):
        name, what = f"{claim.claim}-effects", "Effects beside those of its controls,"
        yield _drawn(name, lambda: effects.beside_controls(claim), what, CONTROLS_NOTE)


def _of_runs(
    name: str,
    control: ControlEntry | None,
    claim: ClaimEntry,
    stored: paper.Conditions,
    paper_figure: PaperFigure | None,
) -> Iterator[Chart]:
    """The paper's figure and the learning curves of these runs, where they can be made of them."""
    if paper_figure is not None and claim.judged and paper.measured(paper_figure, stored):
        note = f"{CLAIMS_RUNS} {paper_figure.note}" if stored else paper_figure.note
        yield _drawn(f"{name}-paper", lambda: paper_figure.draw(stored), "The paper's figure", note, control)
    if stored and claim.curves:
        note = f"{CLAIMS_RUNS} {CURVES_NOTE}"
        if any(".corrected" in curve for curve in claim.curves):
            note += f" {CEILING_NOTE}"
        yield _drawn(name, lambda: _learning_curves(stored, claim.curves), "Learning curves", note, control)


def _learning_curves(stored: paper.Conditions, titles: Mapping[str, str]) -> Figure:
    runs = {condition: [Curves.of(record) for record in records] for condition, records in stored.items()}
    keys = {condition: [record.key for record in records] for condition, records in stored.items()}
    return figures.learning_curves(runs, titles, keys)


def forest(claims: Sequence[ClaimEntry]) -> Chart | None:
    """The deciding effects of all claims on one axis. None where no claim has one."""
    deciding = [(claim.claim, claim.verdict, wording.deciding(claim)) for claim in claims]
    rows = [(claim, verdict, part) for claim, verdict, part in deciding if part is not None]
    return _drawn("claims", lambda: effects.forest(rows), "The deciding effect of each claim") if rows else None


def artefacts(report: Report, records: Records) -> Artefacts | None:
    """What raw accuracy hides, shown with the runs of the claim that asks for this section; or None."""
    claim = report.with_section("artefacts")
    conditions = by_increment(claim, records) if claim else None
    if claim is None or conditions is None:
        return None
    chart = _drawn("artefacts", lambda: paper.artefacts(conditions), "What raw accuracy hides")
    return Artefacts(claim.claim, chart, *paper.artefact_table(conditions))


def by_increment(claim: ClaimEntry, records: Records) -> paper.Conditions | None:
    """The claim's stored runs by increment, the smallest first.

    None unless at least two increments have a finished run, and these hold what `paper.artefacts` shows.
    """
    stored = _stored(claim.conditions, records)
    if not all(stored.values()) or not all(re.fullmatch(r"d=\d+(\.\d+)?", name) for name in stored):
        return None
    if len(paper.finished(stored)) < 2 or not paper.measured(paper.ARTEFACTS_FIGURE, stored):
        return None
    return {name: stored[name] for _, name in sorted(zip(levels_of(stored), stored, strict=True))}


def _stored(conditions: References, records: Records) -> paper.Conditions:
    """The records of these runs, as far as they are stored."""
    stored = {}
    for name, runs in conditions.items():
        stored[name] = [records[run.key] for run in runs if run.key in records]
    return stored
