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

    monkeypatch.setattr("bumplab.measure.evaluate.evaluate", evaluate)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    spec = replace(
        SMOKE,
        measure=replace(SMOKE.measure, samples=samples),
        diffusion=replace(SMOKE.diffusion, sampler_steps=steps),
    )
    found = estimate.trial(spec, "cpu")
    assert found.measurement == pytest.approx(samples * (0.5 + 2.0 * steps))
    assert max(asked) <= (estimate.TRIAL_SAMPLES, estimate.TRIAL_SAMPLER_STEPS)
    assert all(sampler_steps <= steps for _, sampler_steps in asked)
