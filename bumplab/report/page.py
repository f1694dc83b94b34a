"""The report: one self-contained HTML file, and the same as JSON beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bumplab.config import RunSpec
from bumplab.report import figures
from bumplab.runs.progress import replace_text
from bumplab.runs.store import RunRecord, RunStore
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import CLAIMS, FAMILY_ALPHA

SCHEMA = 1
"""Version of the JSON beside the report."""
MANIFOLD_SEEDS = 3
SYMBOLS = {"SUPPORTED": "✓", "CONTRADICTED": "✗", "INCONCLUSIVE": "?", "ERROR": "!"}


def write(report: dict[str, Any], store: RunStore, path: Path) -> None:
    """Writes ``report`` (profile, seeds, claims as the plugin collects them) as HTML to ``path`` and as JSON beside it.

    Curves, samples and manifolds come from the store. Raises OSError where the folder cannot be written.
    """
    rank = {claim: i for i, claim in enumerate(CLAIMS)}
    claims = sorted(report["claims"], key=lambda claim: rank.get(claim["claim"], len(rank)))
    records: dict[str, RunRecord] = {}
    for claim in claims:
        for runs in claim.get("conditions", {}).values():
            for run in runs:
                if run["key"] not in records and (record := store.load(RunSpec.from_dict(run["spec"]))):
                    records[run["key"]] = record
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {
        **report,
        "schema": SCHEMA,
        "family_alpha": FAMILY_ALPHA,
        "claims": claims,
        "runs": {key: _run(record) for key, record in records.items()},
    }
    replace_text(path.with_suffix(".json"), json.dumps(body, indent=1, allow_nan=False))
    replace_text(path, render(body, records))


def render(body: Mapping[str, Any], records: Mapping[str, RunRecord]) -> str:
    """The page of a report body and its records by key."""
    environment = Environment(
        loader=PackageLoader("bumplab.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    script = (Path(__file__).parent / "templates" / "manifold.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    charts, sheets, manifolds = {}, {}, {}
    for claim in body["claims"]:
        conditions = {
            name: [
                Curves(records[run["key"]].rows, records[run["key"]].failed) for run in runs if run["key"] in records
            ]
            for name, runs in claim.get("conditions", {}).items()
        }
        if conditions and all(conditions.values()):
            charts[claim["claim"]] = figures.learning_curves(conditions, claim["curves"])
        if claim["claim"] == "phases":
            dense = next(iter(claim.get("conditions", {"": []}).values()))
            shown = [records[run["key"]] for run in dense if run["key"] in records]
            manifolds = {str(record.spec.seed): figures.manifold(record) for record in shown[:MANIFOLD_SEEDS]}
            sheets = {
                str(record.spec.seed): [figures.sample_sheet(record, int(row["step"])) for row in record.rows]
                for record in shown[:MANIFOLD_SEEDS]
            }
    return environment.get_template("page.html.j2").render(
        body=body,
        charts=charts,
        sheets=sheets,
        manifolds=manifolds,
        symbols=SYMBOLS,
        number=_number,
        limits=_limits,
        script=Markup(script),
        script_hash=digest,
        training_minutes=sum(sum(run["seconds"].values()) for run in body["runs"].values()) / 60,
    )


def _run(record: RunRecord) -> dict[str, Any]:
    return {
        "label": record.spec.label(),
        "spec": json.loads(record.spec.to_json()),
        "rows": [{name: v if math.isfinite(v) else None for name, v in row.items()} for row in record.rows],
        "seconds": record.seconds,
        "environment": record.environment,
        "failed": record.failed,
    }


def _number(value: float | None, absent: str = "open") -> str:
    return absent if value is None else f"{value:.3g}"


def _limits(part: Mapping[str, Any]) -> str:
    """An interval's limits; one that is infinite is open, and without an interval there are none."""
    if part["low"] is None and part["high"] is None:
        return "none"
    return f"{_number(part['low'])} to {_number(part['high'])}"
