"""Trains one run from its last checkpoint to its result. Only this module joins training, measuring and storing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from bumplab.config import RunSpec
from bumplab.measure.evaluate import evaluate
from bumplab.measure.names import SamplesNotFinite
from bumplab.runs.progress import ProgressFile
from bumplab.runs.record import TEXT_BYTES, RunRecord, Unreadable, arithmetic, require_room_in_files
from bumplab.runs.store import RunStore
from bumplab.terminal import line
from bumplab.training import checkpoint, speed
from bumplab.training.loop import TrainingDiverged, TrainState, start, train

REASON_CHARACTERS = TEXT_BYTES // 4
"""Most characters kept of the reason why a run failed. A character has up to four bytes."""
BEFORE = "before"
"""Key under which a resumed run keeps the environments of earlier machines."""


def execute(spec: RunSpec, store: RunStore, device: str) -> None:
    """Trains, measures and publishes ``spec``. Only for the holder of its lock.

    Every measurement is a checkpoint. The process may be killed at any moment. The next call repeats at most the steps
    since the last checkpoint. It ends in the same weights and rows.

    A run is published as failed if it diverged, or if after some training its samples or rows cannot be stored. Raises
    `SamplesNotFinite` or `Unreadable` where that happens before any training: then the program is broken, not the seed.
    Raises OSError where the disk is full.
    """
    require_room_in_files(spec)
    speed.configure(device)
    record, state = _resume(spec, store, device)
    record.environment = _current_environment(record, device)
    with ProgressFile(store.root, record.key, spec.label(), state.step, spec.training.steps) as progress:
        for step in spec.measured_steps()[len(record.rows) :]:
            try:
                with _timed(record, "training"):
                    loss = train(state, spec, step, progress.update)
                with _timed(record, "measuring"):
                    measurement = evaluate(state.averaged, spec, device, step)
            except TrainingDiverged as error:
                record.failed = str(error)
                break
            except SamplesNotFinite as error:
                if not record.rows:
                    raise SamplesNotFinite(
                        f"{spec.label()}: {error} before any training, which is no seed's fault: try another spec, "
                        f"or another machine"
                    ) from error
                record.failed = f"at step {step} {error}"
                break
            evidence = {f"{step}/{name}": array for name, array in measurement.evidence.items()}
            record.rows.append({"step": step, "loss": loss, **measurement.row})
            record.evidence |= evidence
            try:
                with _timed(record, "storing"):
                    store.save_partial(record, safetensors.torch.save(checkpoint.to_tensors(state)))
            except Unreadable as error:
                record.rows.pop()
                record.evidence = {name: array for name, array in record.evidence.items() if name not in evidence}
                if not record.rows:
                    raise
                record.failed = line(f"at step {step} {error}")[:REASON_CHARACTERS]
                break
    state.update = None  # `update` refers to the state: this cycle would hold a GPU's memory until Python collects it
    weights = {name: value.detach().cpu().contiguous() for name, value in state.averaged.named_parameters()}
    store.publish(record, safetensors.torch.save(weights))


def _resume(spec: RunSpec, store: RunStore, device: str) -> tuple[RunRecord, TrainState]:
    """The record and the state of the newest checkpoint that is sound, or those of an untrained run.

    Raises OSError where the checkpoint was computed in another arithmetic than this machine's.
    """
    while (loaded := store.load_partial(spec)) is not None:
        record, weights = loaded
        step = int(record.rows[-1]["step"])
        if record.arithmetic != (here := arithmetic(spec, speed.describe(device))):
            raise OSError(
                f"{spec.label()} ({record.key}) was computed in {record.arithmetic} up to step {step}, and here it "
                f"would go on in {here}: go on with it as it began, or name another --runs-dir"
            )
        try:
            tensors = safetensors.torch.load(weights)
            return record, checkpoint.from_tensors(spec, tensors, step, device)
        except (KeyError, OverflowError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
            store.set_aside(store.checkpoints(record.key) / f"{step:09d}", f"weights cannot be read ({error})")
    return RunRecord(spec), start(spec, device)


def _current_environment(record: RunRecord, device: str) -> dict[str, Any]:
    """The current environment. If it differs from the checkpoint's, also its old values and up to which step they held.

    The old values are one text, under `BEFORE`.
    """
    current = speed.describe(device)
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
