"""What a Dask worker does for a session: it trains one run and gives back its sealed files.

A worker holds no store. It trains in a folder of its own, which it then removes. Where it sees the session's store, it
trains there, and the next worker goes on from the run's last checkpoint.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bumplab.config import RunSpec
from bumplab.runs.board import SESSION
from bumplab.runs.cluster import identity
from bumplab.runs.cluster.files import files_of
from bumplab.runs.cluster.identity import SubjectByName
from bumplab.runs.planner import Trainer, train_here
from bumplab.runs.sealed import Damaged, read_file
from bumplab.runs.stopping import Stopped
from bumplab.runs.store import RunStore, run_key
from bumplab.terminal import line

INTERVAL = 1.0
"""Seconds between two messages of one run."""
TOKEN = "token"
"""The file in a session's folder by which a worker knows the session's own store."""

Answer = dict[str, Any]
"""What a task gives back, of plain built-ins. One of:

- ``files``: the content of each sealed file of the run, by name
- ``stored``: true where the run lies in the session's store already
- ``stopped``: true where the run was cancelled
- ``differs``: why the worker cannot train for the session, in one line
- ``failed``: the name of the exception, and its message in one line
"""


@dataclass(frozen=True)
class Work:
    """What all runs of a session have in common."""

    identity: Mapping[str, str]
    """`bumplab.runs.cluster.identity.here` of the session."""
    subject: SubjectByName | None
    gpu: bool
    exact: bool
    draws_bytes: int
    session: str
    """The folder of the session in its store."""
    token: str
    """The text of the file `TOKEN` in it. It also names Dask's topic on which workers tell of their runs."""


def train_for(work: Work, spec_json: str, train: Trainer | None, shares: bool) -> Answer:
    """The task of one run. Raises nothing that a run, a subject or a disk can cause.

    ``train`` takes the place of the trainer of this package. ``shares`` tells whether the run may be trained in the
    session's store. Where it is false, another worker trains it there.
    """
    from distributed import get_worker

    worker = get_worker()
    if problem := problem_here(work.identity, work.subject, worker):
        return {"differs": problem}
    task, spec = worker.get_current_task(), RunSpec.from_dict(json.loads(spec_json))
    told = 0.0

    def tell(step: int) -> None:
        nonlocal told
        if not step or time.monotonic() - told >= INTERVAL:
            told = time.monotonic()
            worker.log_event(work.token, {"key": run_key(spec), "step": step, "worker": worker.address})

    def stops(_: RunSpec) -> bool:
        """Dask cancels no thread that runs. It notes the task as cancelled, or forgets it."""
        state = worker.state.tasks.get(task)
        return state is None or state.state == "cancelled"

    try:
        device = _device(work, worker.name)
    except OSError as error:
        return {"differs": f"worker {worker.address} cannot train: {line(error)}"}
    tell(0)
    try:
        users = work.subject.load() if work.subject is not None else None
        train = train or partial(train_here, users=users, stops=stops, tell=tell)
        if shares and sees(Path(work.session), work.token):
            store = RunStore(Path(work.session).parents[1], work.draws_bytes)
            with suppress(Timeout), store.lock(run_key(spec)):  # a worker that Dask gave up may train it still
                if not store.has(spec):
                    train(spec, store, device)
                return {"stored": True}
        with tempfile.TemporaryDirectory(prefix="bumplab-", dir=worker.local_directory) as folder:
            store = RunStore(Path(folder), work.draws_bytes)
            train(spec, store, device)
            return {"files": files_of(store, run_key(spec))}
    except Stopped:
        return {"stopped": True}
    except Exception as error:
        return {"failed": [type(error).__name__, line(error)]}


def problem_here(session: Mapping[str, str], subject: SubjectByName | None, dask_worker: Any) -> str:
    """Why this worker cannot train for the session, in one line; empty where it can.

    Dask's `client.run` fills in ``dask_worker``.
    """
    name, threads = dask_worker.address, dask_worker.state.nthreads
    if threads != 1:
        return f"worker {name} has {threads} threads, and a run takes a process: start it with --nthreads 1"
    try:
        return identity.difference(session, identity.here(subject), name)
    except Exception as error:  # such as a missing library, or an error of the subject's own code
        return line(f"worker {name} cannot be used ({type(error).__name__}: {error}): {identity.ADVICE}")


def sees(session: Path, token: str) -> bool:
    """Whether this folder is the session's own, and its locks exclude this process from the session's."""
    try:
        if read_file(session / TOKEN, len(token)) != token.encode():
            return False
        with FileLock(session / SESSION, timeout=0):
            return False  # the session holds this lock: where it can be taken twice, locks exclude nobody
    except Timeout:
        return True
    except (Damaged, OSError, NotImplementedError):
        return False


def _device(work: Work, worker: object) -> str:
    """torch's name of the worker's device.

    A worker of ``local:N`` takes the next GPU by its number. Any other takes the first that it sees
    (CUDA_VISIBLE_DEVICES).
    """
    if not work.gpu:
        return "cpu"
    from bumplab.diffusion import speed

    if speed.exact() and not work.exact:
        raise OSError("this worker has trained for a session with --exact, and stays exact: start it again")
    device = speed.gpu(worker if isinstance(worker, int) else 0, work.exact)
    if device is None:
        raise OSError("--gpu: torch finds no GPU there: set CUDA_VISIBLE_DEVICES, or leave --gpu away")
    return device
