"""A report with planted numbers, its store, and how to read the page that is written of it."""

import json
import re
from html import unescape

import numpy as np

from bumplab import profiles
from bumplab.measure.names import MODES, array_forms
from bumplab.report import page
from bumplab.runs.store import RunRecord, RunStore, run_key
from tests.rows import row_of

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


def record_of(spec, rng):
    """A record as the trainer writes it, with planted numbers."""
    record = RunRecord(spec, seconds={"training": 3.0}, environment={"torch": "2"})
    n, size = 24, spec.data.image_size
    for step in spec.measured_steps():
        row = row_of(spec, step, 0.1)
        for labels in ("on_grid", "off_grid", "in_hole"):
            row |= {f"{labels}.{key}": 0.5 for key in ("accuracy", "ceiling", *MODES)}
            record.evidence |= {
                f"{step}/{labels}.images": rng.integers(0, 255, (n, size, size)).astype(np.uint8),
                f"{step}/{labels}.labels": rng.uniform(0, size, (n, 2)).astype(np.float32),
                f"{step}/{labels}.positions": np.full((n, 2), np.nan, np.float32),
                f"{step}/{labels}.modes": rng.integers(0, 4, n).astype(np.uint8),
            }
        record.evidence |= {
            f"{step}/{name}": rng.normal(size=(n, 3)).astype(np.float16)
            for name in array_forms(spec, step)
            if name.endswith(".embedding")
        }
        row |= {"up1-features.umap_r2": 0.25, "up1.umap_r2": 0.75}
        record.evidence[f"{step}/embedding.labels"] = rng.uniform(0, size, (n, 2)).astype(np.float32)
        record.rows.append(row)
    record.rows[-1]["bottleneck.signal"] = 0.2  # measured at the last step alone
    return record


def part_of(name, verdict, **given):
    return {
        "name": name, "unit": "u", "verdict": verdict, "reason": "r", "region": "above 0",
        "bounds": [0.0, None], "designed": 1.0, "why": HOSTILE,
        "judges": True, "datum": "", "effects": [[1.0, 1.0], [0.5, None]], "estimate": 1.0, "low": 0.5, "high": None,
        "stuck": False, **given,
    }  # fmt: skip


SOURCES = {"phases": "Section 3, Fig. 3", "density": "Section 3, Fig. 4"}


def claim_of(claim, verdict, **given):
    return {
        "claim": claim, "verdict": verdict, "unchecked": verdict, "reason": HOSTILE, "statement": HOSTILE,
        "source": SOURCES.get(claim, "Fig. 9"), "prediction": "p", "seeds": 2, "alpha": 0.0031,
        "looks": {"first": 2, "last": 5},
        "parts": [part_of("one", verdict)], "controls": [], "variations": [], "expected": None, "curves": {},
        "conditions": {}, **given,
    }  # fmt: skip


def runs_of(condition, specs):
    return {condition: [{"key": run_key(spec), "spec": json.loads(spec.to_json())} for spec in specs]}


OWN = [profiles.get("smoke").run(seed) for seed in (10, 11)]
LATER = profiles.get("smoke").run(12)  # a control may need more seeds than its claim
CONTROL = [profiles.get("smoke").shuffled(spec) for spec in OWN]
UNTRAINED = [profiles.get("smoke").untrained(spec) for spec in OWN[:1]]
VARIED = [profiles.get("smoke").run(seed, sigma=2.0) for seed in (10, 11)]


def control_of(name, verdict, positive, passed, conditions):
    return {
        "name": name, "why": HOSTILE, "positive": positive, "verdict": verdict, "reason": HOSTILE, "seeds": 3,
        "parts": [part_of("one", verdict, estimate=0.125)], "passed": passed, "conditions": conditions,
    }  # fmt: skip


REPORT = {
    "profile": "smoke", "purpose": "test", "seeds": 2, "max_seeds": 5, "controls": True,
    "written": "now", "code": "0.1.0 (abc1234+)", "elapsed": 1.0,
    "saved": {"runs_used": 6, "runs_at_last_look": 15, "steps_used": 60, "steps_at_last_look": 240},
    "claims": [
        {"claim": "hole", "verdict": "ERROR", "reason": HOSTILE, "statement": "s", "source": "Fig. 9"},
        claim_of("seeds", "CONTRADICTED", curves={"on_grid.correct": "right"}, conditions={
            **runs_of("d=1", OWN), **runs_of("d=2", OWN), **runs_of("d=4", OWN)}, parts=[
            part_of("count", "CONTRADICTED", datum="log2 increments, then 1 for each run that failed",
                    effects=[[-1.0, 2.0, 0.0, 1.0], [-1.0, 2.0, 0.0, 0.0]])]),
        claim_of("density", "INCONCLUSIVE", curves={"on_grid.correct": "right"}, conditions={
            **runs_of("d=0.1", OWN), **runs_of("d=1", VARIED)},
            controls=[control_of("one name", "CONTRADICTED", False, True, runs_of("d=0.1", UNTRAINED))]),
        claim_of("overlap", "SUPPORTED", seeds=0, parts=[
            part_of("one", "SUPPORTED", effects=[[1.05, 1.05]], estimate=1.05, low=1.05, high=1.05)]),
        claim_of(
            "phases", "INCONCLUSIVE", unchecked="SUPPORTED",
            parts=[part_of(HOSTILE, "SUPPORTED", noise={"noise": 0.1, "spread": 0.25, "ratio": 0.4})],
            curves={"on_grid.correct": "right", "off_grid.corrected": "corrected", "bottleneck.signal": "at last"},
            conditions=runs_of("dense", OWN), expected={"verdict": "SUPPORTED", "why": HOSTILE},
            controls=[control_of(HOSTILE, "SUPPORTED", False, False, runs_of("dense", CONTROL)),
                      control_of("planted", "SUPPORTED", True, True, runs_of("dense", [*OWN, LATER]))],
            variations=[{"name": HOSTILE, "idle": False, "verdict": "CONTRADICTED", "reason": "r", "seeds": 4,
                         "parts": [part_of("one", "CONTRADICTED", estimate=-3.5)],
                         "conditions": runs_of("dense", VARIED)}],
        ),
    ],
}  # fmt: skip


def write(folder, report, figures_to=None, change=lambda record: None):
    store = RunStore(folder / "runs")
    rng = np.random.default_rng(0)
    for spec in [*OWN, LATER, *CONTROL, *UNTRAINED, *VARIED]:
        record = record_of(spec, rng)
        change(record)
        store.publish(record, b"")
    page.write(report, store, folder / "new" / "report.html", figures_to)
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
