"""Each claim in worlds that are known: where it is true, and where it is plainly false.

A world is a set of synthetic learning curves; what a claim must never do is be SUPPORTED in a false one.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bumplab
from bumplab import profiles
from bumplab.report.figures import curve
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import CLAIMS, decide

# beside the package, so that a copy of both is tested together
FOLDER = Path(bumplab.__file__).parents[1] / "claims"
FILES = sorted(FOLDER.glob("test_*.py"))
STEPS = np.arange(0, 1001, 50)


def load(name):
    path = FOLDER / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"claim_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CLAIM


def rising(at, top=1.0, width=0.15):
    """A learning curve from 0 to ``top``, half-way at step ``at`` (infinity: never)."""
    with np.errstate(divide="ignore"):
        return top / (1 + np.exp(-(np.log(np.maximum(STEPS, 1e-3)) - np.log(at)) / width))


FLAT = np.zeros(len(STEPS))
ACCURACIES = ("", "_x", "_y")


def run(random, noise=0.01, **given):
    """One run's rows. ``given`` names curves with ``__`` for ``.``; the others are those of an untrained network."""
    values = {f"{s}.ceiling{a}": FLAT + 0.9 for s in ("on_grid", "off_grid", "in_hole") for a in ACCURACIES}
    values |= {f"{s}.accuracy{a}": FLAT + 0.02 for s in ("on_grid", "off_grid", "in_hole") for a in ACCURACIES}
    values |= {f"up1-features.umap_r2{a}": FLAT + 0.2 for a in ACCURACIES}
    values |= {f"{s}.correct": FLAT + 0.01 for s in ("off_grid", "in_hole")}
    values |= {"on_grid.none": FLAT + 0.9, "on_grid.several": FLAT + 0.06}
    values |= {"on_grid.single-wrong": FLAT + 0.03, "on_grid.correct": FLAT + 0.01, "up1-features.dimension": FLAT + 9}
    values |= {name.replace("__", ".").replace("up1.", "up1-features."): value for name, value in given.items()}
    noisy = {name: value + random.normal(0, noise, len(STEPS)) for name, value in values.items()}
    return Curves([{"step": float(s), **{k: float(v[i]) for k, v in noisy.items()}} for i, s in enumerate(STEPS)])


def verdict(name, world, seeds, profile="quick"):
    """The verdict in a world: a function of (random, condition, the seed's own pace) that gives one run."""
    claim, random = load(name), np.random.default_rng([seeds, len(name)])
    plan = claim.plan(profiles.get(profile), seeds)
    pace = random.normal(1, 0.05, seeds)
    runs = {c: [world(random, c, pace[i]) for i in range(len(specs))] for c, specs in plan.items()}
    return decide(claim, runs)


both_seed_counts = pytest.mark.parametrize("seeds", [3, 5])


# --- phases ---------------------------------------------------------------------------------------------------------


def phases_world(one_bump=200, right=500, dimension_to=2.5, wrong=1.0, r2_to=0.8):
    """One bump from step ``one_bump``, at the right place from ``right``; share ``wrong`` of failures is single."""

    def world(random, condition, pace):
        single, correct = rising(one_bump * pace), rising(right * pace, 0.9)
        correct = np.minimum(single, correct)
        failing = (single - correct) * wrong
        curves = {"on_grid__single-wrong": failing, "on_grid__correct": correct, "on_grid__accuracy": correct}
        curves["up1__dimension"] = 9 + (dimension_to - 9) * rising(one_bump * pace)
        curves["up1__umap_r2"] = 0.05 + (r2_to - 0.05) * rising(one_bump * pace)
        return run(random, **curves)

    return world


@both_seed_counts
def test_phases_are_supported_where_there_are_three(seeds):
    found = verdict("phases", phases_world(), seeds)
    assert found.verdict == "SUPPORTED", found.reason


