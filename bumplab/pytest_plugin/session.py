"""One session of `pytest claims`: it begins before the first claim, collects entries, and reports them."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import msgspec
import pytest

from bumplab.config import RunSpec, SubjectSpec
from bumplab.pytest_plugin import entries, expected, forms, items, summary
from bumplab.pytest_plugin.cluster import ask_for_all
from bumplab.pytest_plugin.display import ProgressDisplay
from bumplab.pytest_plugin.entries import Judged, Steps
from bumplab.pytest_plugin.expected import Expected
from bumplab.pytest_plugin.items import Item
from bumplab.pytest_plugin.obtained import Obtained
from bumplab.pytest_plugin.options import asks_for_claims, only_lists, usage_error
from bumplab.pytest_plugin.published import AUDIT_SEED, PublishedSession
from bumplab.pytest_plugin.settings import Settings
from bumplab.pytest_plugin.version import code_of
from bumplab.report.document import ClaimEntry, Report
from bumplab.runs.board import Board
from bumplab.runs.cluster.engine import Cluster
from bumplab.runs.cluster.options import ClusterOptions, NoCluster
from bumplab.runs.deadline import Deadline
from bumplab.runs.locks import require_locks
from bumplab.runs.planner import train_here
from bumplab.runs.stopping import StopsOfSession
from bumplab.subjects.registry import described
from bumplab.subjects.sources import SubjectError
from bumplab.terminal import line, printable, warnings_as_usual
from bumplab.verdicts import suite
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.evidence import FAMILY_ALPHA

SESSION = "bumplab-session"
"""The key under which xdist's controller sends its workers the name of their session."""
SUBJECT = "bumplab-subject"
"""The key under which it sends them the subject that it found."""
ENDS = "bumplab-ends"
"""The key under which it sends them the end of a session with ``--minutes``, in seconds since the epoch."""
JUDGED = "bumplab"
"""The attribute of a test's report that carries its claim's `Judged` to the controller, as JSON.

For an item that judges a part or a control alone it is one line on that item, and null where it ended otherwise. It is
no property of the report: properties end up in JUnit files.
"""
judged_key = pytest.StashKey[Judged]()
"""The key under which a claim's test stashes its `Judged` for `ClaimsSession`."""
line_key = pytest.StashKey[str]()
"""The key under which an item that judges a part or a control alone stashes one line on it."""


