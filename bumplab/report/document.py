"""A report as typed structures, from a claim's entry to the file beside the page.

The types validate each report that is read. They also give its JSON schema, which ``python -m bumplab report --schema``
prints. A number that is infinite, open or undefined is null.

Reports of schemas 2 to 5 can still be read. Fields that they lack have the defaults below. Schema 3 added `bounds`,
`designed` and `code`; 4 added `idle`; 5 added `looks`, `page_section`, `datum_form` and a control's `stuck`; 6 added
`subject` and the verdict SKIPPED.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from bumplab.verdicts.claim import DatumForm
from bumplab.verdicts.decision import Verdict
from bumplab.verdicts.error_rate import Looks

SCHEMA = 6
"""Version of the reports that are written."""
SCHEMAS = (2, 3, 4, 5, 6)
"""Versions of the reports that can be read."""

Count = Annotated[int, Meta(ge=0)]
Number = float | None
Seconds = Annotated[float, Meta(ge=0)]
Probability = Annotated[float, Meta(ge=0, le=1)]
RunKey = Annotated[str, Meta(pattern="^[0-9a-f]{20}$", description="The run's name in the store.")]
Spec = Annotated[dict[str, Any], Meta(description="The run's RunSpec, which `python -m bumplab train` takes.")]


class RunReference(Struct, frozen=True):
    """A run that a claim, a control or a variation was judged on."""

    key: RunKey
    spec: Spec


class Noise(Struct, frozen=True):
    """How much of the spread between seeds comes from the finite number of sampled images."""

    noise: Annotated[Number, Meta(description="Standard deviation of one seed's effect from sampling, in its unit.")]
    spread: Annotated[Number, Meta(description="Standard deviation of the effect between seeds, in its unit.")]
    ratio: Annotated[Number, Meta(description="`noise` over `spread`; null where the seeds do not differ.")]


class PartEntry(Struct, frozen=True, kw_only=True):
    """One prediction of a claim, and its verdict."""

    name: Annotated[str, Meta(description="What is predicted.")]
    unit: Annotated[str, Meta(description="Unit of `estimate`, `low`, `high`, `bounds` and `designed`.")]
    verdict: Annotated[Verdict, Meta(description="The verdict on this prediction alone.")]
    reason: Annotated[str, Meta(description="The numbers behind the verdict, or why the effect is undefined.")]
    region: Annotated[str, Meta(description="`bounds` in words.")]
    bounds: Annotated[
        tuple[Number, Number], Meta(description="Edges of the open interval of effects that support the part.")
    ] = (None, None)
    designed: Annotated[Number, Meta(description="The effect that the part is built to find.")] = None
    why: Annotated[str, Meta(description="The reason for the edge of the region.")]
    judges: Annotated[bool, Meta(description="Whether the part decides; otherwise it is only shown.")]
    datum: Annotated[str, Meta(description="What a seed's numbers are, where they are not bounds of its effect.")]
    datum_form: Annotated[DatumForm, Meta(description="How a seed's numbers are read.")] = "bounds"
    effects: Annotated[
        list[list[Number] | None], Meta(description="One entry for each seed, from seed 10 on; null where undefined.")
    ]
    estimate: Annotated[Number, Meta(description="The effect over all seeds.")]
    low: Annotated[Number, Meta(description="Lower limit of the effect.")]
    high: Annotated[Number, Meta(description="Upper limit of the effect.")]
    stuck: Annotated[bool, Meta(description="Whether the effect stays undefined however many seeds are added.")]
    noise: Annotated[Noise | None, Meta(description="Null where sampling noise was not measured.")] = None

    def __post_init__(self) -> None:
        if self.datum and self.datum_form == "bounds":  # reports before schema 5 give no form
            msgspec.structs.force_setattr(self, "datum_form", "pair")


class _Judged(Struct, frozen=True, kw_only=True):
    """What a claim, a control and a variation have in common. One without a verdict has the defaults."""

    reason: Annotated[str, Meta(description="Why the verdict is what it is, or why there is none.")]
    seeds: Annotated[Count, Meta(description="Training runs of each condition behind the verdict.")] = 0
    parts: Annotated[list[PartEntry], Meta(description="The claim's predictions, in its order.")] = []
    conditions: Annotated[
        dict[str, list[RunReference]], Meta(description="The runs of each condition, one for each seed.")
    ] = {}


class ControlEntry(_Judged, frozen=True):
    """The claim's code in a world where the claim is known to be false, or true."""

    name: Annotated[str, Meta(description="The control's name.")]
    why: Annotated[str, Meta(description="What is broken or planted in this world.")]
    positive: Annotated[bool, Meta(description="Whether the claim is true in this world.")]
    verdict: Annotated[Verdict, Meta(description="The verdict on the claim in this world.")]
    passed: Annotated[bool, Meta(description="Whether this world allows the verdict.")]
    stuck: Annotated[bool, Meta(description="Whether it stays undecided however many seeds are added.")] = False


