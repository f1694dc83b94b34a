"""Figures of evidence and seeds: where marks and bars lie, and what stands in place of them."""

from bumplab.report import effects
from tests.report.planted import OVERLAP, PREMISE, claim_of, control_of, part_of, seeds_of


def drawn(axis, y, marker):
    """Each (x, filled) of a row that has this marker, from left to right."""
    lines = [line for line in axis.lines if line.get_marker() == marker and abs(line.get_ydata()[0] - y) < 0.5]
    return sorted((float(line.get_xdata()[0]), line.get_markerfacecolor() != "white") for line in lines)


def test_each_seed_has_the_mark_of_its_place():
    part = part_of(seeds=seeds_of(1.0, -1.0, None, 2.0))
    seeds, _ = effects.evidence([("a", part_of(seeds=[])), ("b", part)]).axes
    assert drawn(seeds, 1, "o") == [(1.0, True), (3.0, False), (4.0, True)]
    assert drawn(seeds, 1, "X") == [(2.0, True)]
    assert drawn(seeds, 0, "o") == []
    assert [label.get_text() for label in seeds.get_yticklabels()] == ["a: rate", "b: rate"]


def test_evidence_is_a_bar_from_1_and_ends_at_an_arrow():
    rows = [part_of(support=100.0, against=0.2), part_of(support=1.0, against=1e9, needed=20.0)]
    _, bars = effects.evidence([("a", row) for row in rows]).axes
    ends = [round(bar.get_x() + bar.get_width(), 3) for bar in bars.patches]
    beyond = round(180.0**effects.BEYOND, 3)
    assert ends == [100.0, 1.0, 1.0, beyond], "for, then against"
    assert {bar.get_x() for bar in bars.patches} == {1}
    (arrow,) = (line for line in bars.lines if line.get_marker() == ">")
    assert 0.5 < arrow.get_ydata()[0] < 1.5
    assert [line.get_xdata()[0] for line in bars.lines if line.get_linestyle() == "--"] == [180.0, 20.0]
    colours = [bar.get_facecolor() for bar in bars.patches]
    assert colours[0] == colours[2] != colours[1] == colours[3]


def test_words_stand_in_place_of_evidence_that_there_is_not():
    rows = [("overlap", OVERLAP.parts[0]), ("density", part_of(premise=PREMISE))]
    seeds, bars = effects.evidence(rows).axes
    assert [text.get_text() for text in bars.texts] == ["nothing is drawn at random", "not testable at this profile"]
    assert not bars.patches
    assert [text.get_text() for text in seeds.texts] == ["1.05 (exact)"]


def panels_of(*controls, own=()):
    """The axes of a claim whose parts are `own` and whose controls have these lists of parts."""
    tried = [control_of(f"control {i}", "CONTRADICTED", parts=parts) for i, parts in enumerate(controls)]
    return effects.beside_controls(claim_of("density", parts=list(own) or [part_of()], controls=tried)).axes


def test_a_control_is_drawn_below_its_claim_on_the_same_axis():
    (axis,) = panels_of([part_of(seeds=seeds_of(-1.0, -0.5))], own=[part_of(seeds=seeds_of(1.0, 0.5))])
    assert drawn(axis, 0, "o") == [(0.5, True)] * 2 + [(1.0, True)] * 2
    assert drawn(axis, 1, "X") == [(-1.0, True)] * 2 + [(-0.5, True)] * 2
    (region,) = axis.patches
    assert region.get_x() == 0.0
    assert region.get_x() + region.get_width() == axis.get_xlim()[1]
    labels = [" ".join(label.get_text().split()) for label in axis.get_yticklabels()]
    assert labels == ["the claim", "control 0 (it is false here: ✓ recognised)"]


def test_a_panel_shows_the_part_of_its_name_whatever_a_control_tries():
    own = [part_of("shown", judges=False), part_of("a"), part_of("b")]
    a, b = panels_of([part_of("b", seeds=seeds_of(0.25))], own=own)
    assert (a.get_title(), b.get_title()) == ("a", "b")
    assert [text.get_text() for text in a.texts] == ["not tried"]
    assert drawn(b, 1, "o") == [(0.25, True)] * 2


def test_many_parts_stand_in_rows_of_few():
    own = [part_of(str(k)) for k in range(4)]
    axes = panels_of([part_of("3")], own=own)
    assert [axis.get_title() for axis in axes] == ["0", "1", "2", "3"]
    assert len({axis.get_position().y0 for axis in axes}) == 2


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
