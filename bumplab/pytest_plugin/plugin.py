"""pytest's side of the suite: its hooks. Options, the `experiment` fixture, progress and the summary are beside it.

A claim's module holds a `CLAIM`; its test asks for the `experiment` fixture and calls ``experiment.judge(CLAIM)``.
"""

from __future__ import annotations

import io
import json
import subprocess
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from bumplab.pytest_plugin import entries, options, summary
from bumplab.pytest_plugin.display import ProgressDisplay
from bumplab.pytest_plugin.entries import Entry, Steps
from bumplab.pytest_plugin.experiment import ENTRY, SECONDS, STEPS, board_key, experiment, settings_key
from bumplab.runs.board import Board
from bumplab.runs.locks import require_locks
from bumplab.runs.planner import help_others
from bumplab.terminal import line
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.error_rate import CLAIMS

__all__ = ["experiment"]

SESSION = "bumplab-session"
"""Under this name the controller tells its workers which session they belong to."""

entries_key = pytest.StashKey[dict[str, Entry]]()
steps_key = pytest.StashKey[tuple[Steps, Steps]]()
seconds_key = pytest.StashKey[dict[str, float]]()
display_key = pytest.StashKey[ProgressDisplay]()
outcome_key = pytest.StashKey[str]()
"""What became of the report, in one line."""


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    settings = config.stash[settings_key] = options.check(config)
    told: dict[str, Any] = getattr(config, "workerinput", {})
    session = told.get(SESSION, uuid.uuid4().hex[:12])
    config.stash[board_key] = Board(settings.store.root, session, told.get("workerid", "main"))
    config.stash[entries_key], config.stash[steps_key], config.stash[seconds_key] = {}, ({}, {}), {}


_config: pytest.Config | None = None


def pytest_cmdline_main(config: pytest.Config) -> None:
    global _config  # pytest_runtest_logreport is given no config
    _config = config
    if _only_prints(config):
        config.option.dist = "no"  # xdist's controller collects no claims


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[SESSION] = node.config.stash[board_key].folder.name


def _only_prints(config: pytest.Config) -> bool:
    return bool(config.option.power or config.option.plan)


