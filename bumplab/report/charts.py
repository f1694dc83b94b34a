"""The figures of a report: beside each verdict, in a claim's details, and the paper's Fig. 3."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from bumplab.report import effects, figures, paper, phases, wording
from bumplab.report.document import ClaimEntry, ControlEntry, PartEntry, Report, RunReference
from bumplab.runs.store import RunRecord
from bumplab.verdicts.claim import PaperFigure
from bumplab.verdicts.curves import Curves

Records = Mapping[str, RunRecord]
"""Stored runs by key."""
References = Mapping[str, Sequence[RunReference]]
"""The runs of an entry by condition."""
ShownSteps = Mapping[str, Sequence[int]]
"""The checkpoints whose samples the page shows, by the key of their run."""

PANEL = 3.1
"""Inches of a panel of learning curves."""
CLAIMS_RUNS = "The claim's own runs."
CURVES_NOTE = (
    "A row has the curves of one unit. A thin line is a seed. A thick line is the mean of the seeds that reach a "
    "checkpoint; its markers tell the curves apart. Of equal curves the thinner lies in front, with a wider one behind."
)
LINKED_NOTE = " A point opens the samples of a seed at that checkpoint."
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
    """The figures of a page: one beside each claim's verdict, those in its section, and a column of Fig. 3 each phase.

    ``whole_phases`` draws Fig. 3 as one figure, for a file.
    """

    beside: Mapping[str, Chart]
    by_claim: Mapping[str, Sequence[Chart]]
    phases: Sequence[Chart]
    whole_phases: Callable[[], Figure] | None

    def figures(self) -> dict[str, Figure]:
        """The figures that could be drawn, by the name of their file."""
        charts = [*self.beside.values(), *(chart for charts in self.by_claim.values() for chart in charts)]
        drawn = {chart.name: chart.figure for chart in charts if chart.figure}
        if self.whole_phases and all(chart.figure for chart in self.phases):
            drawn["phases-paper"] = self.whole_phases()
        return drawn


def of_page(
    report: Report,
    records: Records,
    paper_figures: Mapping[str, PaperFigure],
    shown_steps: ShownSteps,
    of_phases: RunRecord | None,
    with_controls: bool = True,
) -> Charts:
    """Every figure of a report, each drawn once.

    ``paper_figures`` has the paper's figures by the id of their claim. ``of_phases`` is the run that shows the phases.
    Without controls there are no figures of them.
    """
    by_claim = {}
    for claim in report.claims:
        paper_figure = paper_figures.get(claim.claim)
        by_claim[claim.claim] = list(of_claim(claim, records, paper_figure, shown_steps, with_controls))
    beside = {claim.claim: _beside(claim.claim, part) for claim in report.claims if (part := wording.deciding(claim))}
    if of_phases is None:
        return Charts(beside, by_claim, [], None)
    columns = []
    for phase in phases.phases_of(of_phases):
        draw = partial(phases.figure, of_phases, [phase])
        columns.append(
            _drawn(f"phases-paper-{phase.name}", draw, f"Phase {phase.name}", phases.caption(of_phases, phase))
        )
    return Charts(beside, by_claim, columns, lambda: phases.figure(of_phases, phases.phases_of(of_phases)))


def _beside(claim: str, part: PartEntry) -> Chart:
    return _drawn(f"{claim}-seeds", lambda: effects.by_seed(part), f"Effects by seed, {part.name},")


def _drawn(
    name: str, draw: Callable[[], Figure], what: str, note: str = "", control: ControlEntry | None = None
) -> Chart:
    """The chart of what ``draw`` makes. With ``control`` its caption is the control's reason."""
    control_name = f"{control.name} (the claim is {wording.truth(control)} here)" if control else ""
    caption = control.why if control else note
    try:
        figure = draw()
        svg = figures.as_svg(figure, name)
    except Exception as error:  # a report stands for hours of training, and one figure must not cost it
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        return Chart(name, control_name, what, caption, panels=1, figure=None, svg="", problem=problem)
    panels = round(figure.get_figwidth() / PANEL, 1)
    return Chart(name, control_name, what, caption, panels=panels, figure=figure, svg=svg, problem="")


def of_claim(
    claim: ClaimEntry,
    records: Records,
    paper_figure: PaperFigure | None,
    shown_steps: ShownSteps,
    with_controls: bool = True,
) -> Iterator[Chart]:
    """The figures in the details of a claim.

    First come the paper's figure and the learning curves of the claim, then of each control that trains other runs.
    Last come the claim's effects beside those of all its controls.
    """
    claims_keys = {run.key for runs in claim.conditions.values() for run in runs}
    shown: list[tuple[ControlEntry | None, References]] = [(None, claim.conditions)]
    for control in claim.controls if with_controls else ():
        # the first seed tells: a control on the claim's runs may still have gone on to later seeds than the claim
        first_keys = {run.key for runs in control.conditions.values() for run in runs[:1]}
        if not first_keys <= claims_keys:
            shown.append((control, control.conditions))
    for number, (shown_control, conditions) in enumerate(shown):
        name = f"{claim.claim}-control-{number}" if number else claim.claim
        stored = _stored(conditions, records)
        if all(stored.values()):
            yield from _of_runs(name, claim, shown_control, stored, paper_figure, shown_steps)
    judged = [part for part in claim.parts if part.judges] if claim.controls and with_controls else []
    for number, part in enumerate(judged):
        name, what = f"{claim.claim}-effects-{number}", f"Effects of {part.name} beside those of its controls,"
        draw = partial(effects.beside_controls, claim, part)
        yield _drawn(name, draw, what, CONTROLS_NOTE if part is judged[-1] else "")


def _of_runs(
    name: str,
    claim: ClaimEntry,
    control: ControlEntry | None,
    stored: paper.Conditions,
    paper_figure: PaperFigure | None,
    shown_steps: ShownSteps,
) -> Iterator[Chart]:
    """The paper's figure and the learning curves of these runs, where they can be made of them."""
    if paper_figure is not None and claim.judged and paper.measured(paper_figure, stored):
        note = f"{CLAIMS_RUNS} {paper_figure.note}" if stored else paper_figure.note
        yield _drawn(f"{name}-paper", lambda: paper_figure.draw(stored), "The paper's figure", note, control)
    if stored and claim.curves:
        note = f"{CLAIMS_RUNS} {CURVES_NOTE}{LINKED_NOTE if any(shown_steps.values()) else ''}"
        draw = partial(_learning_curves, stored, claim.curves, shown_steps)
        yield _drawn(name, draw, "Learning curves", note, control)


def _learning_curves(stored: paper.Conditions, titles: Mapping[str, str], shown_steps: ShownSteps) -> Figure:
    runs = {condition: [Curves.of(record) for record in records] for condition, records in stored.items()}
    links: dict[str, list[dict[int, str]]] = {}
    for condition, records in stored.items():
        links[condition] = [{step: f"#{r.key}/{step}" for step in shown_steps.get(r.key, ())} for r in records]
    return figures.learning_curves(runs, titles, links)


def _stored(conditions: References, records: Records) -> paper.Conditions:
    """The records of these runs, as far as they are stored. Conditions such as ``dy=1`` and ``dy=2`` rise."""
    names = [name.partition("=")[0] for name in conditions]

    def place(condition: str) -> tuple[int, float]:
        name, _, number = condition.partition("=")
        return names.index(name), float(number) if re.fullmatch(r"[\d.]+", number) else 0.0

    ordered = sorted(conditions, key=place)
    return {name: [records[run.key] for run in conditions[name] if run.key in records] for name in ordered}
