"""A trial costs seconds at any profile, and its times add up to the cost of all runs."""

import time
from dataclasses import replace

import pytest

from bumplab import profiles
from bumplab.runs import estimate

SMOKE = profiles.get("smoke").run(0)


def test_a_measurement_is_scaled_from_a_shorter_one(monkeypatch):
    now, asked = [0.0], []

    def evaluate(network, spec, device, step):
        asked.append((spec.measure.samples, spec.diffusion.sampler_steps))
        now[0] += asked[-1][0] * (0.5 + 2.0 * asked[-1][1]) + (7.0 if len(asked) == 1 else 0.0)

    def draw(network, spec, labels, device, recorded):
        asked.append((recorded, spec.diffusion.sampler_steps))
        now[0] += len(labels) * (0.25 + spec.diffusion.sampler_steps)

    def train(state, spec, until):
        now[0] += 3.0 * (until - len(trained))
        trained.extend(range(len(trained), until))

    trained = []
    monkeypatch.setattr("bumplab.measure.evaluate.evaluate", evaluate)
    monkeypatch.setattr("bumplab.measure.evaluate.draw", draw)
    monkeypatch.setattr("bumplab.training.loop.train", train)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    for samples, steps in ((500, 1000), (20, 1000), (500, 2), (20, 1)):
        asked.clear()
        trained.clear()
        spec = replace(
            SMOKE,
            measure=replace(SMOKE.measure, samples=samples, last_samples=2 * samples),
            diffusion=replace(SMOKE.diffusion, sampler_steps=steps),
        )
        trial = estimate.trial(spec, "cpu")
        case = (samples, steps, trial)
        assert trial.measurement == pytest.approx(samples * (0.5 + 2.0 * steps)), case
        assert trial.image == pytest.approx(0.25 + steps), case
        assert trial.step == pytest.approx(3.0), case
        assert trial.once == pytest.approx(7.0), case
        assert 1e7 < trial.memory < 1e11, case
        assert max(number for number, _ in asked) <= estimate.TRIAL_SAMPLES, case
        assert max(sampler_steps for _, sampler_steps in asked) <= min(estimate.TRIAL_SAMPLER_STEPS, steps), case
        assert len(trained) == 1 + estimate.TRIAL_STEPS, case


def test_seconds_add_up_over_runs():
    cost = estimate.Trial(step=1.0, measurement=10.0, image=0.5, once=0.0, memory=0)
    more = replace(SMOKE.measure, last_samples=SMOKE.measure.samples + 4)
    holed = replace(SMOKE, data=replace(SMOKE.data, hole=5.0), measure=more)
    factorized = replace(SMOKE, model=replace(SMOKE.model, kind="factorized"))
    plain = 12 + 3 * 10
    assert cost.seconds([]) == 0
    assert cost.seconds([SMOKE]) == plain
    assert cost.seconds([SMOKE, holed]) == 2 * plain + 2 * 4 * 0.5
    assert cost.seconds([replace(SMOKE, measure=more)]) == plain + 4 * 0.5
    assert cost.seconds([factorized]) == 24 + 3 * 10
    assert cost.seconds([replace(factorized, measure=more)]) == 24 + 3 * 10 + 2 * 4 * 0.5
