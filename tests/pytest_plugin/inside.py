"""pytest sessions in the process of the tests. Each must leave the process as it was."""

import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from bumplab.verdicts import suite

ROOT = Path(__file__).parents[2]
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
# Those that bumplab or pytest may set. OpenCV and scikit-learn set others when they are imported.
VARIABLES = ("CUBLAS_WORKSPACE_CONFIG", "NUMBA_CACHE_DIR", "OMP_NUM_THREADS", "PYTHONPATH", "PYTHONWARNINGS", "COLUMNS")
# hypothesispytest and anyio take a second to import in each worker. The last two collect garbage after each session.
WITHOUT = ("cacheprovider", "hypothesispytest", "anyio", "unraisableexception", "threadexception")
OPTIONS = [word for name in WITHOUT for word in ("-p", f"no:{name}")]


class Ended(NamedTuple):
    status: int
    printed: str
    """Standard output and error, in the order they were written."""

    def lines(self, beginning):
        return [line for line in self.printed.splitlines() if line.startswith(beginning)]


def pytest_inside(*arguments, folder=ROOT, encoding="utf-8", stdout=None, plugins=()):
    """A session as a user starts it in a folder, on a terminal of 200 columns with this encoding.

    With a ``stdout`` it writes there, and nothing is returned of it.
    """
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n", write_through=True)
    with contextlib.chdir(folder), _own_modules(), _own_environment():
        before = _state()
        with contextlib.redirect_stdout(stdout or stream), contextlib.redirect_stderr(stream):
            status = pytest.main([*OPTIONS, *map(str, arguments)], plugins=plugins)
        changed = {name: (before[name], now) for name, now in _state().items() if now != before.get(name, now)}
        assert not changed, f"left behind by the session: {changed}"
    printed = stream.buffer.getvalue().decode(encoding)
    assert "Traceback" not in printed, printed
    assert "INTERNALERROR" not in printed, printed
    return Ended(int(status), printed)


def pytest_here(*arguments, plugins=()):
    """A session on the claims of this repository."""
    return pytest_inside(f"--rootdir={ROOT}", ROOT / "claims", *arguments, plugins=plugins)


@contextlib.contextmanager
def _own_modules():
    """Claims of another folder have the same names. What pytest imports is forgotten, and the path is restored."""

    def imported():
        return [name for name in sys.modules if name.split(".")[0] in ("claims", "conftest")]

    outer, path = {name: sys.modules.pop(name) for name in imported()}, list(sys.path)
    try:
        yield
    finally:
        for name in imported():
            del sys.modules[name]
        sys.modules.update(outer)
        sys.path[:] = path
        suite._claim_in.cache_clear()


@contextlib.contextmanager
def _own_environment():
    with mock.patch.dict(os.environ, COLUMNS="200"):
        for name in [name for name in os.environ if name.startswith("PYTEST_")]:
            del os.environ[name]
        yield


def _state():
    """Handlers of signals, filters of warnings, variables, settings of torch, and threads of the display."""
    state = {
        "signals": [signal.getsignal(number) for number in SIGNALS],
        "warnings": list(warnings.filters),
        "environment": {name: os.environ.get(name) for name in VARIABLES},
        "threads": [thread.name for thread in threading.enumerate() if "_loop" in thread.name],
    }
    if torch := sys.modules.get("torch"):
        state["torch"] = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    return state
