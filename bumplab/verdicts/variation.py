"""A claim repeated with one changed choice that the paper leaves open: does the verdict depend on that choice?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bumplab.config import DiffusionSpec, ModelSpec, RunSpec, TrainingSpec
from bumplab.profiles import Profile
from bumplab.verdicts.claim import Claim, RunsOf

PARTS: dict[str, type] = {"model": ModelSpec, "diffusion": DiffusionSpec, "training": TrainingSpec}
CHOICES = {
    field.name: part for part, kind in PARTS.items() for field in dataclasses.fields(kind) if field.name != "timesteps"
}
"""Fields of a run that the paper leaves open, each with the part of the spec that holds it."""


@dataclass(frozen=True)
class Variation:
    """One changed choice. ``name`` is the user's text, such as ``prediction=epsilon``."""

    name: str
    respecify: Callable[[RunSpec], RunSpec]

    def of(self, claim: Claim) -> Claim:
        """The same claim on runs with the changed choice. Parts with runs of their own keep them, changed as well."""
        parts = tuple(replace(part, runs=part.runs and self._runs(part.runs)) for part in claim.parts)
        return replace(claim, runs=self._runs(claim.runs), parts=parts, controls=())

    def _runs(self, runs: RunsOf) -> RunsOf:
        def varied(profile: Profile, seed: int) -> dict[str, RunSpec]:
            return {condition: self.respecify(run) for condition, run in runs(profile, seed).items()}

        return varied


def parse(text: str, base: RunSpec, reads: Callable[[str, str], bool] = lambda part, choice: True) -> Variation:
    """The variation named by ``choice=value``, checked against the base run of a profile.

    A choice is a field of the model, the diffusion or the training. ``reads`` tells whether the subject reads a choice
    of a part of the spec. Raises ValueError in one line where the text names no variation.
    """
    choice, _, value = text.partition("=")
    if choice not in CHOICES:
        raise ValueError(f"unknown choice {choice!r}: must be one of {', '.join(sorted(CHOICES))}")
    part = CHOICES[choice]
    if not reads(part, choice):
        raise ValueError(f"{text}: changes nothing, because {base.subject.name} does not read the profile's {part}")
    now = getattr(getattr(base, part), choice)
    if not value:
        raise ValueError(f"{choice}: needs a value, such as {choice}={now}")
    try:
        typed: Any = type(now)(value)
    except ValueError as error:
        kind = "a whole number" if isinstance(now, int) else "a number"
        raise ValueError(f"{text}: must be {kind}, such as {choice}={now}") from error

    def respecify(run: RunSpec) -> RunSpec:
        return replace(run, **{part: replace(getattr(run, part), **{choice: typed})})

    try:
        respecify(base)  # the spec checks the value
    except ValueError as error:
        names_the_choice = str(error).startswith(choice)
        raise ValueError(str(error) if names_the_choice else f"{text}: {error}") from error
    if typed == now:
        raise ValueError(f"{text}: is what the profile does anyway")
    if reason := changes_nothing(base, respecify(base)):
        raise ValueError(f"{text}: changes nothing, because {reason}")
    return Variation(text, respecify)


def changes_nothing(base: RunSpec, varied: RunSpec) -> str | None:
    """The reason why two different specs make the same network, or None where they make two."""
    size = base.data.image_size
    before, after = base.model.attended(size), varied.model.attended(size)
    if base.model.attention_max_size != varied.model.attention_max_size and before == after:
        sides = ", ".join(map(str, ModelSpec(attention_max_size=size).attended(size)))
        return f"attention follows the same maps (their sides are {sides} pixels)"
    if base.model.attention_heads != varied.model.attention_heads and not after:
        return "no map is followed by attention"
    return None
