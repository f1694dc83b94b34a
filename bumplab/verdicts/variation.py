"""A claim repeated with one open choice changed: does the paper's claim hang on something it never stated?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bumplab.config import LAYER_4, DiffusionSpec, ModelSpec, RunSpec, TrainingSpec
from bumplab.verdicts.claim import Claim, SeedRuns

PARTS: dict[str, type] = {"model": ModelSpec, "diffusion": DiffusionSpec, "training": TrainingSpec}
CHOICES = {
    field.name: part
    for part, kind in PARTS.items()
    for field in dataclasses.fields(kind)
    if field.name not in ("kind", "timesteps")
}
"""Every field of a run that the paper leaves open, by the part of the spec that holds it; and ``tap``, see `parse`."""


@dataclass(frozen=True)
class Variation:
    """One choice, changed: ``name`` as the user wrote it, such as ``prediction=epsilon``."""

    name: str
    respecify: Callable[[RunSpec], RunSpec]
    change: Callable[[SeedRuns], SeedRuns] | None = None

    def of(self, claim: Claim) -> Claim:
        """The same claim on the runs that the changed choice makes."""
        return claim.with_runs(
            lambda profile, seed: {name: self.respecify(run) for name, run in claim.runs(profile, seed).items()},
            self.change,
        )


def parse(text: str, base: RunSpec) -> Variation:
    """The variation that ``choice=value`` names, checked against a profile's base run. Raises ValueError in one line.

    ``tap=up1`` reads the representation after the label injection and needs no other runs; every other choice is a
    field of the model, the diffusion or the training.
    """
    choice, _, value = text.partition("=")
    if choice == "tap":
        if value not in LAYER_4:
            raise ValueError(f"tap={value}: must be one of {', '.join(LAYER_4)}, which are followed through training")
        if value == LAYER_4[0]:
            raise ValueError(f"{text}: is what the profile does anyway")
        return Variation(text, lambda run: run, lambda runs: _read_from(value, runs))
    if choice not in CHOICES:
        raise ValueError(f"unknown choice {choice!r}: must be one of tap, {', '.join(sorted(CHOICES))}")
    part = CHOICES[choice]
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
        respecify(base)  # the spec says what is allowed
    except ValueError as error:
        about_it = str(error).startswith(choice)
        raise ValueError(str(error) if about_it else f"{text}: {error}") from error
    if typed == now:
        raise ValueError(f"{text}: is what the profile does anyway")
    if reason := changes_nothing(base, respecify(base)):
        raise ValueError(f"{text}: changes nothing, because {reason}")
    return Variation(text, respecify)


def changes_nothing(base: RunSpec, varied: RunSpec) -> str | None:
    """Why two specs make the same network though they differ, or None where they do not."""
    size = base.data.image_size
    before, after = base.model.attended(size), varied.model.attended(size)
    if base.model.attention_max_size != varied.model.attention_max_size and before == after:
        sides = ", ".join(map(str, ModelSpec(attention_max_size=size).attended(size)))
        return f"attention follows the same maps (their sides are {sides} pixels)"
    if base.model.attention_heads != varied.model.attention_heads and not after:
        return "no map is followed by attention"
    return None


def _read_from(tap: str, runs: SeedRuns) -> SeedRuns:
    """The same runs with another tap's measures under the name of the one that claims read."""
    usual = LAYER_4[0]
    measured = [
        name.removeprefix(f"{tap}.") for name in next(iter(runs.values())).rows[0] if name.startswith(f"{tap}.")
    ]
    return {
        condition: run.replaced({f"{usual}.{measure}": run[f"{tap}.{measure}"] for measure in measured})
        for condition, run in runs.items()
    }
