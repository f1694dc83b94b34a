"""A report with planted numbers, its store, and how to read the page that is written of it."""

import dataclasses
import json
import re
from html import unescape

import msgspec
import numpy as np
from matplotlib.figure import Figure

from bumplab import profiles
from bumplab.config import SubjectSpec
from bumplab.measure.names import MODES
from bumplab.report import page
from bumplab.report.document import (
    ClaimEntry,
    ControlEntry,
    Expected,
    PartEntry,
    PremiseEntry,
    Report,
    RunReference,
    Saved,
    SeedEntry,
    SubjectEntry,
    VariationEntry,
)
from bumplab.report.paper_figures import phase_diagram
from bumplab.report.published import PublishedEntry
from bumplab.runs.store import RunRecord, RunStore, run_key
from bumplab.verdicts.claim import PaperFigure
from bumplab.verdicts.looks import Looks
from bumplab.verdicts.suite import in_the_papers_order
from tests.rows import arrays_of, row_of

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


LAST_NUMBERS = {
    "layer4.umap_r2": 0.25, "layer4.umap_r2_sd": 0.125, "layer4.canvas": 0.9375, "on_grid.ceiling": 0.5625,
    "encoder.told": 0.96, "bottleneck.told": 0.97, "layer4-injected.told": 0.98, "bottleneck.signal": 0.2,
    "encoder.order": 0.86, "bottleneck.order": 0.87, "layer4-injected.order": 0.88,
}  # fmt: skip
"""Numbers of the last row. Most are measured there alone."""


def record_of(spec, rng):
    """A record as the trainer writes it, with planted numbers. Its checkpoints go through phases A, B and C."""
    record = RunRecord(spec, seconds={"training": 3.0}, environment={"torch": "2"})
    n, size, steps = 24, spec.data.image_size, spec.measured_steps()
    for i, step in enumerate(steps):
        last = step == steps[-1]
        phase = "C" if last else "A" if i / (len(steps) - 1) < 0.4 else "B"
        correct, wrong = {"A": (0.0, 0.125), "B": (0.125, 0.75), "C": (0.875, 0.125)}[phase]
        row = row_of(spec, step, 0.1)
        row |= {"probe.correct": correct, "probe.single-wrong": wrong, "probe.none": 1 - correct - wrong}
        row |= {"probe.several": 0.0, "probe.accuracy": correct, "image.order": 0.3}
        row |= {"layer4.told": i / 10, "layer4.order": 0.4, "layer4.seen": 0.6, "layer4.flatness": 0.16}
        if not i:
            row["layer4.canvas"] = 0.96875
        if last:
            row |= LAST_NUMBERS
        record.rows.append(row)
        arrays = arrays_of(spec, step)
        for labels in ("probe", "on_grid") if last else ("probe",):
            arrays |= {
                f"{labels}.images": rng.integers(0, 255, (n, size, size)).astype(np.uint8),
                f"{labels}.labels": rng.uniform(0, size, (n, 2)).astype(np.float32),
                f"{labels}.positions": np.full((n, 2), np.nan, np.float32),
                f"{labels}.modes": rng.integers(0, len(MODES), n).astype(np.uint8),
            }
        arrays["layer4.embedding"] = rng.normal(size=(n, 3)).astype(np.float16)
        arrays["embedding.labels"] = rng.uniform(0, size, (n, 2)).astype(np.float32)
        record.evidence |= {f"{step}/{name}": array for name, array in arrays.items()}
    return record


def seeds_of(*effects):
    """Seeds from 10 on: a number or bounds each, in the region where they lie above 0; None where it is undefined."""
    made = []
    for seed, effect in enumerate(effects, 10):
        if effect is None:
            made.append(SeedEntry(seed, "neither", problem="level not reached"))
            continue
        low, high = effect if isinstance(effect, tuple) else (effect, effect)
        inside, outside = low is not None and low > 0, high is not None and high <= 0
        made.append(SeedEntry(seed, "in" if inside else "out" if outside else "neither", low, high))
    return made


