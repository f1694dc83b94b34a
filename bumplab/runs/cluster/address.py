"""Reaches a Dask scheduler, or starts one here with its workers. What goes wrong is one line."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar

from bumplab.runs.cluster.identity import SubjectByName
from bumplab.runs.cluster.worker import problem_here
from bumplab.terminal import line

CONNECT = 10.0
"""Seconds in which a scheduler must answer. A client that lost its scheduler tries as long to reach it again."""
ASK = 60.0
"""Seconds in which workers must say what they have. The first answer of a worker imports torch and OpenCV."""
POLL = 0.2
"""Seconds between two looks for a first worker."""
MOST_WORKERS = 1024
INSTALL = "pip install -c constraints.txt '.[dask]'"
FORMS = "must be tcp://HOST:PORT, HOST:PORT, or local:N for N workers on this machine"
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
    "distributed.scheduler.worker-saturation": 1.0,
}
"""Configuration of the scheduler and workers of ``local:N``.

By default two idle workers take 13 % of a core, and with this 1.4 %. A worker gets one run at a time.
"""
T = TypeVar("T")


class NoCluster(ValueError):
    """The scheduler or its workers cannot be used, in one line without the option's name."""


@dataclass(frozen=True)
class Asked:
    """What the command line says of the cluster."""

    address: str
    wait: float
    """Seconds for which a session without any worker waits for one."""
    grace: float
    """Seconds for which a stopped session waits for runs under way."""
    gpu: bool
    exact: bool
    subject: SubjectByName | None

    def require_possible(self) -> None:
        """Raises `NoCluster` where the address has another form, or Dask is missing. Connects to nothing."""
        self.local_workers()
        if not re.fullmatch(r"local:\d+|([a-z]+://)?(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):\d{1,5}", self.address):
            raise NoCluster(f"{self.address}: is no address: {FORMS}")
        if find_spec("distributed") is None:
            raise NoCluster(f"{self.address}: Dask is not installed here: {INSTALL}")

    def local_workers(self) -> int:
        """N of ``local:N``; 0 for the address of a scheduler. Raises `NoCluster` for another N than 1 to 1024."""
        kind, _, number = self.address.partition(":")
        if kind != "local":
            return 0
        if not (number.isascii() and number.isdigit() and len(number) <= 4 and 1 <= int(number) <= MOST_WORKERS):
            raise NoCluster(f"{self.address}: must be local:1 to local:{MOST_WORKERS}")
        return int(number)


@dataclass
class Connection:
    """A client of Dask, and the scheduler and workers that were started here, if any."""

    client: Any
    started: Any = None

    def close(self) -> None:
        """Ends the connection, and the workers that were started here. Raises nothing."""
        for part in (self.client, self.started):
            if part is not None:
                with suppress(Exception):
                    within(CONNECT, part.close)


def connect(asked: Asked, identity: Mapping[str, str]) -> Connection:
    """Connects, waits for a first worker, and asks all workers for what they have. Raises `NoCluster`."""
    asked.require_possible()
    import distributed

    _silence()
    workers = asked.local_workers()
    began = time.monotonic()
    connection = _start(workers, asked.gpu) if workers else Connection(_reach(asked.address))
    try:
        require_versions(connection.client, distributed.__version__)
        fewest = max(1, workers)
        while len(addresses := workers_of(connection.client)) < fewest:
            if time.monotonic() - began > max(asked.wait, ASK if workers else 0):
                raise NoCluster(f"no worker came in {asked.wait:g} s: start one (dask worker), or raise --dask-wait")
            time.sleep(POLL)
        require_versions(connection.client, distributed.__version__)
        require_same(connection.client, addresses, identity, asked.subject)
    except NoCluster as error:
        connection.close()
        raise NoCluster(f"{asked.address}: {error}") from error
    return connection


