"""Steady streams before pytest keeps the ones that it gives back in the end. pyproject.toml loads this plugin early."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from bumplab.terminal import keep_streams


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None]:
    keep_streams()
    return (yield)
