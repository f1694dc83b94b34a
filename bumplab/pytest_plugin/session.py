"""One session of `pytest claims`: what is begun before the first claim is tried, collected meanwhile, and reported."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import msgspec
import pytest

from bumplab.pytest_plugin import entries, expected, options, summary
from bumplab.pytest_plugin.display import ProgressDisplay
from bumplab.pytest_plugin.entries import Judged, Steps
from bumplab.pytest_plugin.options import Settings, usage_error
from bumplab.report.document import ClaimEntry, Report, in_paper_order, paper_order
from bumplab.runs.board import Board
from bumplab.runs.locks import require_locks
from bumplab.runs.planner import help_others
from bumplab.terminal import line, paper, printable, text_on, warnings_as_usual
from bumplab.verdicts.claim import Claim, PaperFigure
from bumplab.verdicts.error_rate import CLAIMS, FAMILY_ALPHA

SESSION = "bumplab-session"
"""Under this name the controller tells its workers which session they belong to."""
JUDGED = "bumplab"
"""The attribute of a test's report that carries its claim's `Judged` to the controller, as JSON.

A property of the test would also stand in JUnit files, where nobody reads kilobytes of JSON.
"""
judged_key = pytest.StashKey[Judged]()
"""The place where a claim's test leaves its `Judged` for `ClaimsSession`."""


