"""What would have been seen anyway: medians over seeds, and no line for what no run holds."""

from dataclasses import replace

import numpy as np

from bumplab.report import anyway
from tests.report.planted import OWN, record_of


def records(*changes):
    """One run a change of its first row and of its last."""
    made = []
    for first, last in changes:
        record = record_of(OWN[0], np.random.default_rng(0))
        record.rows[0] |= first
        record.rows[-1] |= last
        made.append(record)
    return made


def row(rows, words):
    (only,) = (row for row in rows if words in row.what)
    return only


def test_each_line_has_the_medians_before_and_after_training():
    runs = records(*(({"layer4.told": k}, {"layer4.told": 10 * k, "image.order": k}) for k in (0.1, 0.0, 0.03)))
    rows = anyway.rows(runs, {})
    told = row(rows, "of layer 4 as told")
    assert (told.untrained, told.trained) == ("0.03", "0.30"), "neither the mean nor the first"
    assert row(rows, "pixels").trained == "0.03"
    canvas = row(rows, "canvas")
    assert (canvas.untrained, canvas.trained) == ("0.97", "0.94")
    assert (
        row(rows, "other layers as told").trained == "encoder 0.96; bottleneck 0.97; layer 4 after its injection 0.98"
    )
    assert "encoder 0.86" in row(rows, "other layers as the image").trained
    assert row(rows, "UMAP").trained == "0.25 ± 0.12"


def test_the_ceiling_is_that_of_each_condition():
    by_condition = {"d=0.1": records(({}, {})), "d=4": records(({}, {"on_grid.ceiling": 0.5})), "d=9": []}
    assert row(anyway.rows([], by_condition), "Ceiling").trained == "d=0.1: 0.56; d=4: 0.50"


def test_what_is_undefined_says_so_and_what_no_run_holds_has_no_line():
    (run,) = records(({"layer4.seen": np.nan}, {"layer4.seen": np.nan, "bottleneck.told": np.nan}))
    blind = row(anyway.rows([run], {}), "blind")
    assert (blind.untrained, blind.trained) == ("undefined", "undefined")
    assert "bottleneck undefined" in row(anyway.rows([run], {}), "other layers as told").trained
    del run.rows[-1]["layer4.umap_r2"]
    assert not any("UMAP" in row.what for row in anyway.rows([run], {}))
    assert anyway.rows([], {}) == []


def test_failed_runs_count_for_nothing():
    good, bad = records(({}, {"layer4.told": 0.5}), ({}, {"layer4.told": 0.9}))
    failed = replace(bad, failed="loss of NaN")
    assert anyway.rows([good, failed], {"d=1": [failed]}) == anyway.rows([good], {})
