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
    """Seconds of a training step, of a measurement and of one image drawn, those that a worker pays once, and its
    memory in bytes."""

    step: float
    measurement: float
    image: float
    once: float
    memory: int

    def seconds(self, runs: Iterable[RunSpec]) -> float:
        """Process-seconds of these runs, if they are like the one tried but for their length."""
        total = 0.0
        for run in runs:
            networks = 2 if run.model.kind == "factorized" else 1
            total += networks * run.training.steps * self.step + len(run.measured_steps()) * self.measurement
            more = max(0, run.measure.last_samples - run.measure.samples) * (2 if run.data.hole else 1)
            total += networks * more * self.image
        return total


def trial(spec: RunSpec, device: str) -> Trial:
    """Tries ``spec`` on this machine. Nothing is stored. Takes half a minute at the quick profile."""
    began = time.perf_counter()
    import torch

    from bumplab.measure.evaluate import draw, evaluate, label_sets
    from bumplab.training.loop import start, train

    imports = time.perf_counter() - began
    state = start(spec, device)
    train(state, spec, 1)
    samples, sampler_steps = min(spec.measure.samples, TRIAL_SAMPLES), spec.diffusion.sampler_steps

    def of(steps: int) -> RunSpec:
        measure = replace(spec.measure, samples=samples, last_samples=0)
        return replace(spec, measure=measure, diffusion=replace(spec.diffusion, sampler_steps=steps))

    labels = torch.cat(list(label_sets(of(1)).values()))

    def drawing(steps: int) -> float:
        return _seconds(lambda: draw(state.averaged, of(steps), labels, device, recorded=samples))

    def measuring() -> float:
        return _seconds(lambda: evaluate(state.averaged, of(1), device, 0))

    first = measuring()
    step = _seconds(lambda: train(state, spec, 1 + TRIAL_STEPS)) / TRIAL_STEPS
    short = measuring()
    more = min(TRIAL_SAMPLER_STEPS, sampler_steps) - 1
    one = drawing(1)
    rest = max(0.0, drawing(1 + more) - one) / more * (sampler_steps - 1) if more else 0.0
    measurement = (short + rest) * spec.measure.samples / samples
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = peak * (1 if sys.platform == "darwin" else 1024)
    return Trial(step, measurement, (one + rest) / len(labels), imports + max(0.0, first - short), memory)


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
