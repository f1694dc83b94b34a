"""The report: one self-contained HTML file, and the same as JSON beside it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from bumplab.config import RunSpec
from bumplab.measure.names import array_forms
from bumplab.report import charts, figures, wording
from bumplab.runs.progress import replace_bytes, replace_text
from bumplab.runs.store import RunRecord, RunStore
from bumplab.verdicts import suite
from bumplab.verdicts.error_rate import FAMILY_ALPHA

SCHEMA = 4
"""Version of the JSON beside the report."""
MANIFOLD_CLAIM, MANIFOLD_SEEDS = "phases", 3
"""The claim whose samples and manifolds are shown, and of how many seeds."""

SHOWN_SIDE = 3
"""A checkpoint shows this many samples squared."""
SHEETS = 1_200
"""Checkpoints whose samples are shown, over all runs: the page of a full quick run is to stay below 8 MB."""

Runs = Mapping[str, Sequence[Mapping[str, Any]]]
"""The runs of an entry by condition, each with its ``key`` and ``spec``."""


def write(report: dict[str, Any], store: RunStore, path: Path, figures_to: Path | None = None) -> None:
    """Writes ``report`` (profile, seeds, claims as the plugin collects them) as HTML to ``path``.

    Beside it go the same as JSON and a summary in Markdown; with ``figures_to``, each figure there as SVG and PNG.
    Curves, samples and manifolds come from the store. Raises OSError where a folder cannot be written.
    """
    claims = sorted(report["claims"], key=lambda claim: suite.papers_order(claim["claim"], claim["source"]))
    records, samples = _load(claims, store)
    for folder in (path.parent, figures_to or path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    body = {
        **report,
        "schema": SCHEMA,
        "family_alpha": FAMILY_ALPHA,
        "claims": claims,
        "runs": {key: _run(record) for key, record in records.items()},
    }
    replace_text(path.with_suffix(".json"), json.dumps(body, indent=1, allow_nan=False))
    replace_text(path.with_suffix(".md"), _environment().get_template("summary.md.j2").render(body=body))
    drawn = charts.of_page(claims, records)
    replace_text(path, render(body, records, samples, drawn))
    if figures_to is not None:
        for name, figure in {**drawn.figures(), **_manifold_figures(claims, records)}.items():
            for suffix in ("svg", "png"):
                drawing = io.BytesIO()
                figure.savefig(drawing, format=suffix, dpi=200)
                replace_bytes(figures_to / f"{name}.{suffix}", drawing.getvalue())


def render(
    body: Mapping[str, Any], records: Mapping[str, RunRecord], samples: Mapping[str, Any], drawn: charts.Charts
) -> str:
    """The page of a report body, its records by key, their `_samples` and what is drawn of them."""
    scripts = [(Path(__file__).parent / "templates" / name).read_text() for name in ("manifold.js", "samples.js")]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    shown = _in_full(body["claims"], records)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            body=body,
            drawn=drawn,
            machines=sorted({_machine(record) for record in records.values() if record.environment}),
            runs={claim["claim"]: list(_runs_behind(claim)) for claim in body["claims"]},
            manifold_claim=MANIFOLD_CLAIM,
            manifolds={str(record.spec.seed): figures.manifold(record) for record in shown},
            sheets={
                str(record.spec.seed): [figures.sample_sheet(record, int(row["step"])) for row in record.rows]
                for record in shown
            },
            samples=samples,
            scripts=[Markup(script) for script in scripts],
            script_hashes=digests,
            trained=sum(run["spec"]["training"]["steps"] > 1 for run in body["runs"].values()),
            training_minutes=sum(sum(run["seconds"].values()) for run in body["runs"].values()) / 60,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bumplab.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(wording.FUNCTIONS, symbols=wording.SYMBOLS)
    environment.filters["cell"] = lambda text: re.sub(r"[\s|]+", " ", str(text))
    return environment


def _manifold_figures(claims: Sequence[Mapping[str, Any]], records: Mapping[str, RunRecord]) -> dict[str, Figure]:
    return {
        f"manifold-seed-{record.spec.seed}": figures.manifold_figure(record) for record in _in_full(claims, records)
    }


def _machine(record: RunRecord) -> str:
    """Such as ``x86_64 (AVX512), 1 thread, torch 2.13.0, float32, with umap-learn 0.5.12 and OpenCV 5.0.0``."""
    environment = record.environment
    said = [str(environment.get("device", "unknown device"))]
    if "instructions" in environment:
        said[0] += f" ({environment['instructions']})"
    if "threads" in environment:
        said.append(f"{environment['threads']} thread{'s' if environment['threads'] != 1 else ''}")
    said += [f"torch {environment['torch']}"] if "torch" in environment else []
    said.append(record.arithmetic)
    if record.spec.training.precision == "bf16" and not record.arithmetic.startswith("bf16"):
        said[-1] += " (the profile asks for bf16, which this machine lacks)"
    return ", ".join([*said, *([f"before: {environment['before']}"] if "before" in environment else [])])


def _entries(claim: Mapping[str, Any]) -> Iterator[tuple[str, Runs]]:
    """A claim's own runs, then those of its controls and variations, each with the name of what they are for."""
    yield "", claim.get("conditions", {})
    for kind in ("control", "variation"):
        for entry in claim.get(f"{kind}s", []):
            yield f"{kind} {entry['name']}", entry.get("conditions", {})


