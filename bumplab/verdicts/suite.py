"""The claims of a folder, found by the names of their files: ``test_<id>.py``."""

from __future__ import annotations

import runpy
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

from bumplab.verdicts.claim import Claim
from bumplab.verdicts.looks import needed_of

OURS = Path(__file__).parents[2] / "claims"
"""The folder of the paper's claims, beside the package."""


class Sourced(Protocol):
    """Anything with the id and the source of a claim, such as a `Claim`."""

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str: ...


SourcedT = TypeVar("SourcedT", bound=Sourced)


def ids(folder: Path) -> tuple[str, ...]:
    """The ids of the claims in a folder, sorted. No module is imported. A missing folder has no claims."""
    return tuple(sorted(path.stem.removeprefix("test_") for path in folder.glob("test_*.py")))


def claims(folder: Path) -> tuple[Claim, ...]:
    """The claims of a folder, in the order of `ids`. Each module is imported once in a process.

    Raises ValueError in one line for a module that cannot be imported, or whose ``CLAIM`` has another id than its file.
    """
    return tuple(_claim_in(folder.resolve() / f"test_{name}.py") for name in ids(folder))


def needed(folder: Path, times: int = 1) -> float:
    """Evidence that each claim of a folder needs (`needed_of`). Only claims with chance in them are counted.

    Raises ValueError as `claims` does.
    """
    return needed_of(sum(not claim.certain for claim in claims(folder)), times)


def in_the_papers_order(claims: Iterable[SourcedT]) -> list[SourcedT]:
    """The sections of the paper first, then its appendices; within these by source and id."""
    return sorted(claims, key=lambda claim: (not claim.source.startswith("Section"), claim.source, claim.id))


@cache
def _claim_in(path: Path) -> Claim:
    try:
        claim = runpy.run_path(str(path)).get("CLAIM")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and pytest's Skipped are no Exception
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{path}: cannot be imported ({problem}); a claim's file must be importable") from error
    name = path.stem.removeprefix("test_")
    if not isinstance(claim, Claim):
        raise ValueError(f"{path}: holds no CLAIM; it must hold CLAIM = Claim(id={name!r}, ...)")
    if claim.id != name:
        raise ValueError(f"{path}: its CLAIM has the id {claim.id!r}; by its file's name it must be {name!r}")
    return claim
