"""What the command line says of a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec

from bumplab.runs.cluster.identity import INSTALL, SubjectByName

MOST_WORKERS = 1024
LOCAL = f"local:1 to local:{MOST_WORKERS}"
FORMS = f"must be tcp://HOST:PORT, HOST:PORT, or {LOCAL} for workers on this machine"


class NoCluster(ValueError):
    """The scheduler or its workers cannot be used, in one line."""


@dataclass(frozen=True)
class ClusterOptions:
    """``--dask`` and the options that go with it."""

    address: str
    """Such as ``tcp://10.0.0.1:8786``, or ``local:4``."""
    wait: float = 60.0
    """Seconds for which a session without any worker waits for one."""
    grace: float = 60.0
    """Seconds for which an interrupted session waits for runs that have begun."""
    gpu: bool = False
    exact: bool = False
    subject: SubjectByName | None = None

    @property
    def local_workers(self) -> int:
        """N of ``local:N``; 0 for the address of a scheduler."""
        kind, _, number = self.address.partition(":")
        return int(number) if kind == "local" else 0

    def require_possible(self) -> None:
        """Raises `NoCluster` where the address has another form, or Dask is missing. Connects to nothing."""
        if self.address.startswith("local:"):
            if not re.fullmatch(r"local:[0-9]{1,4}", self.address) or not 1 <= self.local_workers <= MOST_WORKERS:
                raise NoCluster(f"{self.address}: must be {LOCAL}")
        elif not re.fullmatch(r"([a-z]+://)?(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):[0-9]{1,5}", self.address):
            raise NoCluster(f"{self.address}: is no address: {FORMS}")
        if find_spec("distributed") is None:
            raise NoCluster(f"{self.address}: Dask is not installed here: {INSTALL}")
