"""What a learner drew is stored as uint8 images and float32 activations, and what it was told and saw as float16.

A file of draws by others is checked."""

import hashlib
import os
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bumplab import profiles
from bumplab.config import ROLES
from bumplab.data.label_sets import label_sets
from bumplab.measure.measure import Sample, measure
from bumplab.measure.names import SamplesNotFinite
from bumplab.measure.order import neighbour_r2
from bumplab.runs import draws, learners
from bumplab.runs.learners import as_stored, for_neighbours
from bumplab.runs.sealed import Damaged
from bumplab.runs.store import run_key
from bumplab.subjects.planted import Planted, PlantedLearner
from bumplab.subjects.protocol import Drawn
from bumplab.subjects.sources import SubjectError
from tests.learners import drawn_by, started

SPEC = profiles.get("smoke").run(0)
HOLE = profiles.get("smoke").run(0, hole=3.0)
KEY, LAST, COUNT = run_key(SPEC), SPEC.training.steps, SPEC.measure.samples
SAMPLES = SPEC.measure.samples
pytestmark = pytest.mark.usefixtures("no_sync")


def images(dtype=np.float32, value=0):
    return np.full((COUNT, 16, 16), value, dtype)


def activations(rows=SAMPLES, roles=("layer4",), dtype=np.float64):
    return {role: np.ones((rows, 2, 3), dtype) for role in roles}


def stored(drawn, step=6, roles=("layer4",), **seen):
    return as_stored(
        drawn, SPEC, step, SimpleNamespace(roles=roles, tells=bool(getattr(drawn, "told", ())), sees=bool(seen)), **seen
    )


# --- as it is stored --------------------------------------------------------------------------------------------------


def test_images_are_rounded_and_clipped_whatever_their_dtype():
    for dtype, value, expected in (
        *((np.float32, 254.6, 255), (np.float64, 0.4, 0), (np.float16, 100.0, 100), (np.float32, -3.0, 0)),
        *((np.float32, 300.0, 255), (np.int64, -7, 0), (np.int32, 70_000, 255), (np.int8, -1, 0)),
        *((np.uint16, 60_000, 255), (np.uint8, 200, 200), (bool, True, 1)),
    ):
        kept = stored(Drawn(images(dtype, value), activations())).images
        assert (kept.dtype, kept.shape) == (np.uint8, (COUNT, 16, 16)), dtype
        assert (kept == expected).all(), (dtype, value)


def test_activations_are_one_row_of_float32_for_each_probe_label():
    for dtype in (np.float64, np.float16, np.int64, bool):
        kept = stored(Drawn(images(), activations(dtype=dtype))).activations
        assert kept.keys() == {"layer4"}
        assert {(rows.shape, rows.dtype.name) for rows in kept.values()} == {((SAMPLES, 6), "float32")}, dtype
    flat = {role: np.arange(SAMPLES) for role in ("layer4",)}
    assert stored(Drawn(images(), flat)).activations["layer4"].shape == (SAMPLES, 1)


def test_the_roles_of_the_subject_that_a_step_measures_are_kept():
    everything = Drawn(images(), activations(roles=ROLES), activations(roles=ROLES))
    at_last = replace(everything, images=np.concatenate([images(), images()]))
    for drawn, step, declared, expected in (
        (everything, 6, ROLES, {"layer4"}),
        (at_last, LAST, ROLES, {*ROLES}),
        (at_last, LAST, ("encoder",), {"encoder"}),
        (at_last, LAST, (), set()),
    ):
        kept = stored(drawn, step, declared, seen=drawn.activations, canvas=drawn.activations)
        assert kept.activations.keys() == kept.told.keys() == expected, (step, declared)
        assert kept.seen.keys() == kept.canvas.keys() == expected & {"layer4"}, (step, declared)
    untold = stored(replace(everything, told={}), 6, ROLES)
    assert (untold.told, untold.seen, untold.canvas) == ({}, {}, {})


@given(
    offset=st.sampled_from([0.0, 1e3, -1e6]),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 2**32),
)
def test_order_survives_the_rounding_of_what_only_neighbours_are_read_of(offset, scale, seed):
    """Also far from the origin, and beyond the largest float16."""
    random = np.random.default_rng(seed)
    labels = random.uniform(3, 12, (200, 2))
    points = np.sin(labels @ random.standard_normal((2, 40)) / 6) + 0.1 * random.standard_normal((200, 40))
    rows = (scale * (points + offset)).astype(np.float64)
    kept = for_neighbours(rows)
    assert kept.dtype == np.float16
    assert np.abs(kept).max() == 1
    assert neighbour_r2(kept, labels) == pytest.approx(neighbour_r2(points, labels), abs=0.01)


