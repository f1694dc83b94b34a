"""Controls that learn nothing and show true images: of asked labels, of the nearest, or under fading grain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from bumplab.data.bumps import nearest_labels
from bumplab.data.feed import Feed
from bumplab.subjects.protocol import Drawn, Labels, Learner, State, Subject, Task, TrainingData

How = Literal["nearest-label", "half-way", "true", "fading"]
GRAIN = 255.0
"""Standard deviation of the grain of ``fading`` before training, in grey values. It falls linearly to 0."""


class Rendered(Subject):
    """Shows true images, whatever it was trained on.

    ``true`` shows the asked labels. ``nearest-label`` shows the nearest training labels, as a copying generator.
    ``half-way`` shows the middle between the two: it interpolates, and not far enough.
    ``fading`` shows the asked labels under normal grain, which fades over the task's steps from `GRAIN` to none.
    """

    def __init__(self, how: How):
        self.how = how
        self.random = how == "fading"

    def start(self, task: Task, data: TrainingData, device: str, at: tuple[int, State] | None = None) -> Renderer:
        assert isinstance(data, Feed)  # the suite's own data can render any label
        return Renderer(self.how, data, task.steps, 0 if at is None else at[0])


class Renderer(Learner):
    """Shows images. Training changes nothing but the grain of ``fading``."""

    def __init__(self, how: How, data: Feed, steps: int, step: int):
        self._how, self._data, self._steps, self._step = how, data, steps, step

    def train(self, until: int, on_step: Callable[[int], None]) -> float | None:
        self._step = until
        return None

    def draw(self, labels: Labels, seed: int, recorded: int = 0) -> Drawn:
        if self._how in ("nearest-label", "half-way"):
            nearest = nearest_labels(torch.from_numpy(self._data.labels), torch.from_numpy(labels)).numpy()
            share = np.float32(1.0 if self._how == "nearest-label" else 0.5)
            labels = labels + share * (nearest - labels)
        images = self._data.true_images(labels)
        if self._how == "fading":
            grain = np.random.default_rng(seed).standard_normal(images.shape, dtype=np.float32)
            images = images + np.float32(self._grain()) * grain
        return Drawn(images)

    def state(self) -> State:
        return {}

    def _grain(self) -> float:
        return GRAIN * (1 - self._step / self._steps)
