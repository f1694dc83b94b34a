"""From the runs of all parts and controls to the verdict on a claim. Nothing is read or written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from bumplab.verdicts.claim import Claim, Compared, Control, Part, SeedRuns
from bumplab.verdicts.evidence import CONTROL_NEEDED
from bumplab.verdicts.judging import PartVerdict, Verdict, fewest_seeds, judge, judge_certain
from bumplab.verdicts.looks import Looks

RunsOfPart = Callable[[Part, int], Sequence[SeedRuns]]
"""The runs of a part for a number of seeds, one item a seed from `Looks.first_seed` on."""


class RunsMissing(Exception):
    """Raised by a `RunsOfPart` that cannot give the runs of a look. The text completes "judged on 5 seeds, ..."."""


@dataclass(frozen=True)
class ControlVerdict:
    """The verdict on a control. A false world must be CONTRADICTED, a true one (``positive``) SUPPORTED."""

    name: str
    why: str
    positive: bool
    verdict: Verdict
    reason: str
    seeds: int
    parts: list[PartVerdict]

    @property
    def passed(self) -> bool:
        """Whether the claim's code tells this world for what it is."""
        return self.verdict == ("SUPPORTED" if self.positive else "CONTRADICTED")

    @property
    def stopped(self) -> bool:
        """Whether it is open only because runs are missing."""
        return not self.passed and any(part.stopped for part in self.parts)


@dataclass(frozen=True)
class ClaimVerdict:
    """The verdict on a claim.

    ``seeds`` is the largest number of seeds behind a judged part, ``needed`` the evidence that the verdict needs.
    ``unchecked`` is the verdict without the controls. It differs from ``verdict`` where a control cannot tell.
    ``stopped`` tells that the claim or a control of it is open only because runs are missing.
    """

    claim: str
    verdict: Verdict
    reason: str
    seeds: int
    needed: float
    parts: list[PartVerdict]
    unchecked: Verdict
    controls: list[ControlVerdict] = field(default_factory=list)
    stopped: bool = False


def decide(claim: Claim, runs: RunsOfPart, looks: Looks) -> ClaimVerdict:
    """The verdict on a claim: each judged part is judged alone, at its own number of seeds.

    The claim is SUPPORTED when every judged part is. It is CONTRADICTED when the mean over its judged parts of the
    evidence against them is enough. Otherwise it is INCONCLUSIVE. ``runs`` is called for one look at a time, so that no
    seed is trained in vain. A part that is only shown has as many seeds as the judged part with the fewest, or fewer
    where runs are missing. Raises `RunsMissing` where those of a part's first look are.
    """
    judged = {part.name: part_in_looks(claim, part, runs, looks) for part in claim.judged_parts}
    fewest = min(len(verdict.seeds) for verdict in judged.values())
    parts = []
    for part in claim.parts:
        if part.judges:
            parts.append(judged[part.name])
        else:
            seeds_of_part = [] if claim.certain else _as_many_as_there_are(part, runs, fewest, looks.first)
            parts.append(judge_certain(part) if claim.certain else judge(part, seeds_of_part, looks, len(judged)))
    return _summary(claim, parts, looks.needed)


def part_in_looks(claim: Claim, part: Part, runs: RunsOfPart, looks: Looks) -> PartVerdict:
    """The verdict on one judged part of the claim at the first look that settles it, otherwise at the last look.

    Where runs are missing, it is that of the last look that has all its runs. Raises `RunsMissing` where there is none.
    """
    if claim.certain:
        return judge_certain(part)
    first, *others = looks
    verdict = judge(part, runs(part, first), looks, len(claim.judged_parts))
    for seeds in others:
        if verdict.settled:
            break
        try:
            of_seeds = runs(part, seeds)
        except RunsMissing as missing:
            return replace(verdict, stopped=True, reason=f"{verdict.reason}, {missing}")
        verdict = judge(part, of_seeds, looks, len(claim.judged_parts), known=verdict.seeds)
    return verdict


def _as_many_as_there_are(part: Part, runs: RunsOfPart, most: int, least: int) -> Sequence[SeedRuns]:
    """The part's runs for as many seeds as have all of them. Raises `RunsMissing` where these are below ``least``."""
    for seeds in range(most, least, -1):
        with suppress(RunsMissing):
            return runs(part, seeds)
    return runs(part, least)


