"""The ledger of registrations, `claims/registered.toml`: what was fixed before any judged run was looked at.

The suite's error rate holds for claims and profiles that were fixed before their runs were seen. Each registration
fixes them by hashes (`bumplab.verdicts.hashes`). A claim that has changed since is EXPLORATORY until it is registered
again, and then needs more evidence. The ledger only grows: each entry is sealed together with all entries before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
import tomlkit
from msgspec import Struct

from bumplab.profiles import ALL, REPLICATES
from bumplab.runs.progress import replace_text
from bumplab.verdicts.claim import Claim
from bumplab.verdicts.hashes import Fixed, Hashes, hash_of, hashes_of, rule_hash
from bumplab.verdicts.toml_files import require_reason, tables_in, text_of

FILE = Path("claims") / "registered.toml"
"""Path from the project's folder."""
SEEDS_A_REGISTRATION = 1_000
"""Registration k judges seeds from 1000 k on. Seeds below 1000 are for exploring."""
HEADER = """\
# What was fixed before any run of a registration was looked at (docs/verdicts.md, "Registration"). Only
# `python -m bumplab register --why TEXT` writes it. An entry that is changed or taken out ends every session of claims.
"""


class Registration(Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the ledger: all claims of the project by id, as they were on that day."""

    number: int
    date: str
    """ISO 8601."""
    why: str
    seal: str
    """Hash of this entry and of the seal before it."""
    rule: str
    """`bumplab.verdicts.hashes.rule_hash`."""
    claims: dict[str, Hashes]

    def fixed(self, claim: str, profile: str) -> Fixed | None:
        """What it fixes of a claim at a profile, both by name; None where it does not name them."""
        hashes = self.claims.get(claim)
        return None if hashes is None else fixed_at(profile, self.rule, hashes)


class _File(Struct, forbid_unknown_fields=True):
    registration: list[Registration] = []


Ledger = Sequence[Registration]


@dataclass(frozen=True)
class Standing:
    """How a claim stands in the ledger at a profile."""

    registration: int
    """The registration whose seeds judge it; 0 where it is not registered as it is now."""
    latest: int = 0
    """The last registration that fixed it at the profile; 0 where there is none."""
    changed: tuple[str, ...] = ()
    """What has changed since the latest: some of rule, design, behaviour and runs."""

    @property
    def first_seed(self) -> int:
        """The first seed of the runs that judge it. Only for a registered claim."""
        return SEEDS_A_REGISTRATION * self.registration

    @property
    def problem(self) -> str:
        """Why its verdict is EXPLORATORY; empty for a registered claim."""
        if self.registration:
            return ""
        if self.latest:
            return f"changed since registration {self.latest} in {', '.join(self.changed)}"
        return "not registered"


def fixed_at(profile: str, rule: str, hashes: Hashes) -> Fixed | None:
    """What decides a claim's verdict at a profile; None for a profile that decided nothing or was not there."""
    runs = hashes.runs.get(profile)
    return None if runs is None else Fixed(rule, hashes.design, hashes.behaviour, runs)


def registrations_of(ledger: Ledger, claim: str, profile: str) -> list[int]:
    """The registrations at which a claim was registered anew at a profile: each time with new hashes or after a gap."""
    numbers: list[int] = []
    before = None
    for entry in ledger:
        fixed = entry.fixed(claim, profile)
        if fixed is not None and fixed != before:
            numbers.append(entry.number)
        before = fixed
    return numbers


def standing(ledger: Ledger, claim: str, profile: str, now: Callable[[], Fixed | None]) -> Standing:
    """How a claim stands. ``now`` gives its hashes as it is, and is called only where the ledger's end names it."""
    registered = ledger[-1].fixed(claim, profile) if ledger else None
    if registered is None:
        return Standing(0)
    latest, current = registrations_of(ledger, claim, profile)[-1], now()
    if current is None:
        return Standing(0)
    changed = changes(registered, current)
    return Standing(0 if changed else latest, latest, changed)


def number_of(seed: int) -> int:
    """The number of the registration whose seeds hold this one or the seed that it replicates; 0 for exploring."""
    return seed % REPLICATES // SEEDS_A_REGISTRATION


def changes(before: Fixed, after: Fixed) -> tuple[str, ...]:
    """What differs: some of rule, design, behaviour and runs."""
    pairs = zip(Fixed._fields, before, after, strict=True)
    return tuple(name for name, old, new in pairs if old != new)


def load(path: Path) -> tuple[Registration, ...]:
    """The ledger's entries; none where there is no file.

    Raises ValueError in one line where it cannot be read, or where an entry was changed, taken out or moved.
    """
    return _read(text_of(path))


def register(
    path: Path, claims: Sequence[Claim], why: str, today: date | None = None, *, profiles: Sequence[str] = ()
) -> Registration:
    """Adds an entry for the claims as they are now, and returns it.

    It fixes them at ``profiles``, by default at all that decide, and at those of the entry before. Raises ValueError in
    one line for a reason that is none, for a profile that decides nothing, where nothing has changed, and as `load`.
    """
    require_reason(why)
    text = text_of(path)
    ledger = _read(text)
    if unknown := set(profiles) - set(deciding_profiles()):
        raise ValueError(f"{min(unknown)!r} is no profile that decides: choose among {', '.join(deciding_profiles())}")
    before = {name for hashes in ledger[-1].claims.values() for name in hashes.runs} if ledger else set()
    fixed = {*(profiles or deciding_profiles()), *before}
    now, rule = {claim.id: _at(hashes_of(claim), fixed) for claim in claims}, rule_hash()
    if ledger and (ledger[-1].claims, ledger[-1].rule) == (now, rule):
        raise ValueError(f"nothing has changed since registration {len(ledger)}: there is nothing to register")
    day = (today or date.today()).isoformat()
    entry = Registration(number=len(ledger) + 1, date=day, why=why, seal="", rule=rule, claims=now)
    entry = msgspec.structs.replace(entry, seal=_seal(ledger, entry))
    new_text = f"{text or HEADER}\n{_text(entry)}"
    if _read(new_text) != (*ledger, entry):
        raise ValueError("no entry can be added at its end: take the file back from git")
    replace_text(path, new_text)
    return entry


def _at(hashes: Hashes, profiles: Collection[str]) -> Hashes:
    """The hashes with the runs of these profiles alone."""
    return msgspec.structs.replace(hashes, runs={name: runs for name, runs in hashes.runs.items() if name in profiles})


def deciding_profiles() -> tuple[str, ...]:
    """The names of the profiles at which a claim can be registered."""
    return tuple(name for name, profile in ALL.items() if profile.decides)


def _read(text: str) -> tuple[Registration, ...]:
    try:
        entries = msgspec.convert(tables_in(text), _File).registration
    except msgspec.ValidationError as error:
        raise ValueError(f"has another form ({error}): take the file back from git") from error
    for number, entry in enumerate(entries, 1):
        if entry.number != number:
            raise ValueError(
                f"registration {number} calls itself {entry.number}: an entry was taken out or moved: take the file "
                "back from git"
            )
        if entry.seal != _seal(entries[: number - 1], entry):
            raise ValueError(f"registration {number} was changed after it was written: take the file back from git")
    return tuple(entries)


def _seal(before: Ledger, entry: Registration) -> str:
    unsealed = msgspec.structs.replace(entry, seal=before[-1].seal if before else "")
    return hash_of(msgspec.to_builtins(unsealed))


def _text(entry: Registration) -> str:
    """The entry as TOML, with one table a claim."""
    fields = msgspec.to_builtins(entry)
    for hashes in fields["claims"].values():
        runs = tomlkit.inline_table()
        runs.update(hashes["runs"])
        hashes["runs"] = runs
    return tomlkit.dumps({"registration": [fields]})
