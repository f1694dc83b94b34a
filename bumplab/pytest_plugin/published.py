"""``--published`` and ``--audit``: claims judged from an archive, and some of its runs trained again."""

from __future__ import annotations

import math
import secrets
from collections.abc import Collection, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from bumplab.profiles import REPLICATES, Profile
from bumplab.pytest_plugin.options import PUBLISHED, usage_error, value
from bumplab.report.published import AuditedRun, AuditEntry, PublishedEntry
from bumplab.runs import audit
from bumplab.runs.archive import NotAnArchive
from bumplab.runs.planner import obtain
from bumplab.runs.published import Published
from bumplab.runs.record import RunRecord
from bumplab.runs.sealed import Damaged
from bumplab.runs.store import RunStore
from bumplab.terminal import line, printable, warnings_as_usual
from bumplab.verdicts import registration
from bumplab.verdicts.claim import Claim

if TYPE_CHECKING:  # it imports the settings, which import this
    from bumplab.pytest_plugin.obtained import Obtained

AUDIT_SEED = "bumplab-audit-seed"
"""The key under which xdist's controller sends its workers the seed that it drew."""
AUDITED = "bumplab_audited"
"""The attribute of a test's report that carries an `AuditedRun` to the controller, as JSON."""
CONFLICTS = {
    "subject": "the archive holds runs of the built-in network",
    "also_runs": "claims are judged from the archive alone",
    "vary": "the archive holds no varied runs",
    "accept": "accept verdicts of runs that were trained here",
    "minutes": "nothing is trained but what --audit asks for",
    "dask": "nothing is trained but what --audit asks for",
}
"""Options that do not go with ``--published``, and why."""


@dataclass(frozen=True)
class Audit:
    """Which runs of the archive are trained again, by key, and the seed that drew them."""

    keys: tuple[str, ...]
    seed: int


def published_of(config: pytest.Config, project: Path, profile: Profile, open_registration: int) -> Published | None:
    """The archive of the profile's published runs; None without ``--published``. Raises `pytest.UsageError`."""
    if not value(config, "published"):
        return None
    for name, reason in CONFLICTS.items():
        if value(config, name):
            option = f"--{name.replace('_', '-')}"
            raise usage_error(f"--published: does not go with {option}: {reason}: leave {option} away")
    path = project / PUBLISHED / f"{profile.name}.zip"
    if not path.exists():
        command = f"python -m bumplab runs export {PUBLISHED / path.name} --profile {profile.name} --no-draws"
        raise usage_error(
            f"--published: no runs are published for the profile {profile.name}: {path} is missing: "
            f"`{command} --registration {open_registration}` makes it from a store"
        )
    try:
        with warnings_as_usual():
            published = Published.of(path, registration.number_of)
    except NotAnArchive as error:
        raise usage_error(f"--published: {error}") from error
    config.add_cleanup(published.archive.close)
    return published


def audit_of(config: pytest.Config, published: Published | None) -> Audit | None:
    """The runs that are audited; None without ``--audit``. Raises `pytest.UsageError` in one line."""
    text, seed = value(config, "audit"), value(config, "audit_seed")
    if text is None:
        if seed is not None:
            raise usage_error(f"--audit-seed {seed}: goes with --audit, whose runs it draws")
        return None
    if published is None:
        raise usage_error(f"--audit {text}: goes with --published, whose runs it trains again")
    runs = len(published.specs)
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= runs):
        raise usage_error(f"--audit {text}: must be a whole number from 1 to {runs}, the runs in {published.path}")
    if seed is not None and not (seed.isascii() and seed.isdigit() and len(seed) <= 9):
        raise usage_error(f"--audit-seed {seed}: must be a whole number from 0 to 999999999")
    number: int | None = getattr(config, "workerinput", {}).get(AUDIT_SEED)
    if seed is not None:
        number = int(seed)
    elif number is None:
        number = secrets.randbelow(10**9)
    return Audit(tuple(audit.drawn(published.specs, int(text), number)), number)


def holds_controls(published: Published, claims: Collection[Claim], profile: Profile) -> bool:
    """Whether the archive holds a run that only a control of these claims asks for."""
    stored = set(published.specs.values())
    in_worlds = [claim.under(control) for claim in claims for control in claim.controls]
    for seed in sorted({spec.seed % REPLICATES for spec in stored}):
        own = {run for claim in claims for run in claim.all_runs(profile, seed)}
        of_controls = {run for form in in_worlds for run in form.all_runs(profile, seed)}
        if stored & (of_controls - own):
            return True
    return False


