"""The options of `pytest claims`, what they hold, and the project that they are for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bumplab import profiles
from bumplab.pytest_plugin import expected
from bumplab.pytest_plugin.conflicts import PLUGIN, owner_of
from bumplab.runs.draws import MEGABYTES
from bumplab.terminal import line
from bumplab.verdicts.looks import FIRST_LOOK, LAST_LOOK

WAIT, GRACE = 60, 60
"""Defaults of ``--dask-wait`` and ``--dask-grace``, in seconds."""
PUBLISHED = Path("claims") / "published"
"""The folder of published archives in the project. An archive is named after its profile."""
HELP_WIDTH = 56
"""Characters of a help text that fit on one line of pytest's help, on a terminal of 80 columns."""


def add(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Adds our options in groups. Each help is one line of `HELP_WIDTH`; `docs/options.md` says more.

    Raises `pytest.UsageError` in one line where another plugin has an option of the same name.
    """

    def group(name: str, title: str) -> Callable[..., None]:
        options = parser.getgroup(f"bumplab-{name}", f"bumplab: {title}")

        def option(name: str, text: str, **how: Any) -> None:
            try:  # dest has our prefix: another plugin may keep a value of its own as `profile`
                options.addoption(name, dest=f"bumplab_{name[2:].replace('-', '_')}", help=text, **how)
            except (ValueError, argparse.ArgumentError) as error:
                owner = owner_of(name, pluginmanager)
                raise usage_error(
                    f"{name}: is also an option of the plugin {owner}: leave that out with -p no:{owner}, or uninstall "
                    "it"
                ) from error

        return option

    option = group("scale", "scale and seeds")
    option("--profile", f"{', '.join(profiles.ALL)} (quick)", default="quick", metavar="NAME")
    option("--seeds", f"runs of each condition at a part's first look ({FIRST_LOOK})", metavar="N")
    option("--max-seeds", f"most runs: an open part gets one more a look ({LAST_LOOK})", metavar="M")
    option("--from-seed", "explore on seeds from N on, below 1000", metavar="N")
    option = group("subject", "a generator of your own")
    option("--subject", "put this generator through the claims", metavar="FILE.py:NAME")
    option("--subject-arg", "argument of it; repeatable", action="append", default=[], metavar="K=V")
    option("--check", "with --subject: try its contract; judge nothing", action="store_true")
    option("--pace", "with --check: how soon half of its bumps are right", action="store_true")
    option = group("plan", "before training")
    option("--plan", "print the missing runs and their cost; train nothing", action="store_true")
    option("--power", "print the power of each claim; train nothing", action="store_true")
    option = group("training", "training and the store of runs")
    option("--gpu", "train on the GPU; each worker takes the next one", action="store_true")
    option("--exact", "with --gpu: slower runs that repeat bit for bit", action="store_true")
    option("--minutes", "train what ends within N minutes, then judge", metavar="N")
    option("--runs-dir", "the store of runs (.runs in the project)", metavar="DIR")
    option(
        "--also-runs", "look here before training; repeatable", action="append", default=[], metavar="DIR_OR_ARCHIVE"
    )
    option("--published", f"judge from {PUBLISHED}/PROFILE.zip alone", action="store_true")
    option("--audit", "with --published: train N of its runs again", metavar="N")
    option("--audit-seed", "draw these by this seed (a random one)", metavar="N")
    option("--draws", f"most megabytes of draws that a run keeps ({MEGABYTES})", metavar="MB")
    option = group("cluster", "training on a cluster (docs/clusters.md)")
    option("--dask", "train on this Dask scheduler, or on N processes here", metavar="ADDRESS|local:N")
    option("--dask-wait", f"most seconds without any worker ({WAIT})", metavar="SECONDS")
    option("--dask-grace", f"seconds that Ctrl-C leaves to runs under way ({GRACE})", metavar="SECONDS")
    option = group("verdicts", "verdicts")
    option("--controls", "judge each claim in worlds of known truth, too", action="store_true")
    option(
        "--vary", "judge again with a choice changed; repeatable", action="append", default=[], metavar="CHOICE=VALUE"
    )
    option("--accept", "write verdicts that moved into the accepted ones", metavar="REASON")
    option("--expected", f"the accepted verdicts ({expected.FILE})", metavar="FILE")
    option = group("report", "the report")
    option("--report", "the HTML file (reports/claims-PROFILE.html)", metavar="FILE")
    option("--no-samples", "a page of 1 MB at most: the samples of Fig. 3 alone", action="store_true")
    option("--figures", "write each figure there, too, as SVG and PNG", metavar="DIR")


def usage_error(message: str) -> pytest.UsageError:
    """The error as one line. Line breaks and control characters in the message become escapes."""
    return pytest.UsageError(line(message))


def value(config: pytest.Config, name: str) -> Any:
    """The value of one of our options, such as ``max_seeds``."""
    return getattr(config.option, f"bumplab_{name}")


def only_prints(config: pytest.Config) -> bool:
    """Whether the session prints tables of the claims and runs no test."""
    return any(value(config, name) for name in ("power", "plan", "check"))


def only_lists(config: pytest.Config) -> bool:
    """Whether an option of pytest lists tests or fixtures and runs no test."""
    return any(getattr(config.option, name, False) for name in ("collectonly", "setuponly", "setupplan"))


def project_of(config: pytest.Config) -> Path:
    """The folder of the conftest.py that loads this plugin, with links resolved.

    It does not depend on the working folder, on links in the path, on --rootdir or on -c.
    """
    for plugin in config.pluginmanager.get_plugins():
        loads, file = getattr(plugin, "pytest_plugins", ()), getattr(plugin, "__file__", None)
        names = [loads] if isinstance(loads, str) else loads
        if file and Path(file).name == "conftest.py" and PLUGIN in names:
            return Path(file).resolve().parent
    return config.rootpath.resolve()


def asks_for_claims(config: pytest.Config, project: Path) -> bool:
    """Whether a path on the command line is the project's claims folder, lies in it or holds it.

    xdist's controller collects nothing, so it has no better sign.
    """
    claims = project / "claims"
    paths = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return any(path == claims or claims in path.parents or path in claims.parents for path in paths)
