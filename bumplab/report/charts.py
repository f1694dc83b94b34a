"""The figures of a report: those in a claim's section, those of all claims, and those in a folder for a paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from bumplab.report import effects, figures, paper, phases
from bumplab.report.document import ClaimEntry, ControlEntry, Report, RunReference
from bumplab.runs.store import RunRecord
from bumplab.verdicts.claim import PaperFigure
from bumplab.verdicts.curves import Curves

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
CONTROLS_NOTE = (
    "The effect of each judged part in each seed, measured by the same code for the claim and for worlds in which the "
    "claim is known to be false, or true. Shaded: the region that supports the claim. A filled circle is a seed in the "
    "region, a cross one out of it, and an open circle one that is neither for certain. An arrow marks a bound that is "
    "open or lies beyond the axis. The bar below is the mean with its 95 % t interval, which decides nothing."
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
class Charts:
    """The figures of a page. ``phases`` is the paper's Fig. 3, and ``phases_caption`` has a sentence for each phase."""

    evidence: Chart | None
    by_claim: Mapping[str, Sequence[Chart]]
    phases: Chart | None
    phases_caption: Sequence[str]

    def figures(self) -> dict[str, Figure]:
        """The figures that could be drawn, by the name of their file."""
        charts = [self.evidence, self.phases, *(chart for charts in self.by_claim.values() for chart in charts)]
        return {chart.name: chart.figure for chart in charts if chart and chart.figure}


def of_page(
    report: Report, records: Records, paper_figures: Mapping[str, PaperFigure], in_full: Sequence[RunRecord]
) -> Charts:
    """Every figure of a report, each drawn once.

    ``paper_figures`` has the paper's figures by the id of their claim. The first run of ``in_full`` shows the phases.
    """
    by_claim = {claim.claim: list(of_claim(claim, records, paper_figures.get(claim.claim))) for claim in report.claims}
    phases_chart, caption = None, list[str]()
    if in_full:
        phases_chart = _drawn("phases-paper", lambda: phases.figure(in_full[0]), "The paper's Fig. 3")
        caption = phases.caption(in_full[0])
    return Charts(evidence(report.claims), by_claim, phases_chart, caption)


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
        yield _drawn(name, lambda: _learning_curves(stored, claim.curves), "Learning curves", note, control)


def _learning_curves(stored: paper.Conditions, titles: Mapping[str, str]) -> Figure:
    runs = {condition: [Curves.of(record) for record in records] for condition, records in stored.items()}
    keys = {condition: [record.key for record in records] for condition, records in stored.items()}
    return figures.learning_curves(runs, titles, keys)


def evidence(claims: Sequence[ClaimEntry]) -> Chart | None:
    """The seeds and the evidence of all judged parts on one axis. None where there is no such part."""
    rows = [(claim.claim, part) for claim in claims for part in claim.parts if part.judges]
    return _drawn("claims", lambda: effects.evidence(rows), "The evidence of each judged part") if rows else None


def _stored(conditions: References, records: Records) -> paper.Conditions:
    """The records of these runs, as far as they are stored."""
    stored = {}
    for name, runs in conditions.items():
        stored[name] = [records[run.key] for run in runs if run.key in records]
    return stored
