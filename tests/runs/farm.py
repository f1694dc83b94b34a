"""A real Dask scheduler and real workers, each a process with a folder of its own, and trainers that plant runs."""

import contextlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from bumplab import profiles
from bumplab.runs import deadline
from bumplab.runs.board import Board
from bumplab.runs.cluster.engine import Cluster
from bumplab.runs.cluster.options import ClusterOptions
from bumplab.runs.cluster.worker import TOKEN
from bumplab.runs.planner import train_here
from bumplab.runs.store import RunRecord, RunStore
from tests.rows import rows_of

ROOT = Path(__file__).parents[2]
SMOKE = profiles.get("smoke")
CONFIG = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__MONITOR_INTERVAL": "1s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "5s",
}
"""What docs/clusters.md sets for a scheduler and for workers."""


class Farm:
    """A scheduler and workers on this machine. A context manager, which ends all of them.

    ``prefix`` is put before a command, as to run it in a network namespace: it gives the words for the scheduler (0)
    and for each worker (1, 2, ...).
    """

    def __init__(self, folder, host="127.0.0.1", prefix=lambda number: []):
        self.folder, self.host, self.prefix = folder, host, prefix
        self.processes = []
        self.workers = {}
        """The process of each worker by its name. With a nanny it is the nanny's."""

    def __enter__(self):
        file = self.folder / "scheduler.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        words = ["--host", self.host, "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        self.scheduler = self._start(0, "dask_scheduler", words, self.folder / "scheduler")
        while not (file.exists() and file.read_text()):
            assert self.scheduler.poll() is None, (self.folder / "scheduler" / "log").read_text()
            time.sleep(0.05)
        self.address = json.loads(file.read_text())["address"]
        return self

    def __exit__(self, *_):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()

    def add(self, name, *words, nanny=True, threads=1, **environment):
        """Starts a worker, which joins some seconds later."""
        folder = self.folder / name
        words = [
            *(self.address, "--name", name, "--nthreads", str(threads), "--no-dashboard"),
            *("--local-directory", str(folder / "own"), "--nanny" if nanny else "--no-nanny", *words),
        ]
        number = len(self.processes)
        self.workers[name] = self._start(number, "dask_worker", words, folder, WORKER=name, **environment)

    def _start(self, number, module, words, folder, **environment):
        folder.mkdir(parents=True)
        first = environment.pop("FIRST_PATH", None)
        path = os.pathsep.join(filter(None, [first, str(ROOT), os.environ.get("PYTHONPATH")]))
        command = [*self.prefix(number), sys.executable, "-m", f"distributed.cli.{module}", *words]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=os.environ | CONFIG | {"PYTHONPATH": path} | environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process


@contextlib.contextmanager
def session(root, address, train=None, shares=False, minutes=None, wait=30.0, grace=30.0, also_runs=(), gpu=False):
    """The engine of a session on the store at ``root``. ``shares`` tells whether workers see the store."""
    board, store = Board(root, "session"), RunStore(root)
    options = ClusterOptions(address, wait, grace, gpu)
    cluster = Cluster(options, board, store, deadline.Deadline(minutes), also_runs)
    cluster.train = train
    cluster.connect()
    board.open()
    board.begin([], [])
    try:
        cluster.start()
        if not shares:  # as where the folder of this name is another one on the workers' hosts
            (board.folder / TOKEN).write_text("of another session")
        yield cluster
    finally:
        cluster.close()
        board.close()


def specs(count, first=0):
    """Runs of equal length with the seeds from ``first`` on."""
    return [SMOKE.run(seed) for seed in range(first, first + count)]


def planted(log, seconds=0.0):
    """A trainer that sleeps, publishes rows of the spec's seed, and notes begin and end in the file ``log``."""
    return partial(_plant, str(log), seconds)


def _plant(log, seconds, spec, store, device):
    name = os.environ.get("WORKER", "main")
    note(log, "begins", spec, name)
    until = time.monotonic() + float(os.environ.get("SLOW", seconds))
    while time.monotonic() < until:
        time.sleep(0.02)
    if "DIES" in os.environ:
        os.kill(os.getpid(), 9)
    store.publish(record_of(spec), b"")
    note(log, "ends", spec, name)
    note(log, str(store.root), spec, name)


def planted_once(log, seconds):
    """The trainer of `planted`, which fails where another worker has begun the run before."""
    return partial(_plant_once, str(log), seconds)


def _plant_once(log, seconds, spec, store, device):
    if spec.seed in dict(noted(log, "begins")):
        note(log, "fails", spec, os.environ["WORKER"])
        raise RuntimeError("CUDA error")
    _plant(log, seconds, spec, store, device)


def planted_third(log, seconds):
    """The trainer of `planted`, but the first run of the worker "slow" fails late there, and kills a second worker."""
    return partial(_plant_third, str(log), seconds)


def _plant_third(log, seconds, spec, store, device):
    name, before = os.environ["WORKER"], [name for seed, name in noted(log, "begins") if seed == spec.seed]
    if before == ["slow"]:
        note(log, "begins", spec, name)
        os.kill(os.getpid(), 9)
    if not before and name == "slow":
        note(log, "begins", spec, name)
        time.sleep(float(os.environ["SLOW"]))
        raise RuntimeError("CUDA error")
    _plant(log, seconds, spec, store, device)


def trained(log):
    """A trainer that trains, and notes each step and its process in the file ``log``."""
    return partial(_train, str(log))


def _train(log, spec, store, device):
    train_here(spec, store, device, tell=lambda step: note(log, f"step {step}", spec, os.getpid()))


def steps(log):
    """(process, step) of each step that `trained` noted."""
    lines = [line.split("\t") for line in Path(log).read_text().splitlines()] if Path(log).exists() else []
    return [(int(process), int(what.split()[1])) for what, _, process in lines]


def record_of(spec):
    return RunRecord(
        spec, [row | {"image.order": spec.seed / 1000} for row in rows_of(spec)], seconds={"training": 1.0}
    )


def dies_of(spec, store, device):
    """A trainer that takes its process with it."""
    os.kill(os.getpid(), 9)


def fails(spec, store, device):
    """A trainer with an error of its own."""
    raise RuntimeError("CUDA error:\nout of memory")


def hoards(spec, store, device):
    """A trainer that takes more memory than a worker may have."""
    hoard = []
    while True:
        hoard.append(b"x" * 2**24)
        time.sleep(0.02)


def note(log, what, spec, name):
    with open(log, "a") as file:
        file.write(f"{what}\t{spec.seed}\t{name}\n")


def noted(log, what):
    """(seed, worker) of each line that begins with this word."""
    lines = [line.split("\t") for line in Path(log).read_text().splitlines()] if Path(log).exists() else []
    return [(int(seed), name) for word, seed, name in lines if word == what]


def until(condition):
    """Waits until this holds; a test that waits in vain ends after a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
