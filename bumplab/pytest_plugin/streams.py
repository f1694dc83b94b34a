"""Makes standard output steady before pytest stores it. pyproject.toml loads this plugin first.

pytest stores the stream at its start and restores it at its end. Python flushes it once more at exit.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from bumplab.terminal import keep_streams


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None]:
    keep_streams()
    return (yield)
