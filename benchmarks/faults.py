"""What survives damage, kills and crowding: ``python benchmarks/faults.py [--mutations N] [--kills N] [--crowd N]``.

Prints a table: faults tried, survived, lost (finished work gone, or a session that cannot go on) and used wrongly (a
number that the undisturbed run does not have). The last two must be 0; the exit status says so.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import safetensors.torch
from filelock import FileLock
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.measure.names import row_names, sample_counts
from bumplab.runs.planner import train_if_free
from bumplab.runs.progress import ProgressFile
from bumplab.runs.sealed import MANIFEST
from bumplab.runs.store import FILES, RunRecord, RunStore, run_key
from bumplab.training import checkpoint
from bumplab.training.loop import start

ROOT = Path(__file__).parents[1]
SMOKE = profiles.get("smoke")
KILL_EVERY = 5
"""Runs that a crowd finishes between two kills: with more kills it would do nothing but start anew."""
KILLS = 8
"""Most kills of one suite."""
SHARE = 0.6
"""Sessions are killed within this share of a whole suite's time: those that go on have less left to do."""
STEPS = "FAULTS_STEPS"
"""Names the file in which the workers of a suite note their steps."""
LENGTHS = 50
"""Lengths that a file is truncated to."""


@dataclass
class Outcome:
    tried: int = 0
    survived: int = 0
    lost: int = 0
    used_wrongly: int = 0


def mutations(count: int, rng: random.Random, unfinished: bool = False) -> Outcome:
    """A stored run, finished or a checkpoint, with one of its files damaged.

    It must be refused, moved aside and reported, or read unchanged.
    """
    outcome = Outcome()
    read = RunStore.load_partial if unfinished else RunStore.load
    with tempfile.TemporaryDirectory() as folder:
        spec, whole = SMOKE.run(0), RunStore(Path(folder) / "whole")
        if unfinished:
            state = start(spec, "cpu")
            row = dict.fromkeys(row_names(spec, 0), 0.0) | {"loss": math.nan}
            row |= {f"{labels}.samples": float(count) for labels, count in sample_counts(spec, 0).items()}
            record = RunRecord(spec, [row], {"0/x": np.zeros((8, 8), np.float32)})
            whole.save_partial(record, safetensors.torch.save(checkpoint.to_tensors(state)))
        else:
            train_if_free(spec, whole, "cpu")
        expected = read(whole, spec)
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
                    found = read(store, spec)
            except Exception:
                outcome.lost += 1
            else:
                if found is None:
                    reported = len(said) == 1 and any((store.root / "damaged").glob("*"))
                    outcome.survived += reported
                    outcome.lost += not reported
                elif content(found) == content(expected):  # such as another space in the manifest
                    outcome.survived += 1
                else:
                    outcome.used_wrongly += 1
            shutil.rmtree(store.root)
    return outcome


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


def content(read: RunRecord | tuple[RunRecord, bytes]) -> tuple[str, dict[str, bytes], bytes]:
    """All that a run's numbers come from and are judged by, comparable where they are NaN."""
    record, weights = read if isinstance(read, tuple) else (read, b"")
    said = repr((record.rows, record.failed, record.environment))
    return said, {name: value.tobytes() for name, value in record.evidence.items()}, weights


