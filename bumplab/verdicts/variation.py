"""A claim repeated with one changed choice that the paper leaves open: does the verdict depend on that choice?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from bumplab.config import LAYER_4, DiffusionSpec, ModelSpec, Role, RunSpec, TrainingSpec
from bumplab.verdicts.claim import Claim, SeedRuns

PARTS: dict[str, type] = {"model": ModelSpec, "diffusion": DiffusionSpec, "training": TrainingSpec}
CHOICES = {
    field.name: part for part, kind in PARTS.items() for field in dataclasses.fields(kind) if field.name != "timesteps"
}
"""Fields of a run that the paper leaves open, each with the part of the spec that holds it. `parse` adds ``tap``."""


@dataclass(frozen=True)
class Variation:
    """One changed choice. ``name`` is the user's text, such as ``prediction=epsilon``."""

    name: str
    respecify: Callable[[RunSpec], RunSpec]
    change: Callable[[SeedRuns], SeedRuns] | None = None

    def of(self, claim: Claim) -> Claim:
        """The same claim on runs with the changed choice."""
        return claim.with_runs(
            lambda profile, seed: {name: self.respecify(run) for name, run in claim.runs(profile, seed).items()},
            self.change,
        )


def parse(
    text: str,
    base: RunSpec,
    reads: Callable[[str, str], bool] = lambda part, choice: True,
    roles: Collection[Role] = LAYER_4,
) -> Variation:
    """The variation named by ``choice=value``, checked against the base run of a profile.

    ``reads`` tells whether the subject reads a choice of a part of the spec. ``roles`` are those that it delivers.

    ``tap=layer4-injected`` reads the representation after the label injection, from the same runs. Every other choice
    is a field of the model, the diffusion or the training. Raises ValueError in one line where the text names no
    variation.
    """
    choice, _, value = text.partition("=")
    if choice == "tap":
        if value not in LAYER_4:
            raise ValueError(f"tap={value}: must be one of {', '.join(LAYER_4)}, which are followed through training")
        if value not in roles:
            raise ValueError(f"{text}: {base.subject.name} does not deliver {value}")
        if value == LAYER_4[0]:
            raise ValueError(f"{text}: is what the profile does anyway")
        return Variation(text, lambda run: run, lambda runs: _read_from(value, runs))
    if choice not in CHOICES:
        raise ValueError(f"unknown choice {choice!r}: must be one of tap, {', '.join(sorted(CHOICES))}")
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


def _read_from(tap: str, runs: SeedRuns) -> SeedRuns:
    """The same runs with the measures of ``tap`` under the name of the tap that claims read."""
    names = [name for name in next(iter(runs.values())).rows[0] if name.startswith(f"{tap}.")]
    renamed = {name: f"{LAYER_4[0]}.{name.removeprefix(f'{tap}.')}" for name in names}
    return {
        condition: run.replaced({new: run[name] for name, new in renamed.items()}) for condition, run in runs.items()
    }
