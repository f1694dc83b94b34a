"""One error rate for the suite: what claims and looks may spend adds up to it, and nothing is spent twice."""

from dataclasses import FrozenInstanceError

import pytest

from bumplab.verdicts.error_rate import FAMILY_ALPHA, FIRST_LOOK, KEPT_FOR_THE_LAST, LAST_LOOK, Looks, alpha_at
from bumplab.verdicts.suite import OURS, claims


def test_the_claims_with_chance_in_them_share_the_error_rate():
    random = [claim for claim in claims(OURS) if not claim.certain]
    assert Looks().alpha * len(random) == pytest.approx(FAMILY_ALPHA)
    assert Looks(3, 8).alpha == Looks(5, 5).alpha


def test_the_looks_at_a_claim_share_its_error_rate():
    for first, last in [(3, 8), (2, 2), (2, 3), (5, 5), (3, 32), (32, 32)]:
        looks = Looks(first, last, alpha=0.02)
        assert list(looks) == list(range(first, last + 1))
        assert sum(map(looks.share, looks)) == pytest.approx(1), looks
        assert sum(alpha_at(seeds, looks) for seeds in looks) == pytest.approx(0.02), looks
        assert all(alpha_at(seeds, looks) > 0 for seeds in looks), looks
    assert alpha_at(5, Looks(5, 5, alpha=0.02)) == 0.02


def test_half_is_kept_for_the_last_look_and_the_others_are_equal():
    looks = Looks()
    assert (looks.first, looks.last) == (FIRST_LOOK, LAST_LOOK)
    shares = [looks.share(seeds) for seeds in looks]
    assert shares[-1] == KEPT_FOR_THE_LAST
    assert len(set(shares[:-1])) == 1
    with pytest.raises(FrozenInstanceError):
        looks.alpha = 0.5


def test_other_looks_are_refused():
    for seeds in (0, 1, 2, 9, 32):
        with pytest.raises(ValueError, match=f"no look at {seeds} seeds: they go from 3 to 8"):
            Looks().share(seeds)
    for bounds in [(1, 8), (0, 0), (5, 4), (3, 33), (33, 33)]:
        with pytest.raises(ValueError, match=r"must be 2 <= first <= last <= 32"):
            Looks(*bounds)
