"""Tries in seconds whether a user's subject keeps the contract of `bumplab.subjects.protocol`."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from bumplab.config import RunSpec
from bumplab.subjects.protocol import Images, Learner, State
from bumplab.subjects.registry import Named
from bumplab.subjects.state import from_bytes
from bumplab.subjects.trial import Activations, Trial, Unusable

T = TypeVar("T")
NEAR = 1.0
"""Mean difference in grey values below which two draws count as the same on a GPU, whose sums have no fixed order."""


@dataclass(frozen=True)
class Checked:
    """What a check showed. A figure is NaN or 0 where the subject broke down before it was measured."""

    broken: tuple[str, ...]
    """One line for each broken promise."""
    notes: tuple[str, ...]
    """One line for each thing that is allowed and worth knowing."""
    seconds_a_step: float
    seconds_a_draw: float
    """Seconds for `images_a_draw` images and the activations of most of them."""
    images_a_draw: int
    state_bytes: int


@dataclass(frozen=True)
class _End:
    """State and images at the end of a training, as bytes. None where the subject gave none that are usable."""

    state: bytes | None
    images: bytes | None

    def differs(self, other: _End) -> bool:
        pairs = ((self.state, other.state), (self.images, other.images))
        return any(one is not None and two is not None and one != two for one, two in pairs)


def check(named: Named, spec: RunSpec, device: str) -> Checked:
    """Tries every promise of a subject.

    A subject that cannot start is tried no further. Any other broken promise leaves the others to be tried.

    Args:
        named: the subject.
        spec: a short run of this subject, at the scale of the profile ``smoke``. It is trained six to eight times.
        device: as torch names it. On a GPU trainings are not compared, because their bits may differ.
    """
    return _Check(named, spec, device).checked()


class _Check:
    def __init__(self, named: Named, spec: RunSpec, device: str):
        self.trial = Trial(named, spec, device)
        self.subject, self.spec, self.is_exact = named.subject, spec, device == "cpu"
        self.half, self.steps = spec.training.steps // 2, spec.training.steps
        self.seconds_a_step = self.seconds_a_draw = math.nan
        self.state_bytes = 0
        self.draws_repeat = self.draws_keep_state = True

    def checked(self) -> Checked:
        learner = _attempt(self.trial.start)
        if learner is not None:
            drawn = _attempt(lambda: self._end_with_draws(learner))
            parts = self._try_resuming(drawn)
            self._try_another_seed(parts)
        return Checked(
            broken=tuple(self.trial.broken.values()),
            notes=tuple(self.trial.notes),
            seconds_a_step=self.seconds_a_step,
            seconds_a_draw=self.seconds_a_draw,
            images_a_draw=len(self.trial.labels),
            state_bytes=self.state_bytes,
        )

    def _end_with_draws(self, learner: Learner) -> _End:
        """Draws before, during and after a training."""
        trial = self.trial
        trial.draw(learner, step=0)
        trial.train(learner, 0, self.half)
        before = trial.state(learner)
        began = time.perf_counter()
        first = trial.draw(learner, self.half)
        self.seconds_a_draw = time.perf_counter() - began
        self._compare_draws(first, trial.draw(learner, self.half), trial.draw(learner, self.half, seed=1, record=False))
        self._compare_recording(first, trial.draw(learner, self.half, record=False))
        if self.subject.sees:
            self._compare_seen(trial.see(learner), trial.see(learner))
        after = trial.state(learner)
        if before is not None and after is not None:
            verbs = "draw or see changes" if self.subject.sees else "draw changes"
            text = f"{verbs} state(): it must leave the learner as it was"
            self.draws_keep_state = trial.require(before == after, "draws keep state", text)
        began = time.perf_counter()
        trial.train(learner, self.half, self.steps)
        self.seconds_a_step = (time.perf_counter() - began) / (self.steps - self.half)
        end = self._end(learner)
        if end.state is not None:
            self.state_bytes = len(end.state)
            _attempt(lambda: trial.weights(learner))
        last = trial.draw(learner, self.steps)
        swapped = trial.draw(learner, self.steps, labels=trial.labels[::-1])
        if last is not None and swapped is not None:
            text = "draw gives the same images for other labels after training: it ignores its labels"
            trial.require(not np.array_equal(last, swapped, equal_nan=True), "labels", text)
        return end

    def _compare_draws(self, first: Images | None, again: Images | None, other: Images | None) -> None:
        """Compares two draws with one seed, and a third with another seed."""
        trial = self.trial
        if first is None or again is None or other is None:
            return
        text = "two draws with the same seed differ: take all randomness from the seed"
        self.draws_repeat = trial.require(self._are_alike(first, again), "same seed", text)
        if self.subject.random:
            text = "two draws with two seeds are the same: use the seed, or set random = False"
            trial.require(not np.array_equal(first, other, equal_nan=True), "two seeds", text)
        elif self.draws_repeat:
            text = "two draws with two seeds differ, and random is False: set random = True"
            trial.require(self._are_alike(first, other), "two seeds", text)

    def _compare_recording(self, recorded: Images | None, plain: Images | None) -> None:
        if recorded is not None and plain is not None and self.draws_repeat:
            text = "draw gives other images where no activations are asked for: they must not depend on recorded"
            self.trial.require(self._are_alike(recorded, plain), "recording", text)

    def _compare_seen(self, first: Activations | None, again: Activations | None) -> None:
        if first is not None and again is not None and self.is_exact:
            same = all(np.array_equal(first[role], again[role]) for role in first)
            text = "see gives other activations with the same seed: take all randomness from the seed"
            self.trial.require(same, "seeing again", text)

    def _are_alike(self, one: Images, two: Images) -> bool:
        if self.is_exact:
            return np.array_equal(one, two, equal_nan=True)
        difference = np.nan_to_num(one.astype(np.float64)) - np.nan_to_num(two.astype(np.float64))
        return bool(np.abs(difference).mean() < NEAR)

    def _try_resuming(self, drawn: _End | None) -> _End | None:
        """Compares trainings with and without draws, in parts, and from stored states. Returns where one ended."""
        trial = self.trial
        stored: dict[int, bytes] = {}
        parts = _attempt(lambda: self._end_in_parts(stored))
        whole = _attempt(self._end_in_one)
        resumed = [_attempt(partial(self._end_from, step, content)) for step, content in stored.items()]
        if parts is None or whole is None:
            return parts
        if not self.is_exact:
            trial.notes[f"trainings on {trial.device} were not compared: check the subject on the CPU too"] = None
            return parts
        if parts.differs(whole):
            twin = _attempt(lambda: self._end_in_parts({}))
            if twin is not None and parts.differs(twin):
                text = "two trainings of the same run end differently: take all randomness from task.rng"
                trial.require(False, "twins", text)
                return parts
            text = f"train({self.half}) and train({self.steps}) end elsewhere than train({self.steps}) alone"
            trial.require(False, "parts", f"{text}: keep in the learner all that training needs")
        if drawn is not None and self.draws_keep_state:
            text = "training ends elsewhere after draws: draw must leave the learner as it was"
            trial.require(not drawn.differs(parts), "draws", text)
        if self.subject.resumes == "approximately":
            trial.notes["resumes is 'approximately': a run that was interrupted ends in other numbers"] = None
            return parts
        same = not any(end is not None and end.differs(parts) for end in resumed)
        text = "training that goes on from a stored state ends elsewhere: store all that it needs in state()"
        trial.require(same, "resuming", f"{text}, or set resumes = 'approximately'")
        return parts

    def _end_in_parts(self, stored: dict[int, bytes]) -> _End:
        """Trains in two parts. Adds the states before them to ``stored``, by their step."""
        learner = self.trial.start()
        for step, until in ((0, self.half), (self.half, self.steps)):
            content = self.trial.state(learner)
            if content is not None:
                stored[step] = content
            self.trial.train(learner, step, until)
        return self._end(learner)

    def _end_in_one(self, seed: int | None = None) -> _End:
        learner = self.trial.start(seed=seed)
        self.trial.train(learner, 0, self.steps)
        return self._end(learner)

    def _end_from(self, step: int, content: bytes) -> _End:
        """Goes on from a stored state, as a run does that was interrupted after this step."""
        learner = self.trial.start(at=(step, _through_a_file(content)))
        if step < self.half:
            self.trial.train(learner, step, self.half)
        self.trial.train(learner, self.half, self.steps)
        return self._end(learner)

    def _try_another_seed(self, end: _End | None) -> None:
        other = _attempt(lambda: self._end_in_one(seed=(self.spec.seed + 1) % 2**32))
        if end is None or other is None or other.images is None or not self.subject.random:
            return
        if not other.differs(end):  # allowed: both may draw every image as it should be
            text = "runs of two seeds end in the same images: is all randomness taken from task.rng and the seed?"
            self.trial.notes[text] = None

    def _end(self, learner: Learner) -> _End:
        state, images = self.trial.state(learner), self.trial.draw(learner, self.steps)
        return _End(state, images.tobytes() if images is not None and self.draws_repeat else None)


def _attempt(function: Callable[[], T]) -> T | None:
    """The result, or None where the trial holds the reason why there is none."""
    try:
        return function()
    except Unusable:
        return None


def _through_a_file(content: bytes) -> State:
    with tempfile.TemporaryDirectory(prefix="bumplab-check-") as folder:
        path = Path(folder) / "state.safetensors"
        path.write_bytes(content)
        return from_bytes(path.read_bytes())
