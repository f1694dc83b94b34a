"""A claim's entry in the report, made of its verdict, and the cost of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.pytest_plugin.options import Settings
from bumplab.report.document import (
    ClaimEntry,
    ControlEntry,
    Expected,
    Noise,
    PartEntry,
    RunReference,
    Saved,
    VariationEntry,
)
from bumplab.runs.store import run_key
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.decision import ClaimVerdict, ControlVerdict

Steps = dict[str, int]
"""Training steps by run key."""


class Judged(Struct, frozen=True):
    """What the test of a claim hands to the session, from a worker as JSON."""

    entry: ClaimEntry
    steps_used: Steps = {}
    steps_at_last_look: Steps = {}
    seconds: dict[str, float] = {}
    """Process time by run key, of all runs behind the claim."""


def about(claim: Claim) -> dict[str, str]:
    """The fields that an entry has even without a verdict."""
    return {"claim": claim.id, "statement": claim.statement, "source": claim.source}


def error(about_claim: Mapping[str, str], reason: str) -> ClaimEntry:
    """The entry of a claim without a verdict. ``about_claim`` is what `about` gives."""
    return msgspec.convert({**about_claim, "verdict": "ERROR", "reason": reason}, ClaimEntry)


def skipped(about_claim: Mapping[str, str], reason: str) -> ClaimEntry:
    """The entry of a claim that needs a role which the subject lacks."""
    return msgspec.convert({**about_claim, "verdict": "SKIPPED", "reason": reason}, ClaimEntry)


def judged(
    *,
    claim: Claim,
    verdict: ClaimVerdict,
    varied: Sequence[tuple[str, Claim, ClaimVerdict]],
    noise: Mapping[str, Mapping[str, float | None]],
    runs_used: int,
    runs_at_last_look: int,
    seconds: float,
    settings: Settings,
) -> ClaimEntry:
    """The entry of a claim with a verdict, checked by its controls where they were tried.

    ``varied`` has each variation's name, the claim in that form and its verdict. ``noise`` is what `sampling_noise`
    gives, and the numbers of runs are those of `costs`. ``seconds`` is the process time of all runs behind the claim,
    whenever they were trained.
    """
    profile, accepted = settings.profile, settings.accepted(claim)
    parts = []
    for part in _parts(verdict):
        parts.append(replace(part, noise=Noise(**noise[part.name])) if part.name in noise else part)
    controls = []
    for form, control in _tried_controls(claim, verdict):
        control_entry = msgspec.convert(control, ControlEntry, from_attributes=True)
        controls.append(replace(control_entry, conditions=conditions(form, profile, control.seeds)))
    variations = [
        VariationEntry(
            name=name,
            verdict=varied_verdict.verdict,
            idle=_defined_effects(varied_verdict) == _defined_effects(verdict) != [],
            reason=varied_verdict.reason,
            seeds=varied_verdict.seeds,
            parts=_parts(varied_verdict),
            conditions=conditions(form, profile, varied_verdict.seeds),
        )
        for name, form, varied_verdict in varied
    ]
    return ClaimEntry(
        **about(claim),
        verdict=verdict.verdict,
        unchecked=verdict.unchecked,
        prediction=claim.prediction,
        expected=None if accepted is None else msgspec.convert(accepted, Expected, from_attributes=True),
        alpha=verdict.alpha,
        controls=controls,
        variations=variations,
        curves=dict(claim.curves),
        page_section=claim.page_section,
        runs_used=runs_used,
        runs_at_last_look=runs_at_last_look,
        process_seconds=seconds,
        reason=verdict.reason,
        seeds=verdict.seeds,
        parts=parts,
        conditions=conditions(claim, profile, verdict.seeds),
    )


def _parts(verdict: ClaimVerdict) -> list[PartEntry]:
    return msgspec.convert(verdict.parts, list[PartEntry], from_attributes=True)


def _defined_effects(verdict: ClaimVerdict) -> list[tuple[str, int, list[float | None]]]:
    """Each defined effect, with the name of its part and the index of its seed."""
    effects = []
    for part in verdict.parts:
        effects += [(part.name, seed, effect) for seed, effect in enumerate(part.effects) if effect is not None]
    return effects


def conditions(claim: Claim, profile: Profile, seeds: int) -> dict[str, list[RunReference]]:
    """The runs of each condition. Empty for a claim that needs no runs, which is judged at 0 seeds."""
    plan = claim.plan(profile, seeds) if seeds else {}
    return {
        name: [RunReference(run_key(run), json.loads(run.to_json())) for run in runs] for name, runs in plan.items()
    }


def costs(claim: Claim, verdict: ClaimVerdict, settings: Settings) -> tuple[Steps, Steps]:
    """Steps of the runs behind a claim and its tried controls, and of those runs had all gone to the last look.

    A run of a single step leaves its network untrained and is not counted. A run of two networks counts its steps
    twice.
    """
    last = settings.looks.last
    used: list[RunSpec] = []
    at_last_look: list[RunSpec] = []
    tried: list[tuple[Claim, ClaimVerdict | ControlVerdict]] = [(claim, verdict), *_tried_controls(claim, verdict)]
    for form, reached in tried:
        seeds = reached.seeds or last
        used += planned(form, settings.profile, seeds)
        # a stuck verdict ended because more seeds are useless: ending early saved nothing
        at_last_look += planned(form, settings.profile, seeds if reached.stuck else last)
    return _steps(used), _steps(at_last_look)


def _tried_controls(claim: Claim, verdict: ClaimVerdict) -> list[tuple[Claim, ControlVerdict]]:
    """For each control that was tried: the claim under it, and its verdict."""
    return [(claim.under(control), tried) for control, tried in zip(claim.controls, verdict.controls, strict=False)]


def planned(claim: Claim, profile: Profile, seeds: int) -> list[RunSpec]:
    """The runs of all conditions."""
    return [run for runs in claim.plan(profile, seeds).values() for run in runs]


def _steps(runs: Iterable[RunSpec]) -> Steps:
    steps = {}
    for run in runs:
        networks = 2 if run.subject.factorized else 1
        if run.training.steps > 1:
            steps[run_key(run)] = run.training.steps * networks
    return steps


def saved(used: Steps, at_last_look: Steps) -> Saved:
    """What looking after each seed saved over all claims, in runs and in training steps."""
    return Saved(
        runs_used=len(used),
        runs_at_last_look=len(at_last_look),
        steps_used=sum(used.values()),
        steps_at_last_look=sum(at_last_look.values()),
    )
