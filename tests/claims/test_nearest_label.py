"""The hole claim's rendered controls, measured for real: copies of the nearest training image, and the true images."""

from dataclasses import replace

import pytest
import torch

from bumplab import profiles
from bumplab.measure.evaluate import evaluate
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide
from bumplab.verdicts.error_rate import Looks


def with_few_images(profile):
    measure = replace(profile.base.measure, samples=100)
    return replace(profile, base=replace(profile.base, measure=measure), hole_samples=100)


def measured(spec):
    """The last row of a run whose images are rendered: no network is asked."""
    step = spec.training.steps
    return Curves([{"step": float(step), **evaluate(torch.nn.Identity(), spec, "cpu", step).row}], seed=spec.seed)


@pytest.mark.parametrize("profile", ["quick", "nightly"])
@pytest.mark.parametrize(
    ("name", "verdict"), [("nearest training label", "CONTRADICTED"), ("true images", "SUPPORTED")]
)
def test_rendered_controls_of_the_hole_claim(load, profile, name, verdict):
    claim = load("hole")
    control = next(control for control in claim.controls if control.name == name)
    plan = claim.under(control).plan(with_few_images(profiles.get(profile)), 3)
    runs = {condition: [measured(spec) for spec in specs] for condition, specs in plan.items()}
    last = [run.rows[-1] for each in runs.values() for run in each]
    assert all(row["off_grid.correct"] > 0.9 for row in last)
    assert all((row["in_hole.accuracy"] == 0) == (name == "nearest training label") for row in last)
    found = decide(claim.under(control), runs, Looks(3, 3))
    assert found.verdict == verdict, found.reason
    assert plan["3.5 % hole"][0].seed == FIRST_SEED
