"""What holds of every claim: its plan, its words, its design, and that it drops no seed."""

from bumplab.report.figures import curve
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.intervals import certain
from bumplab.verdicts.suite import OURS, claims
from bumplab.verdicts.worlds import STEPS, judged
from tests.claims.checks import PROFILES, true_world, verdict_on

ALL = claims(OURS)
RANDOM = [claim for claim in ALL if not claim.certain]


def test_a_claim_says_what_it_tests():
    for claim in ALL:
        assert all([claim.statement, claim.source, claim.prediction]), claim.id
        assert judged(claim), claim.id
        assert all(part.why and part.unit for part in claim.parts), claim.id
        assert len({part.name for part in claim.parts}) == len(claim.parts), claim.id


def test_a_claim_is_certain_where_it_trains_nothing():
    assert len(RANDOM) < len(ALL)
    for claim in ALL:
        assert claim.certain == (not claim.runs(PROFILES[0], 0)), claim.id
        assert all((part.interval is certain) == claim.certain for part in claim.parts), claim.id


def test_a_claim_has_a_design_for_each_judged_part_and_a_broken_world():
    for claim in RANDOM:
        for part in judged(claim):
            case = f"{claim.id}: {part.name}"
            assert part.design.spread > 0, case
            assert part.design.source, case
            assert part.region.low < part.design.effect < part.region.high, f"{case}: its design would not support it"
        assert claim.plant is not None, claim.id
        assert any(not control.positive for control in claim.controls), claim.id
        assert all(control.runs or control.change for control in claim.controls), claim.id
        assert len({control.name for control in claim.controls}) == len(claim.controls), claim.id


def test_a_plan_holds_one_run_a_seed_and_condition():
    for claim in RANDOM:
        for profile in PROFILES:
            plan = claim.plan(profile, 3)
            case = (claim.id, profile.name)
            assert plan, case
            for specs in plan.values():
                assert [spec.seed for spec in specs] == [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2], case
            everything = [spec for specs in plan.values() for spec in specs]
            assert len(set(everything)) == len(everything), f"{case}: two conditions are the same run"


def test_the_curves_and_figures_of_a_claim_show_measured_numbers():
    """The worlds' rows have the names of a real run's (tests/verdicts/test_worlds.py)."""
    for claim in RANDOM:
        run = next(iter(true_world(claim, 1).values()))[0]
        for shown in claim.curves:
            assert len(curve(run, shown)) == len(STEPS), (claim.id, shown)
        if claim.figure is not None:
            assert set(claim.figure.rows) <= set(run.rows[0]), claim.id
            assert claim.figure.rows or claim.figure.label_sets, claim.id
            assert claim.figure.note.startswith("As Fig. "), claim.id


def test_a_seed_that_failed_is_not_dropped():
    def one_failed(runs):
        condition = list(runs)[-1]
        if runs[condition].seed != FIRST_SEED:
            return runs
        return {**runs, condition: Curves(runs[condition].rows, "the loss is nan", FIRST_SEED)}

    for claim in RANDOM:
        verdict = verdict_on(claim, change=one_failed)
        assert verdict.seeds == 5, claim.id
        if all(part.counts_failures for part in claim.parts):
            assert verdict.parts[0].effects[0][-1] == 1.0, f"{claim.id}: the outcome of that seed's last condition"
            continue
        assert verdict.verdict == "INCONCLUSIVE", claim.id
        assert "the loss is nan" in verdict.reason, claim.id
        assert all(part.effects[0] is None for part in verdict.parts), claim.id
