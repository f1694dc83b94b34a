"""What holds of every claim: its share of the error rate, its plan, its words, and that it drops no seed."""

import subprocess
import sys
from pathlib import Path

import pytest

import bumplab
from bumplab import profiles
from bumplab.report.figures import curve
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.error_rate import CERTAIN, CLAIMS
from bumplab.verdicts.intervals import certain
from bumplab.verdicts.worlds import STEPS, judged

FILES = sorted((Path(bumplab.__file__).parents[1] / "claims").glob("test_*.py"))
RANDOM = [name for name in CLAIMS if name not in CERTAIN]


def test_claims_and_their_shares_of_the_error_rate_are_the_same(load):
    assert {path.stem.removeprefix("test_") for path in FILES} == set(CLAIMS)
    assert {name: load(name).id for name in CLAIMS} == {name: name for name in CLAIMS}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_certain_where_it_trains_nothing(load, name):
    claim = load(name)
    assert (name in CERTAIN) == (not claim.runs(profiles.QUICK, 0))
    assert all((part.interval is certain) == (name in CERTAIN) for part in claim.parts)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("profile", profiles.ALL)
def test_a_plan_holds_one_run_a_seed_and_condition(load, name, profile):
    plan = load(name).plan(profiles.get(profile), 3)
    assert plan
    for specs in plan.values():
        assert [spec.seed for spec in specs] == [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2]
    everything = [spec for specs in plan.values() for spec in specs]
    assert len(set(everything)) == len(everything), "two conditions are the same run"


@pytest.mark.parametrize("profile", profiles.ALL)
def test_claims_share_the_runs_they_can(load, profile):
    coupling, density, phases, bottleneck, sigma, seeds, representation = (
        load(name).plan(profiles.get(profile), 2)
        for name in ("coupling", "density", "phases", "bottleneck", "sigma", "seeds", "representation")
    )
    by_increment = list(density.values())
    assert coupling["dense"] == by_increment[0] == phases["dense"] == bottleneck["dense"] == sigma["sigma=1"]
    assert density == seeds == representation
    assert coupling["sparse"] in by_increment[1:]
    if len(profiles.get(profile).imbalances) == 1:
        assert coupling["sparse"] == by_increment[-1]


@pytest.mark.parametrize("name", RANDOM)
def test_the_curves_shown_are_measured(load, true_world, name):
    """The worlds' rows have the names of a real run's (`test_worlds`)."""
    run = next(iter(true_world(name, 1).values()))[0]
    for shown in load(name).curves:
        assert len(curve(run, shown)) == len(STEPS)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_what_it_tests(load, name):
    claim = load(name)
    assert all([claim.statement, claim.source, claim.prediction])
    assert judged(claim)
    assert all(part.why and part.unit for part in claim.parts)
    assert len({part.name for part in claim.parts}) == len(claim.parts)


@pytest.mark.parametrize("name", RANDOM)
def test_a_claim_has_a_design_for_each_judged_part_and_a_broken_world(load, name):
    claim = load(name)
    for part in judged(claim):
        assert part.design.spread > 0
        assert part.design.source
        assert part.region.low < part.design.effect < part.region.high, "what it is built to find would not support it"
    assert any(not control.positive for control in claim.controls)
    assert all(control.runs or control.change for control in claim.controls)
    assert len({control.name for control in claim.controls}) == len(claim.controls)


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_that_failed_is_not_dropped(load, judge, name):
    def one_failed(runs):
        condition = list(runs)[-1]
        if runs[condition].seed != FIRST_SEED:
            return runs
        return {**runs, condition: Curves(runs[condition].rows, "the loss is nan", FIRST_SEED)}

    found = judge(name, change=one_failed)
    assert found.seeds == 5
    if name == "seeds":  # failing is what this claim counts: this seed's last outcome
        assert found.parts[0].effects[0][-1] == 1.0
        return
    assert found.verdict == "INCONCLUSIVE"
    assert "the loss is nan" in found.reason
    assert all(part.effects[0] is None for part in found.parts)


def test_importing_the_claims_imports_no_torch():
    code = (
        "import sys, runpy\n"
        "from bumplab.verdicts import power\n"
        "claims = [runpy.run_path(path)['CLAIM'] for path in sys.argv[1:]]\n"
        "assert len(claims) > 4 and 'torch' not in sys.modules and 'umap' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, FILES)], check=True, timeout=60)
