"""The forms in which an item judges its claim, and the runs that each part of a form may need at later looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bumplab.config import RunSpec
from bumplab.pytest_plugin import entries
from bumplab.pytest_plugin.items import Item
from bumplab.pytest_plugin.settings import Settings
from bumplab.verdicts.claim import Claim, Control, Part
from bumplab.verdicts.evidence import CONTROL_NEEDED
from bumplab.verdicts.judging import fewest_seeds
from bumplab.verdicts.variation import Variation


@dataclass(frozen=True)
class Form:
    """A claim as it is, in the world of a control, or with one choice changed. A part needs evidence of ``needed``."""

    name: str
    """Such as ``control-untrained`` or ``prediction=epsilon``; empty for the claim as it is."""
    claim: Claim
    needed: float

    def question(self, part: Part) -> str:
        """The name of one of its parts on the board (`bumplab.runs.board`). Items that judge the same part share it."""
        return f"{self.claim.id}|{self.name}|{part.name}"

    def questions(self) -> list[str]:
        """Those of its judged parts."""
        return [self.question(part) for part in self.claim.judged_parts]

    def may_need(self, part: Part, settings: Settings, seeds: int = 0) -> list[RunSpec]:
        """The runs that a judged part may need from its look at ``seeds`` on, and those before it.

        They reach to the fewest seeds that can decide the part. From there on they reach to one seed more than the look
        has. So at most one seed is trained in vain, except where the part ends before the fewest seeds.
        """
        runs_of, looks = self.claim.runs_of(part), settings.looks_of(self.claim)
        conditions = list(runs_of(settings.profile, looks.first_seed))
        if not conditions:
            return []
        fewest = fewest_seeds(part, conditions, self.needed) or looks.first
        most = min(looks.last, fewest if seeds <= fewest else seeds + 1)
        of_seeds = [runs_of(settings.profile, seed) for seed in range(looks.first_seed, looks.first_seed + most)]
        return [run for runs in of_seeds for run in runs.values()]


def first_look(claim: Claim, item: Item, settings: Settings) -> list[RunSpec]:
    """The runs of an item's first look, of all its forms."""
    runs: list[RunSpec] = []
    for form in forms(claim, item, settings):
        for of_condition in entries.planned(form.claim, settings, settings.looks.first).values():
            runs += of_condition
    return runs


def later_looks(claim: Claim, item: Item, settings: Settings) -> dict[str, list[RunSpec]]:
    """The runs that each of an item's questions may need, by question."""
    runs = {}
    for form in forms(claim, item, settings):
        for part in form.claim.judged_parts:
            runs[form.question(part)] = form.may_need(part, settings)
    return runs


def form_of(claim: Claim, settings: Settings) -> Form:
    """The claim as it is."""
    return Form("", claim, settings.looks_of(claim).needed)


def under(claim: Claim, control: Control) -> Form:
    """The claim in the world of the control."""
    return Form(control.slug, claim.under(control), CONTROL_NEEDED)


def varied(claim: Claim, variation: Variation, settings: Settings) -> Form:
    """The claim with one choice changed."""
    return Form(variation.name, variation.of(claim), settings.looks_of(claim).needed)


def forms(claim: Claim, item: Item, settings: Settings) -> Sequence[Form]:
    """What an item judges: parts of the claim, the claim under a control, or the claim in all its forms.

    Empty where the claim is skipped.
    """
    if settings.lacking(claim):
        return []
    claim = settings.judged_form(claim)
    if item.kind == "part":
        return [form_of(claim.only([item.name]), settings)]
    if item.kind == "control":
        return [under(claim, claim.control(item.name))]
    controls = [under(claim, control) for control in claim.controls] if settings.controls else []
    variations = [varied(claim, variation, settings) for variation in settings.variations]
    return [form_of(claim, settings), *controls, *variations]
