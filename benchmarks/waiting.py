"""How much of the workers' time is training until the last run begins. Runs are planted: each of them sleeps.

pytest, xdist's workers, the store and the board are real. Called by ``python benchmarks/many.py``.
"""

import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from bumplab.runs.board import Board
from bumplab.runs.store import RunRecord
from tests.pytest_plugin.planted import CONFTEST, VALUE, Suite
from tests.rows import rows_of

SECONDS = 1.0
"""Mean time of a run. Each takes 0.7 to 1.3 times as long."""
CONDITIONS = (1, 1, 2, 2, 3, 5)
"""Conditions of each claim. Each claim has a control with runs of its own, which ends after 5 seeds."""
WITHOUT = "WITHOUT_LATER"
"""Variable of the environment under which no worker trains runs of later looks."""


class Waiting(NamedTuple):
    """``share``: the workers' time that is training, from the first run's begin to the last one's."""

    share: float
    runs: int
    seconds: float
    """From the begin of the first run to the end of the last."""


def train(spec, store, device):
    """Sleeps, publishes rows of 0.5 and notes when. Takes the place of the trainer of `tests.pytest_plugin.planted`."""
    began = time.time()
    time.sleep(SECONDS * (0.7 + 0.6 * (zlib.crc32(spec.to_json().encode()) % 1000) / 1000))
    sign = -1 if spec.data.pairing == "shuffled" else 1
    store.publish(RunRecord(spec, [row | {"image.order": sign * 0.5} for row in rows_of(spec)]), b"")
    with open(store.root / "times", "a") as file:
        file.write(f"{began} {time.time()}\n")


def plant(config):
    """Gives a session this module's trainer."""
    config.pluginmanager.get_plugin("bumplab-claims").obtained.train = train
    if WITHOUT in os.environ:
        Board.later = lambda board: []


def measured(workers: int, later: bool) -> Waiting:
    """One cold session of six claims with their controls, 3 to 14 seeds."""
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(Path(folder) / "suite")
        text = CONFTEST.replace("tests.pytest_plugin.planted import plant, register", "benchmarks.waiting import plant")
        (suite.folder / "conftest.py").write_text(text.replace("\nregister()\n", "\n"))
        for path in suite.folder.glob("claims/*"):
            path.unlink()
        names = ("density", "hole", "sigma", "phases", "coupling", "bottleneck")
        for at, (name, conditions) in enumerate(zip(names, CONDITIONS, strict=True)):
            runs = ", ".join(f"'{'abcde'[i]}': profile.run(seed, dx={at + 0.5 + 0.1 * i:g})" for i in range(conditions))
            control = f'Control("shuffled", "w", runs=lambda p, seed: {{"a": p.shuffled(p.run(seed, dx={at + 0.5}))}}),'
            suite.write(name, VALUE, f"{{{runs}}}", control)
        command = [sys.executable, "-m", "pytest", "claims", "--controls", "-n", str(workers), "-q"]
        environment = suite.environment() if later else suite.environment(**{WITHOUT: "1"})
        done = subprocess.run(command, cwd=suite.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        lines = (suite.folder / ".runs" / "times").read_text().splitlines()
    times = [tuple(map(float, line.split())) for line in lines]
    first, last = min(began for began, _ in times), max(began for began, _ in times)
    busy = sum(min(ended, last) - began for began, ended in times)
    return Waiting(busy / (workers * (last - first)), len(times), max(ended for _, ended in times) - first)


def show(workers: list[int]) -> None:
    """Prints a line for each number of workers, without and with runs of later looks."""
    print("workers' time that is training until the last run begins (planted runs of a second, six claims, controls)")
    for count in workers:
        for later in (False, True):
            share, runs, seconds = measured(count, later)
            name = "with runs of later looks" if later else "without"
            print(f"  {count} workers, {name:<25} {share:6.1%}  {runs} runs in {seconds:.1f} s", flush=True)
