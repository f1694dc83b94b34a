"""How a run ends between two steps, with its last checkpoint kept."""

from __future__ import annotations

import time
from collections.abc import Callable

from bumplab.config import RunSpec
from bumplab.runs.board import Board
from bumplab.runs.deadline import Deadline

INTERVAL = 5.0
"""Seconds between two looks at the board. A look takes some milliseconds, and a quick step 26."""

Stops = Callable[[RunSpec], bool]
"""Asked after each training step: whether the run of this spec stops here."""


class Stopped(BaseException):
    """A run was stopped between two steps. Its last checkpoint is kept, and the next call goes on from there.

    It is no Exception, as KeyboardInterrupt is none: a subject's own ``except Exception`` must not catch it.
    """


def never(spec: RunSpec) -> bool:
    """No run stops."""
    return False


class StopsOfSession:
    """Stops a run where the session's deadline is over, or where no open question may need the run any more."""

    def __init__(self, board: Board, deadline: Deadline):
        self.board, self.deadline = board, deadline
        self._looked = 0.0

    def __call__(self, spec: RunSpec) -> bool:
        if self.deadline.is_over():
            return True
        if time.monotonic() - self._looked < INTERVAL:
            return False
        self._looked = time.monotonic()
        return self.board.is_in_vain(spec)
