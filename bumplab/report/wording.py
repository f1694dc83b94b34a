"""The words for a report's numbers, seeds, controls and error rates."""

from __future__ import annotations

import math
from itertools import groupby

from bumplab.config import ROLES
from bumplab.report.document import ClaimEntry, ControlEntry, Entry, Number, PartEntry, Report, SubjectEntry
from bumplab.verdicts.claim import DatumForm
from bumplab.verdicts.error_rate import KEPT_FOR_THE_LAST

SYMBOLS = {"SUPPORTED": "✓", "CONTRADICTED": "✗", "INCONCLUSIVE": "?", "ERROR": "!", "SKIPPED": "-"}
PASSED, FAILED, UNDEFINED = "✓ passed", "✗ failed", "○ undefined"
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


def estimate(part: PartEntry) -> str:
    """The part's estimate: "open" where it is censored or infinite, "none" where the part has no interval."""
    has_interval = part.low is not None or part.high is not None
    return number(part.estimate) if has_interval or part.estimate is not None else "none"


def limits(part: PartEntry) -> str:
    """The part's limits: "open" where one is infinite, "none" without an interval, "exact" where chance has no part."""
    if part.low is None and part.high is None:
        return "none"
    if part.low == part.high and len(part.effects) == 1:
        return "exact"
    return f"{number(part.low)} to {number(part.high)}"


def deciding(entry: Entry) -> PartEntry | None:
    """The first judged part with the entry's verdict, or with the one that its controls withdrew."""
    verdict = withdrawn(entry) or entry.verdict
    judged = [part for part in entry.parts if part.judges]
    return next((part for part in judged if part.verdict == verdict), judged[0] if judged else None)


def withdrawn(entry: Entry) -> str:
    """The verdict of a claim before its controls withdrew it; else empty."""
    unchecked = entry.unchecked if isinstance(entry, ClaimEntry) else None
    return unchecked if unchecked is not None and unchecked != entry.verdict else ""


def seed_effects(part: PartEntry) -> list[str]:
    """One line for each seed, in their order. Neighbouring seeds with the same line share it."""
    lines = groupby(_seed_effect(effect, part.datum_form) for effect in part.effects)
    counts = [(line, len(list(seeds))) for line, seeds in lines]
    return [f"{line} ({count} seeds)" if count > 1 else line for line, count in counts]


def _seed_effect(effect: list[Number] | None, form: DatumForm) -> str:
    if effect is None:
        return "undefined"
    if form == "pair":
        return ", ".join(map(number, effect))
    if form == "outcomes":  # log2 levels, then for each of them 1 where the run failed
        half = len(effect) // 2
        outcomes = zip(effect[:half], effect[half:], strict=True)
        failed = [f"{2**level:.3g}" for level, outcome in outcomes if outcome and level is not None]
        return f"failed at {', '.join(failed)}" if failed else "none failed"
    low, high = effect
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def datum_note(part: PartEntry) -> str:
    """What the numbers of `seed_effects` are. Empty where they are the effect."""
    return "conditions whose run failed" if part.datum_form == "outcomes" else part.datum


def noise_note(part: PartEntry) -> str:
    """How much of the spread between seeds comes from the finite number of sampled images."""
    if part.noise is None or part.noise.noise is None:
        return ""
    if part.noise.ratio is None:
        return f"sampling noise is {number(part.noise.noise)}; these seeds do not differ"
    return f"sampling noise is {100 * part.noise.ratio:.0f} % of the spread between seeds"


def seeds_used(claim: ClaimEntry, most: int) -> str:
    """Such as ``3 of at most 8``; ``most`` is the number of seeds at the last look."""
    return f"{claim.seeds} of at most {most}" if claim.conditions else "needs no runs"


def control_outcome(control: ControlEntry) -> str:
    """Whether the control passed. A control without a defined effect shows little, and is "undefined".

    An untrained network, for example, never reaches half its ceiling. No claim on that step can be supported there.
    """
    if not control.passed:
        return FAILED
    return UNDEFINED if control.stuck else PASSED


