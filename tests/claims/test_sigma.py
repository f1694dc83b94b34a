"""No dependence on the spread, shown and not assumed; any clear one is seen, in pace or at the end."""

from bumplab.verdicts.worlds import untrained
from tests.claims.checks import (
    LEARNED,
    PROFILES,
    STEP,
    alike,
    check_controls,
    check_planted,
    check_reads,
    check_shown,
    check_verdicts,
    claim_of,
    half_at,
    nothing_learns,
)

CLAIM = claim_of("sigma")


def narrowest_never_learns(runs):
    narrowest = min(runs, key=lambda condition: float(condition.removeprefix("sigma=")))
    return {**runs, narrowest: untrained(runs[narrowest].seed)}


def unsure(runs):
    """Seeds differ too much for any limits to be narrow."""
    first = next(iter(runs))
    factor = 1.6 if runs[first].seed % 2 else 1 / 1.6
    return {**runs, first: runs[first].replaced({"step": runs[first].steps * factor})}


def test_it_is_supported_where_nothing_depends_on_sigma_and_nowhere_else():
    check_verdicts(
        CLAIM,
        {
            "nothing": ({}, None, {"SUPPORTED"}, ""),
            "slower": ({"rate": 1.0}, None, {"CONTRADICTED"}, "rate"),
            "faster": ({"rate": -1.0}, None, {"CONTRADICTED"}, "rate"),
            "better": ({"performance": 0.25}, None, {"CONTRADICTED"}, "performance"),
            "worse": ({"performance": -0.25}, None, {"CONTRADICTED"}, "performance"),
            "one never learns": ({}, narrowest_never_learns, {"CONTRADICTED"}, "performance"),
            "untrained": ({}, nothing_learns, {"INCONCLUSIVE"}, "half"),
            "not significant": ({}, unsure, {"INCONCLUSIVE"}, "rate"),
        },
    )


def test_each_part_reads_accuracy_over_its_ceiling():
    sigmas = ("sigma=0.5", "sigma=0.7", "sigma=1")
    reads = {
        "rate": dict.fromkeys(sigmas, LEARNED | STEP),
        "performance": dict.fromkeys(sigmas, LEARNED),
        "rank correlation": dict.fromkeys(sigmas, LEARNED | STEP),
    }
    check_reads(CLAIM, reads)
    curves = dict(zip(sigmas, map(half_at, (200, 100, 300)), strict=True))
    check_shown(CLAIM, {"rank correlation": (curves, [0.5, 0.5])})


def test_its_world_and_its_controls():
    check_planted(CLAIM)
    check_controls(CLAIM, trained={"same sigma, two names": alike}, false={"rate": 0.6})
    for profile in PROFILES:
        assert CLAIM.runs(profile, 10)["sigma=1"] == profile.run(10), profile.name
