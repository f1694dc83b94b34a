"""The options of `pytest claims` and the settings made of them.

A wrong option is one line of error, before anything is collected or trained.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bumplab import profiles
from bumplab.config import Role, RunSpec
from bumplab.profiles import Profile
from bumplab.pytest_plugin import expected
from bumplab.pytest_plugin.conflicts import PLUGIN, owner_of
from bumplab.pytest_plugin.expected import Expected
from bumplab.pytest_plugin.subject import SubjectOfSession
from bumplab.runs.draws import MEGABYTES
from bumplab.runs.store import RunStore
from bumplab.subjects.sources import SubjectError
from bumplab.terminal import line
from bumplab.verdicts import needs, suite, variation
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.error_rate import FAMILY_ALPHA, FIRST_LOOK, LAST_LOOK, MAX_SEEDS, MIN_SEEDS, Looks
from bumplab.verdicts.variation import Variation


@dataclass(frozen=True)
class Settings:
    """The options of one session."""

    project: Path
    """The folder of the project's conftest.py. It holds the claims and their accepted verdicts.

    By default it also holds the reports and the runs.
    """
    profile: Profile
    looks: Looks
    controls: bool
    """Whether the controls of each claim are judged, too."""
    variations: tuple[Variation, ...]
    """The forms in which each claim is judged, too."""
    accept: str | None
    """The reason for which new verdicts are accepted; None without ``--accept``."""
    expected_file: Path | None
    """The file of accepted verdicts; None for a user's subject without ``--expected``."""
    expected: Mapping[tuple[str, str], Expected]
    """The accepted verdicts, by profile and claim."""
    subject: SubjectOfSession
    store: RunStore
    device: str
    """Such as ``cpu`` or ``cuda:0``."""
    report: Path
    """The HTML file of a report on all claims."""
    report_named: bool
    """Whether ``--report`` named the file."""
    figures: Path | None
    """The folder for figures as files; None without ``--figures``."""

    @property
    def claim_ids(self) -> tuple[str, ...]:
        """The claims of the project."""
        return suite.ids(self.project / "claims")

    @property
    def seeds(self) -> str:
        """Such as ``3 to 8 seeds``."""
        looks = self.looks
        return f"{looks.first} seeds" if looks.first == looks.last else f"{looks.first} to {looks.last} seeds"

    def accepted(self, claim: Claim) -> Expected | None:
        """The verdict accepted for the claim at this profile, if any."""
        return self.expected.get((self.profile.name, claim.id))

    def report_of(self, judged: Collection[str]) -> Path:
        """The file of the report on these claims.

        A report on some claims does not replace one on all claims, unless ``--report`` names the file.
        """
        if self.report_named or set(self.claim_ids) <= set(judged):
            return self.report
        return self.report.with_stem(f"{self.report.stem}-subset")

    def missing_roles(self, claim: Claim) -> tuple[Role, ...]:
        """The roles that the claim needs and the subject lacks."""
        return () if self.subject.users is None else needs.missing(claim, self.subject.roles)

    def judged_form(self, claim: Claim) -> Claim:
        """The claim without the shown parts that the subject lacks a role for."""
        return claim if self.subject.users is None else needs.without_missing(claim, self.subject.roles)

    def forms(self, claim: Claim) -> list[Claim]:
        """The claim, and its controls and variations where options ask for them. None where it is skipped."""
        if self.missing_roles(claim):
            return []
        controls = [claim.under(control) for control in claim.controls] if self.controls else []
        return [claim, *controls, *(v.of(claim) for v in self.variations)]


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
    option("--seeds", f"training runs of each condition at a claim's first look ({FIRST_LOOK})", metavar="N")
    option(
        "--max-seeds", f"the most training runs: an open claim gets one more at each look ({LAST_LOOK})", metavar="M"
    )
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


