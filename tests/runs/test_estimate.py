"""A trial costs seconds at any profile, and its times add up to the cost of all runs."""

import time
from dataclasses import replace

import pytest

from bumplab import profiles
from bumplab.config import SubjectSpec
from bumplab.runs import draws, estimate
from bumplab.runs.execute import execute
from bumplab.runs.store import RunStore, run_key
from bumplab.subjects.planted import Planted, PlantedLearner
from bumplab.subjects.registry import Named

SMOKE = profiles.get("smoke").run(0)
USERS = SubjectSpec("clocked.py:subject", source=64 * "0")


class Clocked(Planted):
    """Takes 3 s a step, and 1/4 s an image and 1 s more for each sampling step, on a clock of its own."""

    reads = ("diffusion",)

    def __init__(self, now):
        super().__init__()
        object.__setattr__(self, "now", now)
        object.__setattr__(self, "draws", [])
        object.__setattr__(self, "steps", [])

    def start(self, task, data, device, at=None):
        clock = self

        class Learner(PlantedLearner):
            def train(self, until, on_step):
                clock.now[0] += 3.0 * (until - self.step)
                clock.steps.extend(range(self.step, until))
                return super().train(until, on_step)

            def draw(self, labels, seed, recorded=0):
                clock.draws.append((recorded, task.diffusion.sampler_steps))
                clock.now[0] += len(labels) * (0.25 + task.diffusion.sampler_steps)
                return super().draw(labels, seed, recorded)

        return Learner(self, task, 0)


def test_a_measurement_is_scaled_from_a_shorter_one(monkeypatch):
    """Measuring takes 1/2 s an image of the first label set, and 7 s more the first time."""
    now, measured = [0.0], []

    def measure(spec, step, sets, drawn):
        now[0] += 0.5 * len(sets["probe"].labels) + (0.0 if measured else 7.0)
        measured.append(step)

    monkeypatch.setattr("bumplab.measure.measure.measure", measure)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    for samples, steps in ((500, 1000), (20, 1000), (500, 2), (20, 1)):
        measured.clear()
        subject = Clocked(now)
        spec = replace(
            SMOKE,
            subject=USERS,
            measure=replace(SMOKE.measure, samples=samples),
            diffusion=replace(SMOKE.diffusion, sampler_steps=steps),
        )
        trial = estimate.trial(spec, "cpu", Named(USERS, subject))
        case = (samples, steps, trial)
        assert trial.measurement == pytest.approx(samples * (0.5 + 0.25 + steps)), case
        assert trial.image == pytest.approx(0.25 + steps), case
        assert trial.step == pytest.approx(3.0), case
        assert trial.once == pytest.approx(7.0), case
        assert 1e7 < trial.memory < 1e11, case
        assert max(number for number, _ in subject.draws) <= estimate.TRIAL_SAMPLES, case
        assert max(number for _, number in subject.draws) <= min(estimate.TRIAL_SAMPLER_STEPS, steps), case
        assert len(subject.steps) == 1 + estimate.TRIAL_STEPS, case


def test_a_subject_that_reads_no_sampler_is_tried_with_its_own(monkeypatch):
    """More sampling steps of the profile cost it nothing."""
    monkeypatch.setattr("bumplab.measure.measure.measure", lambda *arguments: None)
    subject = Clocked([0.0])
    object.__setattr__(subject, "reads", ())
    spec = replace(SMOKE, subject=USERS, diffusion=replace(SMOKE.diffusion, sampler_steps=1000))
    estimate.trial(spec, "cpu", Named(USERS, subject))
    assert {steps for _, steps in subject.draws} == {1}


def test_the_bytes_of_draws_are_those_that_a_run_keeps(tmp_path):
    spec = replace(SMOKE, subject=USERS, measure=replace(SMOKE.measure, every=48))
    users = Named(USERS, Planted())
    execute(spec, RunStore(tmp_path), "cpu", users)
    kept = draws.bytes_on_disk(tmp_path, run_key(spec))
    assert 0.9 * kept < estimate.trial(spec, "cpu", users).draws < 1.5 * kept


def test_seconds_add_up_over_runs():
    cost = estimate.Trial(step=1.0, measurement=10.0, image=0.5, once=0.0, memory=0, draws=0)
    holed = replace(SMOKE, data=replace(SMOKE.data, hole=5.0))
    factorized = replace(SMOKE, subject=SubjectSpec(factorized=True))
    measuring, on_grid = (5 + estimate.LAST_MORE) * 10, 24 * 0.5
    assert cost.seconds([]) == 0
    assert cost.seconds([SMOKE]) == 12 + measuring + on_grid
    assert cost.seconds([SMOKE, holed]) == 2 * cost.seconds([SMOKE]) + 5 * 24 * 0.5
    assert cost.seconds([factorized]) == 24 + measuring + 2 * on_grid
