"""What a session writes down of each claim: an entry of the report, as plain built-ins, and what its runs cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.pytest_plugin.options import Settings
from bumplab.runs.store import run_key
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.decision import ClaimVerdict, ControlVerdict

Entry = dict[str, Any]
Steps = dict[str, int]
"""Steps of training by run key."""


def about(claim: Claim) -> dict[str, str]:
    """What every entry says of its claim, with a verdict or without."""
    return {"claim": claim.id, "statement": claim.statement, "source": claim.source}


def error(claim: Mapping[str, str], reason: str) -> Entry:
    """The entry of a claim that has no verdict."""
    return {**claim, "verdict": "ERROR", "reason": reason}


def judged(
    claim: Claim,
    verdict: ClaimVerdict,
    varied: Sequence[tuple[str, Claim, ClaimVerdict]],
    noise: Mapping[str, Mapping[str, float | None]],
    costs: tuple[Steps, Steps],
    seconds: float,
    settings: Settings,
) -> Entry:
    """The entry of a claim with a verdict, checked by its controls where they were asked for.

    ``varied`` has each variation's name, the claim in that form and its verdict; ``noise`` what `sampling_noise` says
    of its parts, ``costs`` what the function of that name does; ``seconds`` is the process time of all runs behind it,
    whenever they were trained.
    """
    profile, expected = settings.profile, settings.accepted(claim)
    used, at_last_look = costs
    return {
        **about(claim),
        **verdict.as_dict(),
        "parts": [{**asdict(part), "noise": noise.get(part.name)} for part in verdict.parts],
        "controls": [
            {
                **asdict(control),
                "passed": control.passed,
                "conditions": conditions(form, profile, control.seeds),
            }
            for form, control in _tried_controls(claim, verdict)
        ],
        "variations": [
            {
                "name": name,
                "idle": _known_effects(found) == _known_effects(verdict) != [],
                "verdict": found.verdict,
                "reason": found.reason,
                "seeds": found.seeds,
                "parts": [asdict(part) for part in found.parts],
                "conditions": conditions(form, profile, found.seeds),
            }
            for name, form, found in varied
        ],
        "prediction": claim.prediction,
        "curves": dict(claim.curves),
        "conditions": conditions(claim, profile, verdict.seeds),
        "expected": None if expected is None else asdict(expected),
        "looks": {"first": settings.looks.first, "last": settings.looks.last},
        "runs_used": len(used),
        "runs_at_last_look": len(at_last_look),
        "process_seconds": seconds,
    }


def _known_effects(verdict: ClaimVerdict) -> list[tuple[str, int, list[float | None]]]:
    """Each effect that is defined, with its part and its seed."""
    return [
        (part.name, seed, effect)
        for part in verdict.parts
        for seed, effect in enumerate(part.effects)
        if effect is not None
    ]


def conditions(claim: Claim, profile: Profile, seeds: int) -> dict[str, list[dict[str, Any]]]:
    """The runs of each condition; a claim that needs none was judged at 0 seeds."""
    plan = claim.plan(profile, seeds) if seeds else {}
    return {
        name: [{"key": run_key(run), "spec": json.loads(run.to_json())} for run in runs] for name, runs in plan.items()
    }


def costs(claim: Claim, verdict: ClaimVerdict, settings: Settings) -> tuple[Steps, Steps]:
    """The runs that a claim and the controls tried were judged on, and those of the last look, had they all gone there.

    A run of a single step is one whose network stays untrained, and not counted; one of two networks takes both steps.
    """
    last = settings.looks.last
    tried: list[tuple[Claim, ClaimVerdict | ControlVerdict]] = [(claim, verdict), *_tried_controls(claim, verdict)]
    used = [run for form, found in tried for run in planned(form, settings.profile, found.seeds or last)]
    # what is stuck stopped because more seeds are useless, which is no saving
    at_last_look = [
        run
        for form, found in tried
        for run in planned(form, settings.profile, found.seeds if found.seeds and found.stuck else last)
    ]
    return _steps(used), _steps(at_last_look)


def _tried_controls(claim: Claim, verdict: ClaimVerdict) -> list[tuple[Claim, ControlVerdict]]:
    """The claim under each control that was tried, with the control's verdict."""
    return [(claim.under(control), found) for control, found in zip(claim.controls, verdict.controls, strict=False)]


def planned(claim: Claim, profile: Profile, seeds: int) -> list[RunSpec]:
    """The runs of all conditions."""
    return [run for runs in claim.plan(profile, seeds).values() for run in runs]


def _steps(runs: Iterable[RunSpec]) -> Steps:
    return {
        run_key(run): run.training.steps * (2 if run.model.kind == "factorized" else 1)
        for run in runs
        if run.training.steps > 1
    }


def saved(used: Steps, at_last_look: Steps) -> dict[str, int]:
    """What looking after each seed saved, in runs and in steps of training."""
    return {
        "runs_used": len(used),
        "runs_at_last_look": len(at_last_look),
        "steps_used": sum(used.values()),
        "steps_at_last_look": sum(at_last_look.values()),
    }
