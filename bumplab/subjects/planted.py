"""A subject that learns as planned, in NumPy alone: for the suite's own tests, and as the smallest example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bumplab.config import ROLES, Role
from bumplab.subjects.protocol import Drawn, Images, Labels, State, Subject, Task, TrainingData

DIMENSIONS = 8
"""Length of an activation."""


@dataclass(frozen=True)
class Planted(Subject):
    """The share of right bumps rises from 0 at step 0 to 1/2 at step ``half``, and goes on to 1."""

    half: float = 6.0
    sigma: float = 1.0
    """Spread of the bumps in pixels. A subject that learns would read it off its training images."""
    noise: float = 1.0
    """Standard deviation of the activations' noise at step 0. The label's part of them is up to about 1."""
    tells = True
    sees = True
    roles = MappingProxyType(dict.fromkeys(ROLES, f"the label in {DIMENSIONS} dimensions, with noise"))

    def start(self, task: Task, data: TrainingData, device: str, at: tuple[int, State] | None = None) -> PlantedLearner:
        return PlantedLearner(self, task, 0 if at is None else int(at[1]["step"]))


@dataclass
class PlantedLearner:
    """One training run of `Planted`. Its state is the step alone."""

    subject: Planted
    task: Task
    step: int

    def share(self) -> float:
        """The probability, 0 to 1, that an image has its bump at the right place."""
        return self.step**4 / (self.step**4 + self.subject.half**4)

    def train(self, until: int, on_step: Callable[[int], None]) -> float | None:
        losses = []
        while self.step < until:
            self.step += 1
            losses.append(1 - self.share())
            on_step(self.step)
        return float(np.mean(losses)) if losses else None

    def draw(self, labels: Labels, seed: int, recorded: int = 0) -> Drawn:
        size = self.task.image_size
        rng = self.task.rng("draw", seed)
        is_right, has_bump = rng.random(len(labels)) < self.share(), rng.random(len(labels)) < 0.5
        shifts = rng.uniform(size / 4, 3 * size / 4, labels.shape)  # a quarter of the canvas or more from the label
        places = np.where(is_right[:, None], labels, (labels + shifts) % size)
        images = self.render(places)
        images[~is_right & ~has_bump] = 255.0
        activations, told = (self._embedded(labels[:recorded], rng) for _ in range(2))
        return Drawn(images, activations, told)

    def see(self, images: Images, labels: Labels, seed: int) -> dict[Role, NDArray[Any]]:
        """The label, and the centre of the image's darkness, both in the same dimensions."""
        pixels = np.arange(1, self.task.image_size + 1)
        darkness = 255 - np.asarray(images, np.float64)
        total = np.maximum(darkness.sum(axis=(1, 2)), 1e-9)
        centres = np.stack([(darkness.sum(axis=axis) * pixels).sum(axis=1) / total for axis in (1, 2)], axis=1)
        return self._embedded(centres + labels, self.task.rng("see", seed))

    def _embedded(self, places: NDArray[np.floating], rng: np.random.Generator) -> dict[Role, NDArray[Any]]:
        """``places [B, 2]`` in pixels, at random directions of `DIMENSIONS` and with noise: ``[B, DIMENSIONS]``."""
        activations: dict[Role, NDArray[Any]] = {}
        for role in self.task.roles:
            directions = self.task.rng(role).normal(size=(2, DIMENSIONS))
            noise = rng.normal(size=(len(places), DIMENSIONS)) * self.subject.noise * (1 - self.share())
            activations[role] = (places / self.task.image_size - 0.5) @ directions + noise
        return activations

    def render(self, places: Labels) -> Images:
        """Dark bumps on white: ``[B, 2]`` in pixels -> ``[B, N, N]``. Pixel centres lie at ``1 .. N``."""
        x, y = (self._profile(places[:, axis]) for axis in (0, 1))
        return 255 * (1 - y[:, :, None] * x[:, None, :])

    def _profile(self, centres: NDArray[np.floating]) -> NDArray[np.floating]:
        pixels = np.arange(1, self.task.image_size + 1)
        return np.exp(-((pixels - centres[:, None]) ** 2) / (4 * self.subject.sigma**2))

    def state(self) -> State:
        return {"step": np.asarray(self.step)}
