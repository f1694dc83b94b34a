"""A report with planted numbers, its store, and how to read the page that is written of it."""

import dataclasses
import json
import re
from html import unescape

import msgspec
import numpy as np

from bumplab import profiles
from bumplab.config import LAYER_4, SubjectSpec
from bumplab.measure.names import MODES, array_forms
from bumplab.report import page
from bumplab.report.document import (
    ClaimEntry,
    ControlEntry,
    Expected,
    Noise,
    PartEntry,
    Report,
    RunReference,
    Saved,
    SubjectEntry,
    VariationEntry,
)
from bumplab.runs.store import RunRecord, RunStore, run_key
from bumplab.verdicts.error_rate import Looks
from bumplab.verdicts.suite import OURS, claims, in_the_papers_order
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
        row |= {f"{LAYER_4[0]}.umap_r2": 0.25, f"{LAYER_4[1]}.umap_r2": 0.75}
        record.evidence[f"{step}/embedding.labels"] = rng.uniform(0, size, (n, 2)).astype(np.float32)
        record.rows.append(row)
    record.rows[-1]["bottleneck.signal"] = 0.2  # measured at the last step alone
    return record


def part_of(name="rate", verdict="SUPPORTED", **changes):
    fields = {
        "name": name, "unit": "u", "verdict": verdict, "reason": "r", "region": "above 0",
        "bounds": (0.0, None), "designed": 1.0, "why": HOSTILE, "judges": True, "datum": "",
        "effects": [[1.0, 1.0], [0.5, None]], "estimate": 1.0, "low": 0.5, "high": None, "stuck": False,
    }  # fmt: skip
    return PartEntry(**fields | changes)


def claim_of(claim, verdict="SUPPORTED", **changes):
    fields = {
        "claim": claim, "verdict": verdict, "unchecked": verdict, "reason": HOSTILE, "statement": HOSTILE,
        "source": "Section 3, Fig. 3", "prediction": "p", "seeds": 2, "alpha": 0.0031,
        "parts": [part_of("one", verdict)],
    }  # fmt: skip
    return ClaimEntry(**fields | changes)


def control_of(name, verdict, positive=False, **changes):
    fields = {
        "name": name, "why": HOSTILE, "positive": positive, "verdict": verdict, "reason": HOSTILE, "seeds": 3,
        "parts": [part_of("one", verdict, estimate=0.125)], "passed": True,
    }  # fmt: skip
    return ControlEntry(**fields | changes)


def report_of(*claims, **changes):
    fields = {
        "profile": "smoke", "purpose": "test", "looks": Looks(2, 5), "controls": True, "written": "now",
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
    "seeds", "CONTRADICTED", source="Appendix C.1", curves={"on_grid.correct": "right"},
    conditions={**runs_of("d=1", OWN), **runs_of("d=2", OWN), **runs_of("d=4", OWN)},
    parts=[part_of("count", "CONTRADICTED", datum="log2 increments, then 1 for each run that failed",
                   datum_form="outcomes", effects=[[-1.0, 2.0, 0.0, 1.0], [-1.0, 2.0, 0.0, 0.0]])],
)  # fmt: skip
DENSITY = claim_of(
    "density", "INCONCLUSIVE", source="Section 3, Fig. 4", curves={"on_grid.correct": "right"},
    page_section="artefacts", conditions={**runs_of("d=0.1", OWN), **runs_of("d=1", VARIED)},
    controls=[control_of("one name", "CONTRADICTED", conditions=runs_of("d=0.1", UNTRAINED))],
)  # fmt: skip
OVERLAP = claim_of(
    "overlap", source="Appendix B.5, Fig. 7b", seeds=0,
    parts=[part_of("one", effects=[[1.05, 1.05]], estimate=1.05, low=1.05, high=1.05)],
)  # fmt: skip
PHASES = claim_of(
    "phases", "INCONCLUSIVE", unchecked="SUPPORTED", page_section="manifold",
    parts=[part_of(HOSTILE, noise=Noise(noise=0.1, spread=0.25, ratio=0.4))],
    curves={"on_grid.correct": "right", "off_grid.corrected": "corrected", "bottleneck.signal": "at last"},
    conditions=runs_of("dense", OWN), expected=Expected("SUPPORTED", HOSTILE),
    controls=[control_of(HOSTILE, "SUPPORTED", passed=False, conditions=runs_of("dense", CONTROL)),
              control_of("planted", "SUPPORTED", positive=True, conditions=runs_of("dense", [*OWN, LATER]))],
    variations=[VariationEntry(name=HOSTILE, verdict="CONTRADICTED", reason="r", seeds=4,
                               parts=[part_of("one", "CONTRADICTED", estimate=-3.5)],
                               conditions=runs_of("dense", VARIED))],
)  # fmt: skip
REPORT = report_of(ERROR, SEEDS, DENSITY, OVERLAP, PHASES)

PAPER_FIGURES = {claim.id: claim.figure for claim in claims(OURS) if claim.figure}


def write(folder, report, figures_to=None, change=lambda record: None):
    """The page of a report, with a store that holds its runs; ``change`` is made to each of their records."""
    store = RunStore(folder / "runs")
    rng = np.random.default_rng(0)
    text = msgspec.json.encode(report).decode()
    for spec in (*SPECS.values(), *FOREIGN):
        if run_key(spec) in text:
            record = record_of(spec, rng)
            change(record)
            store.publish(record, b"")
    page.write(report, store, folder / "new" / "report.html", PAPER_FIGURES, figures_to)
    return folder / "new" / "report.html"


def earlier(report, schema):
    """The JSON of the report as versions of bumplab with an earlier schema wrote it."""
    body = msgspec.to_builtins(report)
    del body["subject"]
    if schema == 5:
        return json.dumps({**body, "schema": schema})
    looks = body.pop("looks")
    body |= {"schema": schema, "seeds": looks["first"], "max_seeds": looks["last"]}
    for claim in body["claims"]:
        if claim["verdict"] == "ERROR":
            for name in set(claim) - {"claim", "statement", "source", "verdict", "reason"}:
                del claim[name]
            continue
        claim["looks"] = looks
        del claim["page_section"]
        for entry in (claim, *claim["controls"], *claim["variations"]):
            for part in entry["parts"]:
                del part["datum_form"]
                if schema < 3:
                    del part["bounds"], part["designed"]
        for control in claim["controls"]:
            del control["stuck"]
        for variation in claim["variations"] if schema < 4 else ():
            del variation["idle"]
    if schema < 3:
        del body["code"]
    return json.dumps(body)


def section_of(written, claim):
    return written.read_text().partition(f'<h2 id="{claim}">')[2].partition("</section>")[0]


def shown(html):
    """The text a reader sees, on one line."""
    return " ".join(unescape(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)).split())


def rows_of(html, head):
    """The rows of the table that has this column, as text."""
    table = next(t for t in html.split("<table>")[1:] if f">{head}</th>" in t.partition("</thead>")[0])
    return [shown(row) for row in table.partition("</table>")[0].split("<tr>")[2:]]
