"""What survives damage, kills and crowding: ``python benchmarks/faults.py [--mutations N] [--kills N] [--crowd N]``.

``--cluster N`` kills workers of a Dask cluster, N times (`benchmarks/clusters.py`).

Prints a table: faults tried, survived, lost (finished work gone, or a session that cannot go on) and used wrongly (a
number that the undisturbed run does not have). The last two must be 0; the exit status says so.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path

from filelock import FileLock
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.clusters import worker_kills
from benchmarks.kills import TIMEOUT, Outcome, kills
from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.runs.execute import _resume
from bumplab.runs.planner import train_if_free
from bumplab.runs.sealed import MANIFEST, seal
from bumplab.runs.store import FILES, RunRecord, RunStore, run_key
from bumplab.subjects.diffusion import Unet
from bumplab.subjects.state import to_bytes

SMOKE = profiles.get("smoke")
KILL_EVERY = 5
"""Runs that a crowd finishes between two kills: with more kills it would do nothing but start anew."""
LENGTHS = 50
"""Lengths that a file is truncated to."""


def mutations(count: int, rng: random.Random, unfinished: bool = False) -> Outcome:
    """A stored run, finished or a checkpoint, with one of its files damaged.

    It must be read unchanged, or refused, moved away from its place under a warning that names it, and stored anew.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        spec, whole = SMOKE.run(0), RunStore(Path(folder) / "whole")
        with suppress(KeyboardInterrupt):
            train_if_free(spec, Interrupted(whole.root) if unfinished else whole, "cpu")
        expected = stored(spec, whole, unfinished)
        assert expected is not None
        for number in range(count):
            store = RunStore(Path(folder) / "damaged")
            shutil.copytree(whole.root, store.root)
            place = next(store.root.glob("partial/*/*" if unfinished else "results/*"))
            name = sorted({*FILES, MANIFEST})[number % (len(FILES) + 1)]
            mutate(place / name, number // (len(FILES) + 1), rng)
            outcome.tried += 1
            try:
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    found = stored(spec, store, unfinished)
                again = found is None and moved_away(place, said)
                if again:
                    seal(
                        place,
                        {file: (whole.root / place.relative_to(store.root) / file).read_bytes() for file in FILES},
                    )
                    again = stored(spec, store, unfinished) == expected
            except Exception:
                outcome.lost += 1
            else:
                if found is None:
                    outcome.survived += again
                    outcome.lost += not again
                elif found == expected:  # such as another space in the manifest
                    outcome.survived += 1
                else:
                    outcome.used_wrongly += 1
            shutil.rmtree(store.root)
    return outcome


class Interrupted(RunStore):
    """Where a run ends after its third checkpoint, which its trainer leaves as a killed one does."""

    def save_partial(self, record: RunRecord, weights: bytes) -> None:
        super().save_partial(record, weights)
        if len(record.rows) == 3:
            raise KeyboardInterrupt


def stored(spec: RunSpec, store: RunStore, unfinished: bool = False) -> object:
    """All that the store holds of a run, its weights too, or None; what is unfinished as its training would go on."""
    if unfinished:
        record, learner = _resume(spec, Unet(), store, "cpu")
        return content(record, to_bytes(learner.state())) if record.rows else None
    found = store.load(spec)
    return found and content(found, (store.path(found.key) / "weights.safetensors").read_bytes())


def moved_away(place: Path, said: Sequence[warnings.WarningMessage]) -> bool:
    """Whether the place is free, what was there is kept, and a warning names both."""
    kept = list((place.parents[1 if place.parent.name == "results" else 2] / "damaged").glob("*"))
    named = len(said) == 1 and all(str(path) in str(said[0].message) for path in (place, *kept))
    return named and len(kept) == 1 and not os.path.lexists(place)


def mutate(path: Path, number: int, rng: random.Random) -> None:
    """Damages a file: cut to each of `LENGTHS` in turn and, between two of them, a bit flipped at its head, anywhere or
    at its end, longer, zeroed, or gone."""
    data = bytearray(path.read_bytes())
    turn, cut = divmod(number, 2)
    kind = turn % 6
    if cut:
        del data[len(data) * (turn % LENGTHS) // LENGTHS :]
    elif kind < 3:
        at = (rng.randrange(min(16, len(data))), rng.randrange(len(data)), len(data) - 1)[kind]
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 3:
        data += rng.randbytes(8)
    elif kind == 4:
        first = rng.randrange(len(data))
        data[first : first + 512] = bytes(min(512, len(data) - first))
    else:
        path.unlink()
        return
    path.write_bytes(data)


def content(record: RunRecord, weights: bytes = b"") -> tuple[str, dict[str, bytes], bytes]:
    """All that a run's numbers come from and are judged by, comparable where they are NaN."""
    said = repr((record.rows, record.failed, record.environment))
    return said, {name: value.tobytes() for name, value in record.evidence.items()}, weights


def crowd(runs: int, rng: random.Random, processes: int = 8, locked: bool = True) -> Outcome:
    """Processes that want the same runs in other orders, one killed now and then: each run is finished exactly once.

    A tenth of them is compared with undisturbed ones. A process that ends with an error of its own is a loss too: of
    two that train one run, the later cannot publish it.

    ``locked`` false is a control, whose losses must be seen. Its processes take no locks, and want runs in one order.
    """
    outcome, killed = Outcome(tried=runs), 0
    specs = [replace(SMOKE.rendered(SMOKE.base, "true"), seed=seed) for seed in range(runs)]
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        all_ready = context.Barrier(processes)

        def begin(barrier=None):
            worker = context.Process(target=_want, args=(specs, folder, rng.random(), locked, barrier))
            worker.start()
            return worker

        workers = [begin(all_ready) for _ in range(processes)]
        store, alone = RunStore(Path(folder)), RunStore(Path(folder) / "x")
        while any(worker.is_alive() for worker in workers):
            time.sleep(rng.uniform(0, 0.5))
            victim = rng.randrange(processes)
            if sum(map(store.has, specs)) > KILL_EVERY * killed and workers[victim].is_alive():
                killed += 1
                workers[victim].kill()
                workers[victim].join()
                workers[victim] = begin()
        outcome.lost += sum(worker.exitcode != 0 for worker in workers)
        log = Path(folder) / "log"
        finished = Counter(log.read_text().split() if log.exists() else [])
        compared = set(rng.sample(specs, max(1, runs // 10)))
        for spec in specs:
            found = stored(spec, store)
            wrong = found is not None and finished[run_key(spec)] > 1
            if found is not None and spec in compared:
                train_if_free(spec, alone, "cpu")
                wrong |= found != stored(spec, alone)
            outcome.lost += found is None
            outcome.used_wrongly += wrong
            outcome.survived += found is not None and not wrong
    print(f"the crowd lost {killed} of its processes", flush=True)
    return outcome


def _want(specs: list[RunSpec], folder: str, seed: float, locked: bool, barrier: Barrier | None) -> None:
    """Trains or awaits every run, in a random order. Notes each run that it has finished.

    A process of the first crowd waits at the barrier: on a busy machine, one could finish all before the next begins.
    """
    store, order = RunStore(Path(folder)), random.Random(seed).sample(specs, len(specs))
    if not locked:
        RunStore.lock = lambda self, key: FileLock(self.root / f"{key}-{os.getpid()}", timeout=0)  # type: ignore[method-assign]
        order = specs
    if barrier is not None:
        import bumplab.runs.execute  # noqa: F401 takes seconds, more than a run

        barrier.wait(TIMEOUT)
    while any(not store.has(spec) for spec in order):
        trained = False
        for spec in order:
            if train_if_free(spec, store, "cpu"):
                trained = True
                with open(Path(folder) / "log", "a") as log:
                    log.write(f"{run_key(spec)}\n")
        if not trained:
            time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind, default in (("mutations", 500), ("kills", 200), ("crowd", 200), ("cluster", 30)):
        parser.add_argument(f"--{kind}", type=int, default=default, metavar="N", help=f"{default}; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = Table("fault", "tried", "survived", "lost", "used wrongly", box=SIMPLE_HEAD)
    bad = 0
    for name, of_kind, count in (
        ("a file of a stored run damaged", mutations, options.mutations),
        ("a file of a checkpoint damaged", partial(mutations, unfinished=True), options.mutations),
        ("a suite of two workers killed", kills, options.kills),
        ("8 processes want the same runs, and die", crowd, options.crowd),
        ("a worker of a Dask cluster killed", worker_kills, options.cluster),
    ):
        if count:
            found = of_kind(count, random.Random(options.seed))
            bad += found.lost + found.used_wrongly
            table.add_row(name, *map(str, (found.tried, found.survived, found.lost, found.used_wrongly)))
    Console().print(table)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
