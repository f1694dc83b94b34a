"""The words of a session as a whole: how often its verdicts err, on which seeds they stand, and what was saved."""

from __future__ import annotations

from collections.abc import Sequence

from bumplab.report.document import ClaimEntry, Report
from bumplab.verdicts.evidence import CONTROL_NEEDED, LATER_ALPHA


def error_rate(report: Report) -> str:
    """How much evidence a verdict needs, and what that bounds. Nothing is bounded where verdicts are exploratory."""
    needed = report.looks.needed
    guards = f"A control needs evidence of {CONTROL_NEEDED:g}: it guards a claim and spends nothing of the rate."
    if exploratory(report):
        return f"Each part needs evidence of {needed:.3g}. {guards}"
    sharing = round(needed * report.family_alpha)
    certain = [claim.claim for claim in report.claims if claim.judged and not claim.seeds]
    sentences = [
        f"The suite falsely supports any claim with probability at most {report.family_alpha:g}.",
        "The same bound holds for falsely contradicting any.",
        f"The {sharing} claims with chance in them share this rate. So each needs evidence of {needed:.3g}.",
        "Where at most half of all seeds lie in a part's region, the evidence of its counted seeds ever reaches",
        f"{needed:.3g} with a chance of at most 1 in {needed:.3g}, by Ville's inequality.",
        "This holds for any distribution of effects, and however often one looks.",
    ]
    if any(part.method == "compared" for claim in report.claims for part in claim.parts):
        sentences += [
            "Conditions compared within a seed are falsely supported in at most",
            f"1 in {needed:.3g} sessions if they have no effect. If at most half of all seeds lie in the region,",
            f"they are supported in at most 3 in {needed:.3g} sessions.",
        ]
    if registered_anew := anew(report.claims, needed):
        names = ", ".join(f"{claim.claim} {claim.needed:.4g}" for claim in registered_anew)
        sentences += [
            f"Claims that changed and were registered anew need more evidence: {names}.",
            f"All later registrations together add at most {LATER_ALPHA:g} to these probabilities.",
        ]
    if certain:
        sentences.append(f"Nothing is drawn at random for {', '.join(certain)}, which spends none of the rate.")
    return " ".join([*sentences, guards])


def exploratory(report: Report) -> str:
    """What is said of exploratory verdicts; empty where there are none."""
    if not any(claim.exploratory for claim in report.claims):
        return ""
    return (
        "The error rate holds for registered claims on the seeds of their registration. It does not hold for "
        "EXPLORATORY verdicts, and none of these can be accepted."
    )


def seeds_from(claims: Sequence[ClaimEntry]) -> list[str]:
    """The first seed of claims and why it is that one, such as ``registration 1: seeds from 1000``.

    Where there are several such texts, each names its claims.
    """
    names: dict[str, list[str]] = {}
    for claim in claims:
        if claim.first_seed is not None:
            kind = f"registration {claim.registration}"
            if claim.exploratory:
                kind = f"EXPLORATORY ({claim.exploring})" if claim.exploring else "EXPLORATORY"
            names.setdefault(f"{kind}: seeds from {claim.first_seed}", []).append(claim.claim)
    if len(names) == 1:
        return list(names)
    return [f"{text} ({', '.join(of_text)})" for text, of_text in names.items()]


def anew(claims: Sequence[ClaimEntry], needed: float) -> list[ClaimEntry]:
    """The claims that need more evidence than ``needed``, as they changed and were registered anew."""
    return [claim for claim in claims if claim.judged and claim.needed > needed]


def chance(report: Report) -> float:
    """Upper bound of the chance that any claim is falsely SUPPORTED, over all registrations."""
    return report.family_alpha + (LATER_ALPHA if anew(report.claims, report.looks.needed) else 0.0)


def savings(report: Report) -> str:
    """What was saved by ending parts where they were settled. Empty where it is unknown or nothing."""
    saved, looks = report.saved, report.looks
    if saved is None or saved.steps_used >= saved.steps_at_last_look or not any(map(_has_settled, report.claims)):
        return ""
    runs = saved.runs_at_last_look - saved.runs_used
    share = 1 - saved.steps_used / saved.steps_at_last_look
    return (
        f"A part ends where more seeds cannot change its verdict. The claims and their controls took {saved.runs_used} "
        f"training runs. With {looks.last} seeds for each they would have taken {saved.runs_at_last_look}. That saved "
        f"{runs} runs, {100 * share:.0f} % of the training steps."
    )


def _has_settled(claim: ClaimEntry) -> bool:
    """Whether a part with chance in it is settled, of the claim or of one of its controls."""
    parts = [part for entry in (claim, *claim.controls) for part in entry.parts]
    return any(part.settled and part.judges and part.method != "certain" for part in parts)


IN_TEMPLATES = ("error_rate", "exploratory", "savings", "seeds_from")
"""The functions that templates may call."""