def settings_of(config: pytest.Config) -> Settings:
    """The settings that the command line asks for.

    Raises `pytest.UsageError` in one line: the value, the allowed values, and what to do.
    """
    project = project_of(config)
    known_ids = suite.ids(project / "claims")
    try:
        profile = profiles.get(value(config, "profile"))
    except ValueError as error:
        raise usage_error(f"--profile: {error}") from error
    subject, profile = _subject(config, profile)
    try:
        texts = dict.fromkeys(value(config, "vary"))
        variations = tuple(variation.parse(text, profile.base, subject.reads, subject.roles) for text in texts)
    except ValueError as error:
        raise usage_error(f"--vary: {error}") from error
    expected_file = _path_of(config, "--expected")
    if expected_file is None and subject.users is None:
        expected_file = project / expected.FILE
    try:
        accepted = {} if expected_file is None else expected.load(expected_file, known_ids)
    except ValueError as error:
        raise usage_error(f"{value(config, 'expected') or expected.FILE}: {error}") from error
    runs_dir, named_report, figures = (_path_of(config, name) for name in ("--runs-dir", "--report", "--figures"))
    short_name = "" if subject.users is None else f"{subject.users.spec.short_name}-"
    report = named_report or project / f"reports/claims-{short_name}{profile.name}.html"
    _require_report_files(report)
    exact = value(config, "exact")
    looks = _looks(value(config, "seeds"), value(config, "max_seeds"), _alpha(config, project))
    accept = value(config, "accept")
    if accept is not None:
        if expected_file is None:
            raise usage_error("--accept: a --subject has no accepted verdicts of its own: name a file with --expected")
        _require_acceptable(accept, looks, variations)
        _require_addable(expected_file, profile.name, known_ids)
    device = _device(value(config, "gpu"), exact)
    for varied in variations:
        _require_precision(varied.name, varied.respecify(profile.base), profile.base, device)
    return Settings(
        project=project,
        profile=profile,
        looks=looks,
        controls=value(config, "controls") or accept is not None,  # no verdict is accepted without its controls
        variations=variations,
        accept=accept,
        expected_file=expected_file,
        expected=accepted,
        subject=subject,
        store=RunStore((runs_dir or project / ".runs") / ("exact" if exact else ""), _draws_bytes(config)),
        device=device,
        report=report,
        report_named=named_report is not None,
        figures=figures,
    )


def require_contract(config: pytest.Config, settings: Settings) -> None:
    """Tries the user's subject before anything is trained. xdist's workers leave that to the controller.

    Raises `pytest.UsageError` in one line where it breaks a promise.
    """
    is_worker = hasattr(config, "workerinput")
    if is_worker or only_lists(config) or not asks_for_claims(config, settings.project):
        return
    try:
        settings.subject.require_contract(settings.device)
    except SubjectError as error:
        raise usage_error(f"--subject: {error}") from error


def _subject(config: pytest.Config, profile: Profile) -> tuple[SubjectOfSession, Profile]:
    """The session's subject, and the profile with it in its runs."""
    name, checks = value(config, "subject"), value(config, "check")
    if checks and name is None:
        raise usage_error("--check: goes with --subject, which names what is checked")
    if value(config, "pace") and not checks:
        raise usage_error("--pace: goes with --check")
    try:
        subject = SubjectOfSession.of(name, value(config, "subject_arg"), config.invocation_params.dir)
        return subject, subject.profile(profile)
    except SubjectError as error:
        raise usage_error(f"--subject: {error}") from error
    except ValueError as error:  # the budget
        raise usage_error(f"--subject {name}: its budget: {error}") from error


def _draws_bytes(config: pytest.Config) -> int:
    """Most bytes of draws that a run keeps."""
    text = value(config, "draws")
    if text is None:
        return MEGABYTES * 10**6
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise usage_error(f"--draws {text}: must be a whole number of megabytes from 0 to 999999")
    return int(text) * 10**6


def _path_of(config: pytest.Config, option: str) -> Path | None:
    """The absolute path that an option names; None without the option. A relative path begins at the working folder."""
    text = value(config, option[2:].replace("-", "_"))
    if text is None:
        return None
    if not text:
        kind = "file" if option in ("--report", "--expected") else "folder"
        raise usage_error(f"{option}: must name a {kind}")
    try:
        return config.invocation_params.dir / Path(text).expanduser()
    except RuntimeError as error:  # ~nobody, or no home
        raise usage_error(f"{option} {text}: {error}; name the folder in full") from error