def audited(published: RunRecord, here: RunRecord) -> AuditedRun:
    """The two trainings of a run, compared."""
    compared = audit.compare(published, here)
    numbers: dict[str, Any] = {}
    if (worst := compared.worst) is not None:
        known = [number if math.isfinite(number) else None for number in (worst.published, worst.retrained)]
        numbers = {"number": worst.name, "step": worst.step, "published": known[0], "retrained": known[1]}
    how = compared.problem or compared.how
    return AuditedRun(key=here.key, label=here.spec.label(), outcome=compared.outcome, how=how, **numbers)


class AuditFailed(Exception):
    """A run of the archive is not what training it gives. In one line."""


class AuditItem(pytest.Item):
    """Trains one run of the archive again and compares. `auditing` is set after it was made."""

    auditing: PublishedSession
    key: str
    result: AuditedRun | None = None

    def runtest(self) -> None:
        with warnings_as_usual():
            self.result = self.auditing.audit(self.key)
        if self.result.outcome == "different":
            raise AuditFailed(line(self.result.sentence))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """One line, but for errors of the program."""
        if isinstance(excinfo.value, (AuditFailed, OSError, ValueError)):
            return printable(f"audit: {excinfo.value}")
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class PublishedSession:
    """Adds an item for each audited run, and says what was published and audited. Its methods are pytest's hooks."""

    NAME = "bumplab-published"

    def __init__(self, published: Published, obtained: Obtained):
        self.published, self.obtained = published, obtained
        self.drawn = obtained.settings.audit
        self.store = RunStore(obtained.settings.store.root, draws_bytes=0)
        """Where audited runs are trained and kept."""
        self.audited: list[AuditedRun] = []

    @property
    def entry(self) -> PublishedEntry:
        """What the report says, once the audit has ended."""
        published, manifest = self.published, self.published.archive.manifest
        runs = len(published.specs)
        drawn = None
        if self.drawn is not None:
            chance = audit.chance_missed(runs, len(self.audited))
            keys = self.drawn.keys
            drawn = AuditEntry(seed=self.drawn.seed, drawn=len(keys), runs=self.audited, missed=chance)
        project = self.obtained.settings.project
        inside = published.path.is_relative_to(project)
        return PublishedEntry(
            archive=str(published.path.relative_to(project) if inside else published.path),
            sha256=published.sha256,
            registration=published.registration,
            command=manifest.command,
            version=manifest.bumplab,
            runs=runs,
            audit=drawn,
        )

    def audit(self, key: str) -> AuditedRun:
        """Trains a run again and compares it. Raises OSError as the store does, and ValueError for a damaged run."""
        spec = self.published.specs[key]
        try:
            record = self.published.archive.read(key).record
        except Damaged as error:
            raise ValueError(f"{spec.label()} ({key}): {error}, in {self.published.path}") from error
        obtained = self.obtained
        (here,) = obtain(
            [spec], board=obtained.board, store=self.store, device=obtained.settings.device, train=obtained.train
        )
        return audited(record, here)

    def pytest_report_header(self) -> list[str]:
        """The seed comes first: a killed audit goes on with it."""
        lines = [f"published runs: {self.published.path}"]
        if self.drawn is not None:
            count, of = len(self.drawn.keys), len(self.published.specs)
            lines.append(f"audit: {count} of {of} runs, drawn by --audit-seed {self.drawn.seed}")
        return [line(text) for text in lines]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Adds the items of the audit, after pytest's -k has chosen among the claims."""
        for key in self.drawn.keys if self.drawn is not None else ():
            name = f"audit[{self.published.specs[key].label()} {key}]"
            nodeid = f"{PUBLISHED / self.published.path.name}::{name}"
            item = AuditItem.from_parent(session, name=name, nodeid=nodeid, path=self.published.path)
            item.auditing, item.key = self, key
            items.append(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if isinstance(item, AuditItem) and report.when == "call" and item.result is not None:
            setattr(report, AUDITED, msgspec.json.encode(item.result).decode())
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (text := getattr(report, AUDITED, None)) is not None:
            self.audited.append(msgspec.json.decode(text, type=AuditedRun))
            self.audited.sort(key=lambda run: run.key)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for sentence in self.entry.sentences:
            terminalreporter.write_line(line(sentence))
