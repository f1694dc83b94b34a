"""What a Dask worker does for a session: it trains one run and gives back its sealed files.

A worker holds no store. It trains in a folder of its own, which it then removes. Where it sees the session's store, it
trains there, and the next worker goes on from the run's last checkpoint.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bumplab.config import RunSpec
from bumplab.runs import draws
from bumplab.runs.board import SESSION
from bumplab.runs.cluster import identity
from bumplab.runs.cluster.identity import SubjectByName
from bumplab.runs.planner import Trainer, train_here
from bumplab.runs.sealed import MANIFEST, MANIFEST_BYTES, Damaged, read_file
from bumplab.runs.stopping import Stopped
from bumplab.runs.store import FILES, RunStore, run_key
from bumplab.terminal import line

TOPIC = "bumplab"
"""The topic of Dask under which workers tell of their runs: the run's key, its step, and the worker's address."""
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
    """The text of the file `TOKEN` in it."""


def work_on(work: Work, spec_json: str, train: Trainer | None, shares: bool) -> Answer:
    """The task of one run. Raises nothing that a run, a subject or a disk can cause.

    ``train`` takes the place of the trainer of this package. ``shares`` tells whether the run may be trained in the
    session's store; another worker trains it there already where it is false.
    """
    from distributed import get_worker

    worker = get_worker()
    if problem := problem_here(work.identity, work.subject, worker.address, worker.state.nthreads):
        return {"differs": problem}
    task, spec = worker.get_current_task(), RunSpec.from_dict(json.loads(spec_json))
    told = 0.0

    def tell(step: int) -> None:
        nonlocal told
        if not step or time.monotonic() - told >= INTERVAL:
            told = time.monotonic()
            worker.log_event(TOPIC, {"key": run_key(spec), "step": step, "worker": worker.address})

    def stops(_: RunSpec) -> bool:
        """Dask cancels no thread that runs. It notes the task as cancelled, or forgets it."""
        state = worker.state.tasks.get(task)
        return state is None or state.state == "cancelled"

    tell(0)
    try:
        device = _device(work)
        users = work.subject.load() if work.subject is not None else None
        train = train or partial(train_here, users=users, stops=stops, tell=tell)
        return _trained(work, spec, device, train, shares=shares, folder=worker.local_directory)
    except Stopped:
        return {"stopped": True}
    except Exception as error:
        return {"failed": [type(error).__name__, line(error)]}


def problem_here(session: Mapping[str, str], subject: SubjectByName | None, name: str, threads: int) -> str:
    """Why this process cannot train for the session, in one line; empty where it can."""
    if threads != 1:
        return f"worker {name} has {threads} threads, and a run takes a process: start it with --nthreads 1"
    try:
        return identity.difference(session, identity.here(subject), name)
    except Exception as error:  # such as a missing library, or an error of the subject's own code
        return line(f"worker {name} cannot be used ({type(error).__name__}: {error}): {identity.ADVICE}")


def _device(work: Work) -> str:
    """torch's name of the worker's device. A worker sees one GPU (CUDA_VISIBLE_DEVICES)."""
    if not work.gpu:
        return "cpu"
    import torch

    from bumplab.diffusion import speed

    device = speed.gpu(0, work.exact)
    if device is None:
        raise OSError("--gpu: torch finds no GPU there: set CUDA_VISIBLE_DEVICES, or leave --gpu away")
    if not work.exact:
        torch.use_deterministic_algorithms(False)  # an earlier session of this worker may have asked for it
    return device


def _trained(work: Work, spec: RunSpec, device: str, train: Trainer, *, shares: bool, folder: str) -> Answer:
    if shares and sees(Path(work.session), work.token):
        store = RunStore(Path(work.session).parents[1], work.draws_bytes)
        with ExitStack() as stack:
            try:
                stack.enter_context(store.lock(run_key(spec)))
            except Timeout:
                pass  # a worker that the scheduler has given up still trains it
            else:
                if not store.has(spec):
                    train(spec, store, device)
                return {"stored": True}
    with tempfile.TemporaryDirectory(prefix="bumplab-", dir=folder) as own:
        store = RunStore(Path(own), work.draws_bytes)
        train(spec, store, device)
        return {"files": sealed_files(store, run_key(spec))}


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


def sealed_files(store: RunStore, key: str) -> dict[str, bytes]:
    """The files of a finished run: those of `FILES`, their manifest, and its draws by the names ``draws-<step>``."""
    folder = store.path(key)
    files = {name: read_file(folder / name, limit) for name, limit in FILES.items()}
    files[MANIFEST] = read_file(folder / MANIFEST, MANIFEST_BYTES)
    for step in json.loads(files["rows.json"])["draws"]:
        with suppress(Damaged):
            files[f"draws-{step}"] = draws.read(store.root, key, int(step))
    return files


def process_of_worker() -> int:
    """The number of the worker's process, for tests that end it."""
    return os.getpid()
