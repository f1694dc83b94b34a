"""What a claim is, in hashes: its design, its behaviour on made-up runs, and its runs at each profile.

Claims with equal hashes decide the same. Renamed variables, reordered functions and reworded reasons keep the hashes.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from bumplab.measure.names import MEASUREMENT
from bumplab.profiles import ALL, Profile
from bumplab.runs.record import TRAINING
from bumplab.verdicts import evidence, looks
from bumplab.verdicts.claim import Claim, Compared, Part, Premise, Region, SeedRuns
from bumplab.verdicts.curves import Bounds, Curves
from bumplab.verdicts.decision import decide
from bumplab.verdicts.judging import PREMISE_SEEDS, mark_of
from bumplab.verdicts.synthetic import REFERENCE, synthetic

RECORDS = 50
"""Made-up seeds on which a claim's behaviour is hashed."""
DIGITS = 16
"""Hexadecimal digits of a hash."""
PATTERNS = ("+", "-", "+++++++-", "++-", "+-", "--0-", "0")
"""Signs of the seeds on which the rule is hashed, repeated up to the last look (`_seed`)."""


class Fixed(NamedTuple):
    """What decides a claim's verdict at a profile, in hashes."""

    rule: str
    design: str
    behaviour: str
    runs: str


class Hashes(Struct, frozen=True, forbid_unknown_fields=True):
    """What a claim is, in hashes. ``runs`` has one for each profile that decides, by its name."""

    design: str
    behaviour: str
    runs: dict[str, str]


def hashes_of(claim: Claim) -> Hashes:
    """The hashes of a claim at all profiles that decide."""
    return Hashes(
        design=hash_of(_design(claim)),
        behaviour=hash_of(_behaviour(claim)),
        runs={name: hash_of(_runs(claim, profile)) for name, profile in ALL.items() if profile.decides},
    )


@cache
def rule_hash() -> str:
    """The hash of what turns seeds into a verdict: the rule's constants and its verdicts on fixed seeds, and versions.

    These are `bumplab.runs.record.TRAINING` and `bumplab.measure.names.MEASUREMENT`.
    """
    constants = (
        evidence.FAMILY_ALPHA,
        evidence.LATER_ALPHA,
        evidence.CONTROL_NEEDED,
        evidence.GUARD,
        PREMISE_SEEDS,
        looks.FIRST_LOOK,
        looks.LAST_LOOK,
    )
    versions = [TRAINING, MEASUREMENT]  # with another one, equal runs have other numbers
    return hash_of([[_plain(number) for number in constants], versions, _of_counts(), _verdicts()])


def hash_of(value: Any) -> str:
    """The hash of lists, dictionaries, texts and numbers: the first `DIGITS` digits of SHA-256."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _design(claim: Claim) -> Any:
    """What a claim says and how it decides. It leaves out reasons, sources, figures and what completes a sentence."""
    return {
        "id": claim.id,
        "statement": claim.statement,
        "certain": claim.certain,
        "parts": {part.name: _design_of_part(part) for part in claim.parts},
        "controls": {
            control.name: [control.positive, sorted(control.parts), control.runs is None] for control in claim.controls
        },
    }


def _design_of_part(part: Part) -> Any:
    premise = part.premise
    return {
        "reads": part.reads,
        "unit": part.unit,
        "region": _edges(part.region),
        "judges": part.judges,
        "compared": isinstance(part.effect, Compared),
        "premise": premise and [premise.name, premise.unit, _edges(premise.region)],
    }


def _runs(claim: Claim, profile: Profile) -> Any:
    """The specs of all parts and controls at a profile. A seed is the distance to that of the claim's own runs."""
    runs_of = {f"part {part.name}": claim.runs_of(part) for part in claim.parts}
    runs_of |= {f"control {control.name}": control.runs for control in claim.controls if control.runs is not None}
    specs: dict[str, dict[str, str]] = {}
    for name, runs in runs_of.items():
        specs[name] = {condition: spec.to_json() for condition, spec in runs(profile, 0).items()}
    return specs


