"""A trial costs seconds at any profile, and says what the whole would cost."""

import time
from dataclasses import replace

import pytest

from bumplab import profiles
from bumplab.runs import estimate

SMOKE = profiles.get("smoke").run(0)


@pytest.mark.parametrize(("samples", "steps"), [(500, 1000), (20, 1000), (500, 2), (20, 1)])
def test_a_measurement_is_scaled_from_a_shorter_one(samples, steps, monkeypatch):
    now, asked = [0.0], []

    def evaluate(network, spec, device, step):
        asked.append((spec.measure.samples, spec.diffusion.sampler_steps))
        now[0] += asked[-1][0] * (0.5 + 2.0 * asked[-1][1])

    def draw(network, spec, labels, device, recorded):
        asked.append((recorded, spec.diffusion.sampler_steps))
        now[0] += len(labels) * (0.25 + spec.diffusion.sampler_steps)

    monkeypatch.setattr("bumplab.measure.evaluate.evaluate", evaluate)
    monkeypatch.setattr("bumplab.measure.evaluate.draw", draw)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    spec = replace(
        SMOKE,
        measure=replace(SMOKE.measure, samples=samples),
        diffusion=replace(SMOKE.diffusion, sampler_steps=steps),
    )
    found = estimate.trial(spec, "cpu")
    assert found.measurement == pytest.approx(samples * (0.5 + 2.0 * steps))
    assert found.image == pytest.approx(0.25 + steps)
    assert max(asked) <= (estimate.TRIAL_SAMPLES, estimate.TRIAL_SAMPLER_STEPS)
    assert all(sampler_steps <= steps for _, sampler_steps in asked)


def test_seconds_add_up_over_runs():
    cost = estimate.Trial(step=1.0, measurement=10.0, image=0.5, once=0.0, memory=0)
    holed = replace(
        SMOKE,
        data=replace(SMOKE.data, hole=5.0),
        measure=replace(SMOKE.measure, last_samples=SMOKE.measure.samples + 4),
    )
    factorized = replace(SMOKE, model=replace(SMOKE.model, kind="factorized"))
    assert cost.seconds([SMOKE]) == 12 + 3 * 10
    assert cost.seconds([SMOKE, holed]) == 2 * (12 + 3 * 10) + 2 * 4 * 0.5
    assert cost.seconds([factorized]) == 24 + 3 * 10
