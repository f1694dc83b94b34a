"""The cost of runs, from a trial: a few training steps and one measurement of such a run, whose results are dropped."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bumplab.config import RunSpec
from bumplab.measure.names import sample_counts
from bumplab.measure.sample import Sample
from bumplab.runs.draws import expected_size
from bumplab.subjects.protocol import Learner
from bumplab.subjects.registry import Named, blaming, resolve

TRIAL_STEPS = 3
"""Training steps of a trial."""
TRIAL_SAMPLER_STEPS = 3
TRIAL_SAMPLES = 150
"""Upper bounds. 500 samples in 1,000 sampler steps take hours on a CPU, so a shorter measurement is scaled up."""
LAST_MORE = 3
"""The last checkpoint takes as long as so many more, for `bumplab.measure.measure.UMAP_SEEDS` embeddings."""


@dataclass(frozen=True)
class Trial:
    """Costs in seconds, and a worker's peak memory in bytes.

    ``step``: a training step. ``measurement``: drawing and measuring the probe labels at a checkpoint. ``image``: one
    more image drawn. ``once``: imports and compilation, which each worker pays once.
    """

    step: float
    measurement: float
    image: float
    once: float
    memory: int
    draws: int
    """Bytes of the draws of such a run."""

    def seconds(self, runs: Iterable[RunSpec]) -> float:
        """Process-seconds of these runs. They may differ from the run of the trial in length alone."""
        total = 0.0
        for run in runs:
            networks = 2 if run.subject.factorized else 1
            steps = run.measured_steps()
            images = sum(sum(sample_counts(run, step).values()) - run.measure.samples for step in steps)
            total += run.network_steps * self.step
            total += (len(steps) + LAST_MORE) * self.measurement
            total += networks * images * self.image
        return total


def trial(spec: RunSpec, device: str, users: Named | None = None) -> Trial:
    """Tries ``spec`` on this machine and stores nothing. Takes half a minute at the quick profile.

    ``users`` is the user's subject, if the run's is one.
    """
    began = time.perf_counter()
    from bumplab.data.label_sets import label_sets
    from bumplab.measure.measure import measure
    from bumplab.runs import learners

    subject = resolve(spec.subject, users)
    imports = time.perf_counter() - began
    samples, sampler_steps = min(spec.measure.samples, TRIAL_SAMPLES), spec.diffusion.sampler_steps
    tried_steps = min(TRIAL_SAMPLER_STEPS, sampler_steps) if "diffusion" in subject.reads else 1

    def shortened(steps: int) -> RunSpec:
        fewer = replace(spec.measure, samples=samples)
        return replace(spec, measure=fewer, diffusion=replace(spec.diffusion, sampler_steps=steps))

    sets = label_sets(shortened(1))

    def draw(learner: Learner) -> Sample:
        return learners.draw(learner, shortened(1), 0, subject)

    with blaming(users):
        learner = learners.start(shortened(1), subject, device)
        learner.train(1, lambda step: None)
        first_measurement = _seconds(lambda: measure(shortened(1), 0, sets, draw(learner)))  # with compilations
        step = _seconds(lambda: learner.train(1 + TRIAL_STEPS, lambda step: None)) / TRIAL_STEPS
        drawing = _seconds(lambda: draw(learner))
        measuring = _seconds(lambda: measure(shortened(1), 0, sets, draw(learner)))
        further_steps = 0.0
        if tried_steps > 1:
            longer = learners.start(shortened(tried_steps), subject, device)
            difference = max(0.0, _seconds(lambda: draw(longer)) - drawing)
            further_steps = difference / (tried_steps - 1) * (sampler_steps - 1)
        draws_of_run = expected_size(draw(learner), shortened(1)) * spec.measure.samples // samples
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in kilobytes, on macOS in bytes
    return Trial(
        step=step,
        measurement=(measuring + further_steps) * spec.measure.samples / samples,
        image=(drawing + further_steps) / sum(len(asked.labels) for asked in sets.values()),
        once=imports + max(0.0, first_measurement - measuring),
        memory=peak * (1 if sys.platform == "darwin" else 1024),
        draws=draws_of_run,
    )


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
