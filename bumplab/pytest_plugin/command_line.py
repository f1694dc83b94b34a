"""Makes the settings of a session of its options. A wrong option is one line of error, before anything is trained."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.pytest_plugin import expected
from bumplab.pytest_plugin.cluster import cluster_of
from bumplab.pytest_plugin.expected import Expected
from bumplab.pytest_plugin.options import asks_for_claims, only_lists, project_of, usage_error, value
from bumplab.pytest_plugin.published import audit_of, holds_controls, published_of
from bumplab.pytest_plugin.settings import Settings
from bumplab.pytest_plugin.subject import SubjectOfSession
from bumplab.runs.copies import Elsewhere
from bumplab.runs.draws import MEGABYTES
from bumplab.runs.published import PublishedStore
from bumplab.runs.store import RunStore
from bumplab.subjects.sources import SubjectError
from bumplab.verdicts import registration, suite, variation
from bumplab.verdicts.looks import FIRST_LOOK, LAST_LOOK, MAX_SEEDS, MIN_SEEDS, Looks, needed_of
from bumplab.verdicts.registration import SEEDS_A_REGISTRATION, Registration
from bumplab.verdicts.toml_files import require_reason, text_of
from bumplab.verdicts.variation import Variation

MOST_MINUTES = 10_080
"""Longest session with ``--minutes``: a week."""


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
        variations = tuple(variation.parse(text, profile.base, subject.reads) for text in texts)
    except ValueError as error:
        raise usage_error(f"--vary: {error}") from error
    expected_file = _path_of(config, "--expected")
    if expected_file is None and subject.users is None:
        expected_file = project / expected.FILE
    accepted_in_project = _accepted(project / expected.FILE, str(expected.FILE), known_ids)
    accepted = {} if expected_file is None else accepted_in_project
    if value(config, "expected") is not None and expected_file is not None:
        accepted = _accepted(expected_file, value(config, "expected"), known_ids)
    ledger = _ledger(project)
    runs_dir, named_report, figures = (_path_of(config, name) for name in ("--runs-dir", "--report", "--figures"))
    archive = published_of(config, project, profile, open_registration=len(ledger))
    audit = audit_of(config, archive)
    short_name = "" if subject.users is None else f"{subject.users.spec.short_name}-"
    report = named_report or project / f"reports/claims-{short_name}{profile.name}{'-published' * bool(archive)}.html"
    _require_report_files(report)
    exact = value(config, "exact")
    looks = _looks(value(config, "seeds"), value(config, "max_seeds"), _needed(config, project))
    from_seed = _from_seed(value(config, "from_seed"), looks)
    if asks_for_claims(config, project):
        _require_registered(value(config, "expected") or str(expected.FILE), accepted, ledger, project)
    accept = value(config, "accept")
    if accept is not None:
        if expected_file is None:
            raise usage_error("--accept: a --subject has no accepted verdicts of its own: name a file with --expected")
        _require_acceptable(accept, profile, looks, variations)
        _require_addable(expected_file, profile.name, known_ids)
    dask = cluster_of(config)
    device = _device(value(config, "gpu"), exact, elsewhere=dask is not None and not dask.local_workers)
    for varied in variations:
        _require_precision(varied.name, varied.respecify(profile.base), profile.base, device)
    controls = value(config, "controls") or accept is not None  # no verdict is accepted without its controls
    store = RunStore((runs_dir or project / ".runs") / ("exact" if exact else ""), _draws_bytes(config))
    if archive is not None:
        store = PublishedStore(store.root / "published", store.draws_bytes, published=archive)
        controls = controls or holds_controls(archive, suite.claims(project / "claims"), profile)
    return Settings(
        project=project,
        profile=profile,
        looks=looks,
        controls=controls,
        variations=variations,
        accept=accept,
        expected_file=expected_file,
        expected=accepted,
        expected_of_project=accepted_in_project,
        subject=subject,
        store=store,
        also_runs=_also_runs(config),
        dask=dask,
        device=device,
        report=report,
        report_named=named_report is not None,
        figures=figures,
        with_samples=not value(config, "no_samples"),
        minutes=_minutes(value(config, "minutes")),
        from_seed=from_seed,
        ledger=ledger,
        published=archive,
        audit=audit,
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


def _accepted(path: Path, name: str, known_ids: Collection[str]) -> dict[tuple[str, str], Expected]:
    """The accepted verdicts in a file. ``name`` is what an error calls it."""
    try:
        return expected.load(path, known_ids)
    except ValueError as error:
        raise usage_error(f"{name}: {error}") from error


def _ledger(project: Path) -> tuple[Registration, ...]:
    """The project's registrations."""
    try:
        return registration.load(project / registration.FILE)
    except ValueError as error:
        raise usage_error(f"{registration.FILE}: {error}") from error


