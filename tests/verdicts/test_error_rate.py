"""One error rate for the suite: what claims and looks may spend adds up to it, and nothing is spent twice."""

import pytest

from bumplab.verdicts.error_rate import (
    CERTAIN,
    CLAIMS,
    FAMILY_ALPHA,
    FIRST_LOOK,
    KEPT_FOR_THE_LAST,
    LAST_LOOK,
    Looks,
    alpha_at,
    alpha_of,
)

RANDOM = [claim for claim in CLAIMS if claim not in CERTAIN]
BOUNDS = [(3, 8), (2, 2), (2, 3), (5, 5), (3, 32), (32, 32)]


def test_the_claims_that_can_err_share_the_error_rate():
    assert sum(map(alpha_of, RANDOM)) == pytest.approx(FAMILY_ALPHA)
    assert set(CERTAIN) < set(CLAIMS)
    assert len(set(CLAIMS)) == len(CLAIMS)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_the_looks_at_a_claim_share_its_error_rate(bounds):
    looks = Looks(*bounds)
    assert list(looks) == list(range(bounds[0], bounds[1] + 1))
    assert sum(map(looks.share, looks)) == pytest.approx(1)
    assert sum(alpha_at("density", seeds, looks) for seeds in looks) == pytest.approx(alpha_of("density"))
    assert all(alpha_at("density", seeds, looks) > 0 for seeds in looks)


def test_half_is_kept_for_the_last_look_and_the_others_are_equal():
    looks = Looks()
    assert (looks.first, looks.last) == (FIRST_LOOK, LAST_LOOK)
    shares = [looks.share(seeds) for seeds in looks]
    assert shares[-1] == KEPT_FOR_THE_LAST
    assert len(set(shares[:-1])) == 1


def test_a_single_look_spends_all():
    assert alpha_at("hole", 5, Looks(5, 5)) == alpha_of("hole")


@pytest.mark.parametrize("seeds", [0, 1, 2, 9, 32])
def test_there_are_no_other_looks(seeds):
    with pytest.raises(ValueError, match=f"no look at {seeds} seeds: they go from 3 to 8"):
        Looks().share(seeds)


@pytest.mark.parametrize("bounds", [(1, 8), (0, 0), (5, 4), (3, 33), (33, 33)])
def test_looks_that_make_no_sense_are_refused(bounds):
    with pytest.raises(ValueError, match=r"must be 2 <= first <= last <= 32"):
        Looks(*bounds)


@pytest.mark.parametrize("given", ["unheard-of", ""])
def test_a_claim_without_a_share_is_refused(given):
    with pytest.raises(KeyError, match=r"error_rate\.CLAIMS"):
        alpha_of(given)
    with pytest.raises(KeyError, match=r"error_rate\.CLAIMS"):
        alpha_at(given, 3, Looks())
