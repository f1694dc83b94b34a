"""Ridge regression from a label to its image: no diffusion, no network, NumPy alone (level 3 of docs/your-model.md).

    pytest claims --subject examples/regression.py:Ridge
    pytest claims --subject examples/regression.py:Ridge --subject-arg scale=1.6

An image is a sum of random waves of the label. A step adds a batch to the normal equations, and a draw solves them. At
quick a step takes 5 ms. Half of the bumps are right after 2 steps, and 0.9 after 6. All bumps in a hole of 5 pixels are
right, too. At a scale of 1.6 the waves are too short for that: 0.95 of the bumps outside are right, and 0.2 inside.

The role "layer4" is the waves. They hold the label before any training: their order is 0.97 or more at step 0. It sees
no images.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bumplab.subjects.protocol import Budget, Drawn, Labels, Learner, State, Subject, Task, TrainingData

RIDGE = 0.01
"""Added to the diagonal of the normal equations, so that they have one solution at step 0 too: a white image."""


class Ridge(Subject):
    """``scale`` is the standard deviation of the waves' frequencies, in radians a pixel."""

    tells = True
    random = False

    def __init__(self, scale: float = 0.7):
        self.scale = scale
        self.roles = {"layer4": "random waves of the label"}

    def budget(self, budget: Budget) -> Budget:
        steps = max(12, budget.steps // 80)
        return replace(budget, steps=steps, every=steps // 12)

    def start(self, task: Task, data: TrainingData, device: str, at: tuple[int, State] | None = None) -> "Regression":
        return Regression(task, data, self.scale, at)


class Regression(Learner):
    """One training run. Its state is the normal equations: the waves come from the run's seed again."""

    def __init__(self, task: Task, data: TrainingData, scale: float, at: tuple[int, State] | None):
        self.size, self.batch_size, self.data = task.image_size, task.batch_size, data
        pixels, rng = self.size**2, task.rng("waves")
        waves = 2 * pixels
        self.frequencies = scale * rng.normal(size=(2, waves))
        self.phases = rng.uniform(0, 2 * np.pi, waves)
        untrained = {"left": np.zeros((waves, waves)), "right": np.zeros((waves, pixels))}
        self.step, state = at or (0, untrained)
        self.left, self.right = state["left"], state["right"]

    def waves(self, labels: Labels) -> NDArray[np.float64]:
        return np.cos(labels @ self.frequencies + self.phases)

    def train(self, until: int, on_step: Callable[[int], None]) -> None:
        while self.step < until:
            images, labels = self.data.batch(self.step, self.batch_size)
            waves, darkness = self.waves(labels), 255 - images.reshape(len(images), -1)
            self.left += waves.T @ waves
            self.right += waves.T @ darkness
            self.step += 1
            on_step(self.step)

    def draw(self, labels: Labels, seed: int, recorded: int = 0) -> Drawn:
        waves = self.waves(labels)
        darkness = waves @ np.linalg.solve(self.left + RIDGE * np.eye(len(self.left)), self.right)
        rows = {"layer4": waves[:recorded]}  # it draws in one step, which is the first and the last
        return Drawn(255 - darkness.reshape(-1, self.size, self.size), rows, told=rows)

    def state(self) -> State:
        return {"left": self.left, "right": self.right}
