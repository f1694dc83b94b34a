"""The items of a claim's test: one for each judged part, one for each control, and one for its verdict.

``test_hole[quick-verdict]`` judges the claim. The items before it judge one part or one control alone, from the same
runs, so that pytest counts and names each of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import pytest

from bumplab.pytest_plugin.settings import Settings
from bumplab.verdicts.claim import Claim

FIXTURES = {"experiment", "item"}
"""What the test of a claim asks for."""


@dataclass(frozen=True)
class Item:
    """What one item judges. ``name`` is that of the part or the control, and empty for the verdict."""

    kind: Literal["part", "control", "verdict"]
    name: str = ""


def items_of(claim: Claim, controls: bool) -> dict[str, Item]:
    """The items of a claim by their names, the verdict last. ``controls`` tells whether its controls have items."""
    items = {part.slug: Item("part", part.name) for part in claim.judged_parts}
    if controls:
        items |= {control.slug: Item("control", control.name) for control in claim.controls}
    return {**items, "verdict": Item("verdict")}


def parametrize(metafunc: pytest.Metafunc, settings: Settings) -> None:
    """Makes the items of a claim's test. Their ids are ``<profile>-<name>``."""
    claim = _claim_in(metafunc.module)
    if claim is not None and set(metafunc.fixturenames) >= FIXTURES:
        items = items_of(claim, settings.controls)
        metafunc.parametrize("item", list(items.values()), ids=[f"{settings.profile.name}-{name}" for name in items])


def judged_by(node: pytest.Item) -> tuple[Claim, Item] | None:
    """The claim that a test judges, and which item of it; None for other tests."""
    claim = _claim_in(getattr(node, "module", None))
    item = getattr(node, "callspec", None) and node.callspec.params.get("item")  # type: ignore[attr-defined]
    return (claim, item) if claim is not None and isinstance(item, Item) else None


def claims_of(nodes: Sequence[pytest.Item]) -> list[tuple[Claim, list[Item]]]:
    """The claims that these tests judge, each with its items, in the order of the tests."""
    claims: dict[str, tuple[Claim, list[Item]]] = {}
    for claim, item in filter(None, map(judged_by, nodes)):
        claims.setdefault(claim.id, (claim, []))[1].append(item)
    return list(claims.values())


@contextmanager
def selected_by_their_own_claim(nodes: Sequence[pytest.Item], ids: Collection[str]) -> Iterator[None]:
    """While pytest selects tests by ``-k``, no item has the id of another claim in its name.

    So ``-k hole`` selects the claim ``hole`` alone, also where another claim has a part "right in the hole".
    """
    names = {node: node.name for node in nodes}
    for node in nodes:
        judged = judged_by(node)
        if judged and (others := set(ids) - {judged[0].id}):
            test, _, item = node.name.partition("[")
            any_other = "|".join(map(re.escape, sorted(others, key=len, reverse=True)))
            node.name = f"{test}[{re.sub(any_other, '*', item, flags=re.IGNORECASE)}"
    try:
        yield
    finally:
        for node, name in names.items():
            node.name = name


def put_exact_first(nodes: list[pytest.Item]) -> None:
    """Sorts the tests, those of claims without chance first. They train nothing, so the first verdict comes at once."""
    nodes.sort(key=lambda node: not ((judged := judged_by(node)) and judged[0].certain))


def _claim_in(module: ModuleType | None) -> Claim | None:
    claim = getattr(module, "CLAIM", None)
    return claim if isinstance(claim, Claim) else None
