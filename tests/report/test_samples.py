"""Sheets of samples: where the marks lie, and which label sets a checkpoint offers."""

import base64
import io

import numpy as np
import torch
from PIL import Image

from bumplab import profiles
from bumplab.data.bumps import render
from bumplab.report import samples
from bumplab.runs.store import RunRecord
from tests.report.planted import OWN, record_of

SPEC = profiles.get("smoke").run(0)
LABELS = torch.tensor([[4.0, 9.0], [12.0, 3.0]])


def drawn(labels="probe", positions=None):
    """A record whose only checkpoint holds true images of two labels."""
    record = RunRecord(SPEC, [{"step": 0}])
    record.evidence = {
        f"0/{labels}.images": render(LABELS, 16, 1.0).round().to(torch.uint8).numpy(),
        f"0/{labels}.labels": LABELS.numpy(),
        f"0/{labels}.positions": LABELS.numpy() if positions is None else positions,
        f"0/{labels}.modes": np.array([3, 0], np.uint8),
    }
    return record


def test_samples_are_marked_where_the_bump_should_be():
    """A bump rendered at its label lies under its mark on the sheet."""
    sheet = samples.sheet(drawn(), 0)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet["image"].partition(",")[2]))).convert("L"))
    assert len(sheet["marks"]) == 2
    for mark in sheet["marks"]:
        x, y = mark["asked"]
        assert pixels[int(y), int(x)] == 0  # the bump's darkest pixel
        assert mark["found"] == mark["asked"]


def test_where_no_single_bump_is_drawn_nothing_is_marked_as_drawn():
    """NaN is no JSON: the page's script would stop there."""
    marks = samples.marks(drawn(positions=np.array([[4.0, 9.0], [np.nan, np.nan]])), 0)
    assert [mark["found_label"] for mark in marks] == [[4.0, 9.0], None]
    assert [mark["found"] is None for mark in marks] == [False, True]
    assert [mark["mode"] for mark in marks] == ["correct", "none"]


def test_a_checkpoint_offers_the_label_sets_that_it_holds():
    record = record_of(OWN[0], np.random.default_rng(0))
    first, *_, last = OWN[0].measured_steps()
    assert list(samples.sheets(record, first, 3)) == ["probe"]
    assert list(samples.sheets(record, last, 3)) == ["probe", "on_grid"]
    assert list(samples.sheets(drawn("in_hole"), 0, 3)) == ["in_hole"]


def test_an_embedding_is_centred_within_1_and_finite_whatever_it_holds():
    record = record_of(OWN[0], np.random.default_rng(0))
    cloud = record.evidence["0/layer4.embedding"]
    points = samples.embedding(record, 0)
    assert np.abs(points).max() == 1
    assert np.allclose(points.mean(axis=0), 0, atol=1e-6)
    assert samples.has_embedding(record)
    cloud[3] = np.inf
    assert np.isfinite(samples.embedding(record, 0)).all()
    for name, array in record.evidence.items():
        if name.endswith(".embedding"):
            array.fill(np.nan)
    assert not samples.has_embedding(record)
