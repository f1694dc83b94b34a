"""`--drift`: verdicts that were looked at and accepted, so that a change which moves one is seen."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from bumplab import profiles
from bumplab.verdicts.decision import Verdict
from bumplab.verdicts.error_rate import CLAIMS

VERDICTS = get_args(Verdict)
FILE = Path("claims") / "expected.toml"
"""Below pytest's root folder."""


@dataclass(frozen=True)
class Expected:
    """The verdict that was accepted for a claim at a profile, and why."""

    verdict: str
    why: str


def load(path: Path) -> dict[tuple[str, str], Expected]:
    """The accepted verdicts by profile and claim; none where there is no such file.

    Raises ValueError, in one line, where the file is not what its header says.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:  # also TOMLDecodeError and UnicodeDecodeError
        raise ValueError(f"cannot be read as TOML: {' '.join(str(error).split())}") from error
    accepted = {}
    for profile, claims in tables.items():
        if profile not in profiles.ALL or not isinstance(claims, dict):
            raise ValueError(f"[{profile}]: tables must be named <profile>.<claim>, profiles {', '.join(profiles.ALL)}")
        for claim, entry in claims.items():
            accepted[profile, claim] = _expected(f"[{profile}.{claim}]", claim, entry)
    return accepted


def _expected(name: str, claim: str, entry: object) -> Expected:
    if claim not in CLAIMS:
        raise ValueError(f"{name}: there is no such claim, only {', '.join(CLAIMS)}")
    if not isinstance(entry, dict) or set(entry) != {"verdict", "why"}:
        raise ValueError(f"{name}: must have verdict and why, and nothing else")
    if entry["verdict"] not in VERDICTS:
        raise ValueError(f"{name}: verdict = {entry['verdict']!r}: must be one of {', '.join(VERDICTS)}")
    if not isinstance(entry["why"], str) or not entry["why"].strip():
        raise ValueError(f"{name}: why = {entry['why']!r}: must say why the verdict was accepted")
    return Expected(entry["verdict"], entry["why"])


def problem(verdict: str, expected: Expected | None, profile: str, claim: str) -> str | None:
    """One line where the verdict is not the accepted one; None where it is."""
    if expected is None:
        return f"no accepted verdict for profile {profile}, claim {claim}: add it to {FILE}"
    if verdict != expected.verdict:
        return f"verdict moved from {expected.verdict} to {verdict} (accepted because: {expected.why})"
    return None
