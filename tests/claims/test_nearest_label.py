"""The hole claim against a generator that copies the nearest training image, rendered and measured for real."""

import importlib.util
from pathlib import Path

import pytest
import torch

import bumplab
from bumplab import profiles
from bumplab.data.bumps import render, training_labels
from bumplab.measure.accuracy import MODES, accuracy, detect, failure_modes
from bumplab.measure.detector import quantise
from bumplab.measure.evaluate import label_sets
from bumplab.verdicts.claim import FIRST_SEED
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import decide

PATH = Path(bumplab.__file__).parents[1] / "claims" / "test_hole.py"


def hole_claim():
    spec = importlib.util.spec_from_file_location("claim_hole", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CLAIM


def measured(spec, labels, drawn):
    """Accuracy and ceiling, as in `evaluate`, of perfect bumps at ``drawn`` where ``labels`` were asked."""
    found = {}
    for name, at in (("accuracy", drawn), ("ceiling", labels)):
        images, _ = quantise(render(at, spec.data.image_size, spec.data.sigma).numpy())
        seen, asked = detect(images, spec.data.sigma), labels.double().numpy()
        found[name] = accuracy(seen.positions, asked)["accuracy"]
        if name == "accuracy":
            found["correct"] = float((failure_modes(seen, asked) == MODES.index("correct")).mean())
    return found


def copied(spec):
    """The last row of a run whose generator draws the nearest training label's image."""
    known = training_labels(spec.data)
    row = {"step": 0.0}
    for name, labels in label_sets(spec).items():
        nearest = known[torch.cdist(labels, known).argmin(dim=1)]
        row |= {f"{name}.{key}": value for key, value in measured(spec, labels, nearest).items()}
    return row


@pytest.mark.parametrize("profile", ["quick", "nightly"])
def test_copying_the_nearest_training_image_contradicts_the_hole_claim(profile):
    claim = hole_claim()
    plan = claim.plan(profiles.get(profile), 3)
    rows = {condition: [copied(spec) for spec in specs] for condition, specs in plan.items()}
    assert all(row["in_hole.accuracy"] == 0 and row["off_grid.accuracy"] > 0.9 for r in rows.values() for row in r)
    found = decide(claim, {condition: [Curves([row]) for row in r] for condition, r in rows.items()})
    assert found.verdict == "CONTRADICTED", found.reason
    assert plan["3.5 % hole"][0].seed == FIRST_SEED
