"""The `experiment` fixture: it judges one item of a claim and turns the verdict into a test's outcome."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest

from bumplab.config import RunSpec
from bumplab.measure.names import SamplesNotFinite
from bumplab.pytest_plugin import entries, expected, forms
from bumplab.pytest_plugin.expected import Expected, Outcome
from bumplab.pytest_plugin.forms import Form
from bumplab.pytest_plugin.items import Item
from bumplab.pytest_plugin.obtained import NOT_PUBLISHED, STOPPED, MixedArithmetic, RunsOfForm
from bumplab.pytest_plugin.session import ClaimsSession, judged_key, line_key
from bumplab.runs.store import Unreadable, run_key
from bumplab.subjects.sources import SubjectError
from bumplab.terminal import line, printable, warnings_as_usual
from bumplab.verdicts.claim import Claim, Control
from bumplab.verdicts.decision import (
    ClaimVerdict,
    ControlVerdict,
    RunsMissing,
    decide,
    decide_control,
    part_in_looks,
    with_controls,
    without_controls,
)


class Experiment:
    """Judges a claim for its test: trains missing runs, decides, and turns the verdict into an outcome."""

    def __init__(self, request: pytest.FixtureRequest):
        session = request.config.pluginmanager.get_plugin(ClaimsSession.NAME)
        assert isinstance(session, ClaimsSession)
        self.settings, self.obtained, self.node = session.settings, session.obtained, request.node
        self.workers: int = getattr(request.config, "workerinput", {}).get("workercount", 1)
        self._used: dict[RunSpec, None] = {}
        """The runs behind all forms of the claim that this item judges."""

    def judge(self, claim: Claim, item: Item) -> None:
        """Passes, xfails or fails as `bumplab.pytest_plugin.expected` says. ``--accept`` accepts every verdict.

        ``item`` is what the fixture of that name holds. Only the item that judges the whole claim has an entry in the
        report.
        """
        __tracebackhide__ = True
        settings = self.settings
        if claim.id not in settings.claim_ids:
            advice = f"hold it in {settings.project / 'claims' / f'test_{claim.id}.py'}"
            pytest.fail(line(f"claim {claim.id!r} has no share of the suite's error rate: {advice}"), pytrace=False)
        if lacking := settings.lacking(claim):
            reason = f"needs {', '.join(lacking)}, which {settings.profile.base.subject.name} does not deliver"
            self._skip(claim, item, reason)
        try:
            with warnings_as_usual():
                outcome, message = self._judged(settings.judged_form(claim), item)
        except RunsMissing:
            self._end_without_runs(claim, item)
        except SubjectError as error:
            pytest.fail(line(f"--subject: {error}"), pytrace=False)
        except ImportError as error:
            pytest.fail(line(f"{error}: python -m bumplab doctor says what to do"), pytrace=False)
        except (OSError, MixedArithmetic, SamplesNotFinite, Unreadable) as error:
            pytest.fail(line(f"run store {settings.store.root}: {error}. What was finished is kept."), pytrace=False)
        if item.kind != "verdict":
            self.node.stash[line_key] = line(f"{claim.id}, {item.name}: {message}")
        if outcome == "failed":
            pytest.fail(printable(message), pytrace=False)
        if outcome == "xfailed":
            pytest.xfail(printable(message))

    def _skip(self, claim: Claim, item: Item, reason: str) -> None:
        """Ends the test of a claim that needs what the subject lacks."""
        __tracebackhide__ = True
        if item.kind == "verdict":
            self.node.stash[judged_key] = entries.Judged(entries.skipped(entries.about(claim), reason))
            if (accepted := self.settings.accepted(claim)) is not None:
                pytest.fail(line(f"SKIPPED in place of {accepted.verdict}, as accepted: {reason}"), pytrace=False)
        pytest.skip(reason)

    def _end_without_runs(self, claim: Claim, item: Item) -> None:
        """Skips an item whose first look lacks runs: no time, or not published. It has no verdict, and none moved."""
        __tracebackhide__ = True
        settings, deadline, board = self.settings, self.obtained.deadline, self.obtained.board
        first_look = forms.first_look(claim, item, settings)
        if settings.published is not None:
            lacking = len({run for run in first_look if not settings.store.has(run)})
            reason = f"not published: {lacking} of the {len(set(first_look))} runs of its first look"
        else:
            missing = deadline.missing(first_look, store=settings.store, board=board, workers=self.workers)
            reason = f"{deadline} are over: {missing}"
        if item.kind == "verdict":
            self.node.stash[judged_key] = entries.Judged(entries.skipped(entries.about(claim), reason, stopped=True))
        pytest.skip(reason)

    def _judged(self, claim: Claim, item: Item) -> tuple[Outcome, str]:
        """The outcome of an item, and its message. Raises `RunsMissing` where its first look lacks runs."""
        settings, looks = self.settings, self.settings.looks_of(claim)
        exploratory = bool(settings.exploring(claim))
        if item.kind == "control":
            control = claim.control(item.name)
            tried = self._control(claim, control)
            missing = NOT_PUBLISHED if settings.published is not None else STOPPED
            problem = missing if tried.stopped else settings.problem_of_control(claim, control)
            return expected.control_outcome(tried, problem)
        if item.kind == "part":
            part = next(part for part in claim.judged_parts if part.name == item.name)
            with self._runs(forms.form_of(claim.only([part.name]), settings)) as runs:
                reached = part_in_looks(claim, part, runs, looks)
            accepted = self._accepted(claim, reached.verdict)
            return expected.part_outcome(reached.verdict, reached.reason, accepted, exploratory)
        verdict = self._verdict(claim)
        accepted = None if verdict.stopped else self._accepted(claim, verdict.verdict)
        return expected.outcome(verdict.verdict, verdict.reason, accepted, exploratory)

    def _accepted(self, claim: Claim, verdict: str) -> Expected | None:
        """The accepted verdict on the claim. With ``--accept`` this is the one that was reached."""
        accepted = self.settings.accepted(claim)
        if self.settings.accept is not None and (accepted is None or accepted.verdict != verdict):
            return Expected(verdict, self.settings.accept)
        return accepted

    def _verdict(self, claim: Claim) -> ClaimVerdict:
        """The verdict after the controls. Stashes the claim's entry for `ClaimsSession`.

        Leaves out variations whose first look lacks runs.
        """
        settings, looks = self.settings, self.settings.looks_of(claim)
        with self._runs(forms.form_of(claim, settings)) as runs:
            verdict = decide(claim, runs, looks)
        if settings.controls:
            verdict = self._with_controls(claim, verdict)
        varied = []
        for variation in settings.variations if not claim.certain else ():
            form = forms.varied(claim, variation, settings)
            with suppress(RunsMissing), self._runs(form) as runs:
                varied.append((variation.name, form.claim, decide(form.claim, runs, looks)))
        steps_used, steps_at_last_look = entries.costs(claim, verdict, settings)
        seconds = {run_key(run): self.obtained.seconds[run] for run in self._used}
        entry = entries.judged(
            claim=claim,
            verdict=verdict,
            varied=varied,
            runs_used=len(steps_used),
            runs_at_last_look=len(steps_at_last_look),
            seconds=sum(seconds.values()),
            settings=settings,
        )
        judged = entries.Judged(entry, steps_used, steps_at_last_look, seconds)
        try:  # the types are checked on reading: what the controller could not read would end the session there
            self.node.stash[judged_key] = msgspec.json.decode(msgspec.json.encode(judged), type=entries.Judged)
        except msgspec.ValidationError as error:
            pytest.fail(line(f"claim {claim.id!r} cannot stand in a report: {error}"), pytrace=False)
        return verdict

    def _with_controls(self, claim: Claim, verdict: ClaimVerdict) -> ClaimVerdict:
        """The verdict on the claim, checked by its controls as far as these have their runs."""
        tried: list[ControlVerdict] = []
        missing: RunsMissing | None = None
        for control in claim.controls:
            try:
                tried.append(self._control(claim, control))
            except RunsMissing as error:
                missing = error
                if self.obtained.trains:
                    break  # the time is over
        return with_controls(verdict, tried) if missing is None else without_controls(verdict, tried, missing)

    def _control(self, claim: Claim, control: Control) -> ControlVerdict:
        with self._runs(forms.under(claim, control)) as runs:
            return decide_control(claim, control, runs, self.settings.looks_of(claim))

    def _runs(self, form: Form) -> RunsOfForm:
        """The runs of a form of the claim, which count as runs behind the claim."""
        return RunsOfForm(self.obtained, form, self._used)


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Experiment:
    """Judges one item of a claim at the session's profile and looks."""
    return Experiment(request)