def part_of(name="rate", verdict="SUPPORTED", **changes):
    fields = {
        "name": name, "reads": "", "holds": "it rises", "unit": "u", "verdict": verdict,
        "reason": "in 2 of 2 seeds it rises, evidence 200 (needed 180)", "region": "above 0", "bounds": (0.0, None),
        "designed": 1.0, "why": HOSTILE, "judges": True, "method": "counted", "seeds": seeds_of(1.0, (0.5, None)),
        "support": 200.0, "against": 0.01, "needed": 180.0, "estimate": 1.0, "low": 0.5, "high": 1.5, "settled": True,
    }  # fmt: skip
    return PartEntry(**fields | changes)


def claim_of(claim, verdict="SUPPORTED", **changes):
    fields = {
        "claim": claim, "verdict": verdict, "unchecked": verdict, "reason": HOSTILE, "statement": HOSTILE,
        "source": "Section 3, Fig. 3", "prediction": "p", "seeds": 2, "needed": 180.0,
        "parts": [part_of("one", verdict)],
    }  # fmt: skip
    return ClaimEntry(**fields | changes)


def control_of(name, verdict, positive=False, **changes):
    fields = {
        "name": name, "why": HOSTILE, "positive": positive, "verdict": verdict, "reason": HOSTILE, "seeds": 3,
        "parts": [part_of("one", verdict)], "passed": verdict == ("SUPPORTED" if positive else "CONTRADICTED"),
    }  # fmt: skip
    return ControlEntry(**fields | changes)


def report_of(*claims, **changes):
    fields = {
        "profile": "smoke", "purpose": "test", "looks": Looks(2, 5, 180.0), "controls": True, "written": "now",
        "code": "0.1.0 (abc1234+)", "elapsed": 1.0, "family_alpha": 0.05,
        "saved": Saved(runs_used=6, runs_at_last_look=15, steps_used=60, steps_at_last_look=240),
    }  # fmt: skip
    return Report(claims=in_the_papers_order(claims), **fields | changes)


def runs_of(condition, specs):
    return {condition: [RunReference(run_key(spec), json.loads(spec.to_json())) for spec in specs]}


OWN = [profiles.get("smoke").run(seed) for seed in (10, 11)]
LATER = profiles.get("smoke").run(12)  # a control may need more seeds than its claim
CONTROL = [profiles.get("smoke").shuffled(spec) for spec in OWN]
UNTRAINED = [profiles.get("smoke").untrained(spec) for spec in OWN[:1]]
VARIED = [profiles.get("smoke").run(seed, sigma=2.0) for seed in (10, 11)]
FOREIGN = [
    dataclasses.replace(spec, subject=SubjectSpec("it's.py:subject", (("k", "$(id)"),), source="0" * 64))
    for spec in OWN
]
SPECS = {run_key(spec): spec for spec in [*OWN, LATER, *CONTROL, *UNTRAINED, *VARIED]}