def _runs_behind(claim: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every run behind a claim once, with the condition it was first needed for."""
    seen = set()
    for purpose, conditions in _entries(claim):
        for condition, runs in conditions.items():
            for run in runs:
                if run["key"] not in seen:
                    seen.add(run["key"])
                    yield f"{purpose}: {condition}" if purpose else condition, run


def _load(claims: Sequence[Mapping[str, Any]], store: RunStore) -> tuple[dict[str, RunRecord], dict[str, Any]]:
    """The stored runs behind all claims and what is shown of their samples, by key.

    Of most runs only the rows, and what was found in the last samples, are kept in memory.
    """
    in_full = _keys_in_full(claims)
    records: dict[str, RunRecord] = {}
    samples: dict[str, Any] = {}
    checkpoints = max(2, SHEETS // max(1, len({run["key"] for claim in claims for _, run in _runs_behind(claim)})))
    for claim in claims:
        for _, run in _runs_behind(claim):
            key = run["key"]
            if key not in records and (record := store.load(RunSpec.from_dict(run["spec"]))):
                samples[key] = _samples(record, checkpoints)
                records[key] = record if key in in_full else replace(record, evidence=_positions(record))
    return records, samples


def _positions(record: RunRecord) -> dict[str, Any]:
    """Where bumps were asked for and found at the last checkpoint, without images and what is not ours."""
    step, kinds = int(record.rows[-1]["step"]), (".labels", ".positions", ".modes")
    names = [f"{step}/{name}" for name in array_forms(record.spec, step) if name.endswith(kinds)]
    return {name: record.evidence[name] for name in names if name in record.evidence}


def _spaced(steps: Sequence[int], most: int) -> list[int]:
    """At most so many of the steps, evenly among them, the first and the last included."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]


def _samples(record: RunRecord, checkpoints: int) -> dict[str, Any]:
    """A run as a reader meets it: its name, the command that repeats it, and samples at some checkpoints."""
    return {
        "label": record.spec.label(),
        "command": f"python -m bumplab train '{record.spec.to_json()}' --runs-dir again"
        + (" --gpu" if record.environment.get("instructions") == "cuda" else ""),
        "sheets": [
            figures.sample_sheet(record, step, side=SHOWN_SIDE)
            for step in _spaced([int(row["step"]) for row in record.rows], checkpoints)
            if figures.has_samples(record, step)
        ],
    }


def _keys_in_full(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """The runs whose samples and manifolds are shown."""
    conditions: Runs = next((c.get("conditions", {}) for c in claims if c["claim"] == MANIFOLD_CLAIM), {})
    return [run["key"] for run in next(iter(conditions.values()), [])][:MANIFOLD_SEEDS]


def _in_full(claims: Sequence[Mapping[str, Any]], records: Mapping[str, RunRecord]) -> list[RunRecord]:
    """The records of those runs, where they hold what is shown."""
    kept = (records[key] for key in _keys_in_full(claims) if key in records)
    return [record for record in kept if all(figures.has_samples(record, int(row["step"])) for row in record.rows)]


def _run(record: RunRecord) -> dict[str, Any]:
    return {
        "label": record.spec.label(),
        "spec": json.loads(record.spec.to_json()),
        "rows": [{name: v if math.isfinite(v) else None for name, v in row.items()} for row in record.rows],
        "seconds": record.seconds,
        "environment": record.environment,
        "failed": record.failed,
    }
