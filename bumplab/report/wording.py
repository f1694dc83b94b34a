"""How the report words an entry of its JSON: plain built-ins, in which some keys may be absent."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from bumplab.verdicts import suite
from bumplab.verdicts.error_rate import KEPT_FOR_THE_LAST, Looks

SYMBOLS = {"SUPPORTED": "✓", "CONTRADICTED": "✗", "INCONCLUSIVE": "?", "ERROR": "!"}
Entry = Mapping[str, Any]


def number(value: float | None) -> str:
    return "open" if value is None else f"{value:.3g}"


def estimate(part: Entry) -> str:
    """A part's estimate; open where censoring or an infinite value leaves it so, none without an interval."""
    undefined = part["estimate"] is None and part["low"] is None and part["high"] is None
    return "none" if undefined else number(part["estimate"])


def limits(part: Entry) -> str:
    """An interval's limits; one that is infinite is open, and without an interval there are none.

    One that rests on a single number has no chance in it.
    """
    if part["low"] is None and part["high"] is None:
        return "none"
    if part["low"] == part["high"] and len(part["effects"]) == 1:
        return "exact"
    return f"{number(part['low'])} to {number(part['high'])}"


def deciding(entry: Entry) -> Entry | None:
    """The first judging part that made the verdict of a claim, control or variation, before controls withdrew it."""
    judges = [part for part in entry.get("parts", []) if part["judges"]]
    found = entry.get("unchecked", entry["verdict"])
    return next((part for part in judges if part["verdict"] == found), judges[0] if judges else None)


def seed_effects(part: Entry) -> list[str]:
    """What each seed says, in order, a line a seed; seeds in a row that say the same share one."""
    lines = groupby(_seed_effect(effect, part.get("datum", "")) for effect in part["effects"])
    counted = [(line, len(list(same))) for line, same in lines]
    return [f"{line} ({count} seeds)" if count > 1 else line for line, count in counted]


def _seed_effect(effect: list[float | None] | None, datum: str) -> str:
    if effect is None:
        return "undefined"
    if _counts_failures(effect, datum):
        half = len(effect) // 2
        failed = [level for level, outcome in zip(effect[:half], effect[half:], strict=True) if outcome]
        return (
            f"failed at {', '.join(f'{2**level:.3g}' for level in failed if level is not None)}"
            if failed
            else "none failed"
        )
    if datum:
        return ", ".join(map(number, effect))
    low, high = effect
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def _counts_failures(effect: list[float | None] | None, datum: str) -> bool:
    """Whether a seed's numbers are levels (log2) and, after them, an outcome of 0 or 1 for each."""
    if not datum or effect is None or len(effect) <= 2 or len(effect) % 2:
        return False
    return all(outcome in (0, 1) for outcome in effect[len(effect) // 2 :])


def datum_note(part: Entry) -> str:
    """What the numbers of `seed_effects` are, where they are not the effect."""
    datum = part.get("datum", "")
    failures = any(_counts_failures(effect, datum) for effect in part["effects"])
    return "conditions whose run failed" if failures else datum


def noise_note(part: Entry) -> str:
    """How much of the spread between seeds is only the finite number of sampled images."""
    noise = part.get("noise")
    if not noise:
        return ""
    if noise["ratio"] is None:
        return f"sampling noise is {number(noise['noise'])}; these seeds do not differ"
    return f"sampling noise is {100 * noise['ratio']:.0f} % of the spread between seeds"


def seeds_used(claim: Entry) -> str:
    if not claim.get("conditions"):
        return "needs no runs"
    looks = claim.get("looks")
    return f"{claim['seeds']} of at most {looks['last']}" if looks else str(claim["seeds"])


def control_outcome(control: Entry) -> str:
    """``passed`` where its effects were told apart from what it must not be, ``undefined`` where there were none.

    An untrained network has no steps to half its ceiling: that no claim on them is supported there shows little.
    """
    if not control["passed"]:
        return "✗ failed"
    judges = [part for part in control.get("parts", ()) if part["judges"]]
    lacking = any(part["stuck"] for part in judges) and all(
        part["stuck"] or part["verdict"] == "SUPPORTED" for part in judges
    )
    return "○ undefined" if lacking and control["verdict"] == "INCONCLUSIVE" else "✓ passed"


def controls_count(claim: Entry, word: str = "") -> str:
    """Such as ``2/3``: how many of the controls tried have passed, and how many were undefined; empty without any."""
    outcomes = [control_outcome(control) for control in claim.get("controls") or ()]
    if not outcomes:
        return ""
    undefined = outcomes.count("○ undefined")
    return f"{outcomes.count('✓ passed')}/{len(outcomes)}{word}{f', {undefined} undefined' if undefined else ''}"


def controls_passed(claim: Entry) -> str:
    return controls_count(claim, " passed") or ("not run" if claim.get("conditions") else "none needed")


def surprise(claim: Entry) -> str:
    """The verdict that was expected, where another came out."""
    expected = claim.get("expected")
    return expected["verdict"] if expected and expected["verdict"] != claim["verdict"] else ""


def error_rate(body: Entry) -> str:
    """How the family's error rate is split over claims and looks."""
    looks = Looks(body["seeds"], body.get("max_seeds", body["seeds"]))
    claims = suite.claims(suite.OURS)
    sharing, certain = ([claim.id for claim in claims if claim.certain is bare] for bare in (False, True))
    each = looks.alpha
    text = (
        f"Each of the {len(sharing)} claims with chance in them may spend an equal part of it, {each:.3g}; "
        f"{', '.join(certain)}, in which nothing is drawn at random, spends none. "
    )
    if looks.first == looks.last:
        return f"{text}Claims are looked at once, with {looks.last} seeds."
    last, before = each * looks.share(looks.last), each * looks.share(looks.first)
    return (
        f"{text}A claim is looked at with {looks.first} seeds, then with one more at a time until its verdict is "
        f"settled or there are {looks.last}. Its part is split over these looks: {100 * KEPT_FOR_THE_LAST:.0f} % for "
        f"the last ({last:.3g}) and {before:.3g} for each one before. By the union bound, adding seeds until a verdict "
        "is reached stays within it."
    )


def savings(body: Entry) -> str:
    """What stopping at the first settled look has saved against always going to the last one; empty if unknown."""
    saved = body.get("saved")
    if not saved or not saved["steps_at_last_look"]:
        return ""
    share = 1 - saved["steps_used"] / saved["steps_at_last_look"]
    return (
        f"Claims and their controls were settled with {saved['runs_used']} training runs; always training "
        f"{body['max_seeds']} seeds would have taken {saved['runs_at_last_look']}. That saved "
        f"{saved['runs_at_last_look'] - saved['runs_used']} runs, {100 * share:.0f} % of the training steps."
    )


FUNCTIONS = {
    f.__name__: f
    for f in (
        number,
        estimate,
        limits,
        deciding,
        seed_effects,
        datum_note,
        noise_note,
        seeds_used,
        control_outcome,
        controls_passed,
        surprise,
        error_rate,
        savings,
    )
}
"""What the templates may call."""
