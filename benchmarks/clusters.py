"""What a Dask cluster costs: ``python benchmarks/clusters.py [--rounds N] [--workers N] [--runs N]``.

- ``--rounds N``: a smoke session by ``-n 2`` and by ``--dask local:2``, in turn, N times. Prints ratios of their times.
- ``--workers N --runs M``: M planted runs of one second on N workers. Prints the share of time that the workers work,
  and the processor time of the session's process for a run.

`worker_kills` is a part of `benchmarks/faults.py`.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.kills import ROOT, Outcome, command, difference, kept_for_a_look, verdicts
from bumplab.config import RunSpec
from bumplab.runs.store import RunStore
from tests.runs.farm import CONFIG, Farm, record_of, session, specs

LOOKS = ["--seeds", "4", "--max-seeds", "4"]
"""Of all claims at smoke: 52 runs."""
WEIGHTS = 400_000
"""Bytes of weights that travel home with the rows of a planted run. A smoke run has as many."""
WORKERS_A_PROCESS = 8
HOSTS = """
import asyncio, sys
from distributed import Worker

async def main(address, count, folder):
    workers = [await Worker(address, nthreads=1, dashboard=False, local_directory=folder) for _ in range(count)]
    await asyncio.gather(*(worker.finished() for worker in workers))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
"""
PUBLISHED = "CLUSTERS_PUBLISHED"
"""Names the file in which a session notes each run that it stores."""


def overhead(rounds: int) -> None:
    """Wall and processor time of a smoke session on two workers by Dask, as a ratio to that by xdist."""
    times: dict[str, list[tuple[float, float]]] = {"-n 2": [], "--dask local:2": []}
    with tempfile.TemporaryDirectory() as folder:
        verdicts(Path(folder) / "compiles", "sigma")
        for number in range(rounds):
            for way in sorted(times, reverse=number % 2 == 0):
                place = Path(folder) / f"{number}{way}"
                began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
                options = [*LOOKS, *way.split()]
                subprocess.run(**command(place, "", options), check=True, capture_output=True)
                wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
                spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                stored = len(list((place / "runs" / "results").iterdir()))
                print(f"  {stored} runs, {way}: {wall:.1f} s, processor {spent:.1f} s", flush=True)
                times[way].append((wall, spent))
    for kind, name in enumerate(("wall", "processor")):
        pairs = zip(times["--dask local:2"], times["-n 2"], strict=True)
        ratios = [dask[kind] / xdist[kind] for dask, xdist in pairs]
        print(f"{name} time of --dask local:2 to -n 2: {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def _sleep(log: str, weights: int, spec: RunSpec, store: RunStore, device: str) -> None:
    """A run of one second, which notes how long it took."""
    began = time.monotonic()
    time.sleep(1.0)
    store.publish(record_of(spec), bytes(weights))
    with open(log, "a") as file:
        file.write(f"{time.monotonic() - began}\n")


def share(workers: int, runs: int, weights: int) -> None:
    """The share of time that workers work, from the first submission until the last run is stored."""
    import psutil

    with tempfile.TemporaryDirectory() as text, ExitStack() as stack:
        folder, hosts = Path(text), []
        farm = stack.enter_context(Farm(folder / "farm"))
        environment = os.environ | CONFIG | {"PYTHONPATH": str(ROOT)}
        for first in range(0, workers, WORKERS_A_PROCESS):
            count = min(WORKERS_A_PROCESS, workers - first)
            arguments = [sys.executable, "-c", HOSTS, farm.address, str(count), text]
            hosts.append(subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL))
            stack.callback(hosts[-1].wait)
            stack.callback(hosts[-1].kill)
        parts = {"session": [os.getpid()], "scheduler": [farm.scheduler.pid], "workers": [host.pid for host in hosts]}

        def spent() -> dict[str, float]:
            times = {name: [psutil.Process(pid).cpu_times() for pid in pids] for name, pids in parts.items()}
            return {name: sum(part.user + part.system for part in of_name) for name, of_name in times.items()}

        train = partial(_sleep, str(folder / "log"), weights)
        while True:  # the first answers of workers, which import torch, are not measured
            with session(folder / "warm", farm.address, train, wait=300) as cluster:
                cluster.obtain(specs(2 * len(cluster.workers)))
                if len(cluster.workers) == workers:
                    break
        with session(folder / "runs", farm.address, train) as cluster:
            began, before = time.monotonic(), spent()
            cluster.obtain(specs(runs))
            wall, after = time.monotonic() - began, spent()
        took = [float(text) for text in (folder / "log").read_text().split()[-runs:]]
        worked = sum(took) / workers / wall
        print(f"{runs} runs of {sum(took) / runs:.2f} s on {workers} workers: {wall:.1f} s, worked {worked:.1%}")
        for name in parts:
            print(f"processor time of the {name}: {1000 * (after[name] - before[name]) / runs:.0f} ms a run")


def worker_kills(count: int, rng: random.Random) -> Outcome:
    """A smoke session of 52 runs on four workers, one killed now and then: it ends as one that was never disturbed.

    Each run is stored once. As root each worker is in a network namespace of its own and does not see the store.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as text, networks(4, hidden=Path(text) / "sessions") as network:
        folder, sessions = Path(text), Path(text) / "sessions"
        sessions.mkdir()
        expected = verdicts(folder / "whole", "", LOOKS)
        os.environ["PYTHONPATH"], os.environ["NUMBA_CACHE_DIR"] = str(ROOT / "tests" / "site"), str(folder / "compiled")
        with Farm(folder / "farm", **network) as farm:
            for number in range(4):
                farm.add(f"w{number}")
            while outcome.tried < count:
                place = sessions / str(outcome.tried)
                kills, stored, printed = _killed_session(place, farm, count - outcome.tried, rng)
                outcome.tried += kills
                ended, once = "[100%]" in printed, max(stored.values(), default=0) <= 1
                found = verdicts(place, "", LOOKS)  # trains nothing: what it says is of the stored runs
                lost = not ended or len(list((place / "runs" / "results").iterdir())) < 52 or found is None
                wrong = not once or (found is not None and found != expected)
                outcome.lost += kills * lost
                outcome.used_wrongly += kills * wrong
                outcome.survived += kills * (not lost and not wrong)
                print(f"{kills} kills, {len(stored)} runs came home, each once: {once}", flush=True)
                if lost or wrong:
                    print(f"kept in {kept_for_a_look(place)}: {difference(expected, found)}\n{printed}", flush=True)
    return outcome


