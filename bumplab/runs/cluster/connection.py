"""Reaches a scheduler, and asks its workers whether they can train for the session. What goes wrong is one line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from bumplab.runs.cluster import local
from bumplab.runs.cluster.identity import ADVICE, SubjectByName
from bumplab.runs.cluster.options import ClusterOptions, NoCluster
from bumplab.runs.cluster.worker import problem_here
from bumplab.terminal import line

CONNECT = 10.0
"""Seconds in which a scheduler must answer. A client that lost its scheduler tries as long to reach it again."""
ASK = 60.0
"""Seconds in which workers must answer. The first answer of a worker imports torch and OpenCV."""
POLL = 0.2
"""Seconds between two looks for a first worker."""
T = TypeVar("T")


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


def connect(options: ClusterOptions, identity: Mapping[str, str]) -> Connection:
    """Connects, waits for a first worker, and asks all workers for what they have. Raises `NoCluster`."""
    options.require_possible()
    for name in list(logging.root.manager.loggerDict):  # a session says the same in one line each
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        connection = _start(options) if options.local_workers else Connection(_reach(options.address))
        try:
            _await_workers(connection.client, options)
            workers = workers_of(connection.client)
            require_usable(connection.client, workers, identity, options.subject)
        except BaseException:
            connection.close()
            raise
    except NoCluster as error:
        raise NoCluster(f"{options.address}: {error}") from error
    return connection


def workers_of(client: Any) -> set[str]:
    """The addresses of the workers. Raises `NoCluster` where the scheduler does not answer."""
    try:
        return set(within(CONNECT, client.nthreads))
    except Exception as error:
        raise NoCluster(f"the scheduler does not answer ({_words(error)})") from error


def require_usable(
    client: Any, workers: Collection[str], identity: Mapping[str, str], subject: SubjectByName | None
) -> None:
    """Raises `NoCluster` with the first problem of these workers. Passes over workers that are lost meanwhile.

    Dask's own versions come first: a worker of another one begins no task, and may not answer a question either.
    """
    require_versions(client)
    ask = {"workers": sorted(workers), "on_error": "return"}
    try:
        problems: dict[str, Any] = within(ASK, lambda: client.run(problem_here, identity, subject, **ask))
    except TimeoutError as error:
        raise NoCluster(f"its workers did not answer in {ASK:g} s") from error
    for address, problem in sorted(problems.items()):
        if isinstance(problem, Exception) and not isinstance(problem, OSError):
            problem = f"worker {address} has other code ({_words(problem)}): {ADVICE}"
        if isinstance(problem, str) and problem:
            raise NoCluster(problem)


def require_versions(client: Any) -> None:
    """Raises `NoCluster` where the scheduler or a worker has another version of Dask than this process."""
    from distributed import __version__ as here

    try:
        versions = within(ASK, client.get_versions)
    except Exception as error:
        raise NoCluster(f"the scheduler does not tell its version ({_words(error)})") from error
    sides = {"scheduler": versions["scheduler"]}
    sides |= {f"worker {address}": has for address, has in versions["workers"].items()}
    for name, has in sides.items():
        there = has["packages"].get("distributed") if isinstance(has, dict) else None
        if there is not None and there != here:
            raise NoCluster(f"{name} has distributed {there}, and this session has {here}: {ADVICE}")


def _await_workers(client: Any, options: ClusterOptions) -> None:
    """Waits for one worker, and for all of ``local:N``."""
    wait = max(options.wait, ASK) if options.local_workers else options.wait
    end = time.monotonic() + wait
    while len(workers_of(client)) < max(1, options.local_workers):
        if time.monotonic() > end:
            raise NoCluster(f"no worker came in {wait:g} s: start one (dask worker), or raise --dask-wait")
        time.sleep(POLL)


def _start(options: ClusterOptions) -> Connection:
    from distributed import Client

    try:
        started = local.start(options.local_workers)
        return Connection(Client(started, timeout=CONNECT, set_as_default=False), started)
    except Exception as error:
        raise NoCluster(f"its workers cannot be started ({_words(error)})") from error


def _reach(address: str) -> Any:
    from distributed import Client, __version__

    class Reaching(Client):  # type: ignore[misc]
        def __del__(self) -> None:
            """Dask's own would wait for 20 s, and print a traceback, where the other side never answered."""

    try:
        return within(1.5 * CONNECT, lambda: Reaching(address, timeout=CONNECT, set_as_default=False))
    except TimeoutError as error:
        silence = f"something listens there and says nothing for {CONNECT:g} s: is it a scheduler?"
        raise NoCluster(silence) from error
    except OSError as error:
        advice = "start one (dask scheduler), and name the address that it prints"
        raise NoCluster(f"no scheduler can be reached there: {advice}") from error
    except Exception as error:
        problem = f"what listens there is no scheduler of Dask {__version__} ({_words(error)})"
        raise NoCluster(f"{problem}: install the same version on both") from error


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
