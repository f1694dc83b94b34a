"""The settings of one session, as `bumplab.pytest_plugin.command_line` makes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bumplab.config import RunSpec
from bumplab.profiles import Profile
from bumplab.pytest_plugin.expected import Expected
from bumplab.pytest_plugin.published import Audit
from bumplab.pytest_plugin.subject import SubjectOfSession
from bumplab.runs.cluster.options import ClusterOptions
from bumplab.runs.copies import Elsewhere
from bumplab.runs.published import Published
from bumplab.runs.store import RunStore
from bumplab.verdicts import needs, suite
from bumplab.verdicts.claim import FIRST_SEED, Claim, Control
from bumplab.verdicts.decision import problem_at
from bumplab.verdicts.evidence import CONTROL_NEEDED, fewest_seeds
from bumplab.verdicts.hashes import Fixed, hashes_of, rule_hash
from bumplab.verdicts.looks import MAX_SEEDS, MIN_SEEDS, Looks
from bumplab.verdicts.registration import (
    SEEDS_A_REGISTRATION,
    Registration,
    Standing,
    fixed_at,
    registrations_of,
    standing,
)
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
    """Those of a claim that is not registered. `looks_of` gives those of each claim."""
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
    with_samples: bool = True
    """Whether the page shows samples of all runs; False by ``--no-samples``."""
    minutes: float | None = None
    """How long the session trains; None without ``--minutes``."""
    from_seed: int | None = None
    """The first seed that ``--from-seed`` names."""
    ledger: tuple[Registration, ...] = ()
    """The project's registrations."""
    _standings: dict[str, Standing] = field(default_factory=dict, repr=False, compare=False)
    """How each claim stands, once it was asked for: it takes up to half a second a claim."""
    also_runs: tuple[Elsewhere, ...] = ()
    """Stores and archives in which a run is looked for before it is trained."""
    dask: ClusterOptions | None = None
    """The cluster that trains; None without ``--dask``."""
    published: Published | None = None
    """The archive of ``--published``, which is then judged in place of a store's runs."""
    audit: Audit | None = None
    """The runs of it that are trained again."""

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
        """The accepted verdict on the claim at this profile, if there is one of the claim's own registration."""
        key = (self.profile.name, claim.id)
        if claim.certain:
            return self.expected.get(key) or self.expected_of_project.get(key)
        accepted = self.expected.get(key)
        is_current = accepted and not self.exploring(claim) and accepted.registration == self.registration_of(claim)
        return accepted if is_current else None

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

    def exploring(self, claim: Claim) -> str:
        """Why verdicts on the claim are EXPLORATORY: none is accepted and none fails a test. Empty where they count."""
        if claim.certain:
            return ""
        if not self.profile.decides:
            return f"the profile {self.profile.name} decides nothing"
        if self.from_seed is not None and self.from_seed < SEEDS_A_REGISTRATION:
            return "--from-seed was given"
        return self._standing(claim).problem

    def registration_of(self, claim: Claim) -> int:
        """The registration whose seeds judge the claim; 0 where it is explored, or nothing is drawn at random."""
        return 0 if claim.certain or self.exploring(claim) else self._standing(claim).registration

    def looks_of(self, claim: Claim) -> Looks:
        """The seeds on which the claim is judged, also under its controls and variations, and the evidence it needs."""
        if claim.certain:
            return self.looks
        if self.registration_of(claim):
            first = self._standing(claim).first_seed
        else:
            first = FIRST_SEED if self.from_seed is None else self.from_seed
        return replace(self.looks, first_seed=first, needed=self.needed(claim))

    def needed(self, claim: Claim) -> float:
        """The evidence that the claim needs. Each registration with other hashes raises it."""
        times = len(registrations_of(self.ledger, claim.id, self.profile.name))
        return self.looks.needed if times < 2 else suite.needed(self.project / "claims", times)

    def _standing(self, claim: Claim) -> Standing:
        """How the project's claim of this id stands at the project's profile, with the built-in subject."""

        def now() -> Fixed | None:
            of_project = {own.id: own for own in suite.claims(self.project / "claims")}
            return fixed_at(self.profile.name, rule_hash(), hashes_of(of_project.get(claim.id, claim)))

        if claim.id not in self._standings:
            self._standings[claim.id] = standing(self.ledger, claim.id, self.profile.name, now)
        return self._standings[claim.id]

    def problem(self, claim: Claim) -> str:
        """Why the claim cannot be judged with these settings, in one line; empty where it can."""
        if self.lacking(claim):
            return ""
        if problem := self._problem_of_registration(claim):
            return problem
        looks = replace(self.looks, needed=self.needed(claim))
        if not self.profile.decides:
            looks = replace(looks, first=MIN_SEEDS, last=MAX_SEEDS)
        problem = needs.unreadable(claim, self.profile) or problem_at(claim, looks, self.conditions(claim))
        return problem and f"claim {claim.id!r} at the profile {self.profile.name}: {problem}"

    def _problem_of_registration(self, claim: Claim) -> str:
        """Why ``--from-seed`` or ``--accept`` does not go with the claim's registration; empty where they do."""
        if claim.certain:
            return ""
        first = self.from_seed or 0
        if first >= SEEDS_A_REGISTRATION and first != SEEDS_A_REGISTRATION * self.registration_of(claim):
            stands = self.exploring(claim) or f"in registration {self.registration_of(claim)}"
            return (
                f"--from-seed {first}: seeds from {first} belong to registration {first // SEEDS_A_REGISTRATION}, and "
                f"{claim.id} is {stands}: leave --from-seed away"
            )
        if self.accept is not None and self.exploring(claim):
            return (
                f"--accept: the verdict on {claim.id} is EXPLORATORY ({self.exploring(claim)}): register the claims "
                "first (python -m bumplab register), or leave this one out with -k"
            )
        return ""

    def problem_of_published(self, claims: Collection[Claim]) -> str:
        """Why none of these claims is judged on the runs of the published archive, in one line; else empty."""
        if self.published is None:
            return ""
        judged_on = {self.registration_of(claim) for claim in claims if not claim.certain}
        if not judged_on or self.published.registration in judged_on:
            return ""
        numbers = " and ".join(map(str, sorted(judged_on)))
        return (
            f"--published: {self.published.path} holds runs of registration {self.published.registration} (0: "
            f"exploring), and these claims are judged on registration {numbers}: export the runs of that one"
        )

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
