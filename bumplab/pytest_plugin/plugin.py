"""The entry point of pytest: options, the session and the `experiment` fixture. Each is a module beside this one.

A claim's module holds a `CLAIM`. Its test asks for the `experiment` fixture and calls ``experiment.judge(CLAIM)``.
"""

from __future__ import annotations

import os

import pytest

from bumplab import machine
from bumplab.pytest_plugin import options
from bumplab.pytest_plugin.experiment import experiment
from bumplab.pytest_plugin.session import ClaimsSession
from bumplab.terminal import keep_streams, line
from bumplab.verdicts import suite

__all__ = ["experiment"]


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    options.add(parser, pluginmanager)


def pytest_cmdline_main(config: pytest.Config) -> None:
    if options.only_prints(config):
        config.option.dist = "no"  # the tables need the claims, and xdist's controller collects none


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    keep_streams()  # before pytest takes standard output for its terminal
    settings = options.settings_of(config)
    if options.only_prints(config):
        from bumplab.pytest_plugin.tables import Tables

        config.pluginmanager.register(Tables(config, settings))
    else:
        options.require_contract(config, settings)
        config.pluginmanager.register(ClaimsSession(config, settings), ClaimsSession.NAME)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """The number of workers for ``-n auto``, unless the environment gives one."""
    return None if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") else machine.workers()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Names all claims where the word of ``-k`` matches none."""
    project, keyword = options.project_of(config), config.option.keyword
    no_tests = exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
    if keyword and no_tests and options.asks_for_claims(config, project):
        ids = ", ".join(suite.ids(project / "claims"))
        terminalreporter.write_line(line(f"-k {keyword}: matches no claim; there are {ids}"))
