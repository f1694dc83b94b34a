"""Calls a subject under trial, and checks after each call the form of its result and what it must leave alone."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bumplab.config import ROLES, Role, RunSpec
from bumplab.data.feed import Feed
from bumplab.randomness import derive
from bumplab.subjects.protocol import Diverged, Drawn, Images, Labels, Learner, State, Subject, Task
from bumplab.subjects.registry import Named
from bumplab.subjects.sources import blamed
from bumplab.subjects.state import StateError, to_bytes

T = TypeVar("T")
Activations = Mapping[Role, NDArray[Any]]
NOT_RECORDED = 4
"""Images of a draw beyond those whose activations are asked for."""
UNIT = 1.001
"""No image of grey values from 0 to 255 stays within -1 to 1, but for a black one."""


class Unusable(Exception):
    """The learner cannot be tried any further. `Trial.broken` or `Trial.notes` holds the reason."""


class Trial:
    """A subject under trial, and the promises that it broke so far."""

    def __init__(self, named: Named, spec: RunSpec, device: str):
        self.named, self.subject, self.device = named, named.subject, device
        self.broken: dict[str, str] = {}
        """One line for each broken promise, by a name of the promise."""
        self.notes: dict[str, None] = {}
        """Lines for what is allowed and worth knowing, in order."""
        self.spec = spec
        self.feed = Feed(spec.data, spec.seed)
        self.labels: Labels = self.feed.labels[
            np.linspace(0, len(self.feed.labels) - 1, spec.measure.samples).astype(int)
        ]
        """``[B, 2]`` in pixels: the labels of every draw."""
        self.seeds = (derive(spec.seed, "sampling", 0), derive(spec.seed, "sampling", 1))
        """Seeds of draws, as large as a run's."""
        self._shapes: dict[str, tuple[int, ...]] = {}

    def require(self, ok: bool, promise: str, broken: str) -> bool:
        """Keeps the line ``broken`` unless ``ok``. The first line of a promise stays. Returns ``ok``."""
        if not ok:
            self.broken.setdefault(promise, broken)
        return ok

    def start(self, at: tuple[int, State] | None = None, seed: int | None = None) -> Learner:
        """A learner of the run, or of another seed. Raises `Unusable` where there is none."""
        seed = self.spec.seed if seed is None else seed
        roles = tuple(role for role in ROLES if role in self.subject.roles)
        task = Task.of(replace(self.spec, seed=seed), roles)
        data = Feed(self.spec.data, seed)
        verb = "start" if at is None else "start from a stored state"
        learner = self._call(verb, lambda: self.subject.start(task, data, self.device, at))
        missing = [verb for verb in ("train", "draw", "state") if not callable(getattr(learner, verb, None))]
        given = f"start gives a {type(learner).__name__} without {', '.join(missing)}: must be a learner"
        if not self.require(not missing, "learner", given):
            raise Unusable
        return learner

    def train(self, learner: Learner, begin: int, until: int) -> None:
        """Trains from step ``begin`` to ``until``. Raises `Unusable` where that fails."""
        steps: list[int] = []
        try:
            loss: Any = self._call("train", lambda: learner.train(until, steps.append))
        except Diverged as error:
            text = blamed(error, self.named.files)
            self.notes[f"training broke down: {text}: such a run counts as failed, and the session goes on"] = None
            raise Unusable from error
        shown = f"{', '.join(map(str, steps[:20])) or 'no step'}{', ...' * (len(steps) > 20)}"
        allowed = f"must be every step from {begin + 1} to {until}, once and in order"
        self.require(
            steps == list(range(begin + 1, until + 1)), "on_step", f"train called on_step with {shown}: {allowed}"
        )
        is_loss = loss is None or (isinstance(loss, float) and math.isfinite(loss))
        shown = f"{loss!r}" if isinstance(loss, float) else f"a {type(loss).__name__}"
        todo = "must be a finite float or None; raise Diverged where training breaks down"
        self.require(is_loss, "loss", f"train gives {shown} as the loss: {todo}")

    def draw(
        self, learner: Learner, step: int, *, labels: Labels | None = None, seed: int = 0, record: bool = True
    ) -> Images | None:
        """The images of a draw, or None where they are unusable. ``seed`` is 0 or 1, the place in `seeds`.

        ``record`` asks for activations, too.
        """
        labels = self.labels if labels is None else labels
        recorded = len(labels) - NOT_RECORDED if record else 0
        try:
            drawn: Any = self._call("draw", lambda: learner.draw(labels.copy(), self.seeds[seed], recorded))
        except Unusable:
            return None
        if not self.require(
            isinstance(drawn, Drawn), "drawn", f"draw gives a value of type {type(drawn).__name__}: must be a Drawn"
        ):
            return None
        if recorded:
            self._require_activations(drawn.activations, recorded, "draw gives activations")
        if recorded and self.subject.tells:
            self._require_activations(drawn.told, recorded, "draw gives told activations")
        size = self.spec.data.image_size
        problem = _problem(drawn.images, (len(labels), size, size), kinds="iuf")
        if not self.require(not problem, "images", f"draw gives images {problem}"):
            return None
        ok = step > 0 or bool(np.isfinite(drawn.images).all())
        self.require(ok, "finite images", "draw gives images with NaN or infinity before training: they must be finite")
        images = np.asarray(drawn.images)
        is_unit = images.dtype.kind == "f" and bool(np.ptp(images) > 0 and np.abs(images).max() <= UNIT)
        self.require(not is_unit, "grey values", "draw gives images within -1 to 1: must be 0 dark to 255 white")
        return images

    def see(self, learner: Learner) -> Activations | None:
        """The activations for true images under one label, or None where they are unusable."""
        images = self.feed.true_images(self.labels)
        labels = np.full_like(self.labels, (self.spec.data.image_size + 1) / 2)
        try:
            seen: Any = self._call("see", lambda: learner.see(images.copy(), labels, self.seeds[0]))
        except Unusable:
            return None
        return seen if self._require_activations(seen, len(labels), "see gives activations") else None

    def state(self, learner: Learner) -> bytes | None:
        """The state as a file's content, or None where it is unusable."""
        try:
            return self._stored("state()", self._call("state", learner.state))
        except Unusable:
            return None

    def weights(self, learner: Learner) -> None:
        """Tries what is stored of a finished run, where that is not the state."""
        if type(self.subject).weights is Subject.weights:
            return
        self._stored("weights()", self._call("weights", lambda: self.subject.weights(learner)))

    def _stored(self, source: str, state: State) -> bytes | None:
        try:
            content = to_bytes(state)
        except StateError as error:
            self.require(False, source, f"{source}: {error}")
            return None
        for name, array in state.items():
            if array.dtype.kind == "f" and np.isinf(array).any():
                self.notes[f"{source}: {name!r} holds infinity, as a mask may"] = None
            is_known = array.dtype.kind != "f" or not np.isnan(array).any()
            todo = "raise Diverged where training breaks down"
            self.require(is_known, f"finite {source}", f"{source}: {name!r} holds NaN: {todo}")
        return content

    def _require_activations(self, activations: Any, count: int, given: str) -> bool:
        """Whether the activations of each declared role are as they must be. ``given`` says what gave them."""
        text = f"{given} as a {type(activations).__name__}: must be arrays by role, such as a dict"
        if not self.require(isinstance(activations, Mapping), given, text):
            return False
        declared, ok = self.subject.roles, True
        for role in activations.keys() - declared.keys():
            ok = self.require(False, f"roles {given}", f"{given} of {role!r}: declare it in roles, or leave it out")
        for role in declared:
            if role not in activations:
                todo = "deliver them, or leave it out of roles"
                text = f"{given.replace('gives', 'gives no')} of {role!r}: {todo}"
                ok = self.require(False, f"no {role} {given}", text)
                continue
            array = activations[role]
            problem = _problem(array, (count, ...), kinds="biuf")
            if not problem and not np.isfinite(array).all():
                problem = "with NaN or infinity: must be finite"
            shape = self._shapes.setdefault(f"{role} {given}", array.shape) if not problem else ()
            if not problem and array.shape != shape:
                problem = f"of shape {array.shape}, and {shape} earlier: must keep its shape"
            ok = self.require(not problem, f"{role} {given}", f"{given} of {role!r} {problem}") and ok
        return ok

    def _call(self, verb: str, function: Callable[[], T]) -> T:
        """The call's result. Raises `Unusable` for any error but `Diverged` in training."""
        before = _global_random_states(self.device)
        try:
            result = function()
        except (Exception, SystemExit) as error:
            if verb == "train" and isinstance(error, Diverged):
                raise
            text = f"{verb} raises {blamed(error, self.named.files)}"
            self.require(False, text, text)
            raise Unusable from error
        after = _global_random_states(self.device)
        moved = ", ".join(name for name, state in after.items() if before.get(name, state) != state)
        todo = "draw from task.rng or from generators of your own"
        if "torch" in moved:
            todo += "; build layers within torch.random.fork_rng(devices=[]), after torch.manual_seed(task.seed)"
        self.require(not moved, f"global {verb.split()[0]}", f"{verb} moves the global random state of {moved}: {todo}")
        return result


def _problem(array: Any, shape: tuple[Any, ...], kinds: str) -> str:
    """What is wrong with an array in words, or "". ``...`` at the end of the shape stands for any sizes above 0."""
    if not isinstance(array, np.ndarray):
        return f"as a {type(array).__name__}: must be a NumPy array"
    if array.dtype.kind not in kinds:
        return f"of dtype {array.dtype}: must be real numbers"
    fits = array.shape == shape
    if shape[-1] is ...:
        fits = array.ndim > 0 and array.shape[: len(shape) - 1] == shape[:-1] and array.size > 0
    text = ", ".join("..." if size is ... else str(size) for size in shape)
    return "" if fits else f"of shape {array.shape}: must be ({text})"


def _global_random_states(device: str) -> dict[str, object]:
    """The states of the global generators of random, NumPy and, where it is imported, torch."""
    legacy = np.random.get_state(legacy=False)
    of_numpy = (legacy["state"]["key"].tobytes(), legacy["state"]["pos"], legacy["has_gauss"], legacy["gauss"])
    states: dict[str, object] = {"random": random.getstate(), "numpy.random": of_numpy}
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
        if device.startswith("cuda"):
            states["torch.cuda"] = torch.cuda.get_rng_state(device).numpy().tobytes()
    return states
