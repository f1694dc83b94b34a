"""A report as typed structures, from a claim's entry to the file beside the page.

The types validate each report that is read. They also give its JSON schema, which ``python -m bumplab report --schema``
prints. A number that is infinite, open or undefined is null. Reports of other schemas are refused, because their
verdicts follow another rule.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from bumplab.report.published import PublishedEntry
from bumplab.verdicts.judging import Mark, Method, Verdict
from bumplab.verdicts.looks import Looks

SCHEMA = 7
"""Version of the reports that are written, and of those that can be read."""

Count = Annotated[int, Meta(ge=0)]
Number = float | None
Seconds = Annotated[float, Meta(ge=0)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Evidence = Annotated[float, Meta(ge=0)]
"""An e-value: where what it speaks for is false, its mean is at most 1 after any number of seeds."""
RunKey = Annotated[str, Meta(pattern="^[0-9a-f]{20}$", description="The run's name in the store.")]
Spec = Annotated[dict[str, Any], Meta(description="The run's RunSpec, which `python -m bumplab train` takes.")]


class RunReference(Struct, frozen=True):
    """A run that a claim, a control or a variation was judged on."""

    key: RunKey
    spec: Spec


class SeedEntry(Struct, frozen=True):
    """One seed's effect, and where it lies."""

    seed: Annotated[Count, Meta(description="The seed of its runs.")]
    mark: Annotated[Mark, Meta(description="Whether the effect lies in the region, out of it, or neither for certain.")]
    low: Annotated[Number, Meta(description="Lower bound of the effect.")] = None
    high: Annotated[
        Number, Meta(description="Upper bound of the effect; equal to `low` where it is known exactly.")
    ] = None
    problem: Annotated[str, Meta(description="Why the effect is neither in nor out; else empty.")] = ""
    testable: Annotated[bool, Meta(description="Whether the seed's own premise holds, where the part has one.")] = True


class PremiseEntry(Struct, frozen=True, kw_only=True):
    """What must hold for a part to be testable at the profile."""

    name: Annotated[str, Meta(description="What is measured.")]
    needs: Annotated[str, Meta(description="What is needed, in words.")]
    unit: Annotated[str, Meta(description="Unit of `numbers` and `median`.")]
    region: Annotated[str, Meta(description="Where the numbers of at least half of the seeds must lie.")]
    numbers: Annotated[list[Number], Meta(description="One number for each seed; null where undefined.")]
    median: Annotated[Number, Meta(description="Median of the numbers.")]
    hits: Annotated[Count, Meta(description="Seeds whose number lies in the region.")]
    holds: Annotated[bool, Meta(description="Whether the part is testable.")]


class PartEntry(Struct, frozen=True, kw_only=True):
    """One prediction of a claim, and its verdict."""

    name: Annotated[str, Meta(description="What is predicted.")]
    reads: Annotated[str, Meta(description="The words of the paper that the part tests.")]
    holds: Annotated[str, Meta(description="Completes the sentence `In 7 of 8 seeds ...`.")]
    unit: Annotated[str, Meta(description="Unit of the effects, `bounds`, `designed` and the estimate.")]
    verdict: Annotated[Verdict, Meta(description="The verdict on this prediction alone.")]
    reason: Annotated[str, Meta(description="The counted seeds and the evidence in words.")]
    region: Annotated[str, Meta(description="`bounds` in words.")]
    bounds: Annotated[
        tuple[Number, Number], Meta(description="Edges of the open interval of effects that support the part.")
    ]
    designed: Annotated[Number, Meta(description="The effect that the part is built to find.")]
    why: Annotated[str, Meta(description="The reason for the edge of the region.")]
    judges: Annotated[bool, Meta(description="Whether the part decides; otherwise it is only shown.")]
    method: Annotated[
        Method,
        Meta(description="By counted seeds, by comparing conditions within a seed, or certain: without any chance."),
    ]
    seeds: Annotated[list[SeedEntry], Meta(description="One entry for each seed, in their order.")]
    support: Annotated[Evidence, Meta(description="Evidence for the part.")]
    against: Annotated[Evidence, Meta(description="Evidence for its contrary.")]
    needed: Annotated[Evidence, Meta(description="The evidence that a verdict needs.")]
    estimate: Annotated[Number, Meta(description="Mean of the effects that are known exactly. It only describes.")]
    low: Annotated[Number, Meta(description="Lower limit of their 95 % t interval. It only describes.")]
    high: Annotated[Number, Meta(description="Upper limit of their 95 % t interval. It only describes.")]
    settled: Annotated[bool, Meta(description="Whether more seeds up to the last look cannot change the verdict.")]
    premise: Annotated[
        PremiseEntry | None, Meta(description="What must hold for the part to be testable; null where nothing must.")
    ] = None
    stopped: Annotated[bool, Meta(description="Whether the runs of its next look are missing.")] = False

    @property
    def hits(self) -> int:
        """Seeds in the region."""
        return sum(seed.mark == "in" for seed in self.seeds)

    @property
    def testable(self) -> bool:
        """Whether its premise holds, or it has none."""
        return self.premise is None or self.premise.holds