@both_seed_counts
@pytest.mark.parametrize(
    ("world", "verdicts", "why"),
    [
        (lambda random, condition, pace: run(random), {"INCONCLUSIVE"}, "phase B is not reached"),  # untrained
        (phases_world(right=np.inf), {"INCONCLUSIVE"}, "phase C is not reached"),  # labels shuffled
        (phases_world(200, 140), {"INCONCLUSIVE", "CONTRADICTED"}, ""),  # no phase B: right at once
        (phases_world(wrong=0.2), {"INCONCLUSIVE", "CONTRADICTED"}, ""),  # several bumps are the main failure
        (phases_world(dimension_to=12), {"CONTRADICTED"}, "dimension"),  # a manifold that becomes less ordered
        (phases_world(r2_to=0.05), {"CONTRADICTED"}, "ordered manifold"),  # bumps are right, and no order comes
        (phases_world(one_bump=1e-9), {"INCONCLUSIVE", "CONTRADICTED"}, ""),  # the detector sees one bump in noise
    ],
    ids=[
        "untrained",
        "labels shuffled",
        "right at once",
        "several bumps",
        "dimension grows",
        "no order",
        "always one bump",
    ],
)
def test_phases_are_not_supported_where_there_are_not_three(world, verdicts, why, seeds):
    found = verdict("phases", world, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason


def test_the_order_of_phases_is_contradicted_where_bumps_are_right_at_once():
    order = verdict("phases", phases_world(200, 140), 8).parts[0]
    assert order.verdict == "CONTRADICTED", order.reason


def test_labels_shuffled_for_one_seed_alone_is_not_supported():
    true, false = phases_world(), phases_world(right=np.inf)
    worlds = iter([true, true, false, true, true])
    found = verdict("phases", lambda *arguments: next(worlds)(*arguments), 5)
    assert found.verdict == "INCONCLUSIVE", found.reason


# --- density --------------------------------------------------------------------------------------------------------


def density_world(slope, dense=100, never=()):
    """Half of the ceiling at ``dense`` * (increment / densest) ** slope; never for the conditions named."""

    def world(random, condition, pace):
        d = float(condition.removeprefix("d="))
        at = np.inf if condition in never or never == "all" else dense * pace * (d / 0.1) ** slope
        at *= np.exp(random.normal(0, 0.03))
        accuracy = rising(at, 0.9)
        return run(random, on_grid__accuracy=accuracy, off_grid__accuracy=accuracy)

    return world


@both_seed_counts
@pytest.mark.parametrize(
    "world",
    [
        density_world(0.35),
        density_world(0.35, never=("d=4",)),
        density_world(0.35, never=("d=2", "d=4")),
    ],
    ids=["all learn", "the sparsest never learns", "two never learn"],
)
def test_density_is_supported_where_dense_learns_faster(world, seeds):
    found = verdict("density", world, seeds)
    assert found.verdict == "SUPPORTED", found.reason


@both_seed_counts
@pytest.mark.parametrize(
    ("world", "verdicts", "why"),
    [
        (density_world(0, dense=300), {"CONTRADICTED", "INCONCLUSIVE"}, "log2"),
        (density_world(-0.3, dense=600), {"CONTRADICTED"}, "log2"),
        (density_world(0.2, never=("d=0.1",)), {"INCONCLUSIVE", "CONTRADICTED"}, ""),
        (density_world(0, never="all"), {"INCONCLUSIVE"}, "no increment reaches half its ceiling"),
        (density_world(0.3, dense=1e-9), {"INCONCLUSIVE"}, "already past"),
    ],
    ids=["same curves", "sparse learns faster", "dense never learns", "none learns", "learned before training"],
)
def test_density_is_not_supported_where_dense_does_not_learn_faster(world, verdicts, why, seeds):
    found = verdict("density", world, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason


def test_a_lower_ceiling_is_not_slower_learning():
    """Bumps cut off at the border: raw accuracy is lower at large increments, relative to its ceiling it is not."""

    def world(random, condition, pace):
        ceiling = FLAT + 0.9 - 0.1 * float(condition.removeprefix("d="))
        accuracy = rising(300 * pace) * ceiling
        sets = {f"{s}__accuracy": accuracy for s in ("on_grid", "off_grid")}
        return run(random, **sets, **{f"{s}__ceiling": ceiling for s in ("on_grid", "off_grid")})

    corrected, off_grid, raw = verdict("density", world, 5).parts
    assert (corrected.verdict, off_grid.verdict) == ("CONTRADICTED", "CONTRADICTED")
    assert raw.verdict != "CONTRADICTED", "in this world raw accuracy must look like a density effect"


# --- coupling -------------------------------------------------------------------------------------------------------


def coupling_world(t_x, t_y, t_dense=100, t_sparse=400, r2_x=None, r2_y=None, chance=(0.0, 0.0)):
    """``chance``: accuracy in x and in y of images that show nothing."""

    def world(random, condition, pace):
        times = {"imbalanced": (t_x, t_y), "dense": (t_dense, t_dense), "sparse": (t_sparse, t_sparse)}[condition]
        jitter = np.exp(random.normal(0, 0.03))  # one for both axes: they are learned by one network
        x, y = (c + rising(t * pace * jitter, 0.9 - c) for t, c in zip(times, chance, strict=True))
        curves = {f"{s}__accuracy{a}": v for s in ("on_grid", "off_grid") for a, v in (("_x", x), ("_y", y))}
        by_axis = (("_x", r2_x or t_x), ("_y", r2_y or t_y))
        r2 = {f"up1__{kind}_r2{a}": rising(t * pace) for kind in ("umap", "pca") for a, t in by_axis}
        return run(random, **curves, **r2)

    return world


@both_seed_counts
def test_coupling_is_supported_where_x_and_y_are_learned_together(seeds):
    found = verdict("coupling", coupling_world(t_x=205, t_y=200), seeds)
    assert found.verdict == "SUPPORTED", found.reason


@both_seed_counts
@pytest.mark.parametrize(
    ("world", "verdicts", "why"),
    [
        (coupling_world(t_x=100, t_y=400), {"CONTRADICTED"}, "kappa"),
        (coupling_world(t_x=100, t_y=400, r2_x=200, r2_y=200), {"CONTRADICTED"}, ""),
        (coupling_world(t_x=205, t_y=200, r2_x=100, r2_y=600), {"CONTRADICTED"}, "R^2"),
        (coupling_world(t_x=205, t_y=200, t_dense=200, t_sparse=200), {"INCONCLUSIVE"}, "kappa is undefined"),
        (coupling_world(t_x=205, t_y=200, t_dense=400, t_sparse=100), {"INCONCLUSIVE"}, "kappa is undefined"),
        (coupling_world(t_x=205, t_y=200, t_sparse=np.inf), {"INCONCLUSIVE"}, "t_sparse is not reached"),
        (lambda random, condition, pace: run(random), {"INCONCLUSIVE"}, "t_x is not reached"),
    ],
    ids=[
        "factorised",
        "only kappa factorised",
        "R^2 apart",
        "no density effect",
        "density reversed",
        "sparse never learns",
        "untrained",
    ],
)
def test_coupling_is_not_supported_where_they_are_not(world, verdicts, why, seeds):
    found = verdict("coupling", world, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason


@both_seed_counts
@pytest.mark.parametrize("t_y", [500, 550, 650])
def test_chance_in_y_does_not_make_a_factorised_generator_look_coupled(t_y, seeds):
    """With 4 labels in y, blank images are right in y a quarter of the time: measured 0.13 in x and 0.25 in y."""
    found = verdict("coupling", coupling_world(400, t_y, 400, t_y, chance=(0.13, 0.25)), seeds)
    assert found.verdict != "SUPPORTED", found.reason
    ahead = next(part for part in found.parts if part.name == "y as accurate as x")
    assert ahead.verdict != "SUPPORTED", ahead.reason


def test_a_factorised_generator_has_kappa_zero():
    kappa = verdict("coupling", coupling_world(t_x=100, t_y=400, r2_x=200, r2_y=200), 8).parts[0]
    assert kappa.verdict == "CONTRADICTED"
    assert kappa.low < 0 < kappa.high < 0.5


# --- hole -----------------------------------------------------------------------------------------------------------


def hole_world(inside, outside=0.9, at=200, in_hole_accuracy=None):
    """Right bumps at the end in the small and in the large hole, and outside (the ceiling is 0.9)."""

    def world(random, condition, pace):
        top = inside[condition == "10 % hole"]
        outer, inner = rising(at * pace, outside), rising(at * pace, top)
        curves = {f"{s}__{key}": outer for s in ("on_grid", "off_grid") for key in ("accuracy", "correct")}
        curves["in_hole__correct"] = inner
        curves["in_hole__accuracy"] = inner if in_hole_accuracy is None else FLAT + in_hole_accuracy
        return run(random, noise=0.003, **curves)

    return world


@both_seed_counts
def test_hole_is_supported_where_it_is_generated(seeds):
    found = verdict("hole", hole_world((0.89, 0.88)), seeds)
    assert found.verdict == "SUPPORTED", found.reason


@both_seed_counts
@pytest.mark.parametrize(
    ("world", "verdicts", "why"),
    [
        (hole_world((0.0, 0.0)), {"CONTRADICTED"}, "3.5 %"),
        (hole_world((0.88, 0.0)), {"CONTRADICTED"}, "10 % against"),
        (hole_world((0.5, 0.5)), {"CONTRADICTED"}, "3.5 %"),
        # blank images in the hole: their centroid is its middle, and Algorithm 1 calls them right
        (hole_world((0.0, 0.0), in_hole_accuracy=0.9), {"CONTRADICTED"}, "3.5 %"),
        (hole_world((0.02, 0.02), outside=0.02), {"INCONCLUSIVE"}, "not learned outside"),
        (hole_world((0.9, 0.9), outside=0.4), {"INCONCLUSIVE"}, "not learned outside"),
        (hole_world((0.9, 0.9), at=np.inf), {"INCONCLUSIVE"}, "not learned outside"),
    ],
    ids=[
        "nearest label",
        "large hole not",
        "half as accurate",
        "nothing drawn",
        "untrained",
        "half trained",
        "never trained",
    ],
)
def test_hole_is_not_supported_where_it_is_not_generated(world, verdicts, why, seeds):
    found = verdict("hole", world, seeds)
    assert found.verdict in verdicts, found.reason
    assert why in found.reason


# --- all claims -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLAIMS)
def test_a_seed_that_failed_is_not_dropped(name):
    worlds = {"phases": phases_world(), "density": density_world(0.35), "hole": hole_world((0.89, 0.88))}
    world = worlds.get(name, coupling_world(205, 200))

    def one_failed(random, condition, pace):
        failed = None if made else "the loss is nan"
        made.append(condition)
        return Curves(world(random, condition, pace).rows, failed)

    made = []
    found = verdict(name, one_failed, 5)
    assert found.verdict == "INCONCLUSIVE"
    assert "the loss is nan" in found.reason


def test_claims_and_their_shares_of_the_error_rate_are_the_same():
    found = {path.stem.removeprefix("test_"): load(path.stem.removeprefix("test_")) for path in FILES}
    assert {name: claim.id for name, claim in found.items()} == {name: name for name in CLAIMS}


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("profile", profiles.ALL)
def test_a_plan_holds_one_run_a_seed_and_condition(name, profile):
    plan = load(name).plan(profiles.get(profile), 3)
    assert plan
    for specs in plan.values():
        assert [spec.seed for spec in specs] == [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2]
    everything = [spec for specs in plan.values() for spec in specs]
    assert len(set(everything)) == len(everything), "two conditions are the same run"


@pytest.mark.parametrize("profile", profiles.ALL)
def test_balanced_runs_of_the_coupling_claim_are_those_of_the_density_claim(profile):
    coupling, density, phases = (
        load(name).plan(profiles.get(profile), 2) for name in ("coupling", "density", "phases")
    )
    by_increment = list(density.values())
    assert coupling["dense"] == by_increment[0] == phases["dense"]
    assert coupling["sparse"] in by_increment[1:]
    if len(profiles.get(profile).imbalances) == 1:
        assert coupling["sparse"] == by_increment[-1]


@pytest.mark.parametrize("name", CLAIMS)
def test_the_curves_shown_and_the_parts_read_exist_in_measured_rows(name):
    """The names above are those that are measured; see tests/measure for the rows of a real run."""
    measured = run(np.random.default_rng(0))
    for shown in load(name).curves:
        assert len(curve(measured, shown)) == len(STEPS)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_what_it_tests(name):
    claim = load(name)
    assert all([claim.statement, claim.source, claim.prediction])
    assert any(part.judges for part in claim.parts)
    assert all(part.why and part.unit for part in claim.parts)


def test_importing_the_claims_imports_no_torch():
    code = (
        "import sys, runpy\n"
        "assert all(runpy.run_path(path)['CLAIM'] for path in sys.argv[1:])\n"
        "assert len(sys.argv) > 4 and 'torch' not in sys.modules and 'umap' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, FILES)], check=True, timeout=60)