def test_rows_without_a_spread_or_with_nan_are_kept_as_such():
    assert (for_neighbours(np.full((5, 3), 7.0, np.float32)) == 0).all()
    for value in (np.nan, np.inf):
        rows = np.ones((5, 3), np.float32)
        rows[2, 1] = value
        assert np.isnan(for_neighbours(rows)).any()


def test_images_that_are_not_finite_are_counted():
    broken = images()
    broken[3, 0, 0], broken[4, 1, 2], broken[-1] = np.nan, np.inf, -np.inf
    with pytest.raises(SamplesNotFinite, match=f"^3 of {COUNT} samples hold NaN or infinity$"):
        stored(Drawn(broken, activations()))


BROKEN = {
    "too few images": (images()[:-1], activations(), "[23, 16, 16]"),
    "another size": (np.zeros((COUNT, 8, 8)), activations(), "[24, 8, 8]"),
    "a channel": (images()[:, None], activations(), "[24, 1, 16, 16]"),
    "complex images": (images(np.complex64), activations(), "complex64"),
    "texts for images": (images(str), activations(), "<U1"),
    "objects for images": (images(object), activations(), "object"),
    "no images": (None, activations(), "object []"),
    "a role is missing": (images(), {}, "layer4 as"),
    "too few rows": (images(), activations(rows=SAMPLES - 1), "layer4 as float64 [23, 2, 3]"),
    "rows for all images": (images(), activations(rows=COUNT + 1), "24 rows"),
    "complex activations": (images(), activations(dtype=complex), "complex128"),
    "a number for activations": (images(), {role: np.float64(1) for role in ("layer4",)}, "layer4 as float64 []"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_subject_that_breaks_its_contract_is_named_in_one_line(name):
    given, of_roles, word = BROKEN[name]
    with pytest.raises(SubjectError, match="unet") as raised:
        stored(Drawn(given, of_roles))
    assert word in str(raised.value)
    assert "step 6: must be " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_draw_of_another_kind_is_named_in_one_line():
    for other in (None, (images(), {}), SimpleNamespace(images=images(), activations={})):
        with pytest.raises(SubjectError, match="at step 6: must be a Drawn"):
            stored(other)


class Looking(Planted):
    """Keeps what its learners are shown."""

    def __init__(self, **members):
        super().__init__()
        object.__setattr__(self, "shown", [])
        for name, value in members.items():
            object.__setattr__(self, name, value)

    def start(self, task, data, device, at=None):
        learner, see = super().start(task, data, device, at), PlantedLearner.see
        learner.see = lambda *arguments: self.shown.append(arguments) or see(learner, *arguments)
        return learner


def test_a_learner_is_shown_true_images_under_one_label_and_white_ones_under_their_own():
    """White ones at step 0 and at the last step alone."""
    for step in HOLE.measured_steps():
        subject, probe = Looking(), label_sets(HOLE)["probe"]
        kept = learners.draw(started(HOLE, subject), HOLE, step, subject)
        images, labels, seed = subject.shown[0]
        assert np.array_equal(images, probe.truth), step
        assert (labels == 8.5).all(), step
        assert labels.shape == probe.labels.shape, step
        assert [*kept.seen] == ["layer4"], step
        assert len(subject.shown) == (2 if step in (0, LAST) else 1), step
        assert [*kept.canvas] == ["layer4"] * (step in (0, LAST)), step
        for images, labels, other_seed in subject.shown[1:]:
            assert (images == 255).all(), step
            assert np.array_equal(labels, probe.labels), step
            assert seed == other_seed == HOLE.seed, step


def test_a_subject_that_does_not_see_or_tell_is_not_asked_and_its_readings_are_unknown():
    for members in ({"sees": False, "tells": False}, {"roles": {"encoder": "x"}}):
        subject = Looking(**members)
        kept = learners.draw(started(SPEC, subject), SPEC, 0, subject)
        assert (subject.shown, kept.seen, kept.canvas, kept.told) == ([], {}, {}, {}), members
        row = measure(SPEC, 0, label_sets(SPEC), kept).row
        unknown = [row[f"layer4.{name}"] for name in ("told", "told_x", "told_y", "told_flatness", "seen", "canvas")]
        assert np.isnan(unknown).all(), members
        assert np.isnan(row["layer4.order"]) == ("roles" in members)


def test_what_a_subject_says_that_it_tells_and_sees_must_be_there():
    for drawn, seen, word in (
        (Drawn(images(), activations(), {}), None, "told of layer4"),
        (Drawn(images(), activations(), activations(rows=3)), None, "told of layer4 as float64 [3, 2, 3]"),
        (Drawn(images(), activations(), activations()), {"encoder": np.ones((SAMPLES, 2))}, "see of layer4"),
        (Drawn(images(), activations(), activations()), [1.0], "see as a list"),
    ):
        subject = SimpleNamespace(roles=("layer4",), tells=True, sees=True)
        with pytest.raises(SubjectError, match="unet gave ") as raised:
            as_stored(drawn, SPEC, 6, subject, seen=seen)
        assert word in str(raised.value)
        assert "\n" not in str(raised.value)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn():
    return drawn_by(started(SPEC, Planted()), SPEC, LAST)


def same(one, other):
    pairs = [(one.images, other.images)]
    for reading in draws.READINGS:
        here, there = getattr(one, reading), getattr(other, reading)
        if here.keys() != there.keys():
            return False
        pairs += [(here[role], there[role]) for role in here]
    return all(a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True) for a, b in pairs)


@given(
    grey=arrays.arrays(np.uint8, (COUNT, 16, 16)),
    width=st.integers(1, 5),
    roles=st.sets(st.sampled_from(ROLES)),
    in_order=st.booleans(),
)
def test_draws_survive_their_file_in_any_order_in_memory(tmp_path_factory, grey, width, roles, in_order):
    root = tmp_path_factory.mktemp("draws")
    rows = np.arange(SAMPLES * width, dtype=np.float32).reshape(SAMPLES, width) - 7.5
    order = np.ascontiguousarray if in_order else np.asfortranarray
    small = order(rows.astype(np.float16))
    kept = Sample(order(grey), dict.fromkeys(roles, order(rows)), dict.fromkeys(roles, small), canvas={"layer4": small})
    checksum = draws.save(root, KEY, 6, kept)
    again = draws.load(root, KEY, 6, checksum, SPEC)
    assert same(kept, again)
    assert again.activations.keys() == again.told.keys() == roles
    assert (again.seen, [*again.canvas]) == ({}, ["layer4"])


def test_draws_of_runs_and_steps_lie_apart_and_are_removed_by_run(tmp_path, drawn):
    other = replace(drawn, images=255 - drawn.images)
    early = drawn_by(started(SPEC, Planted()), SPEC, 6)
    first, second = draws.save(tmp_path, KEY, 6, early), draws.save(tmp_path, KEY, LAST, other)
    elsewhere = draws.save(tmp_path, "0" * 20, LAST, other)
    assert same(draws.load(tmp_path, KEY, 6, first, SPEC), early)
    assert same(draws.load(tmp_path, KEY, LAST, second, SPEC), other)
    assert second == elsewhere, "the checksum is one of the content"
    size = sum(path.stat().st_size for path in (tmp_path / "draws" / KEY).iterdir())
    assert draws.bytes_on_disk(tmp_path, KEY) == size > 2 * drawn.images.nbytes
    draws.remove(tmp_path, KEY)
    assert draws.bytes_on_disk(tmp_path, KEY) == 0
    assert same(draws.load(tmp_path, "0" * 20, LAST, elsewhere, SPEC), other)


@pytest.mark.parametrize("spec", [SPEC, HOLE], ids=["plain", "hole"])
def test_the_size_of_a_run_s_draws_is_known_from_the_first(tmp_path, spec):
    """To a third, and not too little, but for the files' headers, which have less than 2 kB."""
    first, size = None, 0
    for step in spec.measured_steps():
        drawn = drawn_by(started(spec, Planted()), spec, step)
        first = first or drawn
        readings = [getattr(drawn, reading).values() for reading in draws.READINGS]
        size += drawn.images.nbytes + sum(rows.nbytes for rows in chain(*readings))
        draws.save(tmp_path, KEY, step, drawn)
    assert size <= draws.expected_size(first, spec) < 1.3 * size
    assert 0 < draws.bytes_on_disk(tmp_path, KEY) - size < 2000 * len(spec.measured_steps())


def file_of(root):
    return root / "draws" / KEY / f"{LAST:09d}.safetensors"


def refusal(root, checksum, spec=SPEC):
    """The reason for which the file is refused."""
    with pytest.raises(Damaged, match=f"draws of step {LAST} ") as raised:
        draws.load(root, KEY, LAST, checksum, spec)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_file_that_is_torn_missing_or_of_another_run_is_refused(tmp_path, drawn):
    checksum = draws.save(tmp_path, KEY, LAST, drawn)
    whole = file_of(tmp_path).read_bytes()
    for content in (
        b"",
        whole[:-1],
        whole + b"\0",
        whole[:100],
        bytes(len(whole)),
        whole[:-1] + bytes([whole[-1] ^ 1]),
    ):
        file_of(tmp_path).write_bytes(content)
        assert "another checksum" in refusal(tmp_path, checksum)
    file_of(tmp_path).unlink()
    assert "is missing" in refusal(tmp_path, checksum)
    os.mkdir(file_of(tmp_path))
    assert "cannot be read" in refusal(tmp_path, checksum)


def test_links_are_not_followed_and_a_pipe_is_not_waited_for(tmp_path, drawn):
    checksum = draws.save(tmp_path, KEY, LAST, drawn)
    outside = tmp_path / "outside"
    file_of(tmp_path).rename(outside)
    file_of(tmp_path).symlink_to(outside)
    assert "cannot be read" in refusal(tmp_path, checksum)
    file_of(tmp_path).unlink()
    os.mkfifo(file_of(tmp_path))
    assert "cannot be read" in refusal(tmp_path, checksum)


def test_nothing_is_read_written_or_removed_through_a_linked_folder(tmp_path, drawn):
    checksum = draws.save(tmp_path, KEY, LAST, drawn)
    folder, outside = file_of(tmp_path).parent, tmp_path / "outside"
    folder.rename(outside)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    folder.symlink_to(outside)
    assert "symbolic link" in refusal(tmp_path, checksum)
    assert draws.bytes_on_disk(tmp_path, KEY) == 0
    draws.remove(tmp_path, KEY)
    draws.save(tmp_path, KEY, 6, drawn)
    assert not folder.is_symlink()
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before


def test_a_file_over_the_limit_is_not_read(tmp_path, drawn, monkeypatch):
    checksum = draws.save(tmp_path, KEY, LAST, drawn)
    monkeypatch.setattr(draws, "FILE_BYTES", file_of(tmp_path).stat().st_size)
    assert same(draws.load(tmp_path, KEY, LAST, checksum, SPEC), drawn)
    monkeypatch.setattr(draws, "FILE_BYTES", draws.FILE_BYTES - 1)
    assert "cannot be read" in refusal(tmp_path, checksum)


def plant(root, content):
    """A file by someone who also computed its checksum."""
    file_of(root).parent.mkdir(parents=True, exist_ok=True)
    file_of(root).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_a_file_of_another_form_is_refused_though_its_checksum_is_right(tmp_path, drawn):
    right = {"images": drawn.images} | {f"activations/{role}": rows for role, rows in drawn.activations.items()}
    rows = drawn.activations["layer4"]
    for name, changed in {
        "no images": {name: array for name, array in right.items() if name != "images"},
        "images of floats": right | {"images": drawn.images.astype(np.float32)},
        "too few images": right | {"images": drawn.images[:-1]},
        "another size": right | {"images": drawn.images[:, :8, :8].copy()},
        "a role that nobody knows": right | {"activations/layer5": rows},
        "a reading that nobody knows": right | {"heard/layer4": rows},
        "a role without a reading": right | {"layer4": rows},
        "told in float32": right | {"told/layer4": rows},
        "float64": right | {"activations/layer4": rows.astype(np.float64)},
        "rows for all images": right | {"activations/layer4": np.concatenate([rows, rows])},
        "no rows": right | {"activations/layer4": rows[:0]},
        "three dimensions": right | {"activations/layer4": rows[:, :, None]},
    }.items():
        assert "another form" in refusal(tmp_path, plant(tmp_path, safetensors.numpy.save(changed))), name
    checksum = plant(tmp_path, safetensors.numpy.save(right))
    assert same(draws.load(tmp_path, KEY, LAST, checksum, SPEC), Sample(drawn.images, drawn.activations))
    refusal(tmp_path, checksum, replace(SPEC, measure=replace(SPEC.measure, samples=30)))


def test_bytes_that_are_no_safetensors_are_refused_and_a_long_header_is_not_parsed(tmp_path, monkeypatch):
    bad_dtype = b'{"images":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4]}}'
    for content in (b"x" * 100, b"", len(bad_dtype).to_bytes(8, "little") + bad_dtype + bytes(4)):
        refusal(tmp_path, plant(tmp_path, content))
    many = safetensors.numpy.save({f"{number:05d}": np.empty(0, np.uint8) for number in range(1000)})
    monkeypatch.setattr(safetensors.numpy, "load", None)
    assert "header" in refusal(tmp_path, plant(tmp_path, many))