def workers_of(client: Any) -> dict[str, int]:
    """The threads of each worker by its address. Raises `NoCluster` where the scheduler does not answer."""
    try:
        threads: dict[str, int] = within(CONNECT, client.nthreads)
        return threads
    except Exception as error:
        raise NoCluster(f"the scheduler does not answer ({_words(error)})") from error


def require_versions(client: Any, here: str) -> None:
    """Raises `NoCluster` where the scheduler or a worker has another version of Dask: no run would begin there."""
    try:
        found = within(ASK, client.get_versions)
    except Exception as error:
        raise NoCluster(f"the scheduler does not tell its version ({_words(error)})") from error
    sides = {"the scheduler": found["scheduler"]} | {f"worker {at}": has for at, has in found["workers"].items()}
    for name, has in sides.items():
        there = has["packages"].get("distributed") if isinstance(has, dict) else None
        if there is not None and there != here:
            raise NoCluster(f"{name} has distributed {there}, and this machine has {here}: install the same version")


def require_same(
    client: Any, workers: Mapping[str, int], identity: Mapping[str, str], subject: SubjectByName | None
) -> None:
    """Raises `NoCluster` with the first problem of a worker."""

    def ask() -> dict[str, Any]:
        problems: dict[str, Any] = {}
        for address, threads in workers.items():
            problems |= client.run(
                problem_here, identity, subject, address, threads, workers=[address], on_error="return"
            )
        return problems

    try:
        problems = within(ASK + len(workers), ask)
    except TimeoutError as error:
        raise NoCluster(f"its workers did not answer in {ASK:g} s") from error
    for address, problem in sorted(problems.items()):
        if isinstance(problem, Exception):
            problem = f"worker {address} has other code ({_words(problem)}): install the same code on both: {INSTALL}"
        if problem:
            raise NoCluster(problem)


def _reach(address: str) -> Any:
    from distributed import Client, __version__

    try:
        return within(
            CONNECT + 5, lambda: Client(address, timeout=CONNECT, set_as_default=False, name="bumplab-session")
        )
    except TimeoutError as error:
        raise NoCluster(
            f"{address}: something listens there and says nothing for {CONNECT:g} s: is it a scheduler?"
        ) from error
    except OSError as error:
        advice = "start one (dask scheduler), and name the address that it prints"
        raise NoCluster(f"{address}: no scheduler can be reached there: {advice}") from error
    except Exception as error:
        raise NoCluster(
            f"{address}: what listens there is no scheduler of Dask {__version__} ({_words(error)}): install the same "
            "version on both"
        ) from error


def _start(count: int, gpu: bool) -> Connection:
    """A scheduler and workers on this machine, each of one thread. They end with this process."""
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster

    with dask.config.set(QUIET):
        workers = {
            number: {
                "cls": Nanny,
                "options": {
                    "nthreads": 1,
                    "memory_limit": 0,
                    "host": "127.0.0.1",
                    "dashboard": False,
                    "env": _environment(_gpus(count) if gpu else [], number),
                    "config": QUIET,
                    "silence_logs": logging.CRITICAL,
                },
            }
            for number in range(count)
        }
        scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
        try:
            started = SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL, name="bumplab")
            return Connection(Client(started, timeout=CONNECT, set_as_default=False), started)
        except Exception as error:
            raise NoCluster(f"local:{count}: its workers cannot be started ({_words(error)})") from error


def _environment(gpus: Sequence[str], number: int) -> dict[str, str]:
    """One GPU for each worker in turn."""
    return {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}


def _gpus(most: int) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")[:most]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _silence() -> None:
    """Dask's own messages would stand between pytest's lines. A session says the same in one line each."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call that may never return. Raises TimeoutError after so many seconds; the call is left behind.

    Dask's own deadlines do not hold where the other side accepts a connection and then says nothing.
    """
    outcome: list[T | BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True, name="bumplab-within")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer in {seconds:g} s")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _words(error: BaseException) -> str:
    return line(f"{type(error).__name__}: {error}")[:300]
