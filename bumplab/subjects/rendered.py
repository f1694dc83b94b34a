"""Controls that learn nothing and show true images: of the asked labels, or of the nearest training labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from bumplab.data.bumps import nearest_labels
from bumplab.data.feed import Feed
from bumplab.subjects.protocol import Drawn, Labels, Learner, State, Subject, Task, TrainingData


class Rendered(Subject):
    """``true`` shows the asked labels. ``nearest-label`` shows the nearest training labels, as a copying generator."""

    random = False

    def __init__(self, how: Literal["nearest-label", "true"]):
        self.how = how

    def start(self, task: Task, data: TrainingData, device: str, at: tuple[int, State] | None = None) -> Renderer:
        assert isinstance(data, Feed)  # the suite's own data can render any label
        return Renderer(data, copies=self.how == "nearest-label")


class Renderer(Learner):
    """Shows images. Training changes nothing."""

    def __init__(self, data: Feed, copies: bool):
        self._data, self._copies = data, copies

    def train(self, until: int, on_step: Callable[[int], None]) -> float | None:
        return None

    def draw(self, labels: Labels, seed: int, recorded: int = 0) -> Drawn:
        if self._copies:
            labels = nearest_labels(torch.from_numpy(self._data.labels), torch.from_numpy(labels)).numpy()
        return Drawn(self._data.true_images(labels))

    def state(self) -> State:
        return {}
