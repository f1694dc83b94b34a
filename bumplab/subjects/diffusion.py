"""Subjects whose network bumplab trains: the built-in `Unet`, and `Diffusion` for a network of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bumplab.config import Role
from bumplab.data.feed import Feed
from bumplab.diffusion import checkpoint, loop, speed
from bumplab.diffusion.denoising import Denoising
from bumplab.diffusion.loop import Net, Objective
from bumplab.diffusion.objective import to_grey
from bumplab.diffusion.rng import Drawing
from bumplab.diffusion.unet import ROLES, UNet
from bumplab.randomness import generator
from bumplab.subjects.protocol import (
    Budget,
    Choices,
    Diverged,
    Drawn,
    Labels,
    Learner,
    State,
    Subject,
    Task,
    TrainingData,
)

SAMPLING_BATCH = 256
"""Images drawn at a time."""

Activation = Callable[[Any], Tensor]
Tap = str | tuple[str, Activation]
"""The name of a module of the network, whose output is recorded. Or the name, and a function of the output."""


class Diffusion(Subject):
    """A network of the user's, trained by bumplab's loop.

    Args:
        network: makes the untrained network of a `Task`. Its input is noisy images ``[B, 1, N, N]``, timesteps ``[B]``
            and labels ``[B, 2]`` in pixels. Its output has the shape of the images.
        taps: the activation of each role (`Tap`).
        objective: makes the `Objective` of a task and a device. By default the paper's, as the profile sets it.
        reads: the profile's choices that ``network`` and ``objective`` read (`Subject.reads`). By default "training",
            and without ``objective`` also "diffusion".
        budget: changes the profile's budget.
        libraries: installed distributions on which the results depend.
        about: one line for the report.
        compiled: whether a GPU compiles the network.
    """

    def __init__(
        self,
        network: Callable[[Task], nn.Module],
        taps: Mapping[Role, Tap] | None = None,
        *,
        objective: Callable[[Task, str], Objective] | None = None,
        reads: tuple[Choices, ...] | None = None,
        budget: Callable[[Budget], Budget] = lambda budget: budget,
        libraries: tuple[str, ...] = (),
        about: str = "",
        compiled: bool = False,
    ):
        self.network, self.taps = network, dict(taps or {})
        self.roles = {role: f"output of {tap if isinstance(tap, str) else tap[0]}" for role, tap in self.taps.items()}
        self.objective = objective or (lambda task, device: Denoising(task.diffusion, device))
        self.reads = (("training",) if objective else ("diffusion", "training")) if reads is None else reads
        self.libraries = libraries
        self._budget, self._about, self._compiled = budget, about, compiled

    def budget(self, budget: Budget) -> Budget:
        return self._budget(budget)

    def describe(self) -> str:
        return self._about

    def start(
        self, task: Task, data: TrainingData, device: str, at: tuple[int, State] | None = None
    ) -> DiffusionLearner:
        """Raises ValueError where a tap names no module, and where a state is of another network."""
        if not isinstance(data, Feed):
            raise TypeError(f"data of {type(data).__name__}: bumplab's loop needs the data that the suite feeds")
        state = loop.start(
            lambda: self.network(task),
            objective=self.objective(task, device),
            training=task.training,
            data=data.on(device),
            seed=task.seed,
            device=device,
            compiled=self._compiled,
        )
        if at is not None:
            checkpoint.restore(state, at[1], at[0])
        return DiffusionLearner(state, task.image_size, self.taps)

    def weights(self, learner: DiffusionLearner) -> State:
        """The weights of the network that draws."""
        return checkpoint.to_arrays(learner.training.averaged.state_dict())


class Unet(Diffusion):
    """The built-in subject: the paper's UNet (Appendix B.1, Fig. 6)."""

    def __init__(self) -> None:
        reads: tuple[Choices, ...] = ("model", "diffusion", "training")
        super().__init__(lambda task: UNet(task.model, task.image_size), ROLES, reads=reads, compiled=True)


