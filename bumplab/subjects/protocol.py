"""The contract between the suite and a generator under test: what a subject gets, and what it must do.

A subject trains one learner for each run. The suite feeds the learner, asks it to draw, and measures what it drew. This
module needs NumPy alone. `docs/your-model.md` shows how to write a subject, and `bumplab.subjects.check` tries one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bumplab.config import DiffusionSpec, ModelSpec, Role, RunSpec, TrainingSpec
from bumplab.randomness import for_subjects

Labels = NDArray[np.float32]
"""``[B, 2]``: (x, y) in pixels."""
Images = NDArray[Any]
"""``[B, N, N]``: grey values, 0 dark to 255 white, of any real dtype. The suite rounds and clips them."""
Indices = NDArray[np.integer]
"""``[B]``: positions in `TrainingData.labels`."""
State = Mapping[str, NDArray[Any]]
"""Arrays of numbers by name: all that a learner needs to go on."""


Choices = Literal["model", "diffusion", "training"]
"""A part of a run's spec with choices of the profile."""


class Diverged(RuntimeError):
    """Training broke down, such as by a loss of NaN. The seed counts as failed. The session goes on."""


class TrainingData(Protocol):
    """All that a subject may learn from. The suite decides what is in it: increments, hole, shuffled labels."""

    @property
    def labels(self) -> Labels:
        """All training labels: ``[K, 2]`` in pixels."""
        ...

    def images(self, which: Indices) -> Images:
        """The images of these labels: float32 ``[B, N, N]`` in [0, 255]."""
        ...

    def batch(self, step: int, size: int) -> tuple[Images, Labels]:
        """Images and labels of a batch, drawn with replacement. Equal steps give equal batches."""
        ...

    def only(self, axis: Literal["x", "y"]) -> TrainingData:
        """Each x (or y) once, with 0 for the other axis. An image is a dark stripe along the column x, or the row y."""
        ...


@dataclass(frozen=True)
class Task:
    """What a subject may read of its run. It holds no increment, spread or hole."""

    seed: int
    image_size: int
    """Side N of the images in pixels."""
    steps: int
    """Steps of the whole training."""
    batch_size: int
    roles: tuple[Role, ...]
    """The activations that the suite asks for."""
    model: ModelSpec
    diffusion: DiffusionSpec
    training: TrainingSpec
    """``model``, ``diffusion`` and ``training`` are the profile's choices. A subject that reads one of them names it in
    `Subject.reads`."""

    @classmethod
    def of(cls, spec: RunSpec, roles: tuple[Role, ...]) -> Self:
        """The task of a run."""
        return cls(
            seed=spec.seed,
            image_size=spec.data.image_size,
            steps=spec.training.steps,
            batch_size=spec.training.batch_size,
            roles=roles,
            model=spec.model,
            diffusion=spec.diffusion,
            training=spec.training,
        )

    def rng(self, stream: str, step: int = 0) -> np.random.Generator:
        """A new generator that depends on the run's seed, the stream and the step alone.

        A learner that draws from it has no generator to save. ``stream`` is any name, such as ``"weights"``.
        """
        return for_subjects(self.seed, stream, step)


@dataclass(frozen=True)
class Drawn:
    """What a learner drew for some labels."""

    images: Images
    """``[B, N, N]``. NaN marks an image that failed."""
    activations: Mapping[Role, NDArray[Any]] = field(default_factory=dict)
    """For each role ``[recorded, ...]``: one row for each of the first ``recorded`` images, at the last sampling step.
    A subject without sampling steps has one step, the first and the last."""
    told: Mapping[Role, NDArray[Any]] = field(default_factory=dict)
    """The same at the first sampling step, where there is no image yet. Subjects that declare `Subject.tells` give
    it."""


class Learner(Protocol):
    """One training run of a subject."""

    def train(self, until: int, on_step: Callable[[int], None]) -> float | None:
        """Trains up to step ``until``, and calls ``on_step`` with the count of finished steps after each step.

        Returns the mean loss of these steps, or None where there is no loss. Raises `Diverged`.
        """

    def draw(self, labels: Labels, seed: int, recorded: int = 0) -> Drawn:
        """Draws an image for each label, also before any training. Changes nothing of the learner.

        All randomness comes from ``seed``. ``recorded`` is the number of images whose activations are asked for.
        """
        ...

    def see(self, images: Images, labels: Labels, seed: int) -> Mapping[Role, NDArray[Any]]:
        """For each role ``[B, ...]``: the activations for given ``images [B, N, N]`` under ``labels [B, 2]``.

        The images are noised to one fixed time, where they can be made out. Equal seeds give equal activations.
        Changes nothing of the learner. It is called where the subject declares `Subject.sees`. The suite passes true
        images under one constant label, and white images under their true labels.
        """
        raise TypeError(f"{type(self).__name__} sees nothing: it has no see")

    def state(self) -> State:
        """All that is needed to go on. The arrays may share memory with the learner."""
        ...


@dataclass(frozen=True)
class Budget:
    """How long a run trains and how often it is measured. It enters the runs' keys."""

    steps: int
    batch_size: int
    every: int
    """Steps between two checkpoints."""
    learning_rate: float


class Subject(Protocol):
    """A generator under test. Inherit from it and write `start`. All other members have a default."""

    roles: Mapping[Role, str] = MappingProxyType({})
    """The activations that it delivers, each with what it is, in words for the report."""
    tells: bool = False
    """Whether `Learner.draw` gives `Drawn.told` for its roles. Claims that need it are skipped otherwise."""
    sees: bool = False
    """Whether its learners have `Learner.see`. Claims that need it are skipped otherwise."""
    random: bool = True
    """Whether another seed draws another image for the same label."""
    resumes: Literal["exactly", "approximately"] = "exactly"
    """Whether training that goes on from a stored state ends in the same bits on a CPU."""
    reads: tuple[Choices, ...] = ()
    """The profile's choices that it reads of its `Task`. Others change nothing, so ``--vary`` refuses them."""
    version: str = ""
    """Raise it where the results change and no source file does, such as with a data file."""
    libraries: tuple[str, ...] = ()
    """Installed distributions on which the results depend. Their versions enter the runs' keys."""

    def start(self, task: Task, data: TrainingData, device: str, at: tuple[int, State] | None = None) -> Learner:
        """An untrained learner, or the one that had this state after this step. ``device`` is as torch names it."""
        ...

    def weights(self, learner: Any) -> State:
        """What is stored of a finished run."""
        state: State = learner.state()
        return state

    def budget(self, budget: Budget) -> Budget:
        """The budget that it asks for, given the profile's."""
        return budget

    def describe(self) -> str:
        """One line for the report."""
        return ""
