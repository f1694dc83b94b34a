"""`claims/expected.toml`: verdicts that were looked at and accepted. One that moves from there is news, and fails."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import tomlkit
from tomlkit.exceptions import TOMLKitError

from bumplab import profiles
from bumplab.runs.progress import replace_text
from bumplab.verdicts import suite
from bumplab.verdicts.decision import Verdict

VERDICTS = get_args(Verdict)
FILE = Path("claims") / "expected.toml"
"""Below the project's folder."""
MOST_WORDS = 500
"""Characters of a reason."""
MOST_BYTES = 1 << 20
"""Bytes of the file."""

Outcome = Literal["passed", "xfailed", "failed"]


@dataclass(frozen=True)
class Expected:
    """The verdict that was accepted for a claim at a profile, and why."""

    verdict: str
    why: str


def load(path: Path) -> dict[tuple[str, str], Expected]:
    """The accepted verdicts by profile and claim; none where there is no such file.

    Raises ValueError, in one line, where the file is not what its header says.
    """
    return _read(text_of(path))


def text_of(path: Path) -> str:
    """The file's text, with its own ends of lines; empty where there is none. Raises ValueError where it is no file."""
    if not path.exists():
        return ""
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            raise ValueError(f"is no file of at most {MOST_BYTES} bytes")
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read ({' '.join(str(error).split())})") from error


def _read(text: str) -> dict[tuple[str, str], Expected]:
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also TOMLDecodeError
        raise ValueError(f"cannot be read as TOML: {' '.join(str(error).split())}") from error
    accepted = {}
    for profile, claims in tables.items():
        if profile not in profiles.ALL or not isinstance(claims, dict):
            raise ValueError(f"[{profile}]: tables must be named <profile>.<claim>, profiles {', '.join(profiles.ALL)}")
        for claim, entry in claims.items():
            accepted[profile, claim] = _expected(f"[{profile}.{claim}]", claim, entry)
    return accepted


def _expected(name: str, claim: str, entry: object) -> Expected:
    if claim not in (known := suite.ids(suite.OURS)):
        raise ValueError(f"{name}: there is no such claim, only {', '.join(known)}")
    if not isinstance(entry, dict) or set(entry) != {"verdict", "why"}:
        raise ValueError(f"{name}: must have verdict and why, and nothing else")
    if entry["verdict"] not in VERDICTS:
        raise ValueError(f"{name}: verdict = {entry['verdict']!r}: must be one of {', '.join(VERDICTS)}")
    why = entry["why"]
    if not isinstance(why, str) or not why.strip() or not why.isprintable():
        raise ValueError(f"{name}: why = {why!r}: must say in one line why the verdict was accepted")
    return Expected(entry["verdict"], why)


def outcome(verdict: str, reason: str, accepted: Expected | None) -> tuple[Outcome, str]:
    """How a claim's test ends, and its message. What is as accepted is no news, whatever the verdict."""
    if accepted is None:
        ends: dict[str, Outcome] = {"SUPPORTED": "passed", "CONTRADICTED": "failed", "INCONCLUSIVE": "xfailed"}
        return ends[verdict], f"{verdict}: {reason}"
    if verdict != accepted.verdict:
        return (
            "failed",
            f"verdict moved from {accepted.verdict} to {verdict}: {reason} (accepted because: {accepted.why})",
        )
    return ("passed" if verdict == "SUPPORTED" else "xfailed"), f"{verdict}, as accepted: {accepted.why}"


def moved(profile: str, verdicts: Mapping[str, str], accepted: Mapping[tuple[str, str], Expected]) -> dict[str, str]:
    """The verdicts, by claim, that are not the accepted ones or have none."""
    known = {claim: entry.verdict for (name, claim), entry in accepted.items() if name == profile}
    return {claim: verdict for claim, verdict in verdicts.items() if known.get(claim) != verdict}


def check_reason(why: str) -> None:
    """Raises ValueError unless the text can stand as a reason in the file and in one line of a terminal."""
    if not why.strip() or not why.isprintable() or len(why) > MOST_WORDS:
        raise ValueError(f"{why[:60]!r}: must say why in one line of 1 to {MOST_WORDS} characters")


def accept(path: Path, profile: str, verdicts: Mapping[str, str], why: str) -> None:
    """Writes these verdicts, by claim, for a profile with their reason, and leaves all else in the file as it is.

    Raises ValueError where the reason or the file is not fit for it, OSError where it cannot be written.
    """
    replace_text(path.resolve(), with_accepted(text_of(path), profile, verdicts, why))


def with_accepted(text: str, profile: str, verdicts: Mapping[str, str], why: str) -> str:
    """The text of such a file with these verdicts in it. Raises ValueError where it cannot take them."""
    check_reason(why)
    try:
        document = tomlkit.parse(text)
        if profile not in document:
            document[profile] = tomlkit.table(is_super_table=True)
        for claim, verdict in verdicts.items():
            if claim not in document[profile]:
                document[profile][claim] = tomlkit.table()
            document[profile][claim].update({"verdict": verdict, "why": why})
        new = tomlkit.dumps(document)
    except (TOMLKitError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    _read(new)  # nothing is written that would be refused
    return new
