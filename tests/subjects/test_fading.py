"""True images under fading grain: a control in which no bump is at a wrong place."""

import numpy as np

from bumplab import profiles
from bumplab.subjects.rendered import GRAIN, Rendered
from tests.learners import measured, started, trained

QUICK = profiles.get("quick")
SPEC = QUICK.fading(QUICK.run(0))
STEPS = SPEC.training.steps
LABELS = np.float32([[3.0, 4.5], [8.0, 2.25]])


def test_grain_fades_over_training_and_a_resumed_run_goes_on_where_it_was():
    truth = started(SPEC, Rendered("true")).draw(LABELS, 0).images
    learner = started(SPEC)
    grain = []
    for step in (0, STEPS // 2, STEPS):
        learner.train(step, lambda step: None)
        images = learner.draw(LABELS, 7).images
        resumed = started(SPEC, at=(step, learner.state()))
        assert np.array_equal(images, resumed.draw(LABELS, 7).images), step
        grain.append(float(np.std(images - truth)))
    assert np.allclose(grain, [GRAIN, GRAIN / 2, 0], rtol=0.1)


def test_another_seed_draws_other_grain():
    untrained = started(SPEC)
    assert not np.array_equal(untrained.draw(LABELS, 7).images, untrained.draw(LABELS, 8).images)


def test_a_bump_is_at_its_place_as_soon_as_it_is_found():
    """While grain fades, the share of single bumps goes from few to all, and hardly any is at a wrong place."""
    rows = [
        measured(trained(SPEC, step), SPEC, step).row for step in (6 * STEPS // 10, 7 * STEPS // 10, 8 * STEPS // 10)
    ]
    single = [row["probe.correct"] + row["probe.single-wrong"] for row in rows]
    assert single[0] < 0.3
    assert single[-1] > 0.9
    assert all(row["probe.single-wrong"] < 0.1 for row in rows)