SUBJECT = SubjectEntry(
    name="it's.py:subject", arguments={"k": "$(id)"}, source="0" * 64, versions={"": "2", "jax": "0.5"},
    description=f"A generator. {HOSTILE}", roles={"layer4": f"its last layer {HOSTILE}"}, resumes="approximately",
)  # fmt: skip
SKIPPED = ClaimEntry(claim="bottleneck", verdict="SKIPPED", reason=HOSTILE, statement="s", source="Appendix B.1")
ERROR = ClaimEntry(claim="hole", verdict="ERROR", reason=HOSTILE, statement="s", source="Appendix C.2, Fig. 9")
SEEDS = claim_of(
    "seeds", "CONTRADICTED", source="Appendix C.1", curves={"probe.correct": "right"}, exploratory=True,
    conditions={**runs_of("d=1", OWN), **runs_of("d=2", OWN), **runs_of("d=4", OWN)},
    parts=[part_of("count", "CONTRADICTED", reason="in 0 of 3 seeds it rises", support=0.01, against=200.0,
                   seeds=seeds_of(-1.0, -2.0, None))],
)  # fmt: skip
PREMISE = PremiseEntry(
    name="visits", needs="a label is seen often", unit="times", region="above 9", numbers=[2.0, 3.0], median=2.5,
    hits=0, holds=False,
)  # fmt: skip
DENSITY = claim_of(
    "density", "INCONCLUSIVE", source="Section 3, Fig. 4", curves={"probe.correct": "right"},
    conditions={**runs_of("d=0.1", OWN), **runs_of("d=1", VARIED)},
    parts=[part_of("pace", "INCONCLUSIVE", premise=PREMISE, reason="not testable at this profile: seen too seldom")],
    controls=[control_of("one name", "CONTRADICTED", conditions=runs_of("d=0.1", UNTRAINED))],
)  # fmt: skip
OVERLAP = claim_of(
    "overlap", source="Appendix B.5, Fig. 7b", seeds=0, needed=0.0,
    parts=[part_of("one", method="certain", reason="1.05 u, supported above 0", seeds=[], support=0.0, against=0.0,
                   needed=0.0, estimate=1.05, low=1.05, high=1.05)],
)  # fmt: skip
PHASES = claim_of(
    "phases", "INCONCLUSIVE", unchecked="SUPPORTED", exploratory=True,
    parts=[part_of("one", reads=f"the paper's words {HOSTILE}"), part_of(HOSTILE, judges=False)],
    curves={"probe.correct": "right", "layer4.told": "told", "bottleneck.signal": "at last"},
    conditions=runs_of("dense", OWN), expected=Expected("SUPPORTED", HOSTILE),
    controls=[control_of(HOSTILE, "SUPPORTED", conditions=runs_of("dense", CONTROL)),
              control_of("planted", "SUPPORTED", positive=True, conditions=runs_of("dense", [*OWN, LATER]))],
    variations=[VariationEntry(name=HOSTILE, verdict="CONTRADICTED", reason="r", seeds=4,
                               parts=[part_of("one", "CONTRADICTED", reason="in 0 of 4 seeds it rises")],
                               conditions=runs_of("dense", VARIED))],
)  # fmt: skip
PUBLISHED = PublishedEntry(
    archive="claims/published/quick.zip", sha256="0" * 64, registration=1, command=HOSTILE, version="0.2.0", runs=7
)
REPORT = report_of(ERROR, SEEDS, DENSITY, OVERLAP, PHASES, published=PUBLISHED)


def titled(text):
    figure = Figure(figsize=(6.2, 2.6))
    figure.subplots().set_title(text)
    return figure


PAPER_FIGURES = {
    "density": phase_diagram("Fig. 4"),
    "overlap": PaperFigure(lambda conditions: titled("overlap by sigma"), "Drawn without runs."),
}


def write(folder, report, figures_to=None, change=lambda record: None, with_samples=True):
    """The page of a report, with a store that holds its runs; ``change`` is made to each of their records."""
    store = RunStore(folder / "runs")
    rng = np.random.default_rng(0)
    text = msgspec.json.encode(report).decode()
    for spec in (*SPECS.values(), *FOREIGN):
        if run_key(spec) in text:
            record = record_of(spec, rng)
            change(record)
            store.publish(record, b"")
    page.write(report, store, folder / "new" / "report.html", PAPER_FIGURES, figures_to, with_samples)
    return folder / "new" / "report.html"


def section_of(written, claim):
    return written.read_text().partition(f'<h2 id="{claim}">')[2].partition("</section>")[0]


def shown(html):
    """The text a reader sees, on one line."""
    return " ".join(unescape(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)).split())


def rows_of(html, head):
    """The rows of the table that has this column, as text."""
    table = next(t for t in html.split("<table>")[1:] if f">{head}</th>" in t.partition("</thead>")[0])
    return [shown(row) for row in table.partition("</table>")[0].split("<tr>")[2:]]
