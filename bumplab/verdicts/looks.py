"""The seeds that a claim is judged on, and how much evidence it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.evidence import FAMILY_ALPHA, LATER_ALPHA

FIRST_LOOK, LAST_LOOK = 3, 14
"""Training runs of each condition at a part's first look and at the last.

At 14 seeds a part whose seeds are in the region in 95 of 100 cases is supported with a chance of 0.87."""
MIN_SEEDS, MAX_SEEDS = 2, 64


def _needed_of_ours() -> float:
    from bumplab.verdicts import suite  # imports the claims, which import this module

    return suite.needed(suite.OURS)


@dataclass(frozen=True)
class Looks:
    """The numbers of seeds at which a part is judged: ``first``, then one more at a time, up to ``last``.

    The seeds count from ``first_seed`` on. Raises ValueError for numbers outside `MIN_SEEDS` to `MAX_SEEDS`.
    """

    first: int = FIRST_LOOK
    last: int = LAST_LOOK
    needed: float = field(default_factory=_needed_of_ours)
    """Evidence that a verdict needs. By default that of the claims beside the package."""
    first_seed: int = FIRST_SEED

    def __post_init__(self) -> None:
        if not MIN_SEEDS <= self.first <= self.last <= MAX_SEEDS:
            raise ValueError(
                f"looks from {self.first} to {self.last} seeds: must be {MIN_SEEDS} <= first <= last <= {MAX_SEEDS}"
            )
        if not self.needed > 1:
            raise ValueError(f"needed evidence of {self.needed:g}: must be above 1")

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))


def needed_of(claims: int, times: int = 1) -> float:
    """Evidence that each of so many claims needs, so that the suite errs with a chance of at most `FAMILY_ALPHA`.

    ``times`` counts how often the claim was registered with other hashes each time. A claim's second registration
    spends half of its share of `LATER_ALPHA`. Each further one spends half of the one before.
    """
    chance = FAMILY_ALPHA if times <= 1 else LATER_ALPHA / 2 ** (times - 1)
    return max(1, claims) / chance
