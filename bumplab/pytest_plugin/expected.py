"""`claims/expected.toml`: the accepted verdict of each claim. A claim fails when its verdict moves from there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import tomlkit
from tomlkit.exceptions import TOMLKitError

from bumplab import profiles
from bumplab.runs.progress import replace_text
from bumplab.verdicts.decision import ControlVerdict
from bumplab.verdicts.judging import Verdict
from bumplab.verdicts.registration import Ledger, registrations_of
from bumplab.verdicts.toml_files import require_reason, tables_in, text_of

VERDICTS = get_args(Verdict)
FILE = Path("claims") / "expected.toml"
"""Path from the project's folder."""

Outcome = Literal["passed", "xfailed", "failed"]


@dataclass(frozen=True)
class Expected:
    """The verdict that was accepted for a claim at a profile, and why."""

    verdict: str
    why: str
    registration: int | None = None
    """The registration whose seeds gave it; None where nothing is drawn at random."""


def load(path: Path, known_ids: Collection[str]) -> dict[tuple[str, str], Expected]:
    """The accepted verdicts by profile and claim; an empty dictionary where there is no file.

    ``known_ids`` are the claims that there are. Raises ValueError, in one line, for any other form of the file.
    """
    return _read(text_of(path), known_ids)


def _read(text: str, known_ids: Collection[str]) -> dict[tuple[str, str], Expected]:
    accepted = {}
    for profile, claims in tables_in(text).items():
        if profile not in profiles.ALL or not isinstance(claims, dict):
            raise ValueError(f"[{profile}]: tables must be named <profile>.<claim>, profiles {', '.join(profiles.ALL)}")
        for claim, entry in claims.items():
            table = f"[{profile}.{claim}]"
            if claim not in known_ids:
                raise ValueError(f"{table}: there is no such claim, only {', '.join(known_ids)}; remove its table")
            accepted[profile, claim] = _expected(table, entry)
    return accepted


def _expected(name: str, entry: object) -> Expected:
    """The accepted verdict in the table of this name."""
    if not isinstance(entry, dict) or set(entry) | {"registration"} != {"verdict", "why", "registration"}:
        raise ValueError(f"{name}: must have verdict, why and the number of its registration, and nothing else")
    if entry["verdict"] not in VERDICTS:
        raise ValueError(f"{name}: verdict = {entry['verdict']!r}: must be one of {', '.join(VERDICTS)}")
    why = entry["why"]
    if not isinstance(why, str):
        raise ValueError(f"{name}: why = {why!r:.60}: must be a text")
    try:
        require_reason(why)
    except ValueError as error:
        raise ValueError(f"{name}: why = {error}") from error
    registration = entry.get("registration")
    if "registration" in entry and (type(registration) is not int or registration < 1):
        raise ValueError(f"{name}: registration = {registration!r:.60}: must be a whole number from 1 on")
    return Expected(entry["verdict"], why, registration)


def require_registered(accepted: Mapping[tuple[str, str], Expected], ledger: Ledger, certain: Collection[str]) -> None:
    """Raises ValueError, in one line, for a verdict that names no registration of its claim at its profile.

    ``certain`` are the claims in which nothing is drawn at random. They need no registration.
    """
    for (profile, claim), entry in accepted.items():
        numbers = registrations_of(ledger, claim, profile)
        if claim not in certain and entry.registration not in numbers:
            named = "no registration" if entry.registration is None else f"registration {entry.registration}"
            there_are = f"in {', '.join(map(str, numbers))} alone" if numbers else "in none"
            raise ValueError(
                f"[{profile}.{claim}]: names {named}, and the claim was registered at this profile {there_are}: "
                "remove its table, and accept the verdict again with --accept"
            )


def outcome(verdict: str, reason: str, accepted: Expected | None, exploratory: bool = False) -> tuple[Outcome, str]:
    """How the item of a claim's verdict ends, and its message. It fails where the verdict is not the accepted one.

    Without an accepted verdict it fails for CONTRADICTED. An exploratory verdict never fails: it is compared with none.
    """
    if exploratory:
        return ("passed" if verdict == "SUPPORTED" else "xfailed"), f"EXPLORATORY {verdict}: {reason}"
    if accepted is None:
        ends: dict[str, Outcome] = {"SUPPORTED": "passed", "CONTRADICTED": "failed", "INCONCLUSIVE": "xfailed"}
        return ends[verdict], f"{verdict}: {reason}"
    if verdict != accepted.verdict:
        return (
            "failed",
            f"verdict moved from {accepted.verdict} to {verdict}: {reason} (accepted because: {accepted.why})",
        )
    return ("passed" if verdict == "SUPPORTED" else "xfailed"), f"{verdict}, as accepted: {accepted.why}"


def part_outcome(verdict: str, reason: str, accepted: Expected | None, exploratory: bool) -> tuple[Outcome, str]:
    """How the item of a part ends, and its message. It fails for CONTRADICTED, unless the claim is accepted as such.

    ``accepted`` is the accepted verdict on the claim.
    """
    as_accepted = accepted is not None and verdict == accepted.verdict == "CONTRADICTED"
    return outcome(verdict, reason, accepted if as_accepted else None, exploratory)


def control_outcome(control: ControlVerdict, problem: str) -> tuple[Outcome, str]:
    """How the item of a control ends, and its message. It fails where the world did not come out as known.

    ``problem`` tells why no run of this session could show it; empty where runs could.
    """
    known, wanted = ("true", "SUPPORTED") if control.positive else ("false", "CONTRADICTED")
    message = f"{control.verdict} where the claim is known to be {known}, must be {wanted}: {control.reason}"
    if control.passed:
        return "passed", message
    return ("xfailed", f"cannot tell: {problem}; {message}") if problem else ("failed", message)


def moved(
    profile: str, reached: Mapping[str, Expected], accepted: Mapping[tuple[str, str], Expected]
) -> dict[str, Expected]:
    """Those of the reached verdicts, by claim, whose verdict or registration is not the accepted one."""
    known = {claim: entry for (name, claim), entry in accepted.items() if name == profile}
    return {
        claim: entry
        for claim, entry in reached.items()
        if claim not in known
        or (known[claim].verdict, known[claim].registration) != (entry.verdict, entry.registration)
    }


def accept(path: Path, profile: str, verdicts: Mapping[str, Expected], known_ids: Collection[str]) -> None:
    """Writes these verdicts, by claim, into a profile's tables. The rest of the file stays.

    Raises ValueError where a reason or the file does not allow it, OSError where the file cannot be written.
    """
    replace_text(path.resolve(), with_accepted(text_of(path), profile, verdicts, known_ids))


def with_accepted(text: str, profile: str, verdicts: Mapping[str, Expected], known_ids: Collection[str]) -> str:
    """The text of such a file with these verdicts added. Raises ValueError where they cannot be added."""
    for entry in verdicts.values():
        require_reason(entry.why)
    try:
        document = tomlkit.parse(text)
        if profile not in document:
            document[profile] = tomlkit.table(is_super_table=True)
        for claim, entry in verdicts.items():
            if claim not in document[profile]:
                document[profile][claim] = tomlkit.table()
            fields = {"verdict": entry.verdict, "why": entry.why, "registration": entry.registration}
            document[profile][claim].update({name: field for name, field in fields.items() if field is not None})
        new_text = tomlkit.dumps(document)
    except (TOMLKitError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    _read(new_text, known_ids)  # the next session must be able to read it
    return new_text
