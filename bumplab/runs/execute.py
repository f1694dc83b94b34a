"""Trains one run from its last checkpoint to its result. Only this module joins training, measuring and storing."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bumplab.config import RunSpec
from bumplab.data.label_sets import label_sets
from bumplab.diffusion import speed
from bumplab.diffusion.checkpoint import OfAnotherModel
from bumplab.measure.libraries import versions
from bumplab.measure.measure import Measurement, measure
from bumplab.measure.names import SamplesNotFinite
from bumplab.measure.sample import Sample
from bumplab.runs import draws, learners
from bumplab.runs.progress import ProgressFile
from bumplab.runs.record import TEXT_BYTES, RunRecord, Unreadable, require_room_in_files
from bumplab.runs.stopping import Stopped, Stops, never
from bumplab.runs.store import RunStore
from bumplab.subjects import state as states
from bumplab.subjects.protocol import Diverged, Learner, Subject
from bumplab.subjects.registry import Named, blaming, require_unchanged, resolve
from bumplab.subjects.sources import SubjectError
from bumplab.subjects.state import StateError
from bumplab.terminal import line

REASON_CHARACTERS = TEXT_BYTES // 4
"""Most characters kept of the reason why a run failed. A character has up to four bytes."""
BEFORE = "before"
"""Key under which a resumed run keeps the environments of earlier machines."""


def execute(
    spec: RunSpec,
    store: RunStore,
    device: str,
    users: Named | None = None,
    stops: Stops = never,
    tell: Callable[[int], None] = lambda step: None,
) -> None:
    """Trains, measures and publishes ``spec``. Only for the holder of its lock. Calls ``tell`` after each step.

    Every measurement is a checkpoint. The process may be killed at any moment. The next call repeats at most the steps
    since the last checkpoint. It ends in the same weights and rows.

    A run is published as failed if it diverged, or if after some training its samples or rows cannot be stored. Raises
    `SamplesNotFinite` or `Unreadable` where that happens before any training: then the program is broken, not the seed.
    Raises `SubjectError` where ``users``, the user's subject, is not the run's or breaks its contract. Raises OSError
    where the disk is full. Raises `Stopped` after a step where ``stops`` says so.
    """
    require_room_in_files(spec)
    subject = resolve(spec.subject, users)
    if device != "cpu":
        gc.collect()  # a learner and its captured steps refer to each other: the last run's hold a GPU's memory
    speed.configure(device)
    try:
        with blaming(users):
            record, learner = _resume(spec, subject, store, device)
    except Diverged as error:
        raise SubjectError(f"{spec.subject.name}: start raises Diverged ({error}): only train may") from error
    record.environment = _current_environment(record, device)
    first = int(record.rows[-1]["step"]) if record.rows else 0
    with ProgressFile(store.root, record.key, spec.label(), first, spec.training.steps) as progress:

        def on_step(step: int) -> None:
            progress.update(step)
            tell(step)
            if stops(spec):
                raise Stopped

        for step in spec.measured_steps()[len(record.rows) :]:
            speed.configure(device)  # UMAP has reset torch's threads
            try:
                with _timed(record, "training"), blaming(users):
                    loss = learner.train(step, on_step)
                with _timed(record, "drawing"):
                    drawn = learners.draw(learner, spec, step, subject, users)
                with _timed(record, "measuring"):
                    measurement = measure(spec, step, label_sets(spec, step == spec.training.steps), drawn)
            except Diverged as error:
                record.failed = line(error)[:REASON_CHARACTERS] or "diverged"
                break
            except SamplesNotFinite as error:
                if not record.rows:
                    raise SamplesNotFinite(
                        f"{spec.label()}: {error} before any training, which is no seed's fault: try another spec, "
                        f"or another machine"
                    ) from error
                record.failed = f"at step {step} {error}"
                break
            try:
                with _timed(record, "storing"):
                    _add(record, store, step=step, loss=loss, drawn=drawn, measurement=measurement)
                    with blaming(users):
                        state = states.to_bytes(learner.state())
                    store.save_partial(record, state)
            except Unreadable as error:
                _withdraw(record, step)
                if not record.rows:
                    raise
                record.failed = line(f"at step {step} {error}")[:REASON_CHARACTERS]
                break
    with blaming(users):
        weights = states.to_bytes(subject.weights(learner))
    if users is not None:
        require_unchanged(users)
    store.publish(record, weights)


def _add(
    record: RunRecord, store: RunStore, *, step: int, loss: float | None, drawn: Sample, measurement: Measurement
) -> None:
    """Adds a checkpoint to the record, and keeps its draws where those of the whole run fit into the limit."""
    keeps_draws = len(record.draws) == len(record.rows)
    if not record.rows:
        keeps_draws = draws.fit(drawn, record.spec, store.draws_bytes)
    record.rows.append({"step": step, "loss": np.nan if loss is None else loss, **measurement.row})
    record.evidence |= {f"{step}/{name}": array for name, array in measurement.evidence.items()}
    if keeps_draws:
        record.draws[step] = draws.save(store.root, record.key, step, drawn)


def _withdraw(record: RunRecord, step: int) -> None:
    """Takes the last checkpoint out of the record."""
    record.rows.pop()
    record.draws.pop(step, None)
    record.evidence = {name: array for name, array in record.evidence.items() if not name.startswith(f"{step}/")}


def _resume(spec: RunSpec, subject: Subject, store: RunStore, device: str) -> tuple[RunRecord, Learner]:
    """The record and the learner of the newest checkpoint that is sound, or those of an untrained run.

    Raises OSError where the checkpoint was computed in another arithmetic than this machine's.
    """
    while (loaded := store.load_partial(spec)) is not None:
        record, weights = loaded
        step = int(record.rows[-1]["step"])
        if record.arithmetic != (here := arithmetic_on(device, spec)):
            raise OSError(
                f"{spec.label()} ({record.key}) was computed in {record.arithmetic} up to step {step}, and here it "
                f"would go on in {here}: go on with it as it began, or name another --runs-dir"
            )
        try:
            return record, learners.start(spec, subject, device, (step, states.from_bytes(weights)))
        except (StateError, OfAnotherModel) as error:
            store.set_aside(store.checkpoints(record.key) / f"{step:09d}", f"weights cannot be read ({error})")
    record = RunRecord(spec)
    store.forget_draws(record.key)
    return record, learners.start(spec, subject, device)


def arithmetic_on(device: str, spec: RunSpec) -> str:
    """`RunRecord.arithmetic` of a run that begins now."""
    return RunRecord(spec, environment=_environment(device)).arithmetic


def _environment(device: str) -> dict[str, Any]:
    return speed.describe(device) | versions()


def _current_environment(record: RunRecord, device: str) -> dict[str, Any]:
    """The current environment. If it differs from the checkpoint's, also its old values and up to which step they held.

    The old values are one text, under `BEFORE`.
    """
    current = _environment(device)
    old = {name: value for name, value in record.environment.items() if current.get(name) != value}
    periods = [str(old.pop(BEFORE))] if BEFORE in old else []
    if old:
        values = ", ".join(f"{name} {value}" for name, value in sorted(old.items()))
        periods.append(f"{values} up to step {record.rows[-1]['step']:g}")
    if periods:
        current[BEFORE] = "; ".join(periods)[-TEXT_BYTES // 2 :]
    return current


@contextmanager
def _timed(record: RunRecord, kind: str) -> Iterator[None]:
    """Adds the wall time of its block to the record's seconds of this kind."""
    began = time.perf_counter()
    try:
        yield
    finally:
        record.seconds[kind] = record.seconds.get(kind, 0.0) + time.perf_counter() - began