class VariationEntry(_Judged, frozen=True):
    """The claim with one open choice changed."""

    name: Annotated[str, Meta(description="The changed choice, such as `prediction=epsilon`.")]
    verdict: Annotated[Verdict, Meta(description="The verdict with the changed choice.")]
    idle: Annotated[bool, Meta(description="Whether the change left every effect of every seed as it was.")] = False


class Expected(Struct, frozen=True):
    """The verdict that was accepted for the claim at this profile."""

    verdict: Annotated[Verdict, Meta(description="The accepted verdict.")]
    why: Annotated[str, Meta(description="Why it was accepted.")]


class ClaimEntry(_Judged, frozen=True):
    """A claim and its verdict. ERROR and SKIPPED are no verdicts: such an entry has a reason and no parts.

    A claim is skipped where it needs a role that the subject lacks.
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
    alpha: Annotated[Probability, Meta(description="One-sided error rate of the look that decided.")] = 0.0
    controls: Annotated[list[ControlEntry], Meta(description="The controls that were tried.")] = []
    variations: Annotated[list[VariationEntry], Meta(description="The variations that were tried.")] = []
    curves: Annotated[dict[str, str], Meta(description="Titles of its learning curves, by their names.")] = {}
    page_section: Annotated[
        Literal["", "manifold", "artefacts"], Meta(description="The section of the page that shows the claim's runs.")
    ] = ""
    runs_used: Annotated[Count, Meta(description="Training runs behind the claim and its controls.")] = 0
    runs_at_last_look: Annotated[Count, Meta(description="The same, had all of them gone to the last look.")] = 0
    process_seconds: Annotated[
        Seconds, Meta(description="Process time of all runs behind the claim, whenever they were trained.")
    ] = 0.0

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

    schema: Annotated[int, Meta(ge=SCHEMAS[0], le=SCHEMA, description="Version of the report's form.")] = SCHEMA
    profile: Annotated[str, Meta(description="The profile's name.")]
    purpose: Annotated[str, Meta(description="What the profile is for.")]
    subject: Annotated[
        SubjectEntry | None,
        Meta(description="What was put to the claims; null for the built-in UNet."),
    ] = None
    looks: Annotated[
        Looks | None, Meta(description="The numbers of seeds at which claims are looked at; null before schema 5.")
    ] = None
    controls: Annotated[bool, Meta(description="Whether controls were tried.")] = False
    saved: Annotated[Saved | None, Meta(description="What ending at the first settled look saved.")] = None
    code: Annotated[str, Meta(description="Version of bumplab, and its commit; + marks changed or new files.")] = ""
    written: Annotated[str, Meta(description="Time of writing, ISO 8601 in UTC.")]
    elapsed: Annotated[Seconds, Meta(description="Seconds that the session took.")]
    family_alpha: Annotated[
        Probability, Meta(description="Upper bound of the chance that any claim is SUPPORTED falsely.")
    ]
    claims: Annotated[list[ClaimEntry], Meta(description="The claims in the paper's order.")]
    runs: Annotated[dict[RunKey, RunEntry], Meta(description="The stored runs, by key.")] = {}

    def with_section(self, section: Literal["manifold", "artefacts"]) -> ClaimEntry | None:
        """The first claim that asks for this section of the page, or None."""
        return next((claim for claim in self.claims if claim.page_section == section), None)


class _Version(Struct):
    schema: int


def encode(report: Report) -> bytes:
    """The report as JSON. Raises ValueError unless `decode` can read it: NaN becomes null, which few fields allow."""
    text = msgspec.json.encode(report)
    decode(text)
    return msgspec.json.format(text, indent=1)


def decode(text: bytes) -> Report:
    """The report in this JSON. Raises ValueError or RecursionError unless it holds what the types above say."""
    schema = msgspec.json.decode(text, type=_Version).schema
    if schema not in SCHEMAS:
        raise ValueError(f"schema {schema}: must be one of {', '.join(map(str, SCHEMAS))}")
    return msgspec.json.decode(text, type=Report)


def json_schema() -> bytes:
    """The JSON schema of a report, draft 2020-12."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Report)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=1)
