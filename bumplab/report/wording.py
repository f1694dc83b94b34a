"""The words for a report's numbers, seeds, controls and error rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bumplab.config import ROLES
from bumplab.report.document import (
    ClaimEntry,
    ControlEntry,
    Entry,
    Number,
    PartEntry,
    Report,
    SeedEntry,
    SubjectEntry,
)
from bumplab.verdicts.evidence import CONTROL_NEEDED, LATER_ALPHA, fewest_seeds

SYMBOLS = {"SUPPORTED": "✓", "CONTRADICTED": "✗", "INCONCLUSIVE": "?", "ERROR": "!", "SKIPPED": "-"}
MARKS = {"in": "●", "out": "✕", "neither": "○"}
"""A sign for each mark of a seed: colour alone never tells marks apart."""
LEAST = fewest_seeds(CONTROL_NEEDED)
"""The fewest seeds by which a control can tell its world."""
RECOGNISED, NOT_RECOGNISED = "✓ recognised", "✗ not recognised"
TOO_FEW = f"○ too few seeds to tell ({LEAST} needed)"
"""What `control_outcome` says."""
BUILT_IN = "the paper's UNet (built in)"
SHARE_KEPT = "Its share of the error rate is not spent."
"""What is said of a skipped claim after its reason."""


def number(value: Number) -> str:
    """Such as ``0.333``: "open" for None, "undefined" for NaN, as of a role that the subject lacks."""
    if value is None:
        return "open"
    return "undefined" if math.isnan(value) else f"{value:.3g}"


def subject_name(subject: SubjectEntry | None) -> str:
    """The subject with its arguments, such as ``my_dit.py:subject, width=64``. None is the built-in one."""
    if subject is None:
        return BUILT_IN
    return ", ".join([subject.name, *(f"{key}={value}" for key, value in sorted(subject.arguments.items()))])


def about_subject(subject: SubjectEntry | None) -> str:
    """What the subject is, which roles it has and lacks, and what decides its numbers, in one line."""
    if subject is None:
        return "The paper's network, which is part of bumplab."
    sentences = [f"{subject.description.rstrip('.')}."] if subject.description else []
    if subject.roles:
        roles = "; ".join(f"{role} is {words.rstrip('.')}" for role, words in sorted(subject.roles.items()))
        sentences.append(f"Its roles: {roles}.")
    if lacking := [role for role in ROLES if role not in subject.roles]:
        needed = "one of these roles" if len(lacking) > 1 else "this role"
        sentences.append(f"It lacks {', '.join(lacking)}. A claim that needs {needed} is skipped.")
    if subject.resumes == "approximately":
        sentences.append("A resumed run ends near the numbers of an uninterrupted run, not at the same bits.")
    if subject.versions:
        versions = (f"{library or 'its own'} {version}" for library, version in sorted(subject.versions.items()))
        sentences.append(f"Versions: {', '.join(versions)}.")
    if subject.source:
        sentences.append(f"SHA-256 of its source, first 12 digits: {subject.source[:12]}.")
    return " ".join(sentences)


def sentence(part: PartEntry) -> str:
    """The part's counted seeds and its evidence, such as ``In 8 of 8 seeds it does, evidence 183 (needed 180)``."""
    return part.reason[:1].upper() + part.reason[1:]


def seed_effect(seed: SeedEntry) -> str:
    """One seed's effect: a number, its bounds, or why it is undefined."""
    if seed.low is None and seed.high is None:
        return seed.problem or "open"
    return number(seed.low) if seed.low == seed.high else f"{number(seed.low)} to {number(seed.high)}"


def seed_note(seed: SeedEntry) -> str:
    """Such as ``seed 10: 0.61, in the region``."""
    places = {"in": "in the region", "out": "out of the region", "neither": "neither in nor out"}
    return f"seed {seed.seed}: {seed_effect(seed)}, {places[seed.mark]}"


def marks_note(part: PartEntry) -> str:
    """Such as ``7 seeds in the region, 1 out of it, 0 neither``."""
    counts = {mark: sum(seed.mark == mark for seed in part.seeds) for mark in MARKS}
    seeds = f"{counts['in']} seed{'s' * (counts['in'] != 1)}"
    return f"{seeds} in the region, {counts['out']} out of it, {counts['neither']} neither"


def evidence_note(part: PartEntry) -> str:
    """Such as ``183 for, under 0.01 against; needed 180``."""
    support, against = (f"{e:.3g}" if e >= 0.01 else "under 0.01" for e in (part.support, part.against))
    return f"{support} for, {against} against; needed {part.needed:.3g}"


def evidence_share(evidence: float, part: PartEntry) -> float:
    """The place of evidence on a logarithmic axis: 0 is an evidence of 1 or less, 1 is what the part needs.

    At most 1.25, where the axis ends.
    """
    if part.needed <= 1 or evidence <= 1:
        return 0.0
    return min(1.25, math.log(evidence) / math.log(part.needed))