def _behaviour(claim: Claim) -> Any:
    """What all parts read of `RECORDS` made-up seeds, also of what each control changes these to.

    Nothing is tried of a certain claim: it draws nothing at random, and its effects may need torch.
    """
    if claim.certain:
        return {}
    forms = {"": claim} | {control.name: claim.under(control) for control in claim.controls if control.change}
    read: dict[str, list[Any]] = {}
    made = cache(synthetic)  # parts share runs
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in claim.parts:
            specs = claim.runs_of(part)(REFERENCE, 0)
            for number in range(RECORDS):
                runs = {condition: made(spec, condition, number) for condition, spec in specs.items()}
                for name, form in forms.items():
                    for tried in form.parts:
                        if tried.name == part.name:
                            read.setdefault(f"{part.name}: {name}", []).append(_read(tried, runs))
    return read


def _read(part: Part, runs: SeedRuns) -> list[str]:
    """The mark and the effect of one seed, and the number of its premise. An error counts as its name."""
    return [*_or_error(_mark, part, runs), *(_or_error(_number, part.premise, runs) if part.premise else ())]


def _or_error(read: Callable[[Any, SeedRuns], list[str]], of: Any, runs: SeedRuns) -> list[str]:
    try:
        return read(of, runs)
    except Exception as error:
        return [type(error).__name__]


def _mark(part: Part, runs: SeedRuns) -> list[str]:
    mark = mark_of(part, runs, 0)
    return [mark.mark, *("none" if bound is None else _plain(bound) for bound in (mark.low, mark.high))]


def _number(premise: Premise, runs: SeedRuns) -> list[str]:
    number: float | Bounds = premise.effect(runs)
    return [_plain(bound) for bound in number] if isinstance(number, tuple) else [_plain(number)]


def _of_counts() -> Any:
    """Evidence of counted seeds and of compared conditions."""
    counts = [_plain(evidence.counted(hits, misses)) for hits in range(15) for misses in range(5)]
    scores = ((0, 1, 2, 3), (3, 1, 1, 0), (1, 1, 1, 1))
    return [counts, [_plain(evidence.compared(of_seed, (0, 1, 2, 3))) for of_seed in scores]]


def _verdicts() -> Any:
    """The verdict on a claim of two parts and the seeds behind it, for fixed marks of the seeds.

    At the default looks a part whose premise fails cannot be decided any more. With twice as many it is given up.
    """
    region = Region(low=0.0)
    counted = Part("counted", "", "", "", region, "", lambda runs: runs["d=0"].last("v"))
    scores = Compared(lambda runs: [run.last("v") for run in runs.values()], lambda conditions: range(len(conditions)))
    needs_some = Premise("", "", "", region, lambda runs: runs["d=1"].last("v"))
    compared = Part("compared", "", "", "", region, "", scores, premise=needs_some)
    claim = Claim("rule", "", "", "", lambda profile, seed: {}, (counted, compared), {})
    verdicts = []
    for last, pattern in product((looks.LAST_LOOK, 2 * looks.LAST_LOOK), PATTERNS):
        of_looks = looks.Looks(last=last, needed=looks.needed_of(9))
        seeds = [_seed(pattern[seed % len(pattern)]) for seed in range(last)]
        verdict = decide(claim, lambda part, count, seeds=seeds: seeds[:count], of_looks)  # type: ignore[misc]
        parts = [[part.verdict, len(part.seeds), _plain(part.support), _plain(part.against)] for part in verdict.parts]
        verdicts.append([last, pattern, verdict.verdict, parts])
    return verdicts


def _seed(sign: str) -> Mapping[str, Curves]:
    """A seed of three conditions: rising from 1, falling from -1, or all 0."""
    values = {"+": (1.0, 2.0, 3.0), "-": (-1.0, -2.0, -3.0), "0": (0.0, 0.0, 0.0)}[sign]
    return {f"d={i}": Curves([{"step": 0.0, "v": value}], REFERENCE.base) for i, value in enumerate(values)}


def _edges(region: Region) -> list[str]:
    return [_plain(region.low), _plain(region.high)]


def _plain(number: float) -> str:
    """Six digits: another order of the same sums must not change a hash. What is 0 but for rounding is 0."""
    return f"{round(float(number), 9) + 0.0:.6g}"
