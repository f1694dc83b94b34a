"""Effects on an axis: where a claim's, a control's and a seed's number lies against the region of support."""

import math

import pytest

from bumplab.report import effects
from tests.report import planted


def test_on_the_common_axis_0_is_the_edge_of_support_and_1_the_design():
    cases = [
        ((0.1, None), 0.5, {0.1: 0, 0.5: 1, -0.3: -1, math.inf: math.inf}),
        ((None, 0.2), 0.1, {0.2: 0, 0.1: 1, 0.4: -2, math.inf: -math.inf}),
        ((-0.25, 0.25), 0.0, {-0.25: 0, 0.0: 1, 0.25: 2, 0.5: 3, math.inf: math.inf}),
        ((None, 1.1), None, {1.1: 0, 0.1: 1}),
        ((0.0, None), None, {0.0: 0, 2.0: 2}),
        ((0.5, None), 0.5, {2.5: 2}),
    ]
    for bounds, designed, places in cases:
        part = planted.part_of(bounds=bounds, designed=designed)
        for value, place in places.items():
            arguments = (None, value) if math.isinf(value) else (value, math.nan)
            assert effects.on_common_axis(part, *arguments) == pytest.approx(place), (bounds, designed, value)


def part_of(name="rate", verdict="SUPPORTED", limits=(0.5, 1.5), seeds=((0.75, 0.75), (1.25, 1.25)), **changes):
    low, high = limits
    fields = {"designed": 2.0, "effects": [seed and list(seed) for seed in seeds], "low": low, "high": high}
    return planted.part_of(name, verdict, **fields | changes)


def panels_of(*controls, own=(), positive=False):
    """The axes of a claim whose parts are `own` and whose controls have these lists of parts."""
    tried = [planted.control_of(f"control {i}", "SUPPORTED", positive, parts=parts) for i, parts in enumerate(controls)]
    return effects.beside_controls(planted.claim_of("density", parts=list(own) or [part_of()], controls=tried)).axes


def at_row(axis, y, marker):
    """What is drawn with a marker in a row, as x; seeds lie around it."""
    lines = [line for line in axis.lines if line.get_marker() == marker]
    return [line.get_xdata().tolist() for line in lines if abs(line.get_ydata()[0] - y) < 0.5]


def test_a_control_is_drawn_below_its_claim_on_the_same_axis():
    control = part_of(
        verdict="CONTRADICTED", estimate=-1.0, limits=(-1.5, -0.5), seeds=((-1.25, -1.25), (-0.75, -0.75))
    )
    (axis,) = panels_of([control], positive=True)
    assert at_row(axis, 0, "o") == [[1.0]]
    assert at_row(axis, 1, "X") == [[-1.0]]
    assert at_row(axis, 1, "|") == [[-1.5], [-0.5]]
    assert [sorted(at_row(axis, y, ".")) for y in (0, 1)] == [
        [[0.75]] * 2 + [[1.25]] * 2, [[-1.25]] * 2 + [[-0.75]] * 2
    ]  # fmt: skip
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "the claim", "control 0\n(a world where it is true)"
    ]  # fmt: skip
    (region,) = axis.patches
    assert region.get_x() == 0.0
    assert region.get_x() + region.get_width() == axis.get_xlim()[1]


def test_only_judged_parts_have_a_panel():
    parts = [part_of("shown", judges=False), part_of("a"), part_of("b")]
    a, b = panels_of([part_of("shown"), part_of("a", estimate=0.25), part_of("b", estimate=0.75)], own=parts)
    assert (a.get_title(), b.get_title()) == ("a", "b")
    assert (at_row(a, 1, "o"), at_row(b, 1, "o")) == ([[0.25]], [[0.75]])


def test_open_limits_and_censored_seeds_are_arrows_at_the_end_of_the_axis():
    """And the verdict's marker, which is its sign beside the colour, stands at the limit that is known."""
    (axis,) = panels_of([part_of(estimate=None, limits=(0.5, None), seeds=((0.75, None), None))])
    end = axis.get_xlim()[1]
    assert at_row(axis, 1, ">") == [[end], [end]]
    assert at_row(axis, 1, "o") == [[0.5]]
    assert [0.75] in at_row(axis, 1, ".")
    assert [end] not in at_row(axis, 1, ".")


def test_without_an_interval_the_reason_stands_in_its_place():
    (axis,) = panels_of(
        [part_of(estimate=None, limits=(None, None), seeds=(None, None), reason="phase C is not reached")]
    )
    assert [" ".join(text.get_text().split()) for text in axis.texts] == ["no interval: phase C is not reached"]


def test_numbers_of_a_seed_that_are_no_effect_are_not_drawn_as_one():
    (axis,) = panels_of([part_of(datum="two delays", datum_form="pair", seeds=((300.0, 900.0),))])
    assert all(math.isnan(x) for (x,) in at_row(axis, 1, "."))
    assert axis.get_xlim()[1] < 10
