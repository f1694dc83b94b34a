"""`claims/expected.toml`: the accepted verdict of each claim. A claim fails when its verdict moves from there."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import tomlkit
from tomlkit.exceptions import TOMLKitError

from bumplab import profiles
from bumplab.runs.progress import replace_text
from bumplab.verdicts.decision import ControlVerdict, Verdict

VERDICTS = get_args(Verdict)
FILE = Path("claims") / "expected.toml"
"""Path from the project's folder."""
LONGEST_REASON = 500
"""Most characters of a reason."""
LARGEST_FILE = 1 << 20
"""Most bytes of the file."""

Outcome = Literal["passed", "xfailed", "failed"]


@dataclass(frozen=True)
class Expected:
    """The verdict that was accepted for a claim at a profile, and why."""

    verdict: str
    why: str


def load(path: Path, known_ids: Collection[str]) -> dict[tuple[str, str], Expected]:
    """The accepted verdicts by profile and claim; an empty dictionary where there is no file.

    ``known_ids`` are the claims that there are. Raises ValueError, in one line, for any other form of the file.
    """
    return _read(text_of(path), known_ids)


def text_of(path: Path) -> str:
    """The file's text with its line ends as they are; empty where there is no file.

    Raises ValueError for a folder, a pipe or a file that is too large.
    """
    if not path.exists():
        return ""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"is no file of at most {LARGEST_FILE} bytes")
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read ({' '.join(str(error).split())})") from error


def _read(text: str, known_ids: Collection[str]) -> dict[tuple[str, str], Expected]:
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also TOMLDecodeError
        raise ValueError(f"cannot be read as TOML: {' '.join(str(error).split())}") from error
    accepted = {}
    for profile, claims in tables.items():
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
    if not isinstance(entry, dict) or set(entry) != {"verdict", "why"}:
        raise ValueError(f"{name}: must have verdict and why, and nothing else")
    if entry["verdict"] not in VERDICTS:
        raise ValueError(f"{name}: verdict = {entry['verdict']!r}: must be one of {', '.join(VERDICTS)}")
    why = entry["why"]
    if not isinstance(why, str):
        raise ValueError(f"{name}: why = {why!r:.60}: must be a text")
    try:
        require_reason(why)
    except ValueError as error:
        raise ValueError(f"{name}: why = {error}") from error
    return Expected(entry["verdict"], why)


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


def moved(profile: str, verdicts: Mapping[str, str], accepted: Mapping[tuple[str, str], Expected]) -> dict[str, str]:
    """The verdicts, by claim, that differ from the accepted ones or have no accepted one."""
    known = {claim: entry.verdict for (name, claim), entry in accepted.items() if name == profile}
    return {claim: verdict for claim, verdict in verdicts.items() if known.get(claim) != verdict}


def require_reason(why: str) -> None:
    """Raises ValueError unless the text is one printable line that is not too long."""
    if not why.strip() or not why.isprintable() or len(why) > LONGEST_REASON:
        raise ValueError(f"{why[:60]!r}: must say why in one line of 1 to {LONGEST_REASON} characters")


def accept(path: Path, profile: str, verdicts: Mapping[str, str], why: str, known_ids: Collection[str]) -> None:
    """Writes these verdicts, by claim, with their reason into a profile's tables. The rest of the file stays.

    Raises ValueError where the reason or the file does not allow it, OSError where the file cannot be written.
    """
    text = with_accepted(text=text_of(path), profile=profile, verdicts=verdicts, why=why, known_ids=known_ids)
    replace_text(path.resolve(), text)


def with_accepted(text: str, profile: str, verdicts: Mapping[str, str], why: str, known_ids: Collection[str]) -> str:
    """The text of such a file with these verdicts added. Raises ValueError where they cannot be added."""
    require_reason(why)
    try:
        document = tomlkit.parse(text)
        if profile not in document:
            document[profile] = tomlkit.table(is_super_table=True)
        for claim, verdict in verdicts.items():
            if claim not in document[profile]:
                document[profile][claim] = tomlkit.table()
            document[profile][claim].update({"verdict": verdict, "why": why})
        new_text = tomlkit.dumps(document)
    except (TOMLKitError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    _read(new_text, known_ids)  # the next session must be able to read it
    return new_text