class DiffusionLearner(Learner):
    """One training run of a network."""

    def __init__(self, training: loop.TrainState, image_size: int, taps: Mapping[Role, Tap]):
        self.training, self._image_size = training, image_size
        self._taps = {role: (tap, _as_it_is) if isinstance(tap, str) else tap for role, tap in taps.items()}
        names = dict(training.averaged.named_modules())
        for role, (name, _) in self._taps.items():
            if name not in names:
                known = ", ".join(filter(None, names))
                raise ValueError(f"tap {name!r} of {role}: must be a module of the network: {known}"[:500])
        self._replayed: Callable[..., Tensor] | None = None
        """The network's captured call on a GPU. It stays valid, because training changes weights in place."""

    def train(self, until: int, on_step: Callable[[int], None]) -> float | None:
        """Raises `Diverged`."""
        first = self.training.step
        try:
            mean = loop.train(self.training, until, on_step)
        except FloatingPointError as error:
            raise Diverged(str(error)) from error
        return mean if until > first else None

    def state(self) -> State:
        return checkpoint.to_arrays(self.training.weights.tensors())

    def draw(self, labels: Labels, seed: int, recorded: int = 0) -> Drawn:
        """The activations are those of the last call of the network, at the last sampling step."""
        network = self.training.averaged
        speed.configure(self.training.device)
        was_training = network.training
        network.eval()
        try:
            images: list[NDArray[np.float32]] = []
            activations: dict[Role, list[NDArray[np.float32]]] = {role: [] for role in self._taps if recorded}
            for first in range(0, len(labels), SAMPLING_BATCH):
                chunk = torch.as_tensor(labels[first : first + SAMPLING_BATCH], device=self.training.device)
                drawn, taps = self._draw(chunk, seed, first, record=first < recorded)
                images.append(drawn)
                for role, activation in taps.items():
                    activations[role].append(activation)
        finally:
            network.train(was_training)
        kept = {role: np.concatenate(parts)[:recorded] for role, parts in activations.items()}
        return Drawn(np.concatenate(images), kept)

    @torch.inference_mode()
    def _draw(
        self, labels: Tensor, seed: int, first: int, record: bool
    ) -> tuple[NDArray[np.float32], dict[Role, NDArray[np.float32]]]:
        """Grey images ``[B, N, N]`` for ``labels [B, 2]``, and with ``record`` the activations ``[B, D]`` by role."""
        device, size = self.training.device, self._image_size
        rng = Drawing(generator(seed, "sampling", first, device))
        noise = rng.normal(len(labels), 1, size, size)
        objective = self.training.objective
        if not record:
            samples = objective.sample(self._fast(labels), labels, noise, rng)
            return to_grey(samples)[:, 0].cpu().numpy(), {}
        calls = 0
        network = self.training.averaged
        compiled = network._compiled_call_impl is not None  # it runs no hook of a module in it
        eager = loop.called(network.forward if compiled else network, self.training.training)
        fast = self._fast(labels)

        def net(x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            """Only a call that runs each module fires its hooks: on a GPU, the last one alone, where it is known."""
            nonlocal calls
            calls += 1
            is_last = objective.calls is None or calls == objective.calls
            return eager(x, t, labels) if is_last else fast(x, t, labels)

        with self._recorded() as outputs:
            samples = objective.sample(net, labels, noise, rng)
        if objective.calls not in (None, calls):
            given = f"calls = {objective.calls}, and sample calls the network {calls} times"
            raise ValueError(f"{type(objective).__name__}: {given}: set calls to that, or to None where it varies")
        taps = {}
        for role, (name, _) in self._taps.items():
            if role not in outputs:
                raise ValueError(f"tap {name!r} of {role}: the network never calls this module")
            taps[role] = outputs[role].float().flatten(1).cpu().numpy()
        return to_grey(samples)[:, 0].cpu().numpy(), taps

    @contextmanager
    def _recorded(self) -> Iterator[dict[Role, Tensor]]:
        """The activation of each tap, at its module's last call within the block."""
        outputs: dict[Role, Tensor] = {}
        modules = dict(self.training.averaged.named_modules())

        def keep(role: Role, output: Any) -> None:
            name, of_output = self._taps[role]
            activation = of_output(output)
            if not isinstance(activation, Tensor):
                given = f"gives a {type(activation).__name__}"
                raise ValueError(f"tap {name!r} of {role}: {given}: must be a tensor: add a function of the output")
            outputs[role] = activation.clone()  # the next module may change it in place

        with ExitStack() as hooks:
            for role, (name, _) in self._taps.items():
                handle = modules[name].register_forward_hook(
                    lambda _module, _inputs, output, role=role: keep(role, output)
                )
                hooks.callback(handle.remove)
            yield outputs

    def _fast(self, labels: Tensor) -> Net:
        """The network for ``labels [B, 2]``. On a GPU its call is captured, for `SAMPLING_BATCH` images."""
        network = loop.called(self.training.averaged, self.training.training)
        if not speed.captures(labels.device):
            return network

        def net(x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            if len(x) > SAMPLING_BATCH:  # such as two calls in one, for guidance
                return network(x, t, labels)
            if self._replayed is None:
                self._replayed = speed.capture(network, [_padded(part) for part in (x, t, labels)])
            return self._replayed(x, t, labels)[: len(x)]

        return net


def _as_it_is(output: Any) -> Any:
    return output


def _padded(part: Tensor) -> Tensor:
    """``part [B, ...]`` filled with zeros to `SAMPLING_BATCH` rows. The last chunk of samples may have fewer rows."""
    return torch.cat([part, part.new_zeros(SAMPLING_BATCH - len(part), *part.shape[1:])])
