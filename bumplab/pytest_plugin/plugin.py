"""The entry point of pytest: options, session, items and the `experiment` fixture. Each is a module beside this one.

A claim's module holds a `CLAIM`. Its test asks for the fixtures `experiment` and `item`, and calls
``experiment.judge(CLAIM, item)``. It is run once for each judged part, for each control, and for the verdict.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from bumplab import machine
from bumplab.pytest_plugin import command_line, options
from bumplab.pytest_plugin.experiment import experiment
from bumplab.pytest_plugin.items import parametrize, put_exact_first, selected_by_their_own_claim
from bumplab.pytest_plugin.published import PublishedSession
from bumplab.pytest_plugin.session import ClaimsSession
from bumplab.pytest_plugin.settings import Settings
from bumplab.terminal import keep_streams, line
from bumplab.verdicts import suite

__all__ = ["experiment"]

settings_key = pytest.StashKey[Settings]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    options.add(parser, pluginmanager)


def pytest_cmdline_main(config: pytest.Config) -> None:
    if options.only_prints(config):
        config.option.dist = "no"  # the tables need the claims, and xdist's controller collects none
    elif options.value(config, "dask") is not None:
        config.option.dist, config.option.numprocesses = "no", None  # a cluster trains, and one process judges


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    keep_streams()  # before pytest takes standard output for its terminal
    settings = config.stash[settings_key] = command_line.settings_of(config)
    if options.only_prints(config):
        from bumplab.pytest_plugin.tables import Tables

        config.pluginmanager.register(Tables(config, settings))
    else:
        command_line.require_contract(config, settings)
        session = ClaimsSession(config, settings)
        config.pluginmanager.register(session, ClaimsSession.NAME)
        if session.published is not None:
            config.pluginmanager.register(session.published, PublishedSession.NAME)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, metafunc.config.stash[settings_key])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    put_exact_first(items)
    with selected_by_their_own_claim(items, config.stash[settings_key].claim_ids):
        return (yield)


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