def controls_count(claim: ClaimEntry, word: str = "") -> str:
    """Such as ``2/3, 1 undefined``: passed and tried controls. Empty where none was tried."""
    if not claim.controls:
        return ""
    outcomes = [control_outcome(control) for control in claim.controls]
    undefined = outcomes.count(UNDEFINED)
    return f"{outcomes.count(PASSED)}/{len(outcomes)}{word}{f', {undefined} undefined' if undefined else ''}"


def controls_passed(claim: ClaimEntry) -> str:
    return controls_count(claim, " passed") or ("not run" if claim.conditions else "none needed")


def reason_of(entry: Entry) -> str:
    """The entry's reason. That of a skipped claim ends with `SHARE_KEPT`."""
    return f"{entry.reason.rstrip('.')}. {SHARE_KEPT}" if entry.verdict == "SKIPPED" else entry.reason


def evidence(claim: ClaimEntry) -> str:
    """The reason for the claim's verdict in one line, or why it has none.

    Such as ``order: 0.9 (0.4 to 1.4), region above 0; 5 seeds; controls 2/2``.
    """
    part = deciding(claim)
    if part is None:
        return reason_of(claim)
    if limits(part) == "none":
        effect = f"{part.name}: {part.reason}"
    else:
        effect = f"{part.name}: {estimate(part)} ({limits(part)}), region {part.region}"
    if not claim.seeds:
        return f"{effect}; needs no runs"
    return f"{effect}; {claim.seeds} seed{'s' * (claim.seeds != 1)}; controls {controls_count(claim) or 'not run'}"


def unjudged(report: Report) -> str:
    """How many claims have no verdict, such as ``; 1 more without a verdict; 2 skipped``. Empty where all have one."""
    skipped = sum(claim.verdict == "SKIPPED" for claim in report.claims)
    failed = sum(not claim.judged for claim in report.claims) - skipped
    words = f"; {failed} more without a verdict" if failed else ""
    return f"{words}; {skipped} skipped" if skipped else words


def surprise(entry: Entry) -> str:
    """The accepted verdict, where the claim has another one; else empty."""
    expected = entry.expected if isinstance(entry, ClaimEntry) else None
    return expected.verdict if expected is not None and expected.verdict != entry.verdict else ""


def error_rate(report: Report) -> str:
    """How the suite's error rate is split over claims and looks."""
    assert report.looks is not None  # of a report that is being written
    looks = report.looks
    alpha = looks.alpha
    certain = [claim.claim for claim in report.claims if claim.judged and not claim.seeds]
    sharing = round(report.family_alpha / alpha)
    text = f"The {sharing} claims with chance in them share it equally, {alpha:.3g} each. "
    if certain:
        text += f"Nothing is drawn at random for {', '.join(certain)}, which spends none of it. "
    if looks.first == looks.last:
        return f"{text}Each claim is looked at once, with {looks.last} seeds."
    last, earlier = alpha * looks.share(looks.last), alpha * looks.share(looks.first)
    return (
        f"{text}A claim is looked at with {looks.first} seeds, then after each further seed. The looks end when its "
        f"verdict is settled or it has {looks.last} seeds. Its share is split over these looks: "
        f"{100 * KEPT_FOR_THE_LAST:.0f} % for the last ({last:.3g}) and {earlier:.3g} for each earlier one. By the "
        "union bound, adding seeds until a verdict is reached stays within the share."
    )


def savings(report: Report) -> str:
    """What was saved by ending at the first settled look. Empty where it is unknown or nothing was trained."""
    saved, looks = report.saved, report.looks
    if saved is None or looks is None or not saved.steps_at_last_look:
        return ""
    runs = saved.runs_at_last_look - saved.runs_used
    share = 1 - saved.steps_used / saved.steps_at_last_look
    return (
        f"Claims and their controls were settled with {saved.runs_used} training runs. With {looks.last} seeds for "
        f"each they would have taken {saved.runs_at_last_look}. That saved {runs} runs, {100 * share:.0f} % of the "
        "training steps."
    )


FUNCTIONS = {
    function.__name__: function
    for function in (
        number,
        estimate,
        limits,
        deciding,
        withdrawn,
        seed_effects,
        datum_note,
        noise_note,
        seeds_used,
        control_outcome,
        controls_passed,
        surprise,
        error_rate,
        savings,
        subject_name,
        about_subject,
        reason_of,
        unjudged,
    )
}
"""The functions that templates may call."""
