"""A control: two subjects that exchange nothing, one for x and one for y. The product of their stripes is the bump."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bumplab.config import Role
from bumplab.randomness import derive
from bumplab.subjects.protocol import Budget, Drawn, Images, Labels, Learner, State, Subject, Task, TrainingData

AXES: tuple[Literal["x", "y"], ...] = ("x", "y")


class Factorized(Subject):
    """Two learners of one subject (Fig. 1a). Each has its own seed, and sees the stripes of one coordinate."""

    def __init__(self, subject: Subject):
        self.subject = subject
        self.roles, self.tells, self.sees = subject.roles, subject.tells, subject.sees
        self.random, self.resumes = subject.random, subject.resumes
        self.reads, self.version, self.libraries = subject.reads, subject.version, subject.libraries

    def budget(self, budget: Budget) -> Budget:
        return self.subject.budget(budget)

    def describe(self) -> str:
        return self.subject.describe()

    def start(
        self, task: Task, data: TrainingData, device: str, at: tuple[int, State] | None = None
    ) -> FactorizedLearner:
        halves = []
        for number, axis in enumerate(AXES):
            half = None if at is None else (at[0], _parts(at[1], axis))
            own = replace(task, seed=derive(task.seed, "factor", number) % 2**32)
            halves.append(self.subject.start(own, data.only(axis), device, half))
        return FactorizedLearner(*halves)

    def weights(self, learner: FactorizedLearner) -> State:
        return _joined(*(self.subject.weights(half) for half in learner.halves))


class FactorizedLearner(Learner):
    """One training run of both halves."""

    def __init__(self, x: Learner, y: Learner):
        self.halves = (x, y)

    def train(self, until: int, on_step: Callable[[int], None]) -> float | None:
        """The mean loss of both halves. ``on_step`` counts the steps of the second half."""
        losses = [self.halves[0].train(until, lambda step: None), self.halves[1].train(until, on_step)]
        known = [loss for loss in losses if loss is not None]
        return sum(known) / len(known) if known else None

    def draw(self, labels: Labels, seed: int, recorded: int = 0) -> Drawn:
        """The darkness of the two stripes is multiplied. Activations of both halves stand side by side."""
        x, y = (
            half.draw(_of_axis(labels, number), derive(seed, "factor", number) % 2**32, recorded)
            for number, half in enumerate(self.halves)
        )
        dark_x, dark_y = (255 - np.clip(np.asarray(part.images, np.float32), 0, 255) for part in (x, y))
        images = 255 - dark_x * dark_y / 255
        if not recorded:
            return Drawn(images)
        return Drawn(images, _side_by_side(x.activations, y.activations), _side_by_side(x.told, y.told))

    def see(self, images: Images, labels: Labels, seed: int) -> Mapping[Role, NDArray[Any]]:
        """Each half sees stripes: a column, or a row, is as dark as the darkest pixel in it."""
        size = images.shape[1]
        columns, rows = images.min(axis=1), images.min(axis=2)
        stripes = (columns[:, None, :].repeat(size, axis=1), rows[:, :, None].repeat(size, axis=2))
        x, y = (
            half.see(stripes[number], _of_axis(labels, number), derive(seed, "factor", number) % 2**32)
            for number, half in enumerate(self.halves)
        )
        return _side_by_side(x, y)

    def state(self) -> State:
        return _joined(*(half.state() for half in self.halves))


def _of_axis(labels: Labels, number: int) -> Labels:
    """The labels ``[B, 2]`` with 0 for the other axis."""
    own = labels.copy()
    own[:, 1 - number] = 0
    return own


def _side_by_side(x: Mapping[Role, NDArray[Any]], y: Mapping[Role, NDArray[Any]]) -> dict[Role, NDArray[Any]]:
    """Activations of both halves, ``[B, D of x + D of y]`` for each role."""
    return {role: np.concatenate([part[role].reshape(len(part[role]), -1) for part in (x, y)], axis=1) for role in x}


def _joined(x: State, y: State) -> State:
    """The states of both halves, each name with the axis before it."""
    return {f"{axis}.{name}": part for axis, state in zip(AXES, (x, y), strict=True) for name, part in state.items()}


def _parts(state: State, axis: str) -> State:
    """The half of this axis in what `_joined` gives."""
    return {name.removeprefix(f"{axis}."): part for name, part in state.items() if name.startswith(f"{axis}.")}
