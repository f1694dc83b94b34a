"""What moved between reports: verdicts and effects, from their JSON alone."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from bumplab.report import wording
from bumplab.runs.sealed import Damaged, read_file
from bumplab.verdicts import suite

SCHEMAS = (2, 3, 4)
"""Versions of the reports' JSON that can be read."""
LARGEST = 64 * 2**20
"""Bytes, thirty times a quick report: read, a file takes up to thirty times its size."""
Report = Mapping[str, Any]
OF_A_CLAIM = ("claim", "verdict", "unchecked", "parts")
OF_A_PART = ("name", "verdict", "judges", "estimate", "low", "high", "effects")


@dataclass(frozen=True)
class Difference:
    """One claim, or one part of it, in two reports: None where it is not in one of them.

    ``moved``: the verdict is another, or the new estimate lies outside the old limits.
    """

    claim: str
    part: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    moved: bool


def read(path: Path) -> Report:
    """The body of a report, given its JSON or the HTML beside it. Raises ValueError in one line where it is none."""
    path = path.with_suffix(".json")
    try:
        text = read_file(path, LARGEST)
        body = json.loads(text, parse_float=_finite, parse_constant=_finite, parse_int=lambda t: int(_finite(t)))
        _check(body)
    except (OSError, Damaged) as error:
        said = getattr(error, "strerror", error)
        raise ValueError(f"{path}: cannot be read ({said}): give a report's .html or .json") from error
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: is no report of bumplab ({type(error).__name__}: {error})") from error
    return body  # type: ignore[no-any-return]


def holds_verdicts(path: Path) -> bool:
    """Whether a report lies there that says something, or a page that may: nothing empty may take its place."""
    if not path.exists() and not path.with_suffix(".json").exists():
        return False
    try:
        return any(claim["verdict"] != "ERROR" for claim in read(path)["claims"])
    except ValueError:
        return True


def _finite(text: str) -> float:
    """A number as a report writes it. Raises ValueError for NaN, and for what no float can hold."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.20} is no finite number")
    return value


def _check(body: Report) -> None:
    """Raises ValueError, TypeError or KeyError unless all that is read here is there, and of its type."""
    if body["schema"] not in SCHEMAS:
        raise ValueError(f"schema {body['schema']!r:.40}: must be one of {', '.join(map(str, SCHEMAS))}")
    texts = [body["profile"], body["written"], body.get("code", "")]
    for claim in body["claims"]:
        texts += claim["claim"], claim["reason"]
        parts = claim.get("parts", [])
        if any(entry["verdict"] not in wording.SYMBOLS for entry in (claim, *parts)):
            raise TypeError("unknown verdict")
        if "estimate" in claim:
            raise TypeError("a claim in the form of a part")
        for part in parts:
            texts += part["name"], part["unit"], part["reason"]
            numbers = part["estimate"], part["low"], part["high"]
            if not isinstance(part["judges"], bool) or not isinstance(part["effects"], list):
                raise TypeError("a part of another form")
            if not all(number is None or isinstance(number, (int, float)) for number in numbers):
                raise TypeError("limits that are no numbers")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("names that are no text")
    "".join(texts).encode()  # half a surrogate pair can be read, and not be written again


def differences(old: Report, new: Report) -> Iterator[Difference]:
    """Each claim of either report, then its judged parts."""
    before, after = ({claim["claim"]: claim for claim in body["claims"]} for body in (old, new))
    for name in _in_order({*before, *after}):
        a, b = before.get(name), after.get(name)
        yield Difference(name, "", a, b, a is None or b is None or a["verdict"] != b["verdict"])
        parts, again = (
            {part["name"]: part for part in (claim or {}).get("parts", []) if part["judges"]} for claim in (a, b)
        )
        for part in dict.fromkeys([*parts, *again]):
            yield Difference(name, part, p := parts.get(part), q := again.get(part), _moved(p, q))


def _in_order(names: Collection[str]) -> list[str]:
    """Our claims in the paper's order, then all others."""
    ours = [claim.id for claim in suite.in_the_papers_order(suite.claims(suite.OURS)) if claim.id in names]
    return ours + sorted(set(names) - set(ours))


def _moved(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool:
    if old is None or new is None or old["verdict"] != new["verdict"]:
        return True
    value = new["estimate"]
    if value is None or old["estimate"] is None:
        return value is not old["estimate"]
    below = old["low"] is not None and value < old["low"]
    return bool(below or (old["high"] is not None and value > old["high"]))


def effect(part: Mapping[str, Any] | None) -> str:
    """Such as ``0.61 (0.44 to 0.779)``."""
    if part is None:
        return "absent"
    if "estimate" not in part:
        return ""
    return f"{wording.estimate(part)} ({wording.limits(part)})"


def reports_in(folder: Path, pass_over: Callable[[ValueError], None]) -> list[Report]:
    """All reports in a folder and those below it, the newest first. Raises ValueError where there is none.

    ``pass_over`` is told of each other JSON why it is none.
    """
    found = []
    for path in sorted(folder.rglob("*.json")):
        try:
            page = path.relative_to(folder).with_suffix(".html")
            found.append({**_kept(read(path)), "link": quote(os.fsencode(page))})  # a name need not be UTF-8
        except ValueError as error:
            pass_over(error)
    if not found:
        raise ValueError(f"{folder}: holds no report of bumplab")
    return sorted(found, key=lambda body: str(body["written"]), reverse=True)


def _kept(body: Report) -> Report:
    """What a history shows of a report: all of it may take gigabytes, and there may be hundreds."""
    claims = [{name: claim[name] for name in OF_A_CLAIM if name in claim} for claim in body["claims"]]
    for claim in claims:
        if "parts" in claim:
            claim["parts"] = [{name: part[name] for name in OF_A_PART} for part in claim["parts"]]
            for part in claim["parts"]:
                part["effects"] = part["effects"][:2]  # whether there is more than one
    return {name: body[name] for name in ("profile", "written", "code") if name in body} | {"claims": claims}


def history_page(reports: Sequence[Report]) -> str:
    """One page over reports, the newest first: each claim's verdicts and what moved last within a profile."""
    environment = Environment(
        loader=PackageLoader("bumplab.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(wording.FUNCTIONS, symbols=wording.SYMBOLS, effect=effect)
    latest = reports[0]
    before = next((body for body in reports[1:] if body["profile"] == latest["profile"]), None)
    named = {claim["claim"] for body in reports for claim in body["claims"]}
    return environment.get_template("history.html.j2").render(
        reports=[(body, {claim["claim"]: claim for claim in body["claims"]}) for body in reports],
        claims=_in_order(named),
        latest=latest,
        before=before,
        differences=[d for d in differences(before, latest) if d.moved] if before else [],
    )