class ClaimsSession:
    """The session's settings, its board and what was found, with pytest's hooks on them.

    The controller shows progress and writes the report. It is the only process without ``-n``; xdist's workers judge.
    Nothing is written, locked or shown before the first test is about to run: many options of pytest only list.
    """

    NAME = "bumplab-claims"

    def __init__(self, config: pytest.Config, settings: Settings):
        workerinput: dict[str, Any] = getattr(config, "workerinput", {})
        self.config, self.settings = config, settings
        self.is_controller = not workerinput
        name = workerinput.get(SESSION, uuid.uuid4().hex[:12])
        self.board = Board(settings.store.root, name, workerinput.get("workerid", "main"))
        self.claims: list[Claim] = []
        self.entries: dict[str, ClaimEntry] = {}
        """By claim, from the end of the session on in the paper's order."""
        self.steps_used: Steps = {}
        self.steps_at_last_look: Steps = {}
        self.seconds: dict[str, float] = {}
        self.display: ProgressDisplay | None = None
        self.closing_lines: list[str] = []
        """What became of the report and of ``--accept``."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[SESSION] = self.board.folder.name

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.claims = [claim for item in session.items if (claim := _claim_of(item))]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Begins the session, or prints a table in place of the tests with ``--power`` or ``--plan``."""
        option = self.config.option
        lists = any(getattr(option, name, False) for name in ("collectonly", "setuponly", "setupplan"))
        if lists or session.testsfailed:
            return None
        if options.only_prints(self.config):
            self._print_tables()
            return True
        workers_judge = self.is_controller and self.config.pluginmanager.has_plugin("dsession")
        if self.claims or (workers_judge and self._asks_for_claims()):
            with suppress(ValueError):  # only a main thread may
                signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that is closed costs no verdict
            if self.is_controller:
                self._open()
            if self.claims:
                self._begin()
        return None

    def _asks_for_claims(self) -> bool:
        """Whether the command line names claims. xdist's controller, which collects nothing, has no better sign."""
        claims = self.settings.project / "claims"
        asked = [(self.config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in self.config.args]
        return any(path == claims or claims in path.parents or path in claims.parents for path in asked)

    def _open(self) -> None:
        """The store, the places of the report, and the display. Raises UsageError where one cannot be written."""
        settings = self.settings
        try:
            require_locks(self.board.root)
            settings.store.require_writable()
            self.board.open()
        except OSError as error:
            raise usage_error(f"--runs-dir {self.board.root}: cannot be written ({error})") from error
        _require_writable("--report", settings.report.parent)
        if settings.accept is not None:
            _require_writable("--accept", (settings.project / expected.FILE).parent)
        if settings.figures is not None:
            _require_writable("--figures", settings.figures)
        self.display = ProgressDisplay(self.board)
        self.display.start()

    def _begin(self) -> None:
        """Asks for what the claims need at their first look: each run once, in the order of the claims."""
        settings = self.settings
        forms = [form for claim in self.claims for form in settings.forms(claim)]
        plan = [run for form in forms for run in entries.planned(form, settings.profile, settings.looks.first)]
        self.board.begin([entries.about(claim) for claim in self.claims], plan)

    def _print_tables(self) -> None:
        from rich.console import Console

        claims = sorted(self.claims, key=lambda claim: paper_order(claim.source, claim.id))
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        settings = self.settings

        write_line = terminal.write_line if terminal else print  # there is none with -p no:terminal

        def show(title: str, text: str) -> None:
            terminal.section(title) if terminal else print(title)
            write_line(text)

        with warnings_as_usual():
            if options.value(self.config, "power"):
                from bumplab.verdicts.power import table

                show(f"power of the claims, {settings.seeds}", table(claims, settings.looks))
            if options.value(self.config, "plan"):
                from bumplab.pytest_plugin import plan

                show(
                    f"plan of the claims, {settings.seeds}",
                    "(a trial of some seconds or, with UMAP to compile, half a minute where runs are missing)",
                )
                workers = getattr(self.config.option, "numprocesses", None) or 1
                with paper(getattr(sys.stdout, "encoding", None)) as text:
                    plan.show(claims, settings, workers, Console(file=text, width=120))
                    write_line(text_on(text))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """The claim's entry goes with the report of its test. One that ended in an error has no verdict."""
        report = yield
        claim, judged = _claim_of(item), item.stash.get(judged_key, None)
        if claim and judged is None and call.excinfo and report.failed:
            judged = Judged(entries.error(entries.about(claim), printable(call.excinfo.exconly())))
        if judged and (report.when == "call" or report.failed):
            setattr(report, JUDGED, msgspec.json.encode(judged).decode())
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
        judged = msgspec.json.decode(text, type=Judged)
        self.entries[judged.entry.claim] = judged.entry
        self.steps_used |= judged.steps_used
        self.steps_at_last_look |= judged.steps_at_last_look
        self.seconds |= judged.seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        with warnings_as_usual():
            self.board.finish()
            if self.display is not None:
                self._finish(session, exitstatus)
            elif self.claims and not self.is_controller and exitstatus in (0, pytest.ExitCode.TESTS_FAILED):
                with suppress(Exception):  # the claim that needs the run meets the same error and reports it
                    help_others(self.board, self.settings.store, self.settings.device)

    def _finish(self, session: pytest.Session, exitstatus: int) -> None:
        assert self.display is not None
        self.display.stop()
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        stopped = not ended or bool(session.shouldfail or session.shouldstop)
        tried = set(self.entries)
        with closing(self.board):  # no other process may remove a run before it is reported
            for claim in self.board.claims():
                reason = "no verdict: its worker died or the session was stopped"
                self.entries.setdefault(claim["claim"], entries.error(claim, reason))
            self.entries = {entry.claim: entry for entry in in_paper_order(list(self.entries.values()))}
            if not self.entries:
                return
            try:
                self._report(tried if stopped else set(self.entries), self.display.elapsed)
                if self.settings.accept is not None and not stopped:
                    self._accept(self.settings.accept)
            except (ImportError, OSError, ValueError) as error:  # whatever fails must not cost what else was said
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
                self.closing_lines.append(line(error))

    def _report(self, tried: set[str], elapsed: float) -> None:
        """Writes the report, but never one without a verdict in the place of one with verdicts."""
        from bumplab.report.compare import holds_verdicts
        from bumplab.report.page import write
        from bumplab.report.paper import FIGURES

        settings = self.settings
        path = settings.report_of(tried)
        if not any(entry.judged for entry in self.entries.values()) and holds_verdicts(path):
            self.closing_lines.append(f"report: {path} is kept, as this session reached no verdict")
            return
        report = Report(
            profile=settings.profile.name,
            purpose=settings.profile.purpose,
            looks=settings.looks,
            controls=settings.controls,
            saved=entries.saved(self.steps_used, self.steps_at_last_look),
            code=_code(settings.project),
            written=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed=elapsed,
            family_alpha=FAMILY_ALPHA,
            claims=list(self.entries.values()),
        )
        # becomes the figure of each claim of the project, by its id
        paper_figures = {claim: PaperFigure(draw, note) for claim, (draw, note) in FIGURES.items()}
        try:
            write(report, settings.store, path, paper_figures, settings.figures)
        except OSError as error:
            raise OSError(f"report not written: {error}; name another place with --report or --figures") from error
        except ValueError as error:
            raise ValueError(f"report not written: {error}") from error
        self.closing_lines.append(f"report: {path} (.json and .md beside it)")

    def _accept(self, why: str) -> None:
        """Writes the verdicts that have moved into the file of accepted ones, and says which."""
        settings, path = self.settings, self.settings.project / expected.FILE
        reached = {claim: entry.verdict for claim, entry in self.entries.items() if entry.judged}
        moved = expected.moved(settings.profile.name, reached, settings.expected)
        try:
            if moved:
                expected.accept(path, settings.profile.name, moved, why)
        except (OSError, ValueError) as error:
            raise OSError(f"accepted nothing: {path} cannot be written ({error})") from error
        for claim, verdict in moved.items():
            before = settings.expected.get((settings.profile.name, claim))
            was = before.verdict if before else "no verdict"
            self.closing_lines.append(f"accepted: {settings.profile.name}.{claim}, {verdict} in place of {was}")
        if not moved:
            self.closing_lines.append(f"accepted: nothing, as no verdict has moved from {path}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        keyword = self.config.option.keyword
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and keyword and self._asks_for_claims():
            terminalreporter.write_line(line(f"-k {keyword}: matches no claim; there are {', '.join(CLAIMS)}"))
        if not self.entries:
            return
        settings = self.settings
        terminalreporter.section(f"claims, profile {settings.profile.name}, {settings.seeds}")
        saved = entries.saved(self.steps_used, self.steps_at_last_look)
        summary.write(terminalreporter, list(self.entries.values()), saved, self.seconds)
        if passed_over := summary.passed_over(settings.store.root):
            terminalreporter.write_line(passed_over)
        for closing_line in self.closing_lines:
            terminalreporter.write_line(closing_line)


def _claim_of(item: pytest.Item) -> Claim | None:
    claim = getattr(getattr(item, "module", None), "CLAIM", None)
    return claim if isinstance(claim, Claim) and "experiment" in getattr(item, "fixturenames", ()) else None


def _require_writable(option: str, folder: Path) -> None:
    """Hours of training come before the report: what cannot be written is to be known now."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = "" if option == "--accept" else ": name another place"
        raise usage_error(f"{option}: {folder} cannot be written ({error}){advice}") from error


def _code(project: Path) -> str:
    """The version of the code that judged, with its commit where it is a checkout; ``+`` marks a changed one."""
    number = version("bumplab")
    git = ["git", "-C", str(project), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return number
    return f"{number} ({commit})"
