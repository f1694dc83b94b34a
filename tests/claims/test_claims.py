"""What holds of every claim: its plan, its words, its design, and that it drops no seed."""

import re
from itertools import chain

import pytest

from bumplab.report.figures import curve
from bumplab.verdicts.claim import FIRST_SEED, Compared
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide, problem_at
from bumplab.verdicts.looks import LAST_LOOK, Looks
from bumplab.verdicts.suite import OURS, claims, needed
from bumplab.verdicts.worlds import specs_of
from tests.claims.checks import LOOKS, PROFILES, check_planted, one_seed, runs_of

ALL = {claim.id: claim for claim in claims(OURS)}
RANDOM = [claim for claim in ALL.values() if not claim.certain]
of_each = pytest.mark.parametrize("claim", RANDOM, ids=lambda claim: claim.id)


@pytest.mark.parametrize("claim", ALL.values(), ids=ALL)
def test_a_claim_says_what_it_tests(claim):
    assert all([claim.statement, claim.source, claim.prediction])
    for part in claim.parts:
        assert all([part.reads, part.holds, part.why, part.unit]), part.name
        assert part.premise is None or all([part.premise.name, part.premise.needs, part.premise.unit]), part.name


@pytest.mark.parametrize("claim", ALL.values(), ids=ALL)
def test_a_claim_is_certain_where_it_trains_nothing(claim):
    assert claim.certain == (not specs_of(claim, PROFILES[0]))


@of_each
def test_a_claim_has_a_design_for_each_judged_part_and_a_broken_world(claim):
    for part in claim.judged_parts:
        assert part.design.source, part.name
        assert not re.search(r"\b\w+\.(md|txt|toml|json)\b", part.design.source), "it says what was seen"
        assert part.region.low < part.design.effect < part.region.high, f"{part.name}: its design would not support it"
        assert isinstance(part.effect, Compared) or part.design.spread > 0, part.name
    assert claim.plant is not None
    broken = [
        control.parts or [part.name for part in claim.judged_parts]
        for control in claim.controls
        if not control.positive
    ]
    assert broken
    assert claim.certain or {part.name for part in claim.judged_parts} == set(chain(*broken))


@of_each
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_part_has_one_run_a_seed_and_condition(claim, profile):
    for part in claim.parts:
        runs = claim.runs_of(part)
        specs = list(runs(profile, FIRST_SEED).values())
        assert len(set(specs)) == len(specs), f"{part.name}: two conditions are the same run"
        assert list(runs(profile, FIRST_SEED)) == list(runs(profile, FIRST_SEED + 1)), part.name
        assert set(runs(profile, FIRST_SEED).values()).isdisjoint(runs(profile, FIRST_SEED + 1).values()), part.name


@of_each
def test_a_claim_can_be_decided_at_each_profile_that_decides(claim):
    looks = Looks(3, LAST_LOOK, needed(OURS))
    for profile in PROFILES:
        if profile.decides:
            conditions = {part.name: list(claim.runs_of(part)(profile, FIRST_SEED)) for part in claim.judged_parts}
            assert problem_at(claim, looks, conditions) == "", profile.name


@of_each
def test_a_change_of_measurements_leaves_each_condition_its_own_spec(claim):
    """Some effects read the spec: a control changes what was measured, and nothing else."""
    runs, _ = one_seed(claim)
    for control in claim.controls:
        if control.change is not None:
            for part in claim.under(control).parts:
                own = runs_of(claim, part, runs)
                changed = control.change(own)
                assert {c: run.spec for c, run in changed.items()} == {c: run.spec for c, run in own.items()}


@of_each
def test_what_is_planted_is_read(claim):
    check_planted(claim, draws=3)


@of_each
def test_the_curves_and_figures_of_a_claim_show_measured_numbers(claim):
    """The worlds' rows have the names of a real run's (tests/verdicts/test_worlds.py)."""
    runs, _ = one_seed(claim)
    run = next(iter(runs.values()))
    for shown in claim.curves:
        assert len(curve(run, shown)) == len(run.steps), shown
    if claim.figure is not None:
        assert set(claim.figure.rows) <= set(run.rows[0])
        assert claim.figure.rows or claim.figure.label_sets
        assert claim.figure.note.startswith("As Fig. ")


@of_each
def test_a_seed_that_failed_is_not_dropped(claim):
    """It counts as neither in nor out. With the first of 8 seeds failed, no part is supported."""
    seeds = [one_seed(claim)[0] for _ in range(8)]
    failed = {condition: Curves(run.rows[:1], run.spec, "the loss is nan") for condition, run in seeds[0].items()}

    def runs(part, count):
        return [runs_of(claim, part, one) for one in [failed, *seeds[1:]][:count]]

    for part in decide(claim, runs, Looks(8, 8, LOOKS.needed)).parts:
        first = part.seeds[0]
        assert (first.mark, first.low, first.high) == ("neither", None, None), part.name
        assert "the loss is nan" in first.problem, part.name
        assert part.verdict != "SUPPORTED", part.name