class _Judged(Struct, frozen=True, kw_only=True):
    """What a claim, a control and a variation have in common. One without a verdict has the defaults."""

    reason: Annotated[str, Meta(description="Why the verdict is what it is, or why there is none.")]
    seeds: Annotated[Count, Meta(description="The largest number of seeds behind a judged part.")] = 0
    parts: Annotated[list[PartEntry], Meta(description="The claim's predictions, in its order.")] = []
    conditions: Annotated[
        dict[str, list[RunReference]],
        Meta(description="The runs of each condition of all parts, one for each seed."),
    ] = {}


class ControlEntry(_Judged, frozen=True):
    """The claim's code in a world where the claim is known to be false, or true."""

    name: Annotated[str, Meta(description="The control's name.")]
    why: Annotated[str, Meta(description="What is broken or planted in this world.")]
    positive: Annotated[bool, Meta(description="Whether the claim is true in this world.")]
    verdict: Annotated[Verdict, Meta(description="The verdict on the claim in this world.")]
    passed: Annotated[
        bool, Meta(description="Whether the claim's code told the world: CONTRADICTED, or SUPPORTED where positive.")
    ]


class VariationEntry(_Judged, frozen=True):
    """The claim with one open choice changed."""

    name: Annotated[str, Meta(description="The changed choice, such as `prediction=epsilon`.")]
    verdict: Annotated[Verdict, Meta(description="The verdict with the changed choice.")]
    idle: Annotated[bool, Meta(description="Whether the change left every effect of every seed as it was.")] = False


class Expected(Struct, frozen=True):
    """The verdict that was accepted for the claim at this profile."""

    verdict: Annotated[Verdict, Meta(description="The accepted verdict.")]
    why: Annotated[str, Meta(description="Why it was accepted.")]
    registration: Annotated[
        Count | None, Meta(description="The registration whose seeds gave it; null where nothing is drawn at random.")
    ] = None


class ClaimEntry(_Judged, frozen=True):
    """A claim and its verdict. ERROR and SKIPPED are no verdicts: such an entry has a reason and no parts.

    A claim is skipped where it needs a role that the subject lacks, or where the session lacked the time for its first
    look.
    """

    claim: Annotated[str, Meta(description="The claim's id.")]
    statement: Annotated[str, Meta(description="What the paper says.")]
    source: Annotated[str, Meta(description="Where the paper says it.")]
    verdict: Annotated[
        Verdict | Literal["ERROR", "SKIPPED"], Meta(description="The verdict; ERROR or SKIPPED where there is none.")
    ]
    unchecked: Annotated[Verdict | None, Meta(description="The verdict before its controls were tried.")] = None
    prediction: Annotated[str, Meta(description="What the statement predicts for the runs.")] = ""
    expected: Annotated[Expected | None, Meta(description="Null where no verdict was accepted.")] = None
    needed: Annotated[Evidence, Meta(description="The evidence that a verdict needs.")] = 0.0
    stopped: Annotated[
        bool, Meta(description="Whether it is open only because runs are missing: `--minutes` ended the session.")
    ] = False
    exploratory: Annotated[bool, Meta(description="Whether the error rate does not hold for the verdict.")] = False
    exploring: Annotated[str, Meta(description="Why the verdict is exploratory; empty where it is not.")] = ""
    registration: Annotated[
        Count,
        Meta(description="The registration whose seeds judged it; 0 where it is exploratory or nothing is drawn."),
    ] = 0
    controls: Annotated[list[ControlEntry], Meta(description="The controls that were tried.")] = []
    variations: Annotated[list[VariationEntry], Meta(description="The variations that were tried.")] = []
    curves: Annotated[dict[str, str], Meta(description="Titles of its learning curves, by their names.")] = {}
    runs_used: Annotated[Count, Meta(description="Training runs behind the claim and its controls.")] = 0
    runs_at_last_look: Annotated[Count, Meta(description="The same, had all of them gone to the last look.")] = 0
    process_seconds: Annotated[
        Seconds, Meta(description="Process time of all runs behind the claim, whenever they were trained.")
    ] = 0.0

    @property
    def first_seed(self) -> int | None:
        """The first seed that it was judged on; None where there is none."""
        return min((part.seeds[0].seed for part in self.parts if part.seeds), default=None)

    @property
    def id(self) -> str:
        """The claim's id, under the name that it has in a `Claim`."""
        return self.claim

    @property
    def judged(self) -> bool:
        """Whether the claim has a verdict."""
        return self.verdict not in ("ERROR", "SKIPPED")


Entry = ClaimEntry | ControlEntry | VariationEntry


