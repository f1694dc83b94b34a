"""The settings of one session, as `bumplab.pytest_plugin.command_line` makes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.pytest_plugin.expected import Expected
from bumplab.pytest_plugin.subject import SubjectOfSession
from bumplab.runs.copies import Elsewhere
from bumplab.runs.store import RunStore
from bumplab.verdicts import needs, suite
from bumplab.verdicts.claim import FIRST_SEED, Claim, Control, exploring
from bumplab.verdicts.decision import problem_at
from bumplab.verdicts.evidence import CONTROL_NEEDED, fewest_seeds
from bumplab.verdicts.looks import MAX_SEEDS, MIN_SEEDS, Looks
from bumplab.verdicts.variation import Variation


@dataclass(frozen=True)
class Settings:
    """The options of one session."""

    project: Path
    """The folder of the project's conftest.py. It holds the claims and their accepted verdicts.

    By default it also holds the reports and the runs.
    """
    profile: Profile
    looks: Looks
    controls: bool
    """Whether the controls of each claim are judged, too."""
    variations: tuple[Variation, ...]
    """The forms in which each claim is judged, too."""
    accept: str | None
    """The reason for which new verdicts are accepted; None without ``--accept``."""
    expected_file: Path | None
    """The file of accepted verdicts; None for a user's subject without ``--expected``."""
    expected: Mapping[tuple[str, str], Expected]
    """The accepted verdicts, by profile and claim."""
    expected_of_project: Mapping[tuple[str, str], Expected]
    """Those of the project's own file. They hold for any subject where nothing is drawn at random."""
    subject: SubjectOfSession
    store: RunStore
    device: str
    """Such as ``cpu`` or ``cuda:0``."""
    report: Path
    """The HTML file of a report on all claims."""
    report_named: bool
    """Whether ``--report`` named the file."""
    figures: Path | None
    """The folder for figures as files; None without ``--figures``."""
    also_runs: tuple[Elsewhere, ...] = ()
    """Stores and archives in which a run is looked for before it is trained."""

    @property
    def claim_ids(self) -> tuple[str, ...]:
        """The claims of the project."""
        return suite.ids(self.project / "claims")

    @property
    def seeds(self) -> str:
        """Such as ``3 to 14 seeds``."""
        looks = self.looks
        return f"{looks.first} seeds" if looks.first == looks.last else f"{looks.first} to {looks.last} seeds"

    def has(self, run: RunSpec) -> bool:
        """Whether the run need not be trained: it lies in the store, or where it is copied from."""
        return self.store.has(run) or any(place.has(run) for place in self.also_runs)

    def accepted(self, claim: Claim) -> Expected | None:
        """The verdict accepted for the claim at this profile, if any."""
        key = (self.profile.name, claim.id)
        return self.expected.get(key) or (self.expected_of_project.get(key) if claim.certain else None)

    def report_of(self, judged: Collection[str]) -> Path:
        """The file of the report on these claims.

        A report on some claims does not replace one on all claims, unless ``--report`` names the file.
        """
        if self.report_named or set(self.claim_ids) <= set(judged):
            return self.report
        return self.report.with_stem(f"{self.report.stem}-subset")

    def lacking(self, claim: Claim) -> tuple[str, ...]:
        """The roles and readings that the claim needs and the subject lacks."""
        return () if self.subject.users is None else needs.missing(claim, self.subject.delivers)

    def judged_form(self, claim: Claim) -> Claim:
        """The claim without the shown parts that the subject lacks a role or a reading for."""
        return claim if self.subject.users is None else needs.without_missing(claim, self.subject.delivers)

    def exploratory(self, claim: Claim) -> bool:
        """Whether verdicts on the claim are EXPLORATORY, so that none is accepted and none fails a test."""
        return not claim.certain and (exploring() or not self.profile.decides)

    def problem(self, claim: Claim) -> str:
        """Why the claim can never be decided with these settings, in one line; empty where it can."""
        if self.lacking(claim):
            return ""
        looks = self.looks if self.profile.decides else replace(self.looks, first=MIN_SEEDS, last=MAX_SEEDS)
        problem = needs.unreadable(claim, self.profile) or problem_at(claim, looks, self.conditions(claim))
        return problem and f"claim {claim.id!r} at the profile {self.profile.name}: {problem}"

    def problem_of_control(self, claim: Claim, control: Control) -> str:
        """Why no run can show whether the control tells its world, in one line; empty where runs can."""
        if not self.profile.decides:
            return f"the profile {self.profile.name} decides nothing"
        form, looks = claim.under(control), replace(self.looks, needed=CONTROL_NEEDED)
        if control.positive:
            return problem_at(form, looks, self.conditions(form))
        least = fewest_seeds(CONTROL_NEEDED)
        return f"it needs {least} seeds, and there are at most {looks.last}" if looks.last < least else ""

    def conditions(self, claim: Claim) -> dict[str, list[str]]:
        """The conditions of each judged part, by the part's name."""
        return {part.name: list(claim.runs_of(part)(self.profile, FIRST_SEED)) for part in claim.judged_parts}