def _require_registered(
    name: str,
    accepted: Mapping[tuple[str, str], Expected],
    ledger: Collection[Registration],
    project: Path,
) -> None:
    """Raises `pytest.UsageError` where an accepted verdict names no registration. ``name`` is that of their file."""
    certain = {claim.id for claim in suite.claims(project / "claims") if claim.certain}
    try:
        expected.require_registered(accepted, tuple(ledger), certain)
    except ValueError as error:
        raise usage_error(f"{name}: {error}") from error


def _from_seed(text: str | None, looks: Looks) -> int | None:
    """The first seed to judge on. `Settings.problem` compares one from `SEEDS_A_REGISTRATION` on with the ledger."""
    if text is None:
        return None
    last = SEEDS_A_REGISTRATION - looks.last
    allowed = (
        f"must be a whole number from 0 to {last}, so that all {looks.last} seeds are below {SEEDS_A_REGISTRATION}"
    )
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise usage_error(f"--from-seed {text}: {allowed}")
    first = int(text)
    if last < first < SEEDS_A_REGISTRATION:
        raise usage_error(f"--from-seed {text}: {allowed}")
    return first


def _draws_bytes(config: pytest.Config) -> int:
    """Most bytes of draws that a run keeps."""
    text = value(config, "draws")
    if text is None:
        return MEGABYTES * 10**6
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise usage_error(f"--draws {text}: must be a whole number of megabytes from 0 to 999999")
    return int(text) * 10**6


def _also_runs(config: pytest.Config) -> tuple[Elsewhere, ...]:
    """The stores and archives of ``--also-runs``, each tried once."""
    try:
        return tuple(Elsewhere(_path(config, "--also-runs", text)) for text in value(config, "also_runs"))
    except ValueError as error:
        raise usage_error(f"--also-runs: {error}") from error


def _path_of(config: pytest.Config, option: str) -> Path | None:
    """The absolute path that an option names; None without the option."""
    text = value(config, option[2:].replace("-", "_"))
    return None if text is None else _path(config, option, text)


def _path(config: pytest.Config, option: str, text: str) -> Path:
    """The absolute path of an option's text. A relative path begins at the working folder."""
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


def _require_acceptable(why: str, profile: Profile, looks: Looks, variations: Collection[Variation]) -> None:
    """Raises `pytest.UsageError` where verdicts of such a session cannot be accepted."""
    if not profile.decides:
        raise usage_error(f"--accept: does not go with --profile {profile.name}, which decides nothing: choose another")
    try:
        require_reason(why)
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
    verdicts = dict.fromkeys(known_ids, Expected("SUPPORTED", "a trial", 1))
    try:
        expected.with_accepted(text_of(path), profile, verdicts, known_ids)
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


def _needed(config: pytest.Config, project: Path) -> float:
    """Evidence that each claim of the project needs. Where no claim is asked for, no claim is imported."""
    if not asks_for_claims(config, project):
        return needed_of(1)
    try:
        return suite.needed(project / "claims")
    except ValueError as error:
        raise usage_error(str(error)) from error


def _looks(seeds: str | None, max_seeds: str | None, needed: float) -> Looks:
    """Defaults are 3 to 14. ``--seeds 10`` alone means exactly 10, ``--max-seeds 2`` alone exactly 2."""
    first, last = _number("--seeds", seeds), _number("--max-seeds", max_seeds)
    if first is not None and last is not None and last < first:
        raise usage_error(f"--max-seeds {last}: must be at least --seeds, which is {first}")
    if last is None:
        last = max(LAST_LOOK, first or 0)
    return Looks(min(FIRST_LOOK, last) if first is None else first, last, needed)


def _number(name: str, text: str | None) -> int | None:
    """A number of seeds; None for an option that is absent. Raises `pytest.UsageError` for all but plain digits."""
    if text is None:
        return None
    allowed = {str(seeds): seeds for seeds in range(MIN_SEEDS, MAX_SEEDS + 1)}
    if text not in allowed:
        raise usage_error(f"{name} {text}: must be a whole number from {MIN_SEEDS} to {MAX_SEEDS}")
    return allowed[text]


def _minutes(text: str | None) -> float | None:
    """A number of minutes; None without the option. Raises `pytest.UsageError` for all but plain digits and a point."""
    if text is None:
        return None
    is_plain = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text)
    if not is_plain or not 0 < float(text) <= MOST_MINUTES:
        raise usage_error(f"--minutes {text}: must be a number above 0 and up to {MOST_MINUTES}, such as 11 or 0.5")
    return float(text)


def _device(gpu: bool, exact: bool, elsewhere: bool = False) -> str:
    """torch's name of the device. With ``exact`` torch computes deterministically from here on.

    Where the runs are trained ``elsewhere``, this machine may do without a GPU.
    """
    if exact and not gpu:
        raise usage_error("--exact: goes with --gpu; on a CPU runs always repeat bit for bit")
    if not gpu:
        return "cpu"
    from bumplab.diffusion import speed

    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    device = speed.gpu(int(worker), exact)
    if device is None and elsewhere:
        return "cpu"
    if device is None:
        raise usage_error("--gpu: torch finds no GPU here; leave --gpu away to train on the CPU")
    return device