def premise_note(part: PartEntry) -> str:
    """What must hold for the part to be testable, and whether it does. Empty for a part without a premise."""
    if part.premise is None:
        return ""
    premise = part.premise
    outcome = "holds" if premise.holds else "does not hold"
    measured = f"{premise.name} is {number(premise.median)} {premise.unit}, needed {premise.region}"
    return f"Premise: {premise.needs}. It {outcome}: {measured}."


def estimate(part: PartEntry) -> str:
    """The mean of the known effects; "none" where none is known."""
    return "none" if part.estimate is None else number(part.estimate)


def limits(part: PartEntry) -> str:
    """The t interval: "none" where the seeds give none, "exact" where chance has no part."""
    if part.method == "certain":
        return "exact"
    return "none" if part.low is None or part.high is None else f"{number(part.low)} to {number(part.high)}"


def description(part: PartEntry) -> str:
    """Mean and t interval in words, such as ``mean 1 u, 95 % t interval 0.5 to 1.5``. They only describe."""
    if part.method == "certain":
        return f"{estimate(part)} {part.unit} (exact)"
    if part.estimate is None:
        return "no effect is known exactly"
    interval = "" if limits(part) == "none" else f", 95 % t interval {limits(part)}"
    return f"mean {estimate(part)} {part.unit}{interval}"


def deciding(entry: Entry) -> PartEntry | None:
    """The first judged part with the entry's verdict, or with the one that its controls withdrew."""
    verdict = withdrawn(entry) or entry.verdict
    judged = [part for part in entry.parts if part.judges]
    return next((part for part in judged if part.verdict == verdict), judged[0] if judged else None)


def withdrawn(entry: Entry) -> str:
    """The verdict of a claim before its controls withdrew it; else empty."""
    unchecked = entry.unchecked if isinstance(entry, ClaimEntry) else None
    return unchecked if unchecked is not None and unchecked != entry.verdict else ""


def seeds_used(claim: ClaimEntry, most: int) -> str:
    """Such as ``3 of at most 8``; ``most`` is the number of seeds at the last look."""
    return f"{claim.seeds} of at most {most}" if claim.conditions else "needs no runs"


def control_outcome(control: ControlEntry) -> str:
    """Whether the claim's code told the control's world for what it is, or had too few seeds to tell."""
    if control.passed:
        return RECOGNISED
    return TOO_FEW if _has_too_few_seeds(control) else NOT_RECOGNISED


def _has_too_few_seeds(control: ControlEntry) -> bool:
    decided = any(part.verdict != "INCONCLUSIVE" for part in control.parts if part.judges)
    return not control.passed and not decided and control.seeds < LEAST


def controls_count(claim: ClaimEntry) -> str:
    """Such as ``2/3 recognised, 1 with too few seeds``, of the controls that were tried.

    "not run" where there are none, or "none needed" without runs.
    """
    if not claim.controls:
        return "not run" if claim.conditions else "none needed"
    few = sum(map(_has_too_few_seeds, claim.controls))
    counted = f"{sum(control.passed for control in claim.controls)}/{len(claim.controls)} recognised"
    return f"{counted}, {few} with too few seeds" if few else counted


def reason_of(entry: Entry) -> str:
    """The entry's reason. That of a skipped claim ends with `SHARE_KEPT`."""
    return f"{entry.reason.rstrip('.')}. {SHARE_KEPT}" if entry.verdict == "SKIPPED" else entry.reason


def evidence(claim: ClaimEntry) -> str:
    """The reason for the claim's verdict in one line, or why it has none.

    Such as ``order: in 8 of 8 seeds it comes first, evidence 183 (needed 180); controls 2/2 recognised``.
    """
    part = deciding(claim)
    if part is None:
        return reason_of(claim)
    if part.method == "certain":
        return f"{part.name}: {part.reason}; needs no runs"
    return f"{part.name}: {part.reason}; controls {controls_count(claim)}"


def unjudged(report: Report) -> str:
    """How many claims have no verdict, such as ``; 1 more without a verdict; 2 skipped``. Empty where all have one."""
    skipped = sum(claim.verdict == "SKIPPED" for claim in report.claims)
    failed = sum(not claim.judged for claim in report.claims) - skipped
    words = f"; {failed} more without a verdict" if failed else ""
    return f"{words}; {skipped} skipped" if skipped else words


def surprise(entry: Entry) -> str:
    """The accepted verdict, where the claim has another one; else empty. A claim that was stopped has not moved."""
    expected = entry.expected if isinstance(entry, ClaimEntry) and not entry.stopped else None
    return expected.verdict if expected is not None and expected.verdict != entry.verdict else ""


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


def counted_reports(count: int) -> str:
    """Such as ``1 report``."""
    return f"{count} report{'s' * (count != 1)}"


FUNCTIONS = {
    function.__name__: function
    for function in (
        number,
        sentence,
        seed_note,
        marks_note,
        evidence_note,
        evidence_share,
        premise_note,
        description,
        deciding,
        withdrawn,
        seeds_used,
        control_outcome,
        controls_count,
        surprise,
        error_rate,
        exploratory,
        seeds_from,
        savings,
        counted_reports,
        subject_name,
        about_subject,
        reason_of,
        unjudged,
    )
}
"""The functions that templates may call."""
