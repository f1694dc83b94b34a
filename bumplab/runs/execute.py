"""Trains one run from its last checkpoint to its result. The only module that joins training, measuring and storing."""

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
from bumplab.runs.store import LONGEST, RunRecord, RunStore, Unreadable, arithmetic, require_room_in_files
from bumplab.terminal import line
from bumplab.training import checkpoint, speed
from bumplab.training.loop import TrainingDiverged, TrainState, start, train

REASON = LONGEST // 4
"""Most characters kept of the reason why a run failed: each has up to four bytes."""
BEFORE = "before"
"""In a run's environment: what it was before the run was taken up elsewhere."""


def execute(spec: RunSpec, store: RunStore, device: str) -> None:
    """Trains, measures and publishes ``spec``. Only for the holder of its lock.

    Every measurement is a checkpoint: killed at any moment, the next call repeats at most the steps since the last
    one and ends in the same weights and rows. A run is published as failed if it diverged, or if it drew or measured
    after some training what cannot be stored. Raises `SamplesNotFinite` or `Unreadable` where it did before any.
    """
    require_room_in_files(spec)
    speed.configure(device)
    record, state = _resume(spec, store, device)
    record.environment = _described(record, device)
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
                if not record.rows:  # before any training: not the seed is broken, but the program
                    raise SamplesNotFinite(
                        f"{spec.label()}: {error} before any training, which is no seed's fault: try another spec, "
                        f"or another machine"
                    ) from error
                record.failed = f"at step {step} {error}"
                break
            evidence = {f"{step}/{name}": value for name, value in measurement.evidence.items()}
            record.rows.append({"step": step, "loss": loss, **measurement.row})
            record.evidence |= evidence
            try:
                with _timed(record, "storing"):
                    store.save_partial(record, safetensors.torch.save(checkpoint.to_tensors(state)))
            except Unreadable as error:
                record.rows.pop()
                record.evidence = {name: array for name, array in record.evidence.items() if name not in evidence}
                if not record.rows:  # as above: the program is broken, not the seed
                    raise
                record.failed = line(f"at step {step} {error}")[:REASON]
                break
    state.update = None  # it refers to the state, which would keep a GPU's memory until Python looks for cycles
    weights = {name: value.detach().cpu().contiguous() for name, value in state.averaged.named_parameters()}
    store.publish(record, safetensors.torch.save(weights))


def _resume(spec: RunSpec, store: RunStore, device: str) -> tuple[RunRecord, TrainState]:
    while found := store.load_partial(spec):
        record, weights = found
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
            store.set_aside(store.root / "partial" / record.key / f"{step:09d}", f"weights cannot be read ({error})")
    return RunRecord(spec), start(spec, device)


def _described(record: RunRecord, device: str) -> dict[str, Any]:
    """Where the run goes on and, if that is not all as it was, what was otherwise before, and up to which step."""
    now = speed.describe(device)
    if other := {name: value for name, value in record.environment.items() if now.get(name) != value}:
        said = [f"{name} {value}" for name, value in sorted(other.items()) if name != BEFORE]
        earlier = [str(other[BEFORE])] if BEFORE in other else []
        if said:
            earlier.append(f"{', '.join(said)} up to step {record.rows[-1]['step']:g}")
        now[BEFORE] = "; ".join(earlier)[-LONGEST // 2 :]
    return now


@contextmanager
def _timed(record: RunRecord, kind: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        record.seconds[kind] = record.seconds.get(kind, 0.0) + time.perf_counter() - began