def _is_controller(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


def _claim_of(item: pytest.Item) -> Claim | None:
    claim = getattr(getattr(item, "module", None), "CLAIM", None)
    return claim if isinstance(claim, Claim) and "experiment" in getattr(item, "fixturenames", ()) else None


def _claims(session: pytest.Session) -> list[Claim]:
    return [claim for item in session.items if (claim := _claim_of(item))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "experiment" in metafunc.fixturenames:
        settings = metafunc.config.stash[settings_key]
        name = f"{settings.profile.name}-{settings.seeds.replace(' ', '-')}"
        metafunc.parametrize("experiment", [name], ids=[name], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    claims = config.rootpath / "claims"
    chosen = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    trains = not config.option.collectonly and not _only_prints(config)
    if _is_controller(config) and trains and any(_within(path, claims) for path in chosen):
        board = config.stash[board_key]
        try:
            require_locks(board.root)
            board.open()
        except OSError as error:
            raise pytest.UsageError(f"--runs-dir {board.root}: cannot be written ({error})") from error
        settings = config.stash[settings_key]
        _require_writable("--report", settings.report.parent)
        if settings.figures is not None:
            _require_writable("--figures", settings.figures)
        config.stash[display_key] = ProgressDisplay(board)
        config.stash[display_key].start()


def _require_writable(option: str, folder: Path) -> None:
    """Hours of training come before the report: what cannot be written is to be known now."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise pytest.UsageError(f"{option}: {folder} cannot be written ({error}): name another place") from error


def _within(path: Path, claims: Path) -> bool:
    return path == claims or claims in path.parents or path in claims.parents


def pytest_collection_finish(session: pytest.Session) -> None:
    """The plan is what the selected claims need at their first look: each run once, in the order of the claims."""
    config = session.config
    claims = _claims(session)
    if not claims or config.option.collectonly or _only_prints(config):
        return
    settings, board = config.stash[settings_key], config.stash[board_key]
    forms = [form for claim in claims for form in settings.forms(claim)]
    first = settings.looks.first
    plan = [run for form in forms for run in entries.planned(form, settings.profile, first)]
    board.begin([entries.about(claim) for claim in claims], plan)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """With ``--power`` or ``--plan``, a table in place of the tests."""
    config = session.config
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if not _only_prints(config) or session.testsfailed or terminal is None:
        return None
    settings = config.stash[settings_key]
    claims = sorted(_claims(session), key=lambda claim: summary.rank(claim.id))
    if config.option.power:
        from bumplab.verdicts.power import table

        terminal.section(f"power of the claims, {settings.seeds}")
        terminal.write_line(table(claims, settings.looks))
    if config.option.plan:
        from rich.console import Console

        from bumplab.pytest_plugin import plan

        terminal.section(f"plan of the claims, {settings.seeds}")
        terminal.write_line("(a trial of some seconds or, with UMAP to compile, half a minute where runs are missing)")
        workers = getattr(config.option, "numprocesses", None) or 1
        with io.StringIO() as text:
            plan.show(claims, settings, workers, Console(file=text, width=120))
            terminal.write_line(text.getvalue())
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A claim that ends in an error has no verdict: the report says so and names the error."""
    report = yield
    claim = _claim_of(item)
    if claim and call.excinfo and report.failed and ENTRY not in dict(report.user_properties):
        entry = entries.error(entries.about(claim), call.excinfo.exconly())
        report.user_properties.append((ENTRY, json.dumps(entry)))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> Iterator[None]:
    display = _config.stash.get(display_key, None) if _config else None
    if display is None or _config is None:
        yield
        return
    with display.paused():
        yield
    properties = {name: str(value) for name, value in report.user_properties}
    if ENTRY in properties:
        entry = json.loads(properties[ENTRY])
        _config.stash[entries_key][entry["claim"]] = entry
    if STEPS in properties:
        used, at_last_look = json.loads(properties[STEPS])
        _config.stash[steps_key][0].update(used)
        _config.stash[steps_key][1].update(at_last_look)
    _config.stash[seconds_key].update(json.loads(properties.get(SECONDS, "{}")))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    board, display = config.stash[board_key], config.stash.get(display_key, None)
    board.finish()
    if display is None:
        if not _is_controller(config) and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            _help(config)
        return
    display.stop()
    with closing(board):  # no other process may remove a run before it is reported
        for claim in board.claims():
            reason = "no verdict: its worker died or the session was stopped"
            config.stash[entries_key].setdefault(claim["claim"], entries.error(claim, reason))
        if config.stash[entries_key]:
            _report(session, display.elapsed)


def _report(session: pytest.Session, elapsed: float) -> None:
    from bumplab.report.page import write

    config = session.config
    settings, judged = config.stash[settings_key], config.stash[entries_key]
    report = {
        "profile": settings.profile.name,
        "purpose": settings.profile.purpose,
        "seeds": settings.looks.first,
        "max_seeds": settings.looks.last,
        "controls": settings.controls,
        "drift": settings.drift,
        "saved": entries.saved(*config.stash[steps_key]),
        "code": _code(config.rootpath),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "elapsed": elapsed,
        "claims": list(judged.values()),
    }
    path = settings.report_of(judged)
    try:
        write(report, settings.store, path, settings.figures)
        config.stash[outcome_key] = f"report: {path} (.json and .md beside it)"
    except (OSError, ValueError) as error:  # a number that no report can hold must not cost what else was said
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        advice = "; name another place with --report or --figures" if isinstance(error, OSError) else ""
        config.stash[outcome_key] = line(f"report not written: {error}{advice}")


def _code(root: Path) -> str:
    """The version of the code that judged, with its commit where it is a checkout; ``+`` marks a changed one."""
    found = version("bumplab")
    git = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return found
    return f"{found} ({commit})"


def _help(config: pytest.Config) -> None:
    settings = config.stash[settings_key]
    try:
        help_others(config.stash[board_key], settings.store, settings.device)
    except Exception:
        return  # the claim that needs the run meets the same error and reports it


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    judged = config.stash[entries_key]
    if display_key not in config.stash:
        return
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and config.option.keyword:
        terminalreporter.write_line(f"-k {config.option.keyword}: matches no claim; there are {', '.join(CLAIMS)}")
    if not judged:
        return
    settings = config.stash[settings_key]
    terminalreporter.section(f"claims, profile {settings.profile.name}, {settings.seeds}")
    summary.write(terminalreporter, judged, entries.saved(*config.stash[steps_key]), config.stash[seconds_key])
    if said := summary.passed_over(settings.store.root):
        terminalreporter.write_line(said)
    if outcome_key in config.stash:
        terminalreporter.write_line(config.stash[outcome_key])
