"""The command line's options, checked: what is wrong is one line, before anything is collected or trained."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.pytest_plugin import expected
from bumplab.pytest_plugin.expected import Expected
from bumplab.runs.store import RunStore
from bumplab.terminal import line
from bumplab.verdicts import suite, variation
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.error_rate import FIRST_LOOK, LAST_LOOK, MAX_SEEDS, MIN_SEEDS, Looks
from bumplab.verdicts.variation import Variation

PLUGIN = "bumplab.pytest_plugin.plugin"


@dataclass(frozen=True)
class Settings:
    """The options of one session."""

    project: Path
    """The folder of the project's conftest.py: accepted verdicts, and by default reports and runs, lie below it."""
    profile: Profile
    looks: Looks
    controls: bool
    variations: tuple[Variation, ...]
    accept: str | None
    """Why verdicts that have moved are accepted; None where they are not."""
    expected: Mapping[tuple[str, str], Expected]
    """The accepted verdicts, by profile and claim."""
    store: RunStore
    device: str
    report: Path
    report_named: bool
    figures: Path | None

    @property
    def seeds(self) -> str:
        """Such as ``3 to 8 seeds``."""
        looks = self.looks
        return f"{looks.first} seeds" if looks.first == looks.last else f"{looks.first} to {looks.last} seeds"

    def accepted(self, claim: Claim) -> Expected | None:
        """The verdict accepted for the claim at this profile, if any."""
        return self.expected.get((self.profile.name, claim.id))

    def report_of(self, judged: Collection[str]) -> Path:
        """Where the report on these claims goes: of a few, unless a file was named, not where that of all is."""
        if self.report_named or set(suite.ids(suite.OURS)) <= set(judged):
            return self.report
        return self.report.with_stem(f"{self.report.stem}-subset")

    def forms(self, claim: Claim) -> list[Claim]:
        """The claim and, as far as asked for, its controls and its variations."""
        controls = [claim.under(control) for control in claim.controls] if self.controls else []
        return [claim, *controls, *(v.of(claim) for v in self.variations)]


