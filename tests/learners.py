"""Learners as a run has them, what is measured of them, and one that draws every label as it should."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from bumplab.config import ROLES
from bumplab.data.bumps import render
from bumplab.data.feed import Feed
from bumplab.data.label_sets import label_sets
from bumplab.measure.measure import measure
from bumplab.runs import learners
from bumplab.subjects.protocol import Drawn, Task
from bumplab.subjects.registry import resolve


def started(spec, subject=None, *, at=None, device="cpu"):
    """A learner of the run. ``subject`` is by default the one that the spec names."""
    subject = subject or resolve(spec.subject, None)
    return subject.start(Task.of(spec, tuple(subject.roles)), Feed(spec.data, spec.seed), device, at)


def trained(spec, until, subject=None, **more):
    """A learner after this step."""
    learner = started(spec, subject, **more)
    learner.train(until, lambda step: None)
    return learner


def drawn_by(learner, spec, step):
    """What a run stores of a checkpoint. Fakes have the roles and the readings that they show."""
    first = learner.draw(label_sets(spec)["probe"].labels[:1], spec.seed, 1)
    sees = bool(first.told) and hasattr(learner, "see")
    subject = SimpleNamespace(roles=tuple(first.activations), tells=bool(first.told), sees=sees)
    return learners.draw(learner, spec, step, subject)


def measured(learner, spec, step):
    """What a run measures at a checkpoint."""
    return measure(spec, step, label_sets(spec, step == spec.training.steps), drawn_by(learner, spec, step))


@dataclass
class Perfect:
    """Draws the bumps at ``at(labels)``. Its activations are (x, y, x - y) of the labels, plus the role's number."""

    spec: Any
    at: Any = np.copy

    def draw(self, labels, seed, recorded=0):
        data = self.spec.data
        images = render(torch.from_numpy(self.at(labels)), data.image_size, data.sigma).numpy()
        features = labels[:recorded] @ np.array([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]])
        return Drawn(images, {role: features + number for number, role in enumerate(ROLES)} if recorded else {})
