"""``python -m bumplab register``: adds an entry to the ledger of registrations, or shows how the claims stand in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bumplab.terminal import cell
from bumplab.verdicts import registration, suite
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.hashes import hashes_of, rule_hash
from bumplab.verdicts.registration import SEEDS_A_REGISTRATION, Ledger, changes, fixed_at, registrations_of, standing

CLAIMS = Path("claims")
"""The folder of the claims, in the project's folder."""


def register(why: str, profiles: Sequence[str], console: Console) -> None:
    """Registers the claims of the working folder as they are, and prints what is new or changed in each.

    ``profiles`` are those at which they are fixed; all that decide where it is empty.
    Raises ValueError in one line where the folder holds no claims, and as `bumplab.verdicts.registration.register`.
    """
    claims, ledger = _claims(), _ledger()
    try:
        entry = registration.register(registration.FILE, claims, why, profiles=profiles)
    except ValueError as error:
        raise ValueError(f"{registration.FILE}: {error}") from error
    console.print(cell(f"registration {entry.number} of {entry.date}: {entry.why}"))
    table, unchanged = _table("what"), []
    for claim in claims:
        words = {}
        for profile in registration.deciding_profiles():
            before = ledger[-1].fixed(claim.id, profile) if ledger else None
            now = entry.fixed(claim.id, profile)
            if now is not None and before != now:
                what = f"changed in {', '.join(changes(before, now))}" if before else "new"
                words[profile] = what, f"from {SEEDS_A_REGISTRATION * entry.number}"
        _add_rows(table, claim, words, [*ledger, entry])
        if not words:
            unchanged.append(claim.id)
    console.print(table)
    if unchanged:
        console.print(cell(f"unchanged, with the seeds of their own registration: {', '.join(unchanged)}"))
    console.print(cell(f"written to {registration.FILE}: commit it before any run of these seeds is trained"))


def show(console: Console) -> None:
    """Prints the ledger, and how each claim of the working folder stands at each profile that decides.

    Raises ValueError in one line where the folder holds no claims, and as `bumplab.verdicts.registration.load`.
    """
    claims, ledger = _claims(), _ledger()
    for entry in ledger:
        console.print(cell(f"registration {entry.number} of {entry.date}: {entry.why}"))
    if not ledger:
        console.print(cell(f"{registration.FILE} holds no registration: all verdicts with chance are EXPLORATORY"))
    table = _table("stands")
    for claim in claims:
        words = {}
        hashes = None if claim.certain else hashes_of(claim)
        for profile in registration.deciding_profiles():
            words[profile] = "certain: needs no registration", ""
            if hashes is not None:
                now = fixed_at(profile, rule_hash(), hashes)
                stands = standing(ledger, claim.id, profile, lambda now=now: now)  # type: ignore[misc]
                words[profile] = stands.problem, "exploring"
                if stands.registration:
                    words[profile] = f"registration {stands.registration}", f"from {stands.first_seed}"
        _add_rows(table, claim, words, ledger)
    console.print(table)


def _add_rows(table: Table, claim: Claim, words: Mapping[str, tuple[str, str]], ledger: Ledger) -> None:
    """Adds a row for all profiles of which the same is to be said: how the claim stands, and its seeds."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for profile, (what, seeds) in words.items():
        needed = f"{suite.needed(CLAIMS, len(registrations_of(ledger, claim.id, profile))):.4g}"
        if claim.certain:
            seeds, needed = "none", "none"
        rows.setdefault((what, seeds, needed), []).append(profile)
    for row, profiles in rows.items():
        table.add_row(*map(cell, (claim.id, ", ".join(profiles), *row)))


def _claims() -> Sequence[Claim]:
    if not suite.ids(CLAIMS):
        raise ValueError(f"register: {CLAIMS.absolute()} holds no claims: call it in the project's folder")
    return suite.claims(CLAIMS)


def _ledger() -> Ledger:
    try:
        return registration.load(registration.FILE)
    except ValueError as error:
        raise ValueError(f"{registration.FILE}: {error}") from error


def _table(what: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for head in ("claim", "profiles", what, "seeds", "evidence needed"):
        table.add_column(head)
    return table
