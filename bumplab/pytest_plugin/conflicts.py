"""Options of other plugins that have the name of one of ours."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

PLUGIN = "bumplab.pytest_plugin.plugin"
"""Our plugin's name in pytest."""


class _OptionNames:
    """Stands in for pytest's parser and collects the names of the options that a plugin adds."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def addoption(self, *names: str, **_: Any) -> None:
        self.names.update(names)

    def __getattr__(self, name: str) -> Any:
        return self.addoption if name == "_addoption" else lambda *_, **__: self


def owner_of(option: str, pluginmanager: pytest.PytestPluginManager) -> str:
    """The name of the other plugin that adds this option.

    pytest does not keep it. So this calls each plugin's hook once more, with a parser that only collects names.
    """
    for hook in pluginmanager.hook.pytest_addoption.get_hookimpls():
        parser = _OptionNames()
        arguments = {"parser": parser, "pluginmanager": pluginmanager}
        with suppress(Exception):  # the plugin uses more of its parser than this one has
            hook.function(*(arguments[name] for name in hook.argnames))
        if option in parser.names and hook.plugin_name != PLUGIN:
            return hook.plugin_name
    return "NAME, which pytest does not report"