class ClaimsSession:
    """Holds the settings, the board and the entries of one session. Its methods are pytest's hooks.

    With ``-n`` xdist's workers judge the claims, and the controller shows progress and writes the report. Without it
    one process does both. Nothing is written, locked or shown before the first test, because many options only list.
    """

    NAME = "bumplab-claims"

    def __init__(self, config: pytest.Config, settings: Settings):
        workerinput: dict[str, Any] = getattr(config, "workerinput", {})
        self.config, self.settings = config, settings
        self.is_controller = not workerinput
        name = workerinput.get(SESSION, uuid.uuid4().hex[:12])
        self.board = Board(settings.store.root, name, workerinput.get("workerid", "main"))
        self.deadline = Deadline(settings.minutes, workerinput.get(ENDS))
        stops = StopsOfSession(self.board, self.deadline)
        train = partial(train_here, users=settings.subject.users, stops=stops)
        self.obtained = Obtained(settings, self.board, self.deadline, train)
        self._trainer_here = train
        self.published = PublishedSession(settings.published, self.obtained) if settings.published else None
        self.controllers_subject = SubjectSpec.from_dict(workerinput[SUBJECT]) if SUBJECT in workerinput else None
        self.claims: list[tuple[Claim, list[Item]]] = []
        """Each claim of this process with its selected items."""
        self.lines_of_items: list[str] = []
        """A line for each part or control that was judged alone."""
        self.entries: dict[str, ClaimEntry] = {}
        """By claim, from the end of the session on in the paper's order."""
        self.steps_used: Steps = {}
        self.steps_at_last_look: Steps = {}
        self.seconds: dict[str, float] = {}
        self.display: ProgressDisplay | None = None
        self.closing_lines: list[str] = []
        """Lines of the summary about the report and the accepted verdicts."""
        self._hangup_handler: Any = None
        """The handler of SIGHUP before the session ignored it."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[SESSION] = self.board.folder.name
        node.workerinput[SUBJECT] = self.settings.profile.base.subject.to_dict()
        node.workerinput[ENDS] = self.deadline.ends
        if self.settings.audit is not None:
            node.workerinput[AUDIT_SEED] = self.settings.audit.seed

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        here, controllers = self.settings.profile.base.subject, self.controllers_subject
        if controllers is not None and controllers != here:
            session.shouldfail = line(
                f"the session's subject is {described(controllers)}, and this worker found {described(here)}: "
                "its files changed while the session began, or differ between machines; begin again"
            )
        self.claims = items.claims_of(session.items)
        problems = [problem for claim, _ in self.claims if (problem := self.settings.problem(claim))]
        if problem := self.settings.problem_of_published([claim for claim, _ in self.claims]):
            problems.append(problem)
        if problems and self.is_controller:
            raise usage_error(problems[0])
        if problems:  # a worker's error would not reach the terminal
            session.shouldfail = line(problems[0])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """A worker that refused its subject or a claim runs no test: xdist's worker does not look at ``shouldfail``."""
        return True if item.session.shouldfail else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Begins the session: the controller opens it, and each process with claims asks for their runs."""
        if only_lists(self.config) or session.testsfailed or session.shouldfail:
            return
        workers_judge = self.is_controller and self.config.pluginmanager.has_plugin("dsession")
        if self.settings.dask is not None and self.claims:
            self._connect(self.settings.dask)
        if self.claims or (workers_judge and asks_for_claims(self.config, self.settings.project)):
            with suppress(ValueError):  # only a main thread may set a handler
                # a terminal that closes must not end the session
                self._hangup_handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
            if self.is_controller:
                self._open()
            if self.claims:
                self._begin()

    def _connect(self, options: ClusterOptions) -> None:
        """Reaches the cluster. Raises `pytest.UsageError` where it cannot be used: nothing is written then."""
        cluster = Cluster(options, self.board, self.settings.store, self.deadline, self.settings.also_runs, self._say)
        if self.obtained.train is not self._trainer_here:
            cluster.train = self.obtained.train
        try:
            cluster.connect()
        except (NoCluster, SubjectError, ImportError) as error:
            raise usage_error(f"--dask {error}") from error
        self.obtained.cluster = cluster

    def _say(self, text: str) -> None:
        """A line for the user between pytest's own."""
        if self.display is not None:
            self.display.say(text)

    def _open(self) -> None:
        """Tries all folders that are written later, opens the board and starts the display.

        Raises `pytest.UsageError` where a folder cannot be written. Then no lock is held.
        """
        settings = self.settings
        _require_writable("--report", settings.report.parent)
        if settings.accept is not None and settings.expected_file is not None:
            _require_writable("--accept", settings.expected_file.parent)
        if settings.figures is not None:
            _require_writable("--figures", settings.figures)
        try:
            require_locks(self.board.root)
            settings.store.require_writable()
            self.board.open()
        except OSError as error:
            raise usage_error(f"--runs-dir {self.board.root}: cannot be written ({error})") from error
        self.display = ProgressDisplay(self.board)
        self.display.start()

    def _begin(self) -> None:
        """Asks on the board for the runs of each item's first look, in the order of the items.

        Runs of later looks are on the board as well, for workers that would wait.
        """
        settings = self.settings
        plan: list[RunSpec] = []
        later: dict[str, list[RunSpec]] = {}
        if settings.published is not None and settings.audit is not None:
            plan = [settings.published.specs[key] for key in settings.audit.keys]
        for claim, selected in self.claims if settings.published is None else ():
            for item in selected:
                plan += forms.first_look(claim, item, settings)
                later |= forms.later_looks(claim, item, settings)
        judged = [claim for claim, selected in self.claims if any(item.kind == "verdict" for item in selected)]
        self.board.begin([entries.about(claim) for claim in judged], plan, later)
        if (cluster := self.obtained.cluster) is not None:
            cluster.start()
            ask_for_all(self.claims, cluster, self.obtained)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attaches the claim's entry to the report of its last item. An error gives an entry without a verdict."""
        report = yield
        if (judged_by := items.judged_by(item)) is None:
            return report
        (claim, which), judged = judged_by, item.stash.get(judged_key, None)
        if which.kind == "verdict" and judged is None and call.excinfo and report.failed:
            judged = Judged(entries.error(entries.about(claim), printable(call.excinfo.exconly())))
        if report.when == "call" or report.failed:
            carried = item.stash.get(line_key, None) if judged is None else judged
            setattr(report, JUDGED, msgspec.json.encode(carried).decode())
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Iterator[None]:
        if self.display is None:
            yield
            return
        with self.display.paused():
            yield
        if (text := getattr(report, JUDGED, None)) is None:
            return
        judged = msgspec.json.decode(text, type=Judged | str | None)
        if not isinstance(judged, Judged):
            self.lines_of_items.append(judged or printable(report.nodeid))
            return
        self.entries[judged.entry.claim] = judged.entry
        self.steps_used |= judged.steps_used
        self.steps_at_last_look |= judged.steps_at_last_look
        self.seconds |= judged.seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        with warnings_as_usual():
            if self.obtained.cluster is not None:
                self.obtained.cluster.close(keeps=exitstatus == pytest.ExitCode.INTERRUPTED)
            self.board.finish()
            if self.display is not None:
                self._finish(session, exitstatus)
            elif self.claims and not self.is_controller and exitstatus in (0, pytest.ExitCode.TESTS_FAILED):
                with suppress(Exception):  # the claim that needs the run meets the same error and reports it
                    self.obtained.help_others()

    def pytest_unconfigure(self) -> None:
        """Restores the handler of SIGHUP, the signal of a terminal that closes."""
        if self._hangup_handler is not None:
            signal.signal(signal.SIGHUP, self._hangup_handler)

    def _finish(self, session: pytest.Session, exitstatus: int) -> None:
        assert self.display is not None
        self.display.stop()
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        stopped = not ended or bool(session.shouldfail or session.shouldstop)
        tried = {claim for claim, entry in self.entries.items() if entry.judged or not entry.stopped}
        with closing(self.board):  # until then no other process may remove runs: the report needs them
            lacks_runs = any(not entry.judged and entry.stopped for entry in self.entries.values())
            if missing := self._missing():
                self.closing_lines.append(f"{self.deadline} are over: {missing}: give the command again")
            for claim in self.board.claims():
                reason = "no verdict: its worker died or the session was stopped"
                self.entries.setdefault(claim["claim"], entries.error(claim, reason))
            self.entries = {entry.claim: entry for entry in suite.in_the_papers_order(self.entries.values())}
            if not self.entries:
                if self.lines_of_items:
                    no_report = "no report: no item that judges a whole claim was selected (verdict)"
                    self.closing_lines += [*self.lines_of_items, no_report]
                return
            try:
                self._report(
                    tried if stopped or (lacks_runs and self.deadline.is_set) else set(self.entries),
                    self.display.elapsed,
                )
                self._name_outdated()
                if self.settings.accept is not None and not stopped:
                    self._accept(self.settings.accept)
            except (ImportError, OSError, ValueError) as error:  # the summary must still be printed
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
                self.closing_lines.append(line(error))

    def _missing(self) -> str:
        """Which runs the workers wanted and had no time for, in words; empty where there are none."""
        if not self.deadline.is_set:
            return ""
        cluster = self.obtained.cluster
        workers = self.config.getoption("numprocesses", None) or (cluster and len(cluster.workers)) or 1
        return self.deadline.missing(self.board.wanted(), store=self.settings.store, board=self.board, workers=workers)

    def _report(self, tried: set[str], elapsed: float) -> None:
        """Writes the report. A report without a verdict never replaces one with verdicts."""
        from bumplab.report.compare import holds_verdicts
        from bumplab.report.page import write

        settings = self.settings
        path = settings.report_of(tried)
        if not any(entry.judged for entry in self.entries.values()) and holds_verdicts(path):
            self.closing_lines.append(f"report: {path} is kept, as this session reached no verdict")
            return
        report = Report(
            profile=settings.profile.name,
            purpose=settings.profile.purpose,
            subject=settings.subject.entry,
            looks=settings.looks,
            controls=settings.controls,
            saved=entries.saved(self.steps_used, self.steps_at_last_look),
            code=code_of(settings.project),
            written=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed=elapsed,
            family_alpha=FAMILY_ALPHA,
            published=None if self.published is None else self.published.entry,
            claims=list(self.entries.values()),
        )
        claims = suite.claims(settings.project / "claims")
        paper_figures = {claim.id: claim.figure for claim in claims if claim.figure}
        try:
            write(report, settings.store, path, paper_figures, settings.figures, settings.with_samples)
        except OSError as error:
            raise OSError(f"report not written: {error}; name another place with --report or --figures") from error
        except ValueError as error:
            raise ValueError(f"report not written: {error}") from error
        self.closing_lines.append(f"report: {path} (.json and .md beside it)")

    def _name_outdated(self) -> None:
        """Adds a closing line for each accepted verdict that was compared with none: one of another registration."""
        for claim, entry in self.entries.items():
            accepted = self.settings.expected.get((self.settings.profile.name, claim))
            if accepted and entry.registration and accepted.registration != entry.registration:
                was = f"{claim} was accepted as {accepted.verdict} in registration {accepted.registration}"
                self.closing_lines.append(f"not compared: {was}, and is in registration {entry.registration} now")

    def _accept(self, why: str) -> None:
        """Writes the verdicts that have moved into the file of accepted verdicts, and adds a closing line for each."""
        settings, path = self.settings, self.settings.expected_file
        assert path is not None  # `options` requires it with --accept
        reached = {
            claim: Expected(entry.verdict, why, entry.registration or None)
            for claim, entry in self.entries.items()
            if entry.judged and not entry.exploratory and not entry.stopped
        }
        moved = expected.moved(settings.profile.name, reached, settings.expected)
        try:
            if moved:
                expected.accept(path, settings.profile.name, moved, settings.claim_ids)
        except (OSError, ValueError) as error:
            raise OSError(f"accepted nothing: {path} cannot be written ({error})") from error
        for claim, accepted in moved.items():
            earlier = settings.expected.get((settings.profile.name, claim))
            replaced = earlier.verdict if earlier else "no verdict"
            self.closing_lines.append(
                f"accepted: {settings.profile.name}.{claim}, {accepted.verdict} in place of {replaced}"
            )
        if not moved:
            self.closing_lines.append(f"accepted: nothing, as no verdict has moved from {path}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not (self.entries or self.closing_lines):
            return
        settings = self.settings
        users = settings.subject.users
        name = "" if users is None else f"{described(users.spec)}, "
        terminalreporter.section(line(f"claims, {name}profile {settings.profile.name}, {settings.seeds}"))
        if self.entries:
            saved = entries.saved(self.steps_used, self.steps_at_last_look)
            judged = list(self.entries.values())
            summary.write(terminalreporter, judged, saved, self.seconds, settings.looks.needed)
        subject = settings.profile.base.subject
        for note in (summary.passed_over(settings.store.root), summary.of_another_source(settings.store.root, subject)):
            if note:
                terminalreporter.write_line(note)
        for closing_line in self.closing_lines:
            terminalreporter.write_line(closing_line)


def _require_writable(option: str, folder: Path) -> None:
    """Raises `pytest.UsageError` where no file can be written into the folder. It is known before hours of training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = "" if option == "--accept" else ": name another place"
        raise usage_error(f"{option}: {folder} cannot be written ({error}){advice}") from error
