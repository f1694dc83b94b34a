"""The `experiment` fixture: it judges one claim and turns the verdict into a test's outcome."""

from __future__ import annotations

import msgspec
import pytest

from bumplab.config import RunSpec
from bumplab.measure.names import SamplesNotFinite
from bumplab.pytest_plugin import entries
from bumplab.pytest_plugin.expected import Expected, outcome
from bumplab.pytest_plugin.session import ClaimsSession, judged_key
from bumplab.runs.planner import obtain
from bumplab.runs.store import Unreadable, run_key
from bumplab.subjects.sources import SubjectError
from bumplab.terminal import line, printable, warnings_as_usual
from bumplab.verdicts.claim import Claim, Control
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import ClaimVerdict, decide_in_looks, with_controls
from bumplab.verdicts.noise import sampling_noise


class MixedArithmetic(ValueError):
    """Runs of one claim were computed in different arithmetics, so they differ by more than their seeds."""


class Experiment:
    """Judges a claim for its test: trains missing runs, decides, and turns the verdict into an outcome."""

    def __init__(self, request: pytest.FixtureRequest):
        session = request.config.pluginmanager.get_plugin(ClaimsSession.NAME)
        assert isinstance(session, ClaimsSession)
        self.settings, self.board, self.item = session.settings, session.board, request.node
        self.train = session.train
        self._curves: dict[RunSpec, Curves] = {}
        self._seconds: dict[RunSpec, float] = {}
        self._arithmetics: dict[RunSpec, str] = {}

    def judge(self, claim: Claim) -> None:
        """Passes, xfails or fails by `expected.outcome`. With ``--accept`` it accepts every verdict."""
        __tracebackhide__ = True
        settings = self.settings
        if claim.id not in settings.claim_ids:
            advice = f"hold it in {settings.project / 'claims' / f'test_{claim.id}.py'}"
            pytest.fail(line(f"claim {claim.id!r} has no share of the suite's error rate: {advice}"), pytrace=False)
        if lacking := settings.missing_roles(claim):
            reason = f"needs {', '.join(lacking)}, which {settings.profile.base.subject.name} does not deliver"
            self.item.stash[judged_key] = entries.Judged(entries.skipped(entries.about(claim), reason))
            if (accepted := settings.accepted(claim)) is not None:
                pytest.fail(line(f"SKIPPED in place of {accepted.verdict}, as accepted: {reason}"), pytrace=False)
            pytest.skip(reason)
        claim = settings.judged_form(claim)
        try:
            with warnings_as_usual():
                verdict = self._verdict(claim)
        except SubjectError as error:
            pytest.fail(line(f"--subject: {error}"), pytrace=False)
        except ImportError as error:
            pytest.fail(line(f"{error}: python -m bumplab doctor says what to do"), pytrace=False)
        except (OSError, MixedArithmetic, SamplesNotFinite, Unreadable) as error:
            pytest.fail(line(f"run store {settings.store.root}: {error}. What was finished is kept."), pytrace=False)
        accepted = settings.accepted(claim)
        if settings.accept is not None and (accepted is None or accepted.verdict != verdict.verdict):
            accepted = Expected(verdict.verdict, settings.accept)
        end, message = outcome(verdict.verdict, verdict.reason, accepted)
        if end == "failed":
            pytest.fail(printable(message), pytrace=False)
        if end == "xfailed":
            pytest.xfail(printable(message))

    def _verdict(self, claim: Claim) -> ClaimVerdict:
        """The verdict after the controls. Stashes the claim's entry for `ClaimsSession`."""
        settings = self.settings
        verdict = self._decide(claim)
        if settings.controls:
            controls = [(control, self._decide_control(claim, control, verdict)) for control in claim.controls]
            verdict = with_controls(verdict, controls)
        forms = [(v.name, v.of(claim)) for v in settings.variations if verdict.seeds]
        varied = [(name, form, self._decide(form)) for name, form in forms]
        noise = sampling_noise(claim, self._runs(claim, verdict.seeds)) if verdict.seeds else {}
        steps_used, steps_at_last_look = entries.costs(claim, verdict, settings)
        entry = entries.judged(
            claim=claim,
            verdict=verdict,
            varied=varied,
            noise=noise,
            runs_used=len(steps_used),
            runs_at_last_look=len(steps_at_last_look),
            seconds=sum(self._seconds.values()),
            settings=settings,
        )
        judged = entries.Judged(
            entry=entry,
            steps_used=steps_used,
            steps_at_last_look=steps_at_last_look,
            seconds={run_key(run): seconds for run, seconds in self._seconds.items()},
        )
        try:  # the types are checked on reading: what the controller could not read would end the session there
            self.item.stash[judged_key] = msgspec.json.decode(msgspec.json.encode(judged), type=entries.Judged)
        except msgspec.ValidationError as error:
            pytest.fail(line(f"claim {claim.id!r} cannot stand in a report: {error}"), pytrace=False)
        return verdict

    def _decide_control(self, claim: Claim, control: Control, verdict: ClaimVerdict) -> ClaimVerdict:
        """The control's verdict after as many seeds as the claim's. With fewer it might pass for lack of power.

        An undecided claim needs no guard, so a control with its own runs then trains only those of the first look.
        """
        all_seeds = verdict.verdict != "INCONCLUSIVE" or control.runs is None
        return self._decide(claim.under(control), until=verdict.seeds if all_seeds else self.settings.looks.first)

    def _decide(self, claim: Claim, until: int | None = None) -> ClaimVerdict:
        """The verdict on one form of the claim, after at most ``until`` seeds."""
        return decide_in_looks(claim, lambda seeds: self._runs(claim, seeds), self.settings.looks, until)

    def _runs(self, claim: Claim, seeds: int) -> dict[str, list[Curves]]:
        """The curves of each condition, one a seed. Trains the runs that are missing."""
        settings = self.settings
        plan = claim.plan(settings.profile, seeds)
        needed = [run for runs in plan.values() for run in runs if run not in self._curves]
        for record in obtain(needed, self.board, settings.store, settings.device, train=self.train):
            self._curves[record.spec] = Curves.of(record)
            self._seconds[record.spec] = sum(record.seconds.values())
            self._arithmetics[record.spec] = record.arithmetic
        computed = {self._arithmetics[run]: run for runs in plan.values() for run in runs}
        if len(computed) > 1:
            kinds = " and ".join(f"{how}: {run.label()} ({run_key(run)})" for how, run in sorted(computed.items()))
            raise MixedArithmetic(
                f"runs computed in {kinds}; a claim cannot mix them: judge it on one kind of machine, "
                "with a --runs-dir of its own"
            )
        return {name: [self._curves[run] for run in runs] for name, runs in plan.items()}


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Experiment:
    """Judges one claim at the session's profile and looks."""
    return Experiment(request)
