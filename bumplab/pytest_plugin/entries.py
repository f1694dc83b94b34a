"""A claim's entry in the report, made of its verdict, and the cost of its runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bumplab.config import RunSpec
from bumplab.pytest_plugin.settings import Settings
from bumplab.report.document import (
    ClaimEntry,
    ControlEntry,
    Expected,
    PartEntry,
    RunReference,
    Saved,
    VariationEntry,
)
from bumplab.runs.store import run_key
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.decision import ClaimVerdict
from bumplab.verdicts.judging import PartVerdict

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


def skipped(about_claim: Mapping[str, str], reason: str, stopped: bool = False) -> ClaimEntry:
    """The entry of a claim that was not tried: the subject lacks a role, or the session lacked the time."""
    return msgspec.convert({**about_claim, "verdict": "SKIPPED", "reason": reason, "stopped": stopped}, ClaimEntry)


def judged(
    *,
    claim: Claim,
    verdict: ClaimVerdict,
    varied: Sequence[tuple[str, Claim, ClaimVerdict]],
    runs_used: int,
    runs_at_last_look: int,
    seconds: float,
    settings: Settings,
) -> ClaimEntry:
    """The entry of a claim with a verdict, checked by its controls where they were tried.

    ``varied`` has each variation's name, the claim in that form and its verdict. The numbers of runs are those of
    `costs`. ``seconds`` is the process time of all runs behind the claim, whenever they were trained.
    """
    accepted, exploring = settings.accepted(claim), settings.exploring(claim)
    controls = []
    for tried in verdict.controls:
        control = claim.control(tried.name)
        control_entry = msgspec.convert(tried, ControlEntry, from_attributes=True)
        controls.append(replace(control_entry, conditions=conditions(claim.under(control), settings, tried.parts)))
    variations = [
        VariationEntry(
            name=name,
            verdict=varied_verdict.verdict,
            idle=_known_effects(varied_verdict) == _known_effects(verdict) != [],
            reason=varied_verdict.reason,
            seeds=varied_verdict.seeds,
            parts=_parts(varied_verdict),
            conditions=conditions(form, settings, varied_verdict.parts),
        )
        for name, form, varied_verdict in varied
    ]
    return ClaimEntry(
        **about(claim),
        verdict=verdict.verdict,
        unchecked=verdict.unchecked,
        prediction=claim.prediction,
        expected=None if accepted is None else msgspec.convert(accepted, Expected, from_attributes=True),
        needed=verdict.needed,
        stopped=verdict.stopped,
        exploratory=bool(exploring),
        exploring=exploring,
        registration=settings.registration_of(claim),
        controls=controls,
        variations=variations,
        curves=dict(claim.curves),
        runs_used=runs_used,
        runs_at_last_look=runs_at_last_look,
        process_seconds=seconds,
        reason=verdict.reason,
        seeds=verdict.seeds,
        parts=_parts(verdict),
        conditions=conditions(claim, settings, verdict.parts),
    )


def _parts(verdict: ClaimVerdict) -> list[PartEntry]:
    return msgspec.convert(verdict.parts, list[PartEntry], from_attributes=True)


def _known_effects(verdict: ClaimVerdict) -> list[tuple[str, int, float | None, float | None]]:
    """Each effect that is not undefined, with its part and seed."""
    effects = []
    for part in verdict.parts:
        known = [mark for mark in part.seeds if mark.low is not None or mark.high is not None]
        effects += [(part.name, mark.seed, mark.low, mark.high) for mark in known]
    return effects


def conditions(claim: Claim, settings: Settings, parts: Sequence[PartVerdict]) -> dict[str, list[RunReference]]:
    """The runs of each condition of all parts, one a seed. Each part has the seeds that it was judged on."""
    runs_of_conditions = planned(claim, settings, _seeds_of(parts))
    return {
        condition: [RunReference(run_key(run), json.loads(run.to_json())) for run in runs]
        for condition, runs in runs_of_conditions.items()
    }


def costs(claim: Claim, verdict: ClaimVerdict, settings: Settings) -> tuple[Steps, Steps]:
    """Steps of the runs behind a claim and its tried controls, and of those runs had all parts gone to the last look.

    A run of a single step leaves its network untrained and is not counted. A run of two networks counts its steps
    twice.
    """
    last = settings.looks.last
    used = _steps(planned(claim, settings, _seeds_of(verdict.parts)))
    at_last_look = _steps(planned(claim, settings, last))
    for tried in verdict.controls:
        form = claim.under(claim.control(tried.name))
        used |= _steps(planned(form, settings, _seeds_of(tried.parts)))
        at_last_look |= _steps(planned(form, settings, last))
    return used, at_last_look


def planned(claim: Claim, settings: Settings, seeds: int | Mapping[str, int]) -> dict[str, list[RunSpec]]:
    """The runs of each condition of all parts, one a seed. ``seeds`` are those of all parts, or of each by its name."""
    first = settings.looks_of(claim).first_seed
    runs: dict[str, dict[int, RunSpec]] = {}
    for part in claim.parts:
        count = seeds if isinstance(seeds, int) else seeds[part.name]
        for seed in range(first, first + count):
            for condition, run in claim.runs_of(part)(settings.profile, seed).items():
                runs.setdefault(condition, {})[seed] = run
    return {condition: [run for _, run in sorted(of_seeds.items())] for condition, of_seeds in runs.items()}


def _seeds_of(parts: Sequence[PartVerdict]) -> dict[str, int]:
    return {part.name: len(part.seeds) for part in parts}


def _steps(runs_of_conditions: Mapping[str, Sequence[RunSpec]]) -> Steps:
    steps = {}
    for run in chain.from_iterable(runs_of_conditions.values()):
        if run.training.steps > 1:
            steps[run_key(run)] = run.network_steps
    return steps


def saved(used: Steps, at_last_look: Steps) -> Saved:
    """What looking after each seed saved over all claims, in runs and in training steps."""
    return Saved(
        runs_used=len(used),
        runs_at_last_look=len(at_last_look),
        steps_used=sum(used.values()),
        steps_at_last_look=sum(at_last_look.values()),
    )
