"""The report's files: one self-contained HTML page, the same as JSON, and a summary in Markdown."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from markupsafe import Markup

from bumplab.config import RunSpec
from bumplab.measure.names import array_forms
from bumplab.report import anyway, charts, document, samples, wording
from bumplab.report.document import ClaimEntry, Report, RunEntry, RunReference
from bumplab.report.rendering import environment
from bumplab.runs.progress import replace_bytes, replace_text
from bumplab.runs.store import RunRecord, RunStore
from bumplab.verdicts.claim import PaperFigure

T = TypeVar("T")
PHASES, DENSITY = "phases", "density"
"""Claims whose runs the page shows beyond their verdicts: the paper's Fig. 3, and the ceiling of eq. 1 by increment."""
MANIFOLD_SEEDS = 3
"""Seeds whose samples and manifolds the page shows at every checkpoint."""
SHOWN_SIDE = 3
"""Samples that a checkpoint shows, squared."""
SHEETS = 900
"""Checkpoints whose samples are shown, over all runs, where `SAMPLES_BYTES` allow it."""
SAMPLES_BYTES = 3_000_000
"""Most bytes of these samples, so that the page of a full session takes 8 MB or less."""


def write(
    report: Report,
    store: RunStore,
    path: Path,
    paper_figures: Mapping[str, PaperFigure],
    figures_to: Path | None = None,
    with_samples: bool = True,
) -> None:
    """Writes the report as HTML to ``path``, and as JSON and Markdown beside it.

    Runs, curves, samples and manifolds come from the store. ``paper_figures`` has the paper's figures by the id of
    their claim. Each figure also goes to the folder ``figures_to``, as SVG and PNG. Without samples the page is
    small: it shows those of Fig. 3 alone, and no figures of controls. Raises OSError where a file cannot be written,
    and ValueError where the report holds what its JSON cannot.
    """
    records, dialogs = _load(report, store, with_samples)
    report = msgspec.structs.replace(report, runs={key: _run(record) for key, record in records.items()})
    for folder in (path.parent, figures_to or path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    replace_bytes(path.with_suffix(".json"), document.encode(report))
    replace_text(path.with_suffix(".md"), environment().get_template("summary.md.j2").render(report=report))
    in_full = _in_full(report, records)
    shown_steps = {key: [sheet["step"] for sheet in dialog["sheets"]] for key, dialog in dialogs.items()}
    first = next((record for record in in_full if record.key == _phases_runs(report)[0].key), None)
    drawn = charts.of_page(report, records, paper_figures, shown_steps, first, with_controls=with_samples)
    replace_text(path, render(report, records, dialogs, drawn, with_samples))
    if figures_to is not None:
        for name, figure in drawn.figures().items():
            for suffix in ("svg", "png"):
                drawing = io.BytesIO()
                figure.savefig(drawing, format=suffix, dpi=200)
                replace_bytes(figures_to / f"{name}.{suffix}", drawing.getvalue())


def render(
    report: Report,
    records: Mapping[str, RunRecord],
    dialogs: Mapping[str, Any],
    drawn: charts.Charts,
    with_samples: bool,
) -> str:
    """The page of a report, from its records and their `_dialog` by key, and its figures."""
    scripts = [(Path(__file__).parent / "templates" / name).read_text() for name in ("manifold.js", "samples.js")]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    viewed = _in_full(report, records) if with_samples else []
    sheets = {}
    for record in viewed:
        sheets[str(record.spec.seed)] = [samples.sheet(record, int(row["step"])) for row in record.rows]
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            scale=wording.evidence_scale(report),
            drawn=drawn,
            machines=sorted({_machine(record) for record in records.values() if record.environment}),
            runs={claim.claim: list(_runs_behind(claim)) for claim in report.claims},
            phases_claim=PHASES,
            has_embedding=any(samples.has_embedding(record) for record in viewed),
            manifolds={str(record.spec.seed): samples.manifold(record) for record in viewed},
            sheets=sheets,
            anyway=_anyway(report, records),
            samples=dialogs,
            with_samples=with_samples,
            label_sets=samples.LABEL_SETS,
            scripts=[Markup(script) for script in scripts],
            script_hashes=hashes,
            trained=sum(record.spec.training.steps > 1 for record in records.values()),
            training_minutes=sum(sum(record.seconds.values()) for record in records.values()) / 60,
        )
    )


def _anyway(report: Report, records: Mapping[str, RunRecord]) -> list[anyway.Row]:
    """What the runs of the phases show without learning, and the ceiling at each increment."""
    density = report.claim(DENSITY)
    by_condition = {}
    for name, runs in density.conditions.items() if density else ():
        by_condition[name] = [records[run.key] for run in runs if run.key in records]
    return anyway.rows([records[run.key] for run in _phases_runs(report) if run.key in records], by_condition)


def _machine(record: RunRecord) -> str:
    """Such as ``x86_64 (AVX512), 1 thread, torch 2.13.0, float32, with umap-learn 0.5.12 and OpenCV 5.0.0``."""
    environment = record.environment
    device = str(environment.get("device", "unknown device"))
    words = [f"{device} ({environment['instructions']})" if "instructions" in environment else device]
    if "threads" in environment:
        words.append(f"{environment['threads']} thread{'s' if environment['threads'] != 1 else ''}")
    if "torch" in environment:
        words.append(f"torch {environment['torch']}")
    lacks_bf16 = record.spec.training.precision == "bf16" and not record.arithmetic.startswith("bf16")
    words.append(record.arithmetic + (" (the profile asks for bf16, which this machine lacks)" if lacks_bf16 else ""))
    if "before" in environment:
        words.append(f"before: {environment['before']}")
    return ", ".join(words)