def _killed_session(place: Path, farm: Farm, most: int, rng: random.Random) -> tuple[int, Counter[str], str]:
    """A session whose workers are killed: the kills, how often the session stored each run, and what it printed."""
    arguments = command(place, "", [*LOOKS, "--dask", farm.address, "-p", "benchmarks.clusters"])
    arguments["env"] |= {PUBLISHED: str(place / "published"), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'site'}"}
    (place / "published").touch()
    kills = 0
    with open(place / "printed", "w") as printed:
        process = subprocess.Popen(**arguments, stdout=printed, stderr=printed)
    while process.poll() is None:
        time.sleep(rng.uniform(2, 8))
        if kills < most and (place / "runs" / "progress").exists():
            kills += _kill_worker(farm, rng)
    return kills, Counter((place / "published").read_text().split()), (place / "printed").read_text()


def _kill_worker(farm: Farm, rng: random.Random) -> bool:
    """Kills the process of a worker. Its nanny starts another."""
    import psutil

    with suppress(psutil.Error, IndexError):
        nanny = psutil.Process(rng.choice(list(farm.workers.values())).pid)
        workers = [child for child in nanny.children() if "spawn_main" in " ".join(child.cmdline())]
        rng.choice(workers).kill()
        return True
    return False


@contextmanager
def networks(count: int, hidden: Path | None = None) -> Iterator[dict[str, Any]]:
    """Network namespaces on one bridge, as `Farm` takes them. Without root there are none, and a line says so.

    The scheduler is outside, at 10.77.0.254. Worker K is in the namespace ``bumplab-K``, and sees nothing in the folder
    ``hidden``.
    """
    if os.geteuid() != 0 or subprocess.run(["ip", "netns"], capture_output=True, check=False).returncode:
        print("network namespaces need root and `ip`: the workers share this machine's network", flush=True)
        yield {}
        return
    lines = ["link add bumplab type bridge", "addr add 10.77.0.254/24 dev bumplab", "link set bumplab up"]
    for number in range(1, count + 1):
        name = f"bumplab-{number}"
        lines += [f"netns add {name}", f"link add {name} type veth peer name eth0 netns {name}"]
        lines += [f"link set {name} master bumplab up", f"-n {name} addr add 10.77.0.{number}/24 dev eth0"]
        lines += [f"-n {name} link set eth0 up", f"-n {name} link set lo up"]

    def inside(number: int) -> list[str]:
        """The words before the command of the scheduler (0) and of each worker."""
        if not number:
            return []
        words = ["ip", "netns", "exec", f"bumplab-{number}"]  # it gives the command mounts of its own, too
        return words if hidden is None else [*words, "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)]

    try:
        for words in lines:
            subprocess.run(["ip", *words.split()], check=True)
        yield {"host": "10.77.0.254", "prefix": inside}
    finally:
        for number in range(1, count + 1):
            subprocess.run(["ip", "netns", "del", f"bumplab-{number}"], check=False)
        subprocess.run(["ip", "link", "del", "bumplab"], check=False)


def pytest_configure() -> None:
    """For a session on a cluster: notes each run that it stores."""
    if path := os.environ.get(PUBLISHED):
        publish = RunStore.publish

        def noted(self: RunStore, record: Any, weights: bytes) -> None:
            publish(self, record, weights)
            with open(path, "a") as log:
                log.write(f"{record.key}\n")

        RunStore.publish = noted  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=0, help="of two sessions each")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--weights", type=int, default=WEIGHTS, help="bytes of a planted run")
    options = parser.parse_args()
    if options.rounds:
        overhead(options.rounds)
    if options.workers:
        share(options.workers, options.runs, options.weights)


if __name__ == "__main__":
    main()
