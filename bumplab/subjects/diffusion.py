"""Subjects whose network bumplab trains: the built-in `Unet`, and `Diffusion` for a network of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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
from bumplab.diffusion.objective import to_grey, to_unit
from bumplab.diffusion.rng import Drawing
from bumplab.diffusion.unet import ROLES, UNet
from bumplab.randomness import generator
from bumplab.subjects.protocol import (
    Budget,
    Choices,
    Diverged,
    Drawn,
    Images,
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
        sees: whether the objective has `noised`, as `bumplab.diffusion.loop.Seeing`. By default True without an
            ``objective``, and False with one.
    """

    tells = True

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
        sees: bool | None = None,
    ):
        self.network, self.taps = network, dict(taps or {})
        self.roles = {role: f"output of {tap if isinstance(tap, str) else tap[0]}" for role, tap in self.taps.items()}
        self.objective = objective or (lambda task, device: Denoising(task.diffusion, device))
        self.reads = (("training",) if objective else ("diffusion", "training")) if reads is None else reads
        self.sees = objective is None if sees is None else sees
        self.libraries = libraries
        self._budget, self._about, self._compiled = budget, about, compiled

    def budget(self, budget: Budget) -> Budget:
        return self._budget(budget)

    def describe(self) -> str:
        return self._about

    def start(
        self, task: Task, data: TrainingData, device: str, at: tuple[int, State] | None = None
    ) -> DiffusionLearner:
        """Raises ValueError for a tap that names no module, a state of another network, and no ``noised`` to see by."""
        if not isinstance(data, Feed):
            raise TypeError(f"data of {type(data).__name__}: bumplab's loop needs the data that the suite feeds")
        objective = self.objective(task, device)
        if self.sees and not hasattr(objective, "noised"):
            raise ValueError(
                f"sees = True, and {type(objective).__name__} has no noised: write it, or set sees = False"
            )
        state = loop.start(
            lambda: self.network(task),
            objective=objective,
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
        """``activations`` are those of the network's last call in `sample`, and ``told`` those of its first."""
        images: list[NDArray[np.float32]] = []
        last, first = _Rows(self._taps), _Rows(self._taps)
        with self._drawing():
            for begin in range(0, len(labels), SAMPLING_BATCH):
                chunk = self._on_device(labels[begin : begin + SAMPLING_BATCH])
                drawn, taps, told = self._draw(chunk, seed, begin, record=begin < recorded)
                images.append(drawn)
                last.add(taps)
                first.add(told)
        return Drawn(np.concatenate(images), last.joined(recorded), first.joined(recorded))

    @torch.inference_mode()
    def see(self, images: Images, labels: Labels, seed: int) -> dict[Role, NDArray[np.float32]]:
        """The activations of one call of the network, with the images as the objective's ``noised`` gives them."""
        objective: Any = self.training.objective
        rows = _Rows(self._taps)
        with self._drawing():
            for begin in range(0, len(labels), SAMPLING_BATCH):
                some = slice(begin, begin + SAMPLING_BATCH)
                rng = Drawing(generator(seed, "seeing", begin, self.training.device))
                grey = self._on_device(np.asarray(images[some], np.float32))
                x, t = objective.noised(to_unit(grey)[:, None], rng)
                with self._recorded() as outputs:
                    self._eager()(x, t, self._on_device(labels[some]))
                rows.add(self._as_rows(outputs))
        return rows.joined(len(labels))

    def _on_device(self, values: NDArray[Any]) -> Tensor:
        return torch.as_tensor(values, device=self.training.device)

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """The network is in its mode for drawing within the block."""
        speed.configure(self.training.device)
        network = self.training.averaged
        was_training = network.training
        network.eval()
        try:
            yield
        finally:
            network.train(was_training)

    @torch.inference_mode()
    def _draw(
        self, labels: Tensor, seed: int, first: int, record: bool
    ) -> tuple[NDArray[np.float32], _OfRoles, _OfRoles]:
        """Grey images ``[B, N, N]`` for ``labels [B, 2]``, and with ``record`` the activations ``[B, D]`` by role.

        The activations are those of the network's last call, and of its first.
        """
        device, size = self.training.device, self._image_size
        rng = Drawing(generator(seed, "sampling", first, device))
        noise = rng.normal(len(labels), 1, size, size)
        objective = self.training.objective
        fast = self._fast(labels)
        if not record:
            return to_grey(objective.sample(fast, labels, noise, rng))[:, 0].cpu().numpy(), {}, {}
        calls = 0
        told: _OfRoles = {}
        eager = self._eager()

        def net(x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            """Only an eager call fires hooks: on a GPU the first one, and the last one where its number is known."""
            nonlocal calls, told
            calls += 1
            if calls > 1 and objective.calls is not None and calls != objective.calls:
                return fast(x, t, labels)
            output = eager(x, t, labels)
            if calls == 1:
                told = self._as_rows(outputs)
            return output

        with self._recorded() as outputs:
            samples = objective.sample(net, labels, noise, rng)
        if objective.calls not in (None, calls):
            given = f"calls = {objective.calls}, and sample calls the network {calls} times"
            raise ValueError(f"{type(objective).__name__}: {given}: set calls to that, or to None where it varies")
        return to_grey(samples)[:, 0].cpu().numpy(), self._as_rows(outputs), told

    def _eager(self) -> Net:
        """The network as it runs each module, so that hooks fire. A compiled one runs no hook of a module in it."""
        network = self.training.averaged
        is_compiled = network._compiled_call_impl is not None
        return loop.called(network.forward if is_compiled else network, self.training.training)

    def _as_rows(self, outputs: Mapping[Role, Tensor]) -> _OfRoles:
        """The recorded activations ``[B, D]`` of each role. Raises ValueError for a tap that was not called."""
        for role, (name, _) in self._taps.items():
            if role not in outputs:
                raise ValueError(f"tap {name!r} of {role}: the network never calls this module")
        return {role: outputs[role].float().flatten(1).cpu().numpy() for role in self._taps}

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


_OfRoles = dict[Role, NDArray[np.float32]]


class _Rows:
    """Activations of each role, part by part."""

    def __init__(self, roles: Iterable[Role]):
        self._parts: dict[Role, list[NDArray[np.float32]]] = {role: [] for role in roles}

    def add(self, rows: _OfRoles) -> None:
        for role, part in rows.items():
            self._parts[role].append(part)

    def joined(self, count: int) -> _OfRoles:
        """The first ``count`` rows of each role. Nothing where none were added."""
        return {role: np.concatenate(parts)[:count] for role, parts in self._parts.items() if parts}


def _as_it_is(output: Any) -> Any:
    return output


def _padded(part: Tensor) -> Tensor:
    """``part [B, ...]`` filled with zeros to `SAMPLING_BATCH` rows. The last chunk of samples may have fewer rows."""
    return torch.cat([part, part.new_zeros(SAMPLING_BATCH - len(part), *part.shape[1:])])