def add(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Raises `pytest.UsageError` in one line where another plugin has an option of the same name."""
    group = parser.getgroup("claims", "bumplab: the paper's claims")

    def option(name: str, text: str, **how: Any) -> None:
        try:  # the value has a name of its own: another plugin's `--scale` may be kept as `profile`
            group.addoption(name, dest=f"bumplab_{name[2:].replace('-', '_')}", help=text, **how)
        except (ValueError, argparse.ArgumentError) as error:
            owner = _owner(name, pluginmanager)
            raise usage_error(
                f"{name}: is also an option of the plugin {owner}: leave that out with -p no:{owner}, or uninstall it"
            ) from error

    option("--profile", f"scale of the runs: {', '.join(profiles.ALL)} (quick)", default="quick", metavar="NAME")
    option("--seeds", f"training runs of each condition when a claim is first judged ({FIRST_LOOK})", metavar="N")
    option("--max-seeds", f"the most there may be, one more at a time while it is open ({LAST_LOOK})", metavar="M")
    option("--controls", "also try each claim in worlds where its verdict is known", action="store_true")
    option(
        "--vary",
        "also try each claim with one open choice changed, such as prediction=epsilon; may be repeated",
        action="append",
        default=[],
        metavar="CHOICE=VALUE",
    )
    option(
        "--accept",
        f"write verdicts that have moved into {expected.FILE}, with this reason; tries the controls too",
        metavar="REASON",
    )
    option("--power", "print what the claims could find and train nothing", action="store_true")
    option("--plan", "print what would be trained and its cost; train nothing", action="store_true")
    option("--gpu", "train on the GPU; each worker takes the next one", action="store_true")
    option("--exact", "with --gpu: runs repeat bit for bit, slower; kept in DIR/exact", action="store_true")
    option("--runs-dir", "where runs are stored and found (.runs in the project)", metavar="DIR")
    option(
        "--report",
        "report to write (reports/claims-PROFILE.html in the project; of some claims claims-PROFILE-subset.html)",
        metavar="FILE",
    )
    option("--figures", "also write each figure there, as SVG and PNG", metavar="DIR")


class _OptionNames:
    """Takes the place of pytest's parser and notes the names of the options that are added to it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def addoption(self, *names: str, **_: Any) -> None:
        self.names.update(names)

    def __getattr__(self, name: str) -> Any:
        return self.addoption if name == "_addoption" else lambda *_, **__: self


def _owner(name: str, pluginmanager: pytest.PytestPluginManager) -> str:
    """The name of the plugin that adds this option: pytest does not keep it, so each is asked again."""
    for hook in pluginmanager.hook.pytest_addoption.get_hookimpls():
        noted = _OptionNames()
        offered = {"parser": noted, "pluginmanager": pluginmanager}
        with suppress(Exception):  # of a plugin that asks more of its parser
            hook.function(*(offered[argument] for argument in hook.argnames))
        if name in noted.names and hook.plugin_name != PLUGIN:
            return hook.plugin_name
    return "NAME, of which pytest does not tell more"


def usage_error(message: str) -> pytest.UsageError:
    """The error in one line, whatever was quoted in it."""
    return pytest.UsageError(line(message))


def value(config: pytest.Config, name: str) -> Any:
    """The value of one of our options, such as ``max_seeds``."""
    return getattr(config.option, f"bumplab_{name}")


def only_prints(config: pytest.Config) -> bool:
    """Whether a table takes the place of the tests."""
    return bool(value(config, "power") or value(config, "plan"))


def project_of(config: pytest.Config) -> Path:
    """The folder of the conftest.py that names this plugin, links resolved.

    It is the same however the claims are reached: from another folder, through a link, with --rootdir or -c.
    """
    for plugin in config.pluginmanager.get_plugins():
        names, file = getattr(plugin, "pytest_plugins", ()), getattr(plugin, "__file__", None)
        if file and Path(file).name == "conftest.py" and PLUGIN in ([names] if isinstance(names, str) else names):
            return Path(file).resolve().parent
    return config.rootpath.resolve()


def check(config: pytest.Config) -> Settings:
    """Raises `pytest.UsageError`: what was given, what is allowed."""
    project = project_of(config)
    try:
        profile = profiles.get(value(config, "profile"))
    except ValueError as error:
        raise usage_error(f"--profile: {error}") from error
    try:
        variations = tuple(variation.parse(text, profile.base) for text in dict.fromkeys(value(config, "vary")))
    except ValueError as error:
        raise usage_error(f"--vary: {error}") from error
    try:
        accepted = expected.load(project / expected.FILE)
    except ValueError as error:
        raise usage_error(f"{expected.FILE}: {error}") from error
    runs_dir, report, figures = (_place(config, option) for option in ("--runs-dir", "--report", "--figures"))
    if report is not None and report.suffix != ".html":
        raise usage_error(f"--report {value(config, 'report')}: must name an .html file")
    report_named, report = report is not None, report or project / f"reports/claims-{profile.name}.html"
    for written in (report.with_suffix(suffix) for suffix in (".html", ".json", ".md")):
        if written.is_dir():
            raise usage_error(f"--report: {written} is a folder, and a file is to be written there")
    exact = value(config, "exact")
    looks = _looks(value(config, "seeds"), value(config, "max_seeds"))
    accept = value(config, "accept")
    if accept is not None:
        _check_accept(accept, looks, variations)
        _require_addable(project / expected.FILE, profile.name)
    device = _device(value(config, "gpu"), exact)
    for varied in variations:
        _require_precision(varied.name, varied.respecify(profile.base), profile.base, device)
    return Settings(
        project=project,
        profile=profile,
        looks=looks,
        controls=value(config, "controls") or accept is not None,  # none is accepted that its controls have not checked
        variations=variations,
        accept=accept,
        expected=accepted,
        store=RunStore((runs_dir or project / ".runs") / ("exact" if exact else "")),
        device=device,
        report=report,
        report_named=report_named,
        figures=figures,
    )


def _place(config: pytest.Config, option: str) -> Path | None:
    """The absolute path that an option names, from the folder the command was given in; None where it was not given."""
    text = value(config, option[2:].replace("-", "_"))
    if text is None:
        return None
    if not text:
        raise usage_error(f"{option}: must name a {'file' if option == '--report' else 'folder'}")
    try:
        return config.invocation_params.dir / Path(text).expanduser()
    except RuntimeError as error:  # ~nobody, or no home
        raise usage_error(f"{option} {text}: {error}; name the folder in full") from error


def _check_accept(why: str, looks: Looks, variations: Collection[Variation]) -> None:
    try:
        expected.check_reason(why)
    except ValueError as error:
        raise usage_error(f"--accept: {error}") from error
    if variations:
        raise usage_error("--accept: does not go with --vary: verdicts are accepted for the profile as it is")
    if looks != Looks():
        raise usage_error(
            f"--accept: does not go with other looks: verdicts are accepted for {FIRST_LOOK} to {LAST_LOOK} seeds, "
            f"and these are {looks.first} to {looks.last}; leave --seeds and --max-seeds away"
        )


def _require_addable(path: Path, profile: str) -> None:
    """Known now rather than after the training: some forms of TOML can be read, and not be added to."""
    try:
        ours = dict.fromkeys(suite.ids(suite.OURS), "SUPPORTED")
        expected.with_accepted(expected.text_of(path), profile, ours, "a trial")
    except ValueError as error:
        advice = "write its tables as [profile.claim]"
        raise usage_error(f"--accept: {expected.FILE} cannot be added to ({error}): {advice}") from error


def _require_precision(name: str, varied: RunSpec, base: RunSpec, device: str) -> None:
    """Raises `pytest.UsageError` where bf16 and float32 would be computed alike: the variation would be the claim."""
    if varied.training.precision == base.training.precision:
        return
    from bumplab.training.speed import has_bf16

    if not has_bf16(device):
        raise usage_error(
            f"--vary: {name}: changes nothing here: this processor has no bf16, and both are computed in float32"
        )


def _looks(seeds: str | None, max_seeds: str | None) -> Looks:
    """Defaults are 3 to 8. `--seeds 10` alone means exactly 10, `--max-seeds 2` alone exactly 2."""
    first, last = _number("--seeds", seeds), _number("--max-seeds", max_seeds)
    if first is not None and last is not None and last < first:
        raise usage_error(f"--max-seeds {last}: must be at least --seeds, which is {first}")
    if last is None:
        last = max(LAST_LOOK, first or 0)
    return Looks(min(FIRST_LOOK, last) if first is None else first, last)


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    allowed = {str(seeds): seeds for seeds in range(MIN_SEEDS, MAX_SEEDS + 1)}
    if text not in allowed:
        raise usage_error(f"{name} {text}: must be a whole number from {MIN_SEEDS} to {MAX_SEEDS}")
    return allowed[text]


def _device(gpu: bool, exact: bool) -> str:
    if exact and not gpu:
        raise usage_error("--exact: goes with --gpu; on a CPU runs repeat bit for bit anyway")
    if not gpu:
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise usage_error("--gpu: torch finds no GPU here; leave --gpu away to train on the CPU")
    if exact:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by torch, before the GPU is first used
        torch.use_deterministic_algorithms(True)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"cuda:{int(worker) % count}"