def with_controls(verdict: ClaimVerdict, controls: Sequence[ControlVerdict]) -> ClaimVerdict:
    """The verdict on a claim, checked by its controls. One that cannot tell its world makes it INCONCLUSIVE."""
    blind = [control.name for control in controls if not control.passed]
    checked = replace(verdict, controls=list(controls))
    if not blind or verdict.verdict == "INCONCLUSIVE":
        return checked
    only_stopped = all(control.stopped or control.passed for control in controls)
    names = ", ".join(map(repr, blind))
    reason = f"its controls cannot tell: {names} did not come out as known; without them {verdict.verdict}: "
    return replace(checked, verdict="INCONCLUSIVE", reason=reason + verdict.reason, stopped=only_stopped)


def without_controls(verdict: ClaimVerdict, tried: Sequence[ControlVerdict], missing: RunsMissing) -> ClaimVerdict:
    """The verdict on a claim of which controls could not be tried because runs are missing: it is INCONCLUSIVE.

    ``tried`` are the controls before the first that lacks runs. One of them that cannot tell decides all the same.
    """
    checked = with_controls(verdict, tried)
    if checked.verdict == "INCONCLUSIVE":
        return checked
    reason = f"not all controls were tried, {missing}; without them {verdict.verdict}: {verdict.reason}"
    return replace(checked, verdict="INCONCLUSIVE", reason=reason, stopped=True)


def decide_control(claim: Claim, control: Control, runs: RunsOfPart, looks: Looks) -> ControlVerdict:
    """The verdict of the claim's own code in the world of the control, by evidence of `CONTROL_NEEDED` for each part.

    ``runs`` gives the runs of a part of ``claim.under(control)``. The world breaks all parts that the control names, or
    keeps them all. So its verdict is that of its parts where they agree, and INCONCLUSIVE where they do not.
    """
    form, looks = claim.under(control), replace(looks, needed=CONTROL_NEEDED)
    parts = [part_in_looks(form.only([part.name]), part, runs, looks) for part in form.judged_parts]
    verdicts = {part.verdict for part in parts}
    verdict = verdicts.pop() if len(verdicts) == 1 else "INCONCLUSIVE"
    return ControlVerdict(
        name=control.name,
        why=control.why,
        positive=control.positive,
        verdict=verdict,
        reason="; ".join(f"{part.name}: {part.reason}" for part in parts),
        seeds=max(len(part.seeds) for part in parts),
        parts=parts,
    )


def problem_at(claim: Claim, looks: Looks, conditions: Mapping[str, Sequence[str]]) -> str:
    """Why the claim can never be decided at these looks, in one line; empty where it can.

    ``conditions`` are those of each judged part at the session's profile, by the part's name.
    """
    if claim.certain:
        return ""
    for part in claim.judged_parts:
        names = conditions[part.name]
        if isinstance(part.effect, Compared) and len(names) < 2:
            return f"part {part.name!r} compares conditions and has {len(names)} here: it needs 2 or more"
        least = fewest_seeds(part, names, looks.needed)
        if least is None or least > looks.last:
            if least is None:
                return f"no number of seeds can decide part {part.name!r}: give its conditions different weights"
            needs = f"it needs {least} seeds or more"
            return f"part {part.name!r} is judged on at most {looks.last} seeds, and {needs}: raise --max-seeds"
    return ""


def _summary(claim: Claim, parts: list[PartVerdict], needed: float) -> ClaimVerdict:
    judged = [part for part in parts if part.judges]
    verdicts = {part.verdict for part in judged}
    against = sum(part.against for part in judged) / len(judged)
    verdict: Verdict = "INCONCLUSIVE"
    if verdicts == {"SUPPORTED"}:
        verdict = "SUPPORTED"
    elif "CONTRADICTED" in verdicts or (against >= needed and not claim.certain and _all_testable(judged)):
        verdict = "CONTRADICTED"
    deciding = [part for part in judged if part.verdict == verdict and not claim.certain] or judged
    reason = "; ".join(f"{part.name}: {part.reason}" for part in deciding)
    seeds = max(len(part.seeds) for part in judged)
    return ClaimVerdict(
        claim=claim.id,
        verdict=verdict,
        reason=reason,
        seeds=seeds,
        needed=needed,
        parts=parts,
        unchecked=verdict,
        stopped=verdict == "INCONCLUSIVE" and any(part.stopped for part in judged),
    )


def _all_testable(parts: Sequence[PartVerdict]) -> bool:
    return all(part.premise is None or part.premise.holds for part in parts)
