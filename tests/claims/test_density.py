"""Smaller increments learn faster where they do; equal, slower and missing ones do not count as that."""

import math

from bumplab.verdicts.worlds import CEILING, level, ramp, untrained
from tests.claims.checks import (
    LEARNED,
    LEARNED_OFF,
    PROFILES,
    STEP,
    alike,
    by_increment,
    check_controls,
    check_planted,
    check_power,
    check_reads,
    check_shown,
    check_verdicts,
    claim_of,
    half_at,
    nothing_learns,
    verdict_on,
)

CLAIM = claim_of("density")
BOTH = ("ceiling-corrected", "off-grid")


def both(slope):
    return dict.fromkeys(BOTH, slope)


def never(*conditions):
    """These conditions learn nothing."""
    return lambda runs: {c: untrained(curves.seed) if c in conditions else curves for c, curves in runs.items()}


def learned_before_training(runs):
    known = {f"{labels}.accuracy": level(CEILING) for labels in ("on_grid", "off_grid")}
    return {condition: curves.replaced(known) for condition, curves in runs.items()}


def test_it_is_supported_where_dense_learns_faster_and_nowhere_else():
    check_verdicts(
        CLAIM,
        {
            "dense faster": ({}, None, {"SUPPORTED"}, ""),
            "same pace": (both(0.0), None, {"CONTRADICTED", "INCONCLUSIVE"}, "log2"),
            "sparse faster": (both(-0.3), None, {"CONTRADICTED"}, "log2"),
            "on-grid same": (
                {"ceiling-corrected": 0.0},
                None,
                {"CONTRADICTED", "INCONCLUSIVE"},
                "ceiling-corrected",
            ),
            "off-grid same": ({"off-grid": 0.0}, None, {"CONTRADICTED", "INCONCLUSIVE"}, "off-grid"),
            "dense never learns": ({}, never("d=0.1"), {"INCONCLUSIVE", "CONTRADICTED"}, ""),
            "none learns": ({}, nothing_learns, {"INCONCLUSIVE"}, "no run reaches half its ceiling"),
            "learned before training": ({}, learned_before_training, {"INCONCLUSIVE"}, "already past"),
        },
    )
    for silent in ((), ("d=4",), ("d=1", "d=4")):  # a run that never learns leaves the slope open upwards only
        for seeds in (3, 5):
            verdict = verdict_on(CLAIM, change=never(*silent), seeds=seeds)
            assert verdict.verdict == "SUPPORTED", (silent, seeds, verdict.reason)
            assert (verdict.parts[0].high is None) == bool(silent), (silent, seeds)


def test_a_lower_ceiling_is_not_slower_learning():
    """The border cuts bumps off: raw accuracy is lower at large increments, relative to its ceiling it is not."""

    def lower(runs):
        changed = {}
        for condition, curves in runs.items():
            d = float(condition.removeprefix("d="))
            ceiling = 0.9 - 0.1 * d
            pace = 0.05 * math.sin(curves.seed) + 0.002 * math.sin(curves.seed * d)  # seeds must not agree exactly
            made = {f"{labels}.ceiling": level(ceiling) for labels in ("on_grid", "off_grid")}
            made |= {f"{labels}.accuracy": ramp(300 * (1 + pace)) * ceiling for labels in ("on_grid", "off_grid")}
            changed[condition] = curves.replaced(made)
        return changed

    verdicts = {part.name: part.verdict for part in verdict_on(CLAIM, change=lower).parts}
    assert [verdicts[name] for name in BOTH] == ["CONTRADICTED", "CONTRADICTED"]
    assert verdicts["raw accuracy (as in the paper)"] != "CONTRADICTED", "raw accuracy must look like a density effect"


def test_each_part_reads_its_own_label_set():
    increments = ("d=0.1", "d=1", "d=4")
    reads = {
        "ceiling-corrected": dict.fromkeys(increments, LEARNED | STEP),
        "off-grid": dict.fromkeys(increments, LEARNED_OFF | STEP),
        "ceiling-corrected, increments up to 1": dict.fromkeys(increments[:2], LEARNED | STEP),
        "raw accuracy (as in the paper)": dict.fromkeys(increments, {"on_grid.accuracy"} | STEP),
    }
    check_reads(CLAIM, reads)
    times = {"d=0.25": half_at(100), "d=1": half_at(200), "d=4": half_at(100)}
    raw = {f"d={d}": {"on_grid.accuracy": ramp(100 * d)} for d in (1, 4)}
    shown = {
        "ceiling-corrected, increments up to 1": (times, [0.5, 0.5]),
        "raw accuracy (as in the paper)": (raw, [1, 1]),
    }
    check_shown(CLAIM, shown)


def test_its_world_and_its_controls():
    check_planted(CLAIM)
    check_power(CLAIM)
    check_controls(CLAIM, trained={"same increment, two names": alike}, false=both(-0.2))
    for profile in PROFILES:
        runs = CLAIM.runs(profile, 10)
        assert runs == by_increment(profile, 10), profile.name
        assert next(iter(runs.values())) == profile.run(10), profile.name
