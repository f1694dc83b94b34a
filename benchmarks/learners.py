"""Runs of the built-in subject, piece by piece: a learner, its training, and one measurement of it."""

from __future__ import annotations

from bumplab.config import RunSpec
from bumplab.data.feed import Feed
from bumplab.data.label_sets import label_sets
from bumplab.measure.measure import Measurement, measure
from bumplab.runs import learners
from bumplab.subjects.diffusion import DiffusionLearner, Unet
from bumplab.subjects.protocol import Task


def started(spec: RunSpec, device: str) -> DiffusionLearner:
    """The untrained learner of a run."""
    subject = Unet()
    return subject.start(Task.of(spec, tuple(subject.roles)), Feed(spec.data, spec.seed), device)


def train(learner: DiffusionLearner, steps: int) -> None:
    """Trains so many more steps."""
    learner.train(learner.training.step + steps, lambda step: None)


def measured(learner: DiffusionLearner, spec: RunSpec, step: int) -> Measurement:
    """Draws and measures as at this step of the run."""
    sets = label_sets(spec, step == spec.training.steps)
    return measure(spec, step, sets, learners.draw(learner, spec, step, Unet()))
