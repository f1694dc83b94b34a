"""pytest's side of the suite: options, the `experiment` fixture, verdicts as outcomes, the report at the end.

A claim's module holds a `CLAIM`; its test asks for the `experiment` fixture and calls ``experiment.judge(CLAIM)``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bumplab import profiles
from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.pytest_plugin.display import PLAN, ProgressDisplay
from bumplab.runs.planner import obtain, train_if_free
from bumplab.runs.progress import replace_text
from bumplab.runs.store import RunStore, run_key
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import MAX_SEEDS, MIN_SEEDS, ClaimVerdict, decide

PROPERTY = "bumplab-claim"
"""Under this name a test hands its outcome, as JSON text, from an xdist worker to the controller."""


@dataclass(frozen=True)
class Settings:
    """The options of one session, checked."""

    profile: Profile
    seeds: int
    store: RunStore
    device: str
    report: Path
    strict: bool


settings_key = pytest.StashKey[Settings]()
plan_key = pytest.StashKey[list[RunSpec]]()
entries_key = pytest.StashKey[dict[str, dict[str, Any]]]()
display_key = pytest.StashKey[ProgressDisplay]()
report_key = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("claims", "bumplab: the paper's claims")
    group.addoption(
        "--profile", default="quick", metavar="NAME", help=f"scale of the runs: {', '.join(profiles.ALL)} (quick)"
    )
    group.addoption("--seeds", default="3", metavar="N", help="training runs of each condition (3)")
    group.addoption("--gpu", action="store_true", help="train on the GPU; each worker takes the next one")
    group.addoption("--runs-dir", default=".runs", metavar="DIR", help="where runs are stored and found (.runs)")
    group.addoption("--report", default=None, metavar="FILE", help="report to write (reports/claims-PROFILE.html)")
    group.addoption("--strict-claims", action="store_true", help="an INCONCLUSIVE claim fails instead of xfailing")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[settings_key] = _settings(config)
    config.stash[entries_key] = {}


def _settings(config: pytest.Config) -> Settings:
    option = config.option
    try:
        profile = profiles.get(option.profile)
    except ValueError as error:
        raise pytest.UsageError(f"--profile: {error}") from error
    if not option.seeds.isdecimal() or not MIN_SEEDS <= int(option.seeds) <= MAX_SEEDS:
        raise pytest.UsageError(f"--seeds {option.seeds}: must be a whole number from {MIN_SEEDS} to {MAX_SEEDS}")
    report = config.invocation_params.dir / (option.report or config.rootpath / f"reports/claims-{profile.name}.html")
    if report.is_dir() or report.suffix != ".html":
        raise pytest.UsageError(f"--report {option.report}: must name an .html file")
    store = RunStore(config.rootpath / option.runs_dir)
    return Settings(profile, int(option.seeds), store, _device(option.gpu), report, option.strict_claims)


def _device(gpu: bool) -> str:
    if not gpu:
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise pytest.UsageError("--gpu: torch finds no GPU here; leave --gpu away to train on the CPU")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"cuda:{int(worker) % count}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "experiment" in metafunc.fixturenames:
        settings = metafunc.config.stash[settings_key]
        name = f"{settings.profile.name}-{settings.seeds}-seeds"
        metafunc.parametrize("experiment", [name], ids=[name], indirect=True)


def _claim_of(item: pytest.Item) -> Claim | None:
    claim = getattr(getattr(item, "module", None), "CLAIM", None)
    return claim if isinstance(claim, Claim) else None


def _about(claim: Claim) -> dict[str, str]:
    """What every entry says of its claim, with a verdict or without."""
    return {"claim": claim.id, "statement": claim.statement, "source": claim.source}


def pytest_collection_finish(session: pytest.Session) -> None:
    """The plan is what the selected claims need: each run once, in the order of the claims."""
    settings = session.config.stash[settings_key]
    claims = [claim for item in session.items if (claim := _claim_of(item))]
    runs = [run for claim in claims for runs in claim.plan(settings.profile, settings.seeds).values() for run in runs]
    plan = session.config.stash[plan_key] = list(dict.fromkeys(runs))
    if plan and not session.config.option.collectonly:
        # under xdist the controller collects nothing: it learns the plan from this file
        told = {
            "runs": {run_key(run): run.training.steps for run in plan},
            "claims": [_about(claim) for claim in claims],
        }
        replace_text(settings.store.root / PLAN, json.dumps(told))


class Experiment:
    """What a claim's test gets: `judge` trains what is missing, decides and turns the verdict into an outcome."""

    def __init__(self, request: pytest.FixtureRequest):
        self.settings = request.config.stash[settings_key]
        self.plan = request.config.stash[plan_key]
        self.item = request.node

    def judge(self, claim: Claim) -> None:
        """Passes when SUPPORTED, fails when CONTRADICTED, xfails (fails if strict) when INCONCLUSIVE."""
        __tracebackhide__ = True
        conditions = claim.plan(self.settings.profile, self.settings.seeds)
        needed = [run for runs in conditions.values() for run in runs]
        try:
            records = obtain(needed, self.plan, self.settings.store, self.settings.device)
        except OSError as error:
            pytest.fail(f"run store {self.settings.store.root}: {error}. What was finished is kept.", pytrace=False)
        curves = {record.key: Curves(record.rows, record.failed) for record in records}
        runs = {name: [curves[run_key(run)] for run in specs] for name, specs in conditions.items()}
        verdict = decide(claim, runs)
        self._record(claim, conditions, verdict)
        message = f"{verdict.verdict}: {verdict.reason}"
        if verdict.verdict == "CONTRADICTED" or (verdict.verdict == "INCONCLUSIVE" and self.settings.strict):
            pytest.fail(message, pytrace=False)
        if verdict.verdict == "INCONCLUSIVE":
            pytest.xfail(message)

    def _record(self, claim: Claim, conditions: dict[str, list[RunSpec]], verdict: ClaimVerdict) -> None:
        entry = {
            **_about(claim),
            **verdict.as_dict(),
            "prediction": claim.prediction,
            "curves": dict(claim.curves),
            "conditions": {
                name: [{"key": run_key(run), "spec": json.loads(run.to_json())} for run in runs]
                for name, runs in conditions.items()
            },
        }
        self.item.user_properties.append((PROPERTY, json.dumps(entry)))


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Experiment:
    """One claim tried at the session's profile and number of seeds."""
    return Experiment(request)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A claim that ends in an error has no verdict: the report says so and names the error."""
    report = yield
    claim = _claim_of(item)
    if claim and call.excinfo and report.failed and PROPERTY not in dict(report.user_properties):
        entry = {**_about(claim), "verdict": "ERROR", "reason": call.excinfo.exconly()}
        report.user_properties.append((PROPERTY, json.dumps(entry)))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    claims = config.rootpath / "claims"
    chosen = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    if _is_controller(config) and not config.option.collectonly and any(_within(path, claims) for path in chosen):
        root = config.stash[settings_key].store.root
        try:
            (root / "progress").mkdir(parents=True, exist_ok=True)
            replace_text(root / PLAN, "{}")
        except OSError as error:
            raise pytest.UsageError(f"--runs-dir {root}: cannot be written ({error})") from error
        config.stash[display_key] = ProgressDisplay(root)
        config.stash[display_key].start()


def _within(path: Path, claims: Path) -> bool:
    return path == claims or claims in path.parents or path in claims.parents


@pytest.hookimpl(wrapper=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> Iterator[None]:
    display = _config.stash.get(display_key, None) if _config else None
    if display is None:
        yield
        return
    with display.paused():
        yield
    entry = dict(report.user_properties).get(PROPERTY)
    if entry and _config:
        loaded = json.loads(str(entry))
        _config.stash[entries_key][loaded["claim"]] = loaded


_config: pytest.Config | None = None


def pytest_cmdline_main(config: pytest.Config) -> None:
    global _config  # pytest_runtest_logreport is given no config
    _config = config


def _help(config: pytest.Config) -> None:
    """A worker that has no test left trains what nobody has taken, for those that still wait."""
    settings = config.stash[settings_key]
    try:
        while any(train_if_free(run, settings.store, settings.device) for run in config.stash.get(plan_key, [])):
            pass
    except OSError:
        return  # the claim that needs the run meets the same error and reports it


def _is_controller(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    display = config.stash.get(display_key, None)
    if display is None:
        if not _is_controller(config) and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            _help(config)
        return
    display.stop()
    entries, settings = config.stash[entries_key], config.stash[settings_key]
    for claim in display.plan().get("claims", []):
        not_tried = {"verdict": "ERROR", "reason": "no verdict: its worker died or the session was stopped"}
        entries.setdefault(claim["claim"], {**claim, **not_tried})
    if entries:
        from bumplab.report.page import write

        report = {
            "profile": settings.profile.name,
            "purpose": settings.profile.purpose,
            "seeds": settings.seeds,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "elapsed": display.elapsed,
            "claims": list(entries.values()),
        }
        try:
            write(report, settings.store, settings.report)
        except OSError as error:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
            config.stash[entries_key]["report"] = {"verdict": "ERROR", "reason": f"report not written: {error}"}
        else:
            config.stash[report_key] = settings.report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    entries = config.stash[entries_key]
    if not entries or display_key not in config.stash:
        return
    settings = config.stash[settings_key]
    colours = {"SUPPORTED": "green", "CONTRADICTED": "red", "ERROR": "red", "INCONCLUSIVE": "yellow"}
    terminalreporter.section(f"claims, profile {settings.profile.name}, {settings.seeds} seeds")
    for claim, entry in sorted(entries.items()):
        terminalreporter.write(f"{claim:<10} ")
        terminalreporter.write(f"{entry['verdict']:<13}", **{colours[entry["verdict"]]: True, "bold": True})
        terminalreporter.write_line(f" {entry['reason']}")
    if report_key in config.stash:
        terminalreporter.write_line(f"report: {config.stash[report_key]} (and .json beside it)")
