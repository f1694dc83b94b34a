"""``--dask local:N``: a scheduler and N workers on this machine. They end with the session's process."""

from __future__ import annotations

import logging
from typing import Any

QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
    "distributed.scheduler.worker-saturation": 1.0,
}
"""Dask's configuration here, also in docs/clusters.md. By default two idle workers take 13 % of a core, and so 1.4 %.

``worker-saturation`` 1.0 gives a worker one run at a time.
"""
NO_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""A terminal sends Ctrl-C to the workers, too. The session decides what becomes of their runs."""


def start(count: int) -> Any:
    """Starts them, each worker with one thread. Dask names them 0 to N-1. Raises what Dask raises."""
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    common = {"host": "127.0.0.1", "dashboard": False}
    options = {"nthreads": 1, "memory_limit": 0, "preload": [NO_CTRL_C], "silence_logs": logging.CRITICAL}
    worker = {"cls": Nanny, "options": common | options | {"config": QUIET}}
    scheduler = {"cls": Scheduler, "options": common | {"port": 0}}
    with dask.config.set(QUIET):
        workers = dict.fromkeys(range(count), worker)
        return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL, name="bumplab")