def _require_report_files(report: Path) -> None:
    """Raises `pytest.UsageError` where the report's file has another suffix, or a folder lies in its place."""
    if report.suffix != ".html":
        raise usage_error(f"--report {report}: must name an .html file")
    for path in (report.with_suffix(suffix) for suffix in (".html", ".json", ".md")):
        if path.is_dir():
            raise usage_error(f"--report: {path} is a folder; the report needs a file of this name")


def _require_acceptable(why: str, looks: Looks, variations: Collection[Variation]) -> None:
    """Raises `pytest.UsageError` where verdicts of such a session cannot be accepted."""
    try:
        expected.require_reason(why)
    except ValueError as error:
        raise usage_error(f"--accept: {error}") from error
    if variations:
        raise usage_error("--accept: does not go with --vary: verdicts are accepted for the unchanged profile")
    if (looks.first, looks.last) != (FIRST_LOOK, LAST_LOOK):
        raise usage_error(
            f"--accept: goes with {FIRST_LOOK} to {LAST_LOOK} seeds only, and these are {looks.first} to {looks.last}: "
            "leave --seeds and --max-seeds away"
        )


def _require_addable(path: Path, profile: str, known_ids: tuple[str, ...]) -> None:
    """Tries now what `expected.accept` does after hours of training. Some TOML can be read but not extended."""
    verdicts = dict.fromkeys(known_ids, "SUPPORTED")
    try:
        expected.with_accepted(
            text=expected.text_of(path), profile=profile, verdicts=verdicts, why="a trial", known_ids=known_ids
        )
    except ValueError as error:
        advice = "write its tables as [profile.claim]"
        raise usage_error(f"--accept: {expected.FILE} cannot be added to ({error}): {advice}") from error


def _require_precision(name: str, varied: RunSpec, base: RunSpec, device: str) -> None:
    """Raises `pytest.UsageError` where a change of precision changes nothing, because the device has no bf16."""
    if varied.training.precision == base.training.precision:
        return
    from bumplab.diffusion.speed import has_bf16

    if not has_bf16(device):
        raise usage_error(
            f"--vary: {name}: changes nothing here: this processor has no bf16 and computes both in float32"
        )


def _alpha(config: pytest.Config, project: Path) -> float:
    """The error rate of each claim of the project. Where no claim is asked for, no claim is imported."""
    if not asks_for_claims(config, project):
        return FAMILY_ALPHA
    try:
        return suite.alpha(project / "claims")
    except ValueError as error:
        raise usage_error(str(error)) from error


def _looks(seeds: str | None, max_seeds: str | None, alpha: float) -> Looks:
    """Defaults are 3 to 8. ``--seeds 10`` alone means exactly 10, ``--max-seeds 2`` alone exactly 2."""
    first, last = _number("--seeds", seeds), _number("--max-seeds", max_seeds)
    if first is not None and last is not None and last < first:
        raise usage_error(f"--max-seeds {last}: must be at least --seeds, which is {first}")
    if last is None:
        last = max(LAST_LOOK, first or 0)
    return Looks(min(FIRST_LOOK, last) if first is None else first, last, alpha)


def _number(name: str, text: str | None) -> int | None:
    """A number of seeds; None for an option that is absent. Raises `pytest.UsageError` for all but plain digits."""
    if text is None:
        return None
    allowed = {str(seeds): seeds for seeds in range(MIN_SEEDS, MAX_SEEDS + 1)}
    if text not in allowed:
        raise usage_error(f"{name} {text}: must be a whole number from {MIN_SEEDS} to {MAX_SEEDS}")
    return allowed[text]


def _device(gpu: bool, exact: bool) -> str:
    """torch's name of the device. With ``exact`` torch computes deterministically from here on."""
    if exact and not gpu:
        raise usage_error("--exact: goes with --gpu; on a CPU runs always repeat bit for bit")
    if not gpu:
        return "cpu"
    from bumplab.diffusion import speed

    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    device = speed.gpu(int(worker), exact)
    if device is None:
        raise usage_error("--gpu: torch finds no GPU here; leave --gpu away to train on the CPU")
    return device
