"""What survives damage, kills and crowding: ``python benchmarks/faults.py [--mutations N] [--kills N] [--crowd N]``.

Prints a table: faults tried, survived, lost (finished work gone, or a session that cannot go on) and used wrongly (a
number that the undisturbed run does not have). The last two must be 0; the exit status says so.
"""

from __future__ import annotations

import argparse
import json
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
from dataclasses import dataclass, replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.runs.planner import train_if_free
from bumplab.runs.sealed import MANIFEST
from bumplab.runs.store import FILES, RunRecord, RunStore, run_key

ROOT = Path(__file__).parents[1]
SMOKE = profiles.get("smoke")
KILL_EVERY = 5
"""Runs that a crowd finishes between two kills: with more kills it would do nothing but start anew."""
LENGTHS = 50
"""Lengths that a file is truncated to."""


@dataclass
class Outcome:
    tried: int = 0
    survived: int = 0
    lost: int = 0
    used_wrongly: int = 0


def mutations(count: int, rng: random.Random) -> Outcome:
    """A stored run with one of its files damaged: it must be refused, moved aside and reported, or read unchanged."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        spec, whole = SMOKE.run(0), RunStore(Path(folder) / "whole")
        train_if_free(spec, whole, "cpu")
        expected = whole.load(spec)
        assert expected is not None
        for number in range(count):
            store = RunStore(Path(folder) / "damaged")
            shutil.copytree(whole.root, store.root)
            name = sorted({*FILES, MANIFEST})[number % (len(FILES) + 1)]
            mutate(store.path(run_key(spec)) / name, number // (len(FILES) + 1), rng)
            outcome.tried += 1
            try:
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    found = store.load(spec)
            except Exception:
                outcome.lost += 1
            else:
                if found is None:
                    reported = len(said) == 1 and any((store.root / "damaged").glob("*"))
                    outcome.survived += reported
                    outcome.lost += not reported
                elif same(found, expected):  # such as another space in the manifest
                    outcome.survived += 1
                else:
                    outcome.used_wrongly += 1
            shutil.rmtree(store.root)
    return outcome


def mutate(path: Path, number: int, rng: random.Random) -> None:
    """Damages a file: a bit flipped at its head, anywhere or at its end, cut short, longer, zeroed, or gone."""
    data = bytearray(path.read_bytes())
    kind = number % 7
    if kind < 3:
        at = (rng.randrange(min(16, len(data))), rng.randrange(len(data)), len(data) - 1)[kind]
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 3:
        del data[len(data) * (number // 7 % LENGTHS) // LENGTHS :]
    elif kind == 4:
        data += rng.randbytes(8)
    elif kind == 5:
        first = rng.randrange(len(data))
        data[first : first + 512] = bytes(min(512, len(data) - first))
    else:
        path.unlink()
        return
    path.write_bytes(data)


def same(a: RunRecord, b: RunRecord) -> bool:
    arrays = [{name: value.tobytes() for name, value in record.evidence.items()} for record in (a, b)]
    return repr(a.rows) == repr(b.rows) and arrays[0] == arrays[1]


def kills(count: int, rng: random.Random) -> Outcome:
    """A smoke suite of two workers killed at random moments: it must end as one that was never killed."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        expected = verdicts(Path(folder) / "whole")
        length = time.monotonic() - began
        while outcome.tried < count:
            place = Path(folder) / f"killed-{outcome.tried}"
            killed = 0
            while killed < 8 and outcome.tried < count:
                session = subprocess.Popen(
                    command(place),
                    cwd=ROOT,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
                try:
                    session.wait(rng.uniform(0, length))
                except subprocess.TimeoutExpired:
                    os.killpg(session.pid, signal.SIGKILL)
                    session.wait()
                    killed += 1
                    outcome.tried += 1
                else:
                    break
            found = verdicts(place)
            outcome.survived += killed * (found == expected)
            outcome.lost += killed * (found is None)
            outcome.used_wrongly += killed * (found is not None and found != expected)
            shutil.rmtree(place)
    return outcome


def command(place: Path) -> list[str]:
    options = ["--profile", "smoke", "--seeds", "2", "--max-seeds", "2", "-n", "2", "-k", "phases or hole", "-q"]
    return [
        sys.executable, "-m", "pytest", "claims", *options,
        "--runs-dir", str(place / "runs"), "--report", str(place / "report.html"),
    ]  # fmt: skip


def verdicts(place: Path) -> str | None:
    """What a session says but for its times, or None where it came to no report."""
    subprocess.run(command(place), cwd=ROOT, capture_output=True, check=False)
    try:
        body = json.loads((place / "report.json").read_text())
    except (OSError, ValueError):
        return None
    for claim in body["claims"]:
        claim.pop("process_seconds")
    for run in body["runs"].values():
        run.pop("seconds")
    return json.dumps([body["claims"], body["runs"]], sort_keys=True)


def crowd(runs: int, rng: random.Random, processes: int = 8) -> Outcome:
    """Processes that want the same runs in other orders, one killed now and then: each run is finished exactly once."""
    outcome = Outcome(tried=runs)
    small = replace(SMOKE.base, training=replace(SMOKE.base.training, steps=2))
    specs = [replace(SMOKE.rendered(small, "true"), seed=seed) for seed in range(runs)]
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")

        def begin():
            worker = context.Process(target=_want, args=(specs, folder, rng.random()))
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
        log = Path(folder) / "log"
        finished = Counter(log.read_text().split() if log.exists() else [])
        for spec in specs:
            record = store.load(spec)
            outcome.lost += record is None
            outcome.used_wrongly += record is not None and finished[run_key(spec)] > 1
            outcome.survived += record is not None and finished[run_key(spec)] <= 1
    return outcome


def _want(specs: list[RunSpec], folder: str, seed: float) -> None:
    """Trains or awaits every run, in an order of its own; notes each that it has finished."""
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
