"""The error rate of the suite: a family alpha, split over its claims and over the looks at each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

FAMILY_ALPHA = 0.05
"""Upper bound of the chance that any claim of the suite is falsely SUPPORTED, and of any falsely CONTRADICTED."""

FIRST_LOOK, LAST_LOOK = 3, 8
"""Training runs of each condition at the first look and at the last."""
KEPT_FOR_THE_LAST = 0.5
"""Share of a claim's error rate kept for its last look. The earlier looks share the rest equally.

Simulated for one t test with an effect of 2 standard deviations between seeds (`benchmarks/README.md`). This rule has a
power of 0.91 at 6.9 seeds on average. Equal shares have 0.78 at 6.6 seeds. Shares in proportion to the look's number
have 0.86 at 6.6 seeds."""

MIN_SEEDS, MAX_SEEDS = 2, 32


def _alpha_of_ours() -> float:
    from bumplab.verdicts import suite  # imports the claims, which import this module

    return suite.alpha(suite.OURS)


@dataclass(frozen=True)
class Looks:
    """The numbers of seeds at which a claim is judged: ``first``, then one more at a time, up to ``last``.

    Raises ValueError for numbers outside `MIN_SEEDS` to `MAX_SEEDS`.
    """

    first: int = FIRST_LOOK
    last: int = LAST_LOOK
    alpha: float = field(default_factory=_alpha_of_ours)
    """One-sided error rate of each claim over all its looks. The default is that of the claims beside the package."""

    def __post_init__(self) -> None:
        if not MIN_SEEDS <= self.first <= self.last <= MAX_SEEDS:
            raise ValueError(
                f"looks from {self.first} to {self.last} seeds: must be {MIN_SEEDS} <= first <= last <= {MAX_SEEDS}"
            )

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def share(self, seeds: int) -> float:
        """The share of a claim's error rate for the look at ``seeds``. The shares of all looks add up to 1.

        Raises ValueError where there is no look at this number of seeds.
        """
        if seeds not in range(self.first, self.last + 1):
            raise ValueError(f"there is no look at {seeds} seeds: they go from {self.first} to {self.last}")
        if self.first == self.last:
            return 1.0
        return KEPT_FOR_THE_LAST if seeds == self.last else (1 - KEPT_FOR_THE_LAST) / (self.last - self.first)


def alpha_at(seeds: int, looks: Looks) -> float:
    """The error rate of the look at ``seeds``. By the union bound over looks, stopping at any of them is valid."""
    return looks.alpha * looks.share(seeds)
