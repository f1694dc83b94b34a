"""The options of `pytest claims`, what they hold, and the project that they are for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from bumplab import profiles
from bumplab.pytest_plugin import expected
from bumplab.pytest_plugin.conflicts import PLUGIN, owner_of
from bumplab.runs.draws import MEGABYTES
from bumplab.terminal import line
from bumplab.verdicts.looks import FIRST_LOOK, LAST_LOOK


def add(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Raises `pytest.UsageError` in one line where another plugin has an option of the same name."""
    group = parser.getgroup("claims", "bumplab: the paper's claims")

    def option(name: str, text: str, **how: Any) -> None:
        try:  # dest has our prefix: another plugin may keep a value of its own as `profile`
            group.addoption(name, dest=f"bumplab_{name[2:].replace('-', '_')}", help=text, **how)
        except (ValueError, argparse.ArgumentError) as error:
            owner = owner_of(name, pluginmanager)
            raise usage_error(
                f"{name}: is also an option of the plugin {owner}: leave that out with -p no:{owner}, or uninstall it"
            ) from error

    option("--profile", f"scale of the runs: {', '.join(profiles.ALL)} (quick)", default="quick", metavar="NAME")
    option("--subject", "put this generator through the claims (docs/your-model.md)", metavar="FILE.py:NAME")
    option(
        "--subject-arg",
        "an argument of the subject's class or function; may be repeated",
        action="append",
        default=[],
        metavar="K=V",
    )
    option("--check", "with --subject: try its contract in seconds; judge nothing", action="store_true")
    option("--pace", "with --check: also train one run until half of its bumps are right", action="store_true")
    option("--seeds", f"training runs of each condition at a part's first look ({FIRST_LOOK})", metavar="N")
    option("--max-seeds", f"the most training runs: an open part gets one more at each look ({LAST_LOOK})", metavar="M")
    option("--controls", "also judge each claim in worlds where its truth is known", action="store_true")
    option(
        "--vary",
        "also judge each claim with one open choice changed, such as prediction=epsilon; may be repeated",
        action="append",
        default=[],
        metavar="CHOICE=VALUE",
    )
    option(
        "--accept",
        f"write new verdicts and this reason into {expected.FILE}; implies --controls",
        metavar="REASON",
    )
    option("--expected", f"the file of accepted verdicts ({expected.FILE}; none for a --subject)", metavar="FILE")
    option("--power", "print the power of each claim; train nothing", action="store_true")
    option("--plan", "print the runs that are missing and their cost; train nothing", action="store_true")
    option("--gpu", "train on the GPU; with several, each worker takes the next one", action="store_true")
    option("--exact", "with --gpu: slower runs that repeat bit for bit, stored in DIR/exact", action="store_true")
    option("--runs-dir", "the store of runs (.runs in the project)", metavar="DIR")
    option(
        "--also-runs",
        "a store or an archive to look into before a run is trained; it is only read; may be repeated",
        action="append",
        default=[],
        metavar="DIR_OR_ARCHIVE",
    )
    option(
        "--draws",
        f"most megabytes of drawn images and activations that a run keeps; with more it keeps none ({MEGABYTES})",
        metavar="MB",
    )
    option(
        "--report",
        "report to write (reports/claims-PROFILE.html in the project, or claims-SUBJECT-PROFILE.html; with -subset for "
        "some claims)",
        metavar="FILE",
    )
    option("--figures", "also write each figure into this folder, as SVG and PNG", metavar="DIR")


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