def _runs_behind(claim: ClaimEntry) -> Iterator[tuple[str, RunReference]]:
    """Every run behind a claim once, with the condition that needs it first: the claim's own, then its controls'."""
    conditions = list(claim.conditions.items())
    for kind, entries in (("control", claim.controls), ("variation", claim.variations)):
        for entry in entries:
            conditions += [(f"{kind} {entry.name}: {name}", runs) for name, runs in entry.conditions.items()]
    listed = set()
    for condition, runs in conditions:
        for run in runs:
            if run.key not in listed:
                listed.add(run.key)
                yield condition, run


def _load(report: Report, store: RunStore, with_samples: bool) -> tuple[dict[str, RunRecord], dict[str, Any]]:
    """The runs behind all claims, and their `_dialog`, both by key. Without samples there are no dialogs.

    Memory holds few runs whole. Of the others it holds the rows and the positions of the last samples. A run that the
    store lacks is that of the report, without arrays.
    """
    references = {run.key: run for claim in report.claims for _, run in _runs_behind(claim)}
    in_full = [run.key for run in _phases_runs(report)[:MANIFOLD_SEEDS]]
    checkpoints = max(2, SHEETS // max(1, len(references)))
    records: dict[str, RunRecord] = {}
    dialogs: dict[str, Any] = {}
    for key, run in references.items():
        spec = RunSpec.from_dict(run.spec)
        record = store.load(spec) or _kept(report.runs.get(key), spec)
        if record is not None:
            if with_samples:
                dialogs[key] = _dialog(record, checkpoints)
            records[key] = record if key in in_full else replace(record, evidence=_positions(record))
    share = SAMPLES_BYTES / max(SAMPLES_BYTES, sum(len(json.dumps(dialog["sheets"])) for dialog in dialogs.values()))
    due = 0.0
    for dialog in dialogs.values():
        due += share * len(dialog["sheets"])
        dialog["sheets"] = _spaced(dialog["sheets"], int(due))
        due -= len(dialog["sheets"])
    return records, dialogs


def _kept(entry: RunEntry | None, spec: RunSpec) -> RunRecord | None:
    """The run as the report keeps it: all rows, and no arrays."""
    if entry is None or not entry.rows or any(row.get("step") is None for row in entry.rows):
        return None
    rows = [{name: math.nan if number is None else number for name, number in row.items()} for row in entry.rows]
    return RunRecord(spec, rows, seconds=entry.seconds, environment=entry.environment, failed=entry.failed)


def _positions(record: RunRecord) -> dict[str, Any]:
    """Arrays of the last checkpoint: where bumps were asked for and found, and the failure modes."""
    step, kinds = int(record.rows[-1]["step"]), (".labels", ".positions", ".modes")
    names = [f"{step}/{name}" for name in array_forms(record.spec, step) if name.endswith(kinds)]
    return {name: record.evidence[name] for name in names if name in record.evidence}


def _spaced(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the items, spaced evenly, with the last and, if there are two or more, the first."""
    if len(items) <= most:
        return list(items)
    if most < 2:
        return list(items[-1:]) if most else []
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _dialog(record: RunRecord, checkpoints: int) -> dict[str, Any]:
    """What the page's dialog shows of a run: its label, the command to repeat it, and samples at some checkpoints."""
    sheets = []
    for step in _spaced([int(row["step"]) for row in record.rows], checkpoints):
        if samples.has_samples(record, step):
            sheets.append({"step": step, "sets": samples.sheets(record, step, SHOWN_SIDE)})
    return {"label": record.spec.label(), "command": _command(record), "sheets": sheets}


def _command(record: RunRecord) -> str:
    """The command that trains the run again. A stored spec imports nothing: the command names a user's subject."""
    words = ["python", "-m", "bumplab", "train", record.spec.to_json(), "--runs-dir", "again"]
    subject = record.spec.subject
    if subject.is_users:
        words += ["--subject", subject.name]
        for name, value in subject.arguments:
            words += ["--subject-arg", f"{name}={value}"]
    if record.environment.get("instructions") == "cuda":
        words.append("--gpu")
    return shlex.join(words)


def _phases_runs(report: Report) -> list[RunReference]:
    """The runs of the first condition of the phases, one a seed."""
    claim = report.claim(PHASES)
    return next(iter(claim.conditions.values()), []) if claim else []


def _in_full(report: Report, records: Mapping[str, RunRecord]) -> list[RunRecord]:
    """The records of its first seeds, where they hold samples and numbers of every checkpoint."""
    keys = [run.key for run in _phases_runs(report)[:MANIFOLD_SEEDS]]
    stored = [records[key] for key in keys if key in records]
    return [record for record in stored if all(samples.has_samples(record, int(row["step"])) for row in record.rows)]


def _run(record: RunRecord) -> RunEntry:
    return RunEntry(
        label=record.spec.label(),
        spec=json.loads(record.spec.to_json()),
        rows=[dict(row) for row in record.rows],  # JSON has null for NaN and infinities
        seconds=record.seconds,
        environment=record.environment,
        failed=record.failed,
    )