def kills(count: int, rng: random.Random, claims: str = "phases or hole") -> Outcome:
    """A smoke suite of two workers killed at random: it must end as one that was never killed.

    Every other time at a random step, else at a random moment, which mostly finds it importing. A suite
    that repeats more than the steps since a run's last checkpoint has lost work.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        verdicts(Path(folder) / "compiles", claims)
        began = time.monotonic()
        expected = verdicts(Path(folder) / "whole", claims)
        length = time.monotonic() - began
        steps = len(_steps(Path(folder) / "whole"))
        while outcome.tried < count:
            place = Path(folder) / f"killed-{outcome.tried}"
            hits, goes_on = 0, True
            while goes_on and hits < KILLS and outcome.tried < count:
                by_step = outcome.tried % 2 == 0
                done = len(_steps(place))
                until = rng.randint(done + 1, max(done + 1, steps)) if by_step else math.inf
                within = 10 * length if by_step else rng.uniform(0, length * SHARE)
                goes_on = killed(place, claims, within, until)
                hits += goes_on
                outcome.tried += goes_on
            found = verdicts(place, claims)
            again = repeated(_steps(place))
            lost = found is None or max(again, default=0) > SMOKE.base.measure.every
            outcome.lost += hits * lost
            outcome.used_wrongly += hits * (found is not None and found != expected)
            outcome.survived += hits * (not lost and found == expected)
            shutil.rmtree(place)
            print(f"{outcome.tried} kills, {outcome.survived} survived; steps repeated: {again}", flush=True)
    return outcome


def killed(place: Path, claims: str, within: float, until: float) -> bool:
    """Starts a session and kills it with its workers once so many steps are noted, or so many seconds over.

    False where it ends before.
    """
    process = subprocess.Popen(**command(place, claims), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    while process.poll() is None:
        if len(_steps(place)) >= until or time.monotonic() - began > within:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.01)
    return False


def _steps(place: Path) -> list[str]:
    """The steps that a suite has noted: worker, run and step."""
    noted = place / STEPS
    return noted.read_text().splitlines() if noted.exists() else []


def command(place: Path, claims: str) -> dict[str, Any]:
    options = ["--profile", "smoke", "--seeds", "2", "--max-seeds", "2", "-n", "2", "-k", claims, "-q"]
    place.mkdir(exist_ok=True)
    return {
        "args": [
            *(sys.executable, "-m", "pytest", "claims", *options, "-p", "benchmarks.faults"),
            *("--runs-dir", str(place / "runs"), "--report", str(place / "report.html")),
        ],
        "cwd": ROOT,
        "env": os.environ | {STEPS: str(place / STEPS), "NUMBA_CACHE_DIR": str(place.parent / "compiled")},
        "start_new_session": True,
    }


def pytest_configure() -> None:
    """For the suite that is killed: each worker notes every step of a run, and where it took the run up.

    UMAP is compiled once for all its sessions: most kills of a session that compiles for 20 s would find it at that.
    """
    if path := os.environ.get(STEPS):
        numba.njit = partial(_cached, numba.njit)
        update = ProgressFile.update

        def noted(self: ProgressFile, step: int) -> None:
            with open(path, "a") as log:
                log.write(f"{os.getpid()} {self.progress.key} {step}\n")
            update(self, step)

        ProgressFile.update = noted  # type: ignore[method-assign]


def _cached(njit: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return njit(*args, **{"cache": True} | options)


def repeated(log: list[str]) -> list[int]:
    """How many steps of a run were trained before that whoever took it up, each time, trained again."""
    trainer: dict[str, str] = {}
    reached: dict[str, int] = {}
    again = []
    for process, key, step in map(str.split, log):
        if trainer.setdefault(key, process) != process:
            trainer[key] = process
            again.append(reached[key] - int(step))
        reached[key] = int(step)
    return again


def verdicts(place: Path, claims: str) -> str | None:
    """What a session says but for its times, or None where it came to no report in ten minutes."""
    try:
        subprocess.run(**command(place, claims), capture_output=True, check=False, timeout=600)
        body = json.loads((place / "report.json").read_text())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    for claim in body["claims"]:
        claim.pop("process_seconds")
    for run in body["runs"].values():
        run.pop("seconds")
    return json.dumps([body["claims"], body["runs"]], sort_keys=True)


def crowd(runs: int, rng: random.Random, processes: int = 8, locked: bool = True) -> Outcome:
    """Processes that want the same runs in other orders, one killed now and then: each run is finished exactly once.

    A process that ends with an error of its own is a loss too: of two that train one run, the later cannot publish it.
    Without locks (``locked`` false, a control) that must be seen.
    """
    outcome = Outcome(tried=runs)
    small = replace(SMOKE.base, training=replace(SMOKE.base.training, steps=2))
    specs = [replace(SMOKE.rendered(small, "true"), seed=seed) for seed in range(runs)]
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")

        def begin():
            worker = context.Process(target=_want, args=(specs, folder, rng.random(), locked))
            worker.start()
            return worker

        workers, next_kill, store = [begin() for _ in range(processes)], 1, RunStore(Path(folder))
        while any(worker.is_alive() for worker in workers):
            time.sleep(rng.uniform(0, 0.5))
            victim = rng.randrange(processes)
            if sum(map(store.has, specs)) >= next_kill and workers[victim].is_alive():
                next_kill += KILL_EVERY
                workers[victim].kill()
                workers[victim].join()
                workers[victim] = begin()
        outcome.lost += sum(worker.exitcode != 0 for worker in workers)
        log = Path(folder) / "log"
        finished = Counter(log.read_text().split() if log.exists() else [])
        for spec in specs:
            record = store.load(spec)
            outcome.lost += record is None
            outcome.used_wrongly += record is not None and finished[run_key(spec)] > 1
            outcome.survived += record is not None and finished[run_key(spec)] <= 1
    return outcome


def _want(specs: list[RunSpec], folder: str, seed: float, locked: bool) -> None:
    """Trains or awaits every run, in an order of its own; notes each that it has finished."""
    if not locked:
        RunStore.lock = lambda self, key: FileLock(self.root / f"{key}-{os.getpid()}", timeout=0)  # type: ignore[method-assign]
    store, order = RunStore(Path(folder)), random.Random(seed).sample(specs, len(specs))
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
    for kind, default in (("mutations", 500), ("kills", 200), ("crowd", 200)):
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
    ):
        if count:
            found = of_kind(count, random.Random(options.seed))
            bad += found.lost + found.used_wrongly
            table.add_row(name, *map(str, (found.tried, found.survived, found.lost, found.used_wrongly)))
    Console().print(table)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
