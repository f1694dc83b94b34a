"""An archive holds the same runs as its store, and whatever is wrong with it is one line and no other number."""

import io
import json
import os
import shutil
import stat
import tarfile
import tracemalloc
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.runs import again, archive, draws, planner, space
from bumplab.runs.archive import FORMAT, Archive, NotAnArchive
from bumplab.runs.board import Board
from bumplab.runs.copies import Elsewhere, copy_or_train
from bumplab.runs.record import FILES, LARGEST_IN_ROWS
from bumplab.runs.sealed import Damaged
from bumplab.runs.store import RunStore, run_key
from tests.errors import error_of
from tests.runs.archives import (
    KEY,
    OTHER,
    OTHER_KEY,
    SPEC,
    WEIGHTS,
    export,
    imported,
    publish,
    read_all,
    record_of,
    rewrite,
    special,
    store_of_two,
)

NUMBERS = st.one_of(st.just(float("nan")), st.floats(-LARGEST_IN_ROWS, 1.0, exclude_min=True))


@pytest.fixture(autouse=True, scope="module")
def no_sync():
    """Files are written and not synced. It holds for all examples of a property, so it is not the folder's fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def store(tmp_path):
    return store_of_two(tmp_path / "store")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a small archive, and the records in it by spec."""
    folder = tmp_path_factory.mktemp("whole")
    store = RunStore(folder / "store")
    for spec in (SPEC, OTHER):
        publish(store, spec)
    path = export(folder / "whole.zip", store, weights=True)
    return path.read_bytes(), {spec: store.load(spec) for spec in (SPEC, OTHER)}


def assert_equal(record, expected):
    """Equal in all but draws."""
    assert (record.spec, record.seconds, record.environment) == (expected.spec, expected.seconds, expected.environment)
    assert (record.failed, record.measurement) == (expected.failed, expected.measurement)
    assert len(record.rows) == len(expected.rows)
    for row, as_expected in zip(record.rows, expected.rows, strict=True):
        assert row.keys() == as_expected.keys()
        np.testing.assert_array_equal([row[name] for name in row], [as_expected[name] for name in row])
    assert record.evidence.keys() == expected.evidence.keys()
    for name, array in expected.evidence.items():
        np.testing.assert_array_equal(record.evidence[name], array)


