"""Measures stored draws again, where the measurement or its libraries have changed. Nothing is trained."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Literal

import numpy as np
from filelock import Timeout

from bumplab.config import RunSpec
from bumplab.data.label_sets import label_sets
from bumplab.measure.libraries import versions
from bumplab.measure.measure import measure
from bumplab.measure.names import MEASUREMENT
from bumplab.runs import draws
from bumplab.runs.record import Arrays, Row, RunRecord, require_all_numbers
from bumplab.runs.sealed import Damaged
from bumplab.runs.store import RunStore
from bumplab.terminal import line

Outcome = Literal["measured again", "measured as today already", "without draws, so as they were", "busy"]


def measure_if_old(spec: RunSpec, store: RunStore) -> Outcome:
    """Measures a finished run again where its numbers are not those of the current measurement."""
    record = store.load(spec)
    if record is None:
        return "busy"
    if not record.draws:
        return "without draws, so as they were"
    if store.is_current(record):
        return "measured as today already"
    again = measured_again(record, store)
    if again is None:
        return "busy"
    return "measured again" if store.is_current(again) else "without draws, so as they were"


def measured_again(record: RunRecord, store: RunStore) -> RunRecord | None:
    """The same run as the current measurement sees it, which is then stored. ``record`` itself without all its draws.

    None while another process measures it. Only where `RunStore.is_current` denies.
    """
    try:
        with store.lock(record.key):
            if (stored := store.load_measured(record)) is not None:
                return stored
            try:
                again = _measure(record, store)
            except Damaged as error:
                return _as_it_was(record, store, error)
            store.publish_measured(again)
            return again
    except Timeout:
        return None


def _as_it_was(record: RunRecord, store: RunStore, error: Damaged) -> RunRecord | None:
    """The record whose draws are damaged. None where its rows lack a number of today: then it is set aside."""
    try:
        require_all_numbers(record)
    except Damaged:
        store.set_aside(store.path(record.key), f"cannot be measured again: {error}")
        return None
    problem = f"{record.spec.label()} ({record.key}) cannot be measured again: {error}; its numbers stay"
    warnings.warn(line(problem), stacklevel=3)
    return record


def _measure(record: RunRecord, store: RunStore) -> RunRecord:
    """Raises `Damaged` where the draws of a step are missing or not those of the record."""
    spec = record.spec
    rows: list[Row] = []
    evidence: Arrays = {}
    for row in record.rows:
        step = int(row["step"])
        if step not in record.draws:
            raise Damaged(f"draws of step {step} were not kept")
        drawn = draws.load(store.root, record.key, step, record.draws[step], spec)
        measurement = measure(spec, step, label_sets(spec, step == spec.training.steps), drawn)
        for name, array in measurement.evidence.items():
            if name.endswith(".labels") and not np.array_equal(array, record.evidence.get(f"{step}/{name}", array)):
                raise Damaged(f"draws of step {step} were made for other labels than today's code asks for")
        rows.append({"step": row["step"], "loss": row["loss"], **measurement.row})
        evidence |= {f"{step}/{name}": array for name, array in measurement.evidence.items()}
    environment = record.environment | versions()
    return replace(record, rows=rows, evidence=evidence, environment=environment, measurement=MEASUREMENT)
