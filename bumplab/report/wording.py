"""The words for a report's numbers, seeds, controls and error rates."""

from __future__ import annotations

import math

from bumplab import profiles
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
from bumplab.verdicts.evidence import CONTROL_NEEDED, fewest_seeds

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


def scale_of(report: Report) -> str:
    """The size of the report's trainings beside the paper's; empty where the report holds no run."""
    trained = [run.spec for run in report.runs.values() if run.spec["training"]["steps"] > 1]
    if not trained:
        return ""
    data, training, paper = trained[0]["data"], trained[0]["training"], profiles.PAPER.base
    size, papers = data["image_size"], paper.data.image_size
    return (
        f"Images of {size} x {size} pixels, {training['steps']:,} training steps of {training['batch_size']} images; "
        f"the paper has {papers} x {papers} pixels and {paper.training.steps:,} steps of {paper.training.batch_size}."
    )


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
    """Such as ``enough evidence for: 183 (needed 180)``, or both numbers where neither is enough."""
    support, against = (
        f"{e:.0f}" if e >= 1000 else f"{e:.3g}" if e >= 0.01 else "under 0.01" for e in (part.support, part.against)
    )
    needed = f"needed {part.needed:.4g}"
    if part.verdict == "SUPPORTED":
        return f"enough evidence for: {support} ({needed})"
    if part.verdict == "CONTRADICTED":
        return f"enough evidence against: {against} ({needed})"
    return f"evidence for {support} ({needed}), against {against}"


def evidence_scale(report: Report) -> float:
    """The largest evidence that a claim of the report needs: all bars of the page share this scale."""
    return max([report.looks.needed, *(claim.needed for claim in report.claims)])


def evidence_place(evidence: float, scale: float) -> float:
    """The place of evidence on a logarithmic axis: 0 is an evidence of 1 or less, 1 is ``scale``.

    At most 1.25, where the axis ends.
    """
    return 0.0 if evidence <= 1 else min(1.25, math.log(evidence) / math.log(scale))


def premise_note(part: PartEntry) -> str:
    """What must hold for the part to be testable, and whether it does. Empty for a part without a premise."""
    if part.premise is None:
        return ""
    premise = part.premise
    seeds = f"{premise.hits} of {len(premise.numbers)} seeds"
    measured = f"the median of {premise.name} is {number(premise.median)} {premise.unit}, needed {premise.region}"
    verdict = ": the part is not testable" if part.settled else " so far"
    outcome = "" if premise.holds else f" That is fewer than half{verdict}."
    return f"Premise: {premise.needs}. It holds for {seeds}: {measured}.{outcome}"


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
    """The first judged part with the entry's verdict, or with the one that its controls withdrew.

    Parts can contradict a claim together, and none alone. Then it is the one with the most evidence against it.
    """
    verdict = withdrawn(entry) or entry.verdict
    judged = [part for part in entry.parts if part.judges]
    if verdict == "CONTRADICTED":
        judged.sort(key=lambda part: -part.against)
    return next((part for part in judged if part.verdict == verdict), judged[0] if judged else None)


def withdrawn(entry: Entry) -> str:
    """The verdict of a claim before its controls withdrew it; else empty."""
    unchecked = entry.unchecked if isinstance(entry, ClaimEntry) else None
    return unchecked if unchecked is not None and unchecked != entry.verdict else ""


def quoted(claim: ClaimEntry) -> str:
    """The words of the paper that the deciding part tests; empty where there is no such part, or it quotes none."""
    part = deciding(claim)
    return part.reads if part else ""


def seen(claim: ClaimEntry) -> str:
    """What was seen in the runs, in one sentence, such as ``In 8 of 8 seeds the manifold is flat at the end.``

    For a claim without a judged part it is the reason, and for a part that is not testable the reason for that.
    """
    part = deciding(claim)
    if part is None:
        return _ended(reason_of(claim))
    if not part.testable:
        return _ended(sentence(part))
    if part.method == "certain":
        outcome = "" if part.verdict == "SUPPORTED" else "it is not so that "
        return _ended(f"Computed exactly, {outcome}{part.holds}: {estimate(part)} ({part.unit})")
    words = f"In {part.hits} of {len(part.seeds)} seeds {part.holds}"
    if neither := sum(seed.mark == "neither" for seed in part.seeds):
        words += f"; {neither} cannot tell"
    blind = [control.name for control in claim.controls if control_outcome(control) == NOT_RECOGNISED]
    if blind:
        controls = "controls did" if len(blind) > 1 else "control did"
        words += f", but the {controls} not come out as it must: {', '.join(blind)}"
    return _ended(words)


def _ended(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def predictions(claim: ClaimEntry) -> str:
    """Every prediction with the sign of its verdict, such as ``✓ order; ? error; ✗ rate (not judged)``.

    Empty where a single one is all there is.
    """
    if len(claim.parts) < 2:
        return ""
    return "; ".join(
        f"{SYMBOLS[part.verdict]} {part.name}{'' if part.judges else ' (not judged)'}" for part in claim.parts
    )


def remarks(claim: ClaimEntry) -> list[str]:
    """What a reader must know beside the verdict: an open claim, a verdict withdrawn, and one that has moved."""
    texts = []
    if claim.stopped:
        texts.append("Open: runs are missing, as `--minutes` ended the session.")
    if withdrawn(claim):
        texts.append(f"{withdrawn(claim)} before its controls.")
    if surprise(claim):
        texts.append(f"Accepted for this project: {surprise(claim)}.")
    return texts


def verdict_lists(report: Report) -> dict[str, list[ClaimEntry]]:
    """The claims of each verdict that there is, in the order of `SYMBOLS`."""
    lists = {verdict: [claim for claim in report.claims if claim.verdict == verdict] for verdict in SYMBOLS}
    return {verdict: claims for verdict, claims in lists.items() if claims}


def seeds_used(claim: ClaimEntry, most: int) -> str:
    """How many seeds the deciding part has, such as ``order, decided after 8 of at most 14 seeds``.

    ``most`` is the number of seeds at the last look.
    """
    part = deciding(claim)
    name = f"{part.name}, " if part else ""
    if not claim.conditions:
        return f"{name}needs no runs"
    seeds = len(part.seeds) if part else claim.seeds
    if part is None or not part.testable or not part.settled:
        return f"{name}{seeds} of at most {most} seeds"
    if part.verdict == "INCONCLUSIVE" and seeds >= most:
        return f"{name}undecided after all {most} seeds"
    if part.verdict == "INCONCLUSIVE":
        return f"{name}ended after {seeds} seeds, as {most} could not decide it any more"
    return f"{name}decided after {seeds} of at most {most} seeds"


def truth(control: ControlEntry) -> str:
    """What is known of the claim in the control's world."""
    return "true" if control.positive else "false"


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


def counted_reports(count: int) -> str:
    """Such as ``1 report``."""
    return f"{count} report{'s' * (count != 1)}"


IN_TEMPLATES = (
    "about_subject",
    "control_outcome",
    "controls_count",
    "counted_reports",
    "deciding",
    "description",
    "evidence_note",
    "evidence_place",
    "evidence_scale",
    "fewest_seeds",
    "marks_note",
    "number",
    "predictions",
    "premise_note",
    "quoted",
    "reason_of",
    "remarks",
    "scale_of",
    "seed_note",
    "seeds_used",
    "seen",
    "sentence",
    "subject_name",
    "surprise",
    "truth",
    "unjudged",
    "verdict_lists",
    "withdrawn",
)
"""The functions that templates may call."""
