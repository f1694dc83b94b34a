"""The cost of runs, from a trial: a few training steps and one measurement of such a run, whose results are dropped."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bumplab.config import RunSpec

TRIAL_STEPS = 3
"""Training steps of a trial."""
TRIAL_SAMPLER_STEPS = 3
TRIAL_SAMPLES = 150
"""Upper bounds. 500 samples in 1,000 sampler steps take hours on a CPU, so a shorter measurement is scaled up."""


@dataclass(frozen=True)
class Trial:
    """Costs in seconds, and a worker's peak memory in bytes.

    ``step``: a training step. ``measurement``: a measurement. ``image``: one more image drawn. ``once``: imports and
    compilation, which each worker pays once.
    """

    step: float
    measurement: float
    image: float
    once: float
    memory: int

    def seconds(self, runs: Iterable[RunSpec]) -> float:
        """Process-seconds of these runs. They may differ from the run of the trial in length alone."""
        total = 0.0
        for run in runs:
            networks = 2 if run.model.kind == "factorized" else 1
            label_sets = 2 if run.data.hole else 1
            extra_images = max(0, run.measure.last_samples - run.measure.samples) * label_sets
            total += networks * run.training.steps * self.step
            total += len(run.measured_steps()) * self.measurement
            total += networks * extra_images * self.image
        return total


def trial(spec: RunSpec, device: str) -> Trial:
    """Tries ``spec`` on this machine and stores nothing. Takes half a minute at the quick profile."""
    began = time.perf_counter()
    import torch

    from bumplab.measure.evaluate import draw, evaluate, label_sets
    from bumplab.training.loop import start, train

    imports = time.perf_counter() - began
    state = start(spec, device)
    train(state, spec, 1)
    samples, sampler_steps = min(spec.measure.samples, TRIAL_SAMPLES), spec.diffusion.sampler_steps

    def shortened(steps: int) -> RunSpec:
        measure = replace(spec.measure, samples=samples, last_samples=0)
        return replace(spec, measure=measure, diffusion=replace(spec.diffusion, sampler_steps=steps))

    labels = torch.cat(list(label_sets(shortened(1)).values()))

    def seconds_to_draw(steps: int) -> float:
        return _seconds(lambda: draw(state.averaged, shortened(steps), labels, device, recorded=samples))

    def seconds_to_measure() -> float:
        return _seconds(lambda: evaluate(state.averaged, shortened(1), device, 0))

    first_measurement = seconds_to_measure()  # with what is compiled once
    step = _seconds(lambda: train(state, spec, 1 + TRIAL_STEPS)) / TRIAL_STEPS
    measurement_of_one_step = seconds_to_measure()
    drawing_of_one_step = seconds_to_draw(1)
    further_steps = 0.0
    if tried := min(TRIAL_SAMPLER_STEPS, sampler_steps) - 1:
        difference = max(0.0, seconds_to_draw(1 + tried) - drawing_of_one_step)
        further_steps = difference / tried * (sampler_steps - 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in kilobytes, on macOS in bytes
    return Trial(
        step=step,
        measurement=(measurement_of_one_step + further_steps) * spec.measure.samples / samples,
        image=(drawing_of_one_step + further_steps) / len(labels),
        once=imports + max(0.0, first_measurement - measurement_of_one_step),
        memory=peak * (1 if sys.platform == "darwin" else 1024),
    )


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
