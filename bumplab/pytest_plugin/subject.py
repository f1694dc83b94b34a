"""``--subject``: the user's subject in a session, its budget, and the check of its contract."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bumplab.config import RunSpec
from bumplab.profiles import SMOKE, Profile
from bumplab.report.document import SubjectEntry
from bumplab.subjects.protocol import Budget
from bumplab.subjects.registry import Named, blaming, load
from bumplab.subjects.sources import SubjectError
from bumplab.verdicts import needs

if TYPE_CHECKING:
    from bumplab.subjects.check import Checked


@dataclass(frozen=True)
class SubjectOfSession:
    """The subject of a session. ``users`` is None for the built-in one."""

    users: Named | None = None

    @classmethod
    def of(cls, name: str | None, arguments: Sequence[str], folder: Path) -> SubjectOfSession:
        """Imports the subject that the command line names. Raises `SubjectError` in one line."""
        if name is None:
            if arguments:
                raise SubjectError(f"--subject-arg {arguments[0]}: goes with --subject only")
            return cls()
        return cls(load(name, arguments, folder))

    @property
    def delivers(self) -> frozenset[str]:
        """The roles and readings that it gives. The built-in subject gives all."""
        return frozenset(needs.NEEDS) if self.users is None else needs.delivered(self.users.subject)

    @property
    def entry(self) -> SubjectEntry | None:
        """What a report says of it. None for the built-in subject."""
        if self.users is None:
            return None
        spec, subject = self.users.spec, self.users.subject
        return SubjectEntry(
            name=spec.name,
            arguments=dict(spec.arguments),
            source=spec.source,
            versions=dict(spec.versions),
            description=subject.describe(),
            roles=dict(subject.roles),  # type: ignore[arg-type]
            resumes=subject.resumes,
        )

    def reads(self, part: str, choice: str) -> bool:
        """Whether it reads this choice of a part of a profile's run."""
        if self.users is None or part in self.users.subject.reads:
            return True
        return choice in ("steps", "batch_size")

    def profile(self, profile: Profile) -> Profile:
        """The profile with this subject in its runs, and with the budget that the subject asks for."""
        return replace(profile, base=self._run(profile.base))

    def trial_run(self) -> RunSpec:
        """A short run of the subject, at the scale of the profile smoke whatever its budget."""
        run, rate = SMOKE.run(0), self._budget(SMOKE.base).learning_rate
        subject = run.subject if self.users is None else self.users.spec
        return replace(run, subject=subject, training=replace(run.training, learning_rate=rate))

    def check(self, device: str) -> Checked:
        """Tries the contract of the user's subject."""
        from bumplab.subjects.check import check  # renders training data, which a listing does not need

        assert self.users is not None
        return check(self.users, self.trial_run(), device)

    def require_contract(self, device: str) -> None:
        """Raises `SubjectError` in one line where the user's subject breaks a promise."""
        if self.users is None:
            return
        broken = self.check(device).broken
        if broken:
            more = f" ({len(broken) - 1} more: see --check)" if len(broken) > 1 else ""
            raise SubjectError(f"{self.users.spec.name}: {broken[0]}{more}")

    def _run(self, base: RunSpec) -> RunSpec:
        if self.users is None:
            return base
        asked = self._budget(base)
        if asked.steps < 2:  # the untrained control has one step
            raise SubjectError(f"{self.users.spec.name}: its budget asks for {asked.steps} steps: must be 2 or more")
        training = replace(
            base.training, steps=asked.steps, batch_size=asked.batch_size, learning_rate=asked.learning_rate
        )
        return replace(
            base, subject=self.users.spec, training=training, measure=replace(base.measure, every=asked.every)
        )

    def _budget(self, base: RunSpec) -> Budget:
        """The budget that the subject asks for in place of this run's."""
        training, measure = base.training, base.measure
        given = Budget(training.steps, training.batch_size, measure.every, training.learning_rate)
        if self.users is None:
            return given
        with blaming(self.users):
            return self.users.subject.budget(given)


def report_lines(checked: Checked) -> list[str]:
    """What a check showed, a line each."""
    lines = [f"broken: {promise}" for promise in checked.broken]
    lines += [f"note: {note}" for note in checked.notes]
    if math.isfinite(checked.seconds_a_step + checked.seconds_a_draw):
        lines.append(
            f"{1000 * checked.seconds_a_step:.3g} ms a step; {checked.seconds_a_draw:.2g} s to draw "
            f"{checked.images_a_draw} images; a state of {checked.state_bytes / 1e6:.2g} MB (at the scale of smoke)"
        )
    count = len(checked.broken)
    return [*lines, f"{count} promise{'s' * (count != 1)} broken" if count else "the contract is kept"]
