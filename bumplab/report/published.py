"""What a report says of an archive that it was judged from, and of the audit of its runs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bumplab.runs.audit import SHARE_ALTERED, Outcome

Count = Annotated[int, Meta(ge=0)]


class AuditedRun(Struct, frozen=True, kw_only=True):
    """A run of the archive that was trained again."""

    key: Annotated[str, Meta(pattern="^[0-9a-f]{20}$", description="The run's name in the archive.")]
    label: Annotated[str, Meta(description="The run's name for a reader.")]
    outcome: Annotated[Outcome, Meta(description="Whether both trainings agree, and how closely.")]
    how: Annotated[str, Meta(description="How they were compared, or why they could not be.")]
    number: Annotated[str, Meta(description="The number that differs most; empty where none does.")] = ""
    step: Annotated[Count | None, Meta(description="The step of this number.")] = None
    published: Annotated[float | None, Meta(description="This number as it was published.")] = None
    retrained: Annotated[float | None, Meta(description="This number as it was trained here.")] = None

    @property
    def sentence(self) -> str:
        """Such as ``d=1 seed 1003: alike, compared by tolerances, in another environment: ...``."""
        text = f"{self.label} ({self.key}): {self.outcome}, {self.how}"
        if not self.number:
            return text
        old, new = ("unknown" if value is None else f"{value:.6g}" for value in (self.published, self.retrained))
        return f"{text}: {self.number} at step {self.step} was published as {old}, and is {new} here"


class AuditEntry(Struct, frozen=True, kw_only=True):
    """Runs of the archive that were drawn at random and trained again."""

    seed: Annotated[Count, Meta(description="The seed of the draw.")]
    drawn: Annotated[Count, Meta(description="How many runs were drawn.")]
    runs: Annotated[list[AuditedRun], Meta(description="Those that were trained again.")]
    missed: Annotated[
        float,
        Meta(ge=0, le=1, description="Chance that as many runs hold no altered one, were a tenth of all runs altered."),
    ]


class PublishedEntry(Struct, frozen=True, kw_only=True):
    """The archive whose runs were judged in place of a store's."""

    archive: Annotated[str, Meta(description="The archive's path from the project's folder, or in full.")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 of the archive.")]
    registration: Annotated[Count, Meta(description="The registration of its runs; 0 for exploring.")]
    command: Annotated[str, Meta(description="The command that made it, as its manifest says.")]
    version: Annotated[str, Meta(description="The version of bumplab that made it, as its manifest says.")]
    runs: Annotated[Count, Meta(description="How many runs it holds.")]
    audit: Annotated[AuditEntry | None, Meta(description="Null where no run was trained again.")] = None

    @property
    def sentences(self) -> list[str]:
        """What the terminal and the report say: the archive, and what its audit gave."""
        of = f"registration {self.registration}" if self.registration else "exploring seeds, of no registration"
        lines = [
            f"judged from published runs ({self.archive}, sha256 {self.sha256}, {of}): {self.runs} runs, none of them "
            f"trained here; made by bumplab {self.version}: {self.command}"
        ]
        if self.audit is None:
            return [*lines, "audited: 0 runs; --audit 3 trains three of them again, drawn at random"]
        audit, counts = self.audit, []
        for outcome in ("equal", "alike", "different"):
            if count := sum(run.outcome == outcome for run in audit.runs):
                counts.append(f"{count} {outcome}")
        lines.append(
            f"audited: {len(audit.runs)} of {self.runs} runs, drawn by --audit-seed {audit.seed}: {', '.join(counts)}"
        )
        if len(audit.runs) < audit.drawn:
            lines.append(f"the audit ended before {audit.drawn - len(audit.runs)} of its {audit.drawn} runs")
        lines += [run.sentence for run in audit.runs]
        share = f"{SHARE_ALTERED:.0%} of its runs altered"
        return [*lines, f"an archive with {share} passes such an audit with a chance of {audit.missed:.0%}"]
