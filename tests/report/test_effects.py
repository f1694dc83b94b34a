"""Figures of effects by seed: where marks lie, and what stands in place of them."""

from bumplab.report import effects
from tests.report.extents import require_readable
from tests.report.planted import OVERLAP, claim_of, control_of, part_of, seeds_of


def drawn(axis, y, marker):
    """Each (x, filled) of a row that has this marker, from left to right."""
    lines = [line for line in axis.lines if line.get_marker() == marker]
    points = [(x, at, line.get_markerfacecolor() != "white") for line in lines for x, at in line.get_xydata()]
    return sorted((float(x), filled) for x, at, filled in points if abs(at - y) < 0.5)


def test_each_seed_has_the_mark_of_its_place():
    (axis,) = effects.by_seed(part_of(seeds=seeds_of(1.0, -1.0, None, 2.0, (-0.5, 0.5)))).axes
    assert drawn(axis, 0, "o") == [(-0.5, False), (0.5, False), (1.0, True), (2.0, True)]
    assert drawn(axis, 0, "X") == [(-1.0, True)]
    (region,) = axis.patches
    assert region.get_x() == 0.0


def test_a_certain_part_has_its_number_in_place_of_seeds():
    (axis,) = effects.by_seed(OVERLAP.parts[0]).axes
    assert [(line.get_marker(), *line.get_xdata()) for line in axis.lines] == [("D", 1.05)]


def panels_of(*controls, own=()):
    """The axes of a claim whose parts are `own` and whose controls have these lists of parts."""
    tried = [control_of(f"control {i}", "CONTRADICTED", parts=parts) for i, parts in enumerate(controls)]
    claim = claim_of("density", parts=list(own) or [part_of()], controls=tried)
    return [axis for part in claim.parts for axis in effects.beside_controls(claim, part).axes if part.judges]


def test_a_control_is_drawn_below_its_claim_on_the_same_axis():
    (axis,) = panels_of([part_of(seeds=seeds_of(-1.0, -0.5))], own=[part_of(seeds=seeds_of(1.0, 0.5))])
    assert drawn(axis, 0, "o") == [(0.5, True), (1.0, True)]
    assert drawn(axis, 1, "X") == [(-1.0, True), (-0.5, True)]
    (region,) = axis.patches
    assert region.get_x() == 0.0
    assert region.get_x() + region.get_width() == axis.get_xlim()[1]
    labels = [" ".join(label.get_text().split()) for label in axis.get_yticklabels()]
    assert labels == ["the claim", "control 0 (it is false here: ✓ recognised)"]


def test_long_names_are_neither_cut_off_nor_over_one_another():
    control = control_of("one sigma under every name, and a word more for the fourth line", "INCONCLUSIVE", seeds=1)
    part = part_of("an effect of a name that is long", unit="log2(step of right bumps / step of single bumps)")
    claim = claim_of("density", parts=[part], controls=[control, control])
    require_readable(effects.beside_controls(claim, part))


def test_a_panel_shows_the_part_of_its_name_whatever_a_control_tries():
    own = [part_of("shown", judges=False), part_of("a"), part_of("b")]
    a, b = panels_of([part_of("b", seeds=seeds_of(0.25))], own=own)
    assert (a.get_title(), b.get_title()) == ("a", "b")
    assert [text.get_text() for text in a.texts] == ["not tried"]
    assert drawn(b, 1, "o") == [(0.25, True)]


def test_open_bounds_are_arrows_at_the_end_of_the_axis():
    (axis,) = panels_of([part_of(seeds=seeds_of((0.75, None), (None, 0.5)))])
    low, high = axis.get_xlim()
    assert [x for x, _ in drawn(axis, 1, ">")] == [high]
    assert [x for x, _ in drawn(axis, 1, "<")] == [low]
    assert drawn(axis, 1, "o") == [(0.5, False), (0.75, True)]


def test_where_no_seed_has_an_effect_the_reasons_stand_once():
    (axis,) = panels_of([part_of(estimate=None, low=None, high=None, seeds=seeds_of(None, None))])
    assert [" ".join(text.get_text().split()) for text in axis.texts] == ["no seed has an effect: level not reached"]


def test_a_claim_without_any_known_number_can_be_drawn():
    part = part_of(bounds=(None, None), designed=None, estimate=None, low=None, high=None, seeds=seeds_of(None))
    (axis,) = panels_of([part], own=[part])
    assert axis.get_xlim()[0] < axis.get_xlim()[1]