def tree(folder):
    """The content and the time of each file below a folder."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def rows_of_files(files, key=KEY):
    return files[f"runs/{key}/rows.json"]


# --- what comes back --------------------------------------------------------------------------------------------------


@given(
    seeds=st.sets(st.integers(0, 2**32 - 1), min_size=1, max_size=3),
    numbers=st.lists(NUMBERS, min_size=1, max_size=3),
    reason=st.one_of(st.none(), st.just("the loss is nan")),
    kept=st.fixed_dictionaries(dict.fromkeys(("draws", "evidence", "weights"), st.booleans())),
)
def test_what_is_exported_is_imported_and_exported_to_the_same_bytes(tmp_path_factory, seeds, numbers, reason, kept):
    folder = tmp_path_factory.mktemp("travel")
    store, other = RunStore(folder / "store"), RunStore(folder / "other")
    specs = [replace(SPEC, seed=seed) for seed in seeds]
    for i, spec in enumerate(specs):
        number = {"layer4.order": numbers[i % len(numbers)]}
        record = record_of(spec, failed=reason, checkpoints=1 if reason else None)
        record.rows[-1] |= number
        store.publish(record, WEIGHTS)
    first = export(folder / "first.zip", store, specs, **kept)
    assert imported(first, other).new == len(specs)
    for spec in specs:
        expected = store.load(spec)
        assert_equal(other.load(spec), expected if kept["evidence"] else replace(expected, evidence={}))
        assert other.weights(run_key(spec)) == (WEIGHTS if kept["weights"] else b"")
    second = export(folder / "second.zip", other, reversed(specs), **kept)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as made:
        assert {info.date_time for info in made.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_draws_travel_and_can_be_measured_again(store, tmp_path):
    """Without them the record says that none were kept."""
    for kept in (True, False):
        other = RunStore(tmp_path / f"other-{kept}")
        path = export(tmp_path / f"{kept}.zip", store, draws=kept)
        assert imported(path, other).problems == []
        record = other.load(SPEC)
        assert record.draws == (store.load(SPEC).draws if kept else {})
        for step, checksum in record.draws.items():
            assert draws.load(other.root, KEY, step, checksum, SPEC).images.max() == SPEC.seed
        assert os.path.lexists(other.root / "draws") == kept


def test_draws_that_are_damaged_on_either_side_are_left_out(store, tmp_path):
    path, other = tmp_path / "a.zip", RunStore(tmp_path / "other")
    (store.root / "draws" / OTHER_KEY / "000000003.safetensors").write_bytes(b"x")
    files = read_all(export(path, store))
    assert not any("draws" in name and OTHER_KEY in name for name in files)
    damaged = files | {f"runs/{KEY}/draws-000000003.safetensors": b"x"}
    with pytest.warns(UserWarning, match=r"without its draws: draws of step 3") as caught:
        assert imported(rewrite(path, {**damaged, "manifest.json": b""} | manifest_without_runs(files)), other).new == 2
    assert len(caught) == 1
    assert other.load(SPEC).draws == other.load(OTHER).draws == {}
    assert list((other.root / "draws").iterdir()) == []
    small = RunStore(tmp_path / "small", draws_bytes=10)
    with pytest.warns(UserWarning, match="without its draws: its draws take over 0 MB"):
        imported(export(path, store), small)
    assert small.load(SPEC).draws == {}


def manifest_without_runs(files):
    """The manifest, whose entries `rewrite` is to make."""
    manifest = {name: value for name, value in json.loads(files["manifest.json"]).items() if name != "runs"}
    return {"manifest.json": json.dumps(manifest).encode()}


def test_a_run_without_weights_and_draws_serves_a_session_a_measurement_and_prune(store, tmp_path):
    other = RunStore(tmp_path / "other")
    imported(export(tmp_path / "a.zip", store, draws=False, evidence=False), other)
    board = Board(other.root, "session")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (record,) = planner.obtain([SPEC], board, other, "cpu", train=None)
    assert record.rows == store.load(SPEC).rows
    assert again.measure_if_old(SPEC, other) == "without draws, so as they were"
    assert {run.state for run in space.stored(other.root)} == {"finished"}
    assert len(space.prune(other, keep=0)) == 2
    assert other.load(SPEC) is None


def test_what_is_stored_already_is_kept_and_what_is_damaged_there_is_replaced(store, tmp_path):
    path, other = export(tmp_path / "a.zip", store), RunStore(tmp_path / "other")
    publish(other, SPEC, number=0.25)
    publish(other, OTHER)
    (other.path(OTHER_KEY) / "rows.json").write_text("")
    before = tree(other.path(KEY))
    with pytest.warns(UserWarning, match="moved to"):
        result = imported(path, other)
    assert (result.new, result.kept, result.problems) == (1, 1, [])
    assert tree(other.path(KEY)) == before
    assert_equal(other.load(OTHER), store.load(OTHER))


def test_a_run_that_was_published_since_the_import_looked_is_kept(store, tmp_path, monkeypatch):
    path, other = export(tmp_path / "a.zip", store, [SPEC]), RunStore(tmp_path / "other")
    publish(other, SPEC, number=0.25)
    before = tree(other.path(KEY))
    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "load", lambda self, spec: None)
        assert imported(path, other).kept == 1
    assert tree(other.path(KEY)) == before


def test_a_run_that_another_process_trains_is_one_line(store, tmp_path):
    path, other = export(tmp_path / "a.zip", store), RunStore(tmp_path / "other")
    with other.lock(KEY):
        result = imported(path, other)
    assert result.new == 1
    (problem,) = result.problems
    assert KEY in problem
    assert not other.has(SPEC)


def test_an_import_that_is_killed_leaves_whole_runs_only(store, tmp_path, monkeypatch):
    path, rename = export(tmp_path / "a.zip", store), os.rename
    for calls in range(2):
        other, left = RunStore(tmp_path / f"other-{calls}"), iter(range(calls))

        def killed(old, new, left=left):
            if "results" in str(new) and next(left, None) is None:
                raise KeyboardInterrupt
            rename(old, new)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", killed)
            with pytest.raises(KeyboardInterrupt):
                imported(path, other)
        assert [other.load(run) is not None for run in sorted((SPEC, OTHER), key=run_key)] == [calls > 0, False]
        assert imported(path, other).new == 2 - calls


def test_an_export_that_fails_leaves_the_older_archive(store, tmp_path, monkeypatch):
    path = export(tmp_path / "a.zip", store, [SPEC])
    before = path.read_bytes()
    monkeypatch.setattr(archive, "FREE_BYTES", 0)
    monkeypatch.setattr(archive, "MOST_INFLATION", 1)
    with pytest.raises(OSError, match="--no-draws"):
        export(path, store)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "store"]


# --- archives of others -----------------------------------------------------------------------------------------------


@given(data=st.data())
def test_a_flipped_bit_gives_the_same_records_or_a_line(tmp_path_factory, whole, data):
    """Anywhere, and in the last 800 bytes, where the zip file lists its files."""
    content, records = whole
    position = data.draw(st.one_of(st.integers(0, len(content) - 1), st.integers(len(content) - 800, len(content) - 1)))
    changed = bytearray(content)
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    folder = tmp_path_factory.mktemp("flipped")
    (folder / "a.zip").write_bytes(changed)
    store = RunStore(folder / "store")
    try:
        result = imported(folder / "a.zip", store)
    except NotAnArchive:
        return
    assert all("\n" not in problem for problem in result.problems)
    assert result.new == 2 or result.problems
    loaded = {spec: record for spec in records if (record := store.load(spec)) is not None}
    assert len(loaded) == result.new
    for spec, record in loaded.items():
        assert_equal(record, records[spec])


def test_what_is_no_archive_is_refused_in_one_line(whole, tmp_path):
    content, _ = whole
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as archive_of_tar:
        archive_of_tar.addfile(tarfile.TarInfo("runs"))
    with_locator = special("runs/x", stat.S_IFREG)
    with_locator.comment = b"PK\6\7" + bytes(16)  # the last bytes before the end, where zipfile looks for them
    zip64 = rewrite(tmp_path / "zip64.zip", archived_files(whole, tmp_path), [(with_locator, b"")]).read_bytes()
    cut = {f"cut at {length}": content[:length] for length in (0, 1, 21, 30, len(content) // 2, len(content) - 1)}
    cases = {
        "text": b"runs", "tar.xz": tar.getvalue(), "prefix": b"x" + content, "suffix": content + b"x",
        "zip64": zip64,
        "comment": content[:-2] + b"\1\0x", "claimed comment": content[:-2] + b"\1\0",
        "no manifest": b"PK\5\6" + bytes(18), **cut,
    }  # fmt: skip
    for case, data in cases.items():
        (tmp_path / "a.zip").write_bytes(data)
        message = error_of(Archive, tmp_path / "a.zip")
        assert message.startswith(f"{tmp_path / 'a.zip'}: is no archive of runs: "), case
        assert "\n" not in message, case
    os.mkfifo(tmp_path / "pipe")
    for path, words in ((tmp_path, "directory"), (tmp_path / "absent", "No such file"), (tmp_path / "pipe", "regular")):
        message = error_of(Archive, path)
        assert words in message, path
        assert "\n" not in message, path


def test_a_manifest_of_another_form_is_refused(whole, tmp_path):
    files = archived_files(whole, tmp_path)
    manifest, path = json.loads(files["manifest.json"]), tmp_path / "a.zip"
    deep = b"[" * 100_000
    for changed in (
        {"format": FORMAT + 1}, {"format": "1"}, {"runs": []}, {"runs": {"..": {}}}, {"registration": -1},
        {"command": 3}, {"runs": {KEY: {"rows.json": {"sha256": "x", "bytes": 3}}}},
    ):  # fmt: skip
        text = json.dumps(manifest | changed).encode()
        message = error_of(Archive, rewrite(path, {"manifest.json": text}))
        assert "is no archive of runs" in message, changed
        assert "\n" not in message, changed
    for text in (b"", b"{", b"\xff", deep):
        with zipfile.ZipFile(path, "w") as made:
            made.writestr("manifest.json", text)
        assert "manifest.json cannot be read" in error_of(Archive, path), text[:10]
    assert str(FORMAT + 1) in error_of(
        Archive, rewrite(path, {"manifest.json": json.dumps(manifest | {"format": FORMAT + 1}).encode()})
    )


def archived_files(whole, folder):
    (folder / "whole.zip").write_bytes(whole[0])
    return read_all(folder / "whole.zip")


def test_a_damaged_run_is_one_line_and_the_other_is_imported(whole, tmp_path):
    files = archived_files(whole, tmp_path)
    rows = json.loads(rows_of_files(files))
    infinite = json.dumps({**rows, "rows": [row | {"layer4.order": 1e300} for row in rows["rows"]]}).encode()
    short = json.dumps({**rows, "rows": rows["rows"][:1]}).encode()
    for name, data, words in (
        ("rows.json", infinite, "finite number"),
        ("rows.json", short, "ends before"),
        ("rows.json", b"[" * 100_000, "cannot be read"),
        ("rows.json", None, "rows.json is missing"),
        ("spec.json", None, "spec.json is missing"),
        ("spec.json", b"[" * 60_000, "spec.json cannot be read"),
        ("spec.json", OTHER.to_json().encode(), "another version"),
        ("spec.json", json.dumps(json.loads(SPEC.to_json()), indent=1).encode(), "spec.json is not the spec"),
        ("evidence.safetensors", b"x" * 100, "evidence.safetensors has a header"),
    ):
        changed = {**files, f"runs/{KEY}/{name}": data}
        changed = {name: data for name, data in changed.items() if data is not None} | manifest_without_runs(files)
        store = RunStore(tmp_path / "store")
        result = imported(rewrite(tmp_path / "a.zip", changed), store)
        (problem,) = result.problems
        assert words in problem, (name, words, problem)
        assert KEY in problem, (name, words)
        assert (result.new, store.has(SPEC)) == (1, False), (name, words)
        assert_equal(store.load(OTHER), whole[1][OTHER])
        shutil.rmtree(store.root)


def test_a_manifest_with_other_checksums_or_files_is_damage(whole, tmp_path):
    files = archived_files(whole, tmp_path)
    manifest = json.loads(files["manifest.json"])
    entry = manifest["runs"][KEY]["rows.json"]
    for changed, words in (
        ({"rows.json": entry | {"bytes": entry["bytes"] + 1}}, "rows.json does not match"),
        ({"rows.json": entry | {"sha256": "0" * 64}}, "rows.json does not match"),
        ({"weights.safetensors": entry}, "weights.safetensors does not match"),
    ):
        runs = manifest["runs"] | {KEY: manifest["runs"][KEY] | changed}
        made = rewrite(tmp_path / "a.zip", files | {"manifest.json": json.dumps(manifest | {"runs": runs}).encode()})
        result = imported(made, RunStore(tmp_path / words))
        assert [words in problem for problem in result.problems] == [True], result.problems
    del manifest["runs"][KEY]
    made = rewrite(tmp_path / "a.zip", files | {"manifest.json": json.dumps(manifest).encode()})
    result = imported(made, RunStore(tmp_path / "unlisted"))
    assert (result.new, len(result.problems)) == (1, 4)
    assert all("is not in manifest.json" in problem for problem in result.problems)


def test_foreign_names_links_copies_and_methods_are_left_out_in_a_line_each(whole, tmp_path):
    files = archived_files(whole, tmp_path)
    names = (
        "../evil", "/etc/evil", f"runs/{KEY}/../../evil", f"runs/{KEY}/evil.pkl", f"runs/{KEY}", "runs/",
        f"runs/{KEY}/draws-3.safetensors", f"runs/{KEY.upper()}/rows.json", f"runs/{KEY}/rows.json/", "C:\\evil",
        "line\nbreak",
    )  # fmt: skip
    infos = [(name, b"x") for name in names]
    infos.append((special(f"runs/{OTHER_KEY}/draws-000000000.safetensors", stat.S_IFLNK), b"/etc/passwd"))
    infos.append((special(f"runs/{OTHER_KEY}/draws-000000006.safetensors", stat.S_IFIFO), b""))
    other_method = zipfile.ZipInfo(f"runs/{OTHER_KEY}/draws-000000003.safetensors")
    other_method.compress_type = zipfile.ZIP_LZMA
    (inside := tmp_path / "inside").mkdir()
    path = rewrite(inside / "a.zip", files | manifest_without_runs(files), [*infos, (other_method, b"x")])
    store = RunStore(inside / "store")
    result = imported(path, store)
    assert len(result.problems) == len(infos) + 1, result.problems
    assert all(problem.startswith(str(path)) and "\n" not in problem for problem in result.problems)
    for words in ("is a symbolic link", "is no regular file", "another method", "is no file of a run"):
        assert any(words in problem for problem in result.problems), words
    assert result.new == 2
    assert not list(tmp_path.rglob("*evil*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of the second name
        path = rewrite(inside / "b.zip", files, [(f"runs/{KEY}/rows.json", rows_of_files(files))])
    result = imported(path, RunStore(inside / "twice"))
    assert (result.new, [problem for problem in result.problems if "missing" in problem]) == (
        1, [f"{path}: run {KEY}: rows.json is missing; left out"],
    )  # fmt: skip


def test_a_bomb_is_unpacked_no_further_than_the_limit(whole, tmp_path, monkeypatch):
    """Neither the memory nor the bytes of all files together exceed their bounds."""
    files = archived_files(whole, tmp_path)
    bomb = {f"runs/{KEY}/rows.json": bytes(10 * FILES["rows.json"])}
    path = rewrite(tmp_path / "a.zip", files | manifest_without_runs(files) | bomb)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    try:
        with Archive(path) as made, pytest.raises(Damaged, match=f"more than the {FILES['rows.json']} bytes"):
            made.read(KEY)
        assert tracemalloc.get_traced_memory()[1] < 3 * FILES["rows.json"]
    finally:
        tracemalloc.stop()
    assert imported(path, RunStore(tmp_path / "store")).new == 1
    monkeypatch.setattr(archive, "FREE_BYTES", len(files["manifest.json"]) + 100)
    monkeypatch.setattr(archive, "MOST_INFLATION", 0)
    result = imported(rewrite(path, files), RunStore(tmp_path / "second"))
    assert (result.new, len(result.problems)) == (0, 2)
    assert all("unpacks to over 0 times its size" in problem for problem in result.problems)


def test_a_directory_of_a_million_names_is_not_read(tmp_path, monkeypatch):
    path, calls = tmp_path / "a.zip", []
    monkeypatch.setattr(archive, "ZipFile", lambda file: calls.append(file))
    directory = bytes(archive.DIRECTORY_BYTES + 1)
    end = archive.END.pack(b"PK\5\6", 0, 0, 9, 9, len(directory), 0, 0)
    path.write_bytes(directory + end)
    assert "its directory is damaged" in error_of(Archive, path)
    assert calls == []


def test_sizes_in_headers_are_not_trusted(whole, tmp_path):
    """A file that claims to be 4 GB is read as far as it goes."""
    files = archived_files(whole, tmp_path)
    path = rewrite(tmp_path / "a.zip", files)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2", 0, content.rindex(f"runs/{KEY}/rows.json".encode()))
    content[at + 20 : at + 28] = b"\xf0\xff\xff\xff" * 2  # compressed and whole size in the directory
    path.write_bytes(content)
    tracemalloc.start()
    try:
        result = imported(path, RunStore(tmp_path / "store"))
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()
    assert result.new + len(result.problems) == 2  # Python from 3.11.8 on refuses a file that overlaps the next


# --- a second store, which is only read -------------------------------------------------------------------------------


def test_a_run_is_copied_from_a_second_store_or_archive_and_neither_is_changed(store, tmp_path):
    places = [Elsewhere(store.root), Elsewhere(export(tmp_path / "a.zip", store, weights=True))]
    before, trained = tree(store.root), []
    absent = replace(SPEC, seed=7)
    for i, place in enumerate(places):
        here = RunStore(tmp_path / f"here-{i}")
        train = copy_or_train([place], lambda spec, *rest: trained.append(spec))
        for spec in (SPEC, absent):
            planner.train_if_free(spec, here, "cpu", train)
        assert_equal(here.load(SPEC), store.load(SPEC))
        assert here.load(SPEC).draws == store.load(SPEC).draws
        assert here.weights(KEY) == WEIGHTS
        assert [place.has(spec) for spec in (SPEC, OTHER, absent)] == [True, True, False]
    assert trained == [absent, absent]
    assert tree(store.root) == before


def test_what_is_damaged_in_a_second_store_is_passed_over_and_stays(store, tmp_path):
    path = export(tmp_path / "a.zip", store)
    places = [Elsewhere(path), Elsewhere(store.root)]
    files = read_all(path)
    rewrite(path, files | {f"runs/{KEY}/rows.json": b"{}"})
    (store.path(KEY) / "rows.json").write_text("{}")
    before, trained = tree(store.root), []
    here = RunStore(tmp_path / "here")
    train = copy_or_train(places, lambda spec, *rest: trained.append(spec))
    with pytest.warns(UserWarning, match="passed over") as caught:
        planner.train_if_free(SPEC, here, "cpu", train)
    assert [str(place.path) in str(warning.message) for place, warning in zip(places, caught, strict=True)] == [
        True
    ] * 2
    assert trained == [SPEC]
    assert tree(store.root) == before
    assert not here.has(SPEC)


def test_a_place_that_is_neither_store_nor_archive_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "results").symlink_to(tmp_path)
    (tmp_path / "text").write_text("x")
    for name, words in (("empty", "no store"), ("linked", "symbolic link"), ("text", "no archive"), ("absent", "read")):
        message = error_of(Elsewhere, tmp_path / name)
        assert words in message, name
        assert str(tmp_path / name) in message, name
        assert "\n" not in message, name
