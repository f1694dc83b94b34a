"""What runs will cost: a few steps and one measurement of a run like them, tried here and thrown away."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bumplab.config import RunSpec

TRIAL_STEPS = 3
TRIAL_SAMPLER_STEPS = 3
TRIAL_SAMPLES = 150
"""At most. A measurement of 500 samples in 1,000 steps would take hours on a CPU: it is scaled from a shorter one."""


@dataclass(frozen=True)
class Trial:
    """Seconds of a training step and of a measurement, seconds that a worker pays once, and its memory in bytes."""

    step: float
    measurement: float
    once: float
    memory: int

    def seconds(self, runs: Iterable[RunSpec]) -> float:
        """Process-seconds of these runs, if they are like the one tried but for their length."""
        total = 0.0
        for run in runs:
            networks = 2 if run.model.kind == "factorized" else 1
            total += networks * run.training.steps * self.step + len(run.measured_steps()) * self.measurement
        return total


def trial(spec: RunSpec, device: str) -> Trial:
    """Tries ``spec`` on this machine. Nothing is stored. Takes a quarter of a minute at the quick profile."""
    began = time.perf_counter()
    from bumplab.measure.evaluate import evaluate
    from bumplab.training.loop import start, train

    imports = time.perf_counter() - began
    state = start(spec, device)
    train(state, spec, 1)
    samples, sampler_steps = min(spec.measure.samples, TRIAL_SAMPLES), spec.diffusion.sampler_steps

    def measuring(steps: int) -> float:
        diffusion = replace(spec.diffusion, sampler_steps=steps)
        measure = replace(spec.measure, samples=samples)
        trial_spec = replace(spec, diffusion=diffusion, measure=measure)
        return _seconds(lambda: evaluate(state.averaged, trial_spec, device, 0))

    first = measuring(1)
    step = _seconds(lambda: train(state, spec, 1 + TRIAL_STEPS)) / TRIAL_STEPS
    short = measuring(1)
    more = min(TRIAL_SAMPLER_STEPS, sampler_steps) - 1
    sampling = max(0.0, measuring(1 + more) - short) / more * (sampler_steps - 1) if more else 0.0
    measurement = (short + sampling) * spec.measure.samples / samples
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = peak * (1 if sys.platform == "darwin" else 1024)
    return Trial(step, measurement, imports + max(0.0, first - short), memory)


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
