"""pytest's side of the suite: options, the session and the `experiment` fixture; each is a module beside this one.

A claim's module holds a `CLAIM`; its test asks for the `experiment` fixture and calls ``experiment.judge(CLAIM)``.
"""

from __future__ import annotations

import os

import pytest

from bumplab import machine
from bumplab.pytest_plugin import options
from bumplab.pytest_plugin.experiment import experiment
from bumplab.pytest_plugin.session import ClaimsSession
from bumplab.terminal import keep_streams

__all__ = ["experiment"]


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    options.add(parser, pluginmanager)


def pytest_cmdline_main(config: pytest.Config) -> None:
    if options.only_prints(config):
        config.option.dist = "no"  # xdist's controller collects no claims


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    keep_streams()  # before pytest takes standard output for its terminal
    config.pluginmanager.register(ClaimsSession(config, options.check(config)), ClaimsSession.NAME)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """``-n auto`` counts as `machine.workers` does, unless the environment says how many."""
    return None if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") else machine.workers()