class RunEntry(Struct, frozen=True):
    """A stored run behind the report."""

    label: Annotated[str, Meta(description="The run's name for a reader.")]
    spec: Spec
    rows: Annotated[
        list[dict[str, Number]], Meta(description="One row for each checkpoint: `step` and named measurements.")
    ]
    seconds: Annotated[dict[str, Seconds], Meta(description="Process time by kind of work.")]
    environment: Annotated[dict[str, Any], Meta(description="The machine and the libraries that trained it.")]
    failed: Annotated[str | None, Meta(description="Why the seed failed, such as a loss of NaN.")]


class Saved(Struct, frozen=True):
    """Training behind all claims and controls, and what it would have been had all gone to the last look."""

    runs_used: Annotated[Count, Meta(description="Training runs that were used.")]
    runs_at_last_look: Annotated[Count, Meta(description="Training runs at the last look.")]
    steps_used: Annotated[Count, Meta(description="Training steps that were used.")]
    steps_at_last_look: Annotated[Count, Meta(description="Training steps at the last look.")]


class SubjectEntry(Struct, frozen=True, kw_only=True):
    """A user's subject: the generator that was put to the claims."""

    name: Annotated[str, Meta(description="`FILE.py:NAME` or `package.module:NAME`.")]
    arguments: Annotated[dict[str, str], Meta(description="The user's arguments as text.")] = {}
    source: Annotated[
        str, Meta(pattern="^([0-9a-f]{64})?$", description="SHA-256 of its source files; empty where it is unknown.")
    ] = ""
    versions: Annotated[
        dict[str, str], Meta(description="Versions of the libraries that it declares. Its own has an empty name.")
    ] = {}
    description: Annotated[str, Meta(description="What it is, in one line of its own; may be empty.")] = ""
    roles: Annotated[dict[str, str], Meta(description="The roles that it delivers, each with what it is.")] = {}
    resumes: Annotated[
        Literal["exactly", "approximately"],
        Meta(description="Whether training that goes on from a stored state ends in the same bits on a CPU."),
    ] = "exactly"


class Report(Struct, frozen=True, kw_only=True):
    """A report of bumplab."""

    schema: Annotated[int, Meta(ge=SCHEMA, le=SCHEMA, description="Version of the report's form.")] = SCHEMA
    profile: Annotated[str, Meta(description="The profile's name.")]
    purpose: Annotated[str, Meta(description="What the profile is for.")]
    subject: Annotated[
        SubjectEntry | None,
        Meta(description="What was put to the claims; null for the built-in UNet."),
    ] = None
    looks: Annotated[
        Looks,
        Meta(
            description="The numbers of seeds at which parts are looked at, and the evidence that each needs. "
            "`first_seed` is that of claims that are not registered."
        ),
    ]
    controls: Annotated[bool, Meta(description="Whether controls were tried.")] = False
    saved: Annotated[Saved | None, Meta(description="What ending at the first settled look saved.")] = None
    published: Annotated[
        PublishedEntry | None, Meta(description="The archive that was judged; null where a store was.")
    ] = None
    code: Annotated[str, Meta(description="Version of bumplab, and its commit; + marks changed or new files.")] = ""
    written: Annotated[str, Meta(description="Time of writing, ISO 8601 in UTC.")]
    elapsed: Annotated[Seconds, Meta(description="Seconds that the session took.")]
    family_alpha: Annotated[
        Probability,
        Meta(description="Upper bound of the chance that any claim is SUPPORTED falsely. The same for CONTRADICTED."),
    ]
    claims: Annotated[list[ClaimEntry], Meta(description="The claims in the paper's order.")]
    runs: Annotated[dict[RunKey, RunEntry], Meta(description="The stored runs, by key.")] = {}

    def claim(self, name: str) -> ClaimEntry | None:
        """The claim of this id, or None."""
        return next((claim for claim in self.claims if claim.claim == name), None)


class _Version(Struct):
    schema: Annotated[int, Meta(ge=0, le=9999)]


class OtherSchema(ValueError):
    """The JSON is that of a report in another schema. The message completes ``<its path> ...``."""


def encode(report: Report) -> bytes:
    """The report as JSON. Raises ValueError unless `decode` can read it: NaN becomes null, which few fields allow."""
    text = msgspec.json.encode(report)
    decode(text)
    return msgspec.json.format(text, indent=1)


def decode(text: bytes) -> Report:
    """The report in this JSON.

    Raises ValueError or RecursionError unless it holds what the types above say, and `OtherSchema` in another schema.
    """
    schema = msgspec.json.decode(text, type=_Version).schema
    if schema != SCHEMA:
        advice = "judge again with pytest claims" if schema < SCHEMA else "read it with the version that wrote it"
        raise OtherSchema(f"is a report of schema {schema}: this version reads {SCHEMA}, which counts seeds; {advice}")
    return msgspec.json.decode(text, type=Report)


def json_schema() -> bytes:
    """The JSON schema of a report, draft 2020-12."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Report)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=1)
