"""The suite's one error rate: a family alpha, split over the claims and over the looks at each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

FAMILY_ALPHA = 0.05
"""Chance, at most, that any claim of the suite is falsely SUPPORTED, or that any is falsely CONTRADICTED."""
CLAIMS = ("phases", "representation", "density", "coupling", "hole", "sigma", "overlap", "bottleneck", "seeds")
"""The claims of the suite, in the order of the report. A claim that is added is added here."""
CERTAIN = ("overlap",)
"""Claims in which nothing is drawn at random: they cannot err by chance and take no share of `FAMILY_ALPHA`."""

FIRST_LOOK, LAST_LOOK = 3, 8
"""Training runs of each condition at the first look, and the most there may be."""
KEPT_FOR_THE_LAST = 0.5
"""Share of a claim's error rate kept for its last look; the looks before it share the rest equally.

Simulated for one t test with an effect of 2 standard deviations between seeds: power 0.91 at 6.9 seeds on average;
sharing equally 0.78 at 6.6, in proportion to the look's number 0.86 at 6.6 (`benchmarks/README.md`)."""

MIN_SEEDS, MAX_SEEDS = 2, 32


@dataclass(frozen=True)
class Looks:
    """The numbers of seeds at which a claim is looked at: ``first``, one more at a time, up to ``last``."""

    first: int = FIRST_LOOK
    last: int = LAST_LOOK

    def __post_init__(self) -> None:
        if not MIN_SEEDS <= self.first <= self.last <= MAX_SEEDS:
            raise ValueError(
                f"looks from {self.first} to {self.last} seeds: must be {MIN_SEEDS} <= first <= last <= {MAX_SEEDS}"
            )

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def share(self, seeds: int) -> float:
        """The part of a claim's error rate that the look at ``seeds`` may spend; all looks together spend 1."""
        if seeds not in range(self.first, self.last + 1):
            raise ValueError(f"there is no look at {seeds} seeds: they go from {self.first} to {self.last}")
        if self.first == self.last:
            return 1.0
        return KEPT_FOR_THE_LAST if seeds == self.last else (1 - KEPT_FOR_THE_LAST) / (self.last - self.first)


def alpha_of(claim_id: str) -> float:
    """The one-sided error rate of one claim over all its looks (Bonferroni, in equal parts).

    Raises KeyError for a claim that has no share.
    """
    if claim_id not in CLAIMS:
        raise KeyError(f"claim {claim_id!r} has no share of the suite's error rate: add it to error_rate.CLAIMS")
    return FAMILY_ALPHA / (len(CLAIMS) - len(CERTAIN))


def alpha_at(claim_id: str, seeds: int, looks: Looks) -> float:
    """The error rate of one look. The union bound over looks makes adding seeds until a verdict is reached valid."""
    return alpha_of(claim_id) * looks.share(seeds)
