"""A sealed folder appears whole or not at all, and any damage to it is noticed."""

import errno
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.runs.sealed import MANIFEST, Damaged, move, seal, sweep, unseal

FILES = {
    "spec.json": b'{"a":1}',
    "evidence.safetensors": bytes(range(256)) * 5,
    "weights.safetensors": b"\x00\xff" * 300,
    "empty": b"",
}
NAMES = dict.fromkeys(FILES, 1 << 20)
KINDS = [*sorted(FILES), MANIFEST]


@pytest.fixture
def folder(tmp_path):
    seal(tmp_path / "results" / "abc", FILES)
    return tmp_path / "results" / "abc"


def refuse(folder):
    with pytest.raises(Damaged):
        unseal(folder, NAMES)


@given(files=st.dictionaries(st.sampled_from(["a", "b.json", "c.safetensors"]), st.binary(max_size=200)))
def test_what_is_sealed_is_unsealed(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("seal") / "deep" / "folder"
    seal(folder, files)
    assert unseal(folder, dict.fromkeys(files, 200)) == files
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


@pytest.mark.parametrize("name", [name for name in KINDS if name != "empty"])
def test_truncation_is_noticed_at_every_length(folder, name):
    whole = (folder / name).read_bytes()
    for length in sorted({0, 1, len(whole) // 2, len(whole) - 2, len(whole) - 1}):
        (folder / name).write_bytes(whole[:length])
        refuse(folder)
    (folder / name).write_bytes(whole)
    assert unseal(folder, NAMES) == FILES


@pytest.mark.parametrize("name", KINDS)
def test_appended_bytes_are_noticed(folder, name):
    with open(folder / name, "ab") as file:
        file.write(b"\x00")
    refuse(folder)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "empty"])
def test_a_flipped_bit_is_noticed(folder, name):
    whole = (folder / name).read_bytes()
    draw = random.Random(0)
    positions = {0, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(60))}
    for position in sorted(positions):
        for bit in range(8):
            changed = bytearray(whole)
            changed[position] ^= 1 << bit
            (folder / name).write_bytes(changed)
            refuse(folder)


@pytest.mark.parametrize("name", KINDS)
def test_a_missing_file_is_noticed(folder, name):
    (folder / name).unlink()
    refuse(folder)


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_in_place_of_a_file_is_noticed(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    refuse(folder)


def test_an_extra_file_is_noticed(folder):
    (folder / "foreign.pkl").write_bytes(b"x")
    refuse(folder)


def test_a_missing_folder_or_a_file_in_its_place_is_damaged(tmp_path):
    refuse(tmp_path / "absent")
    (tmp_path / "file").write_bytes(b"x")
    refuse(tmp_path / "file")


@pytest.mark.parametrize("name", KINDS)
def test_a_symlinked_file_is_refused_even_with_the_right_content(folder, name):
    elsewhere = folder.parent.parent / "elsewhere"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    refuse(folder)


def test_a_symlinked_folder_is_refused(folder):
    link = folder.with_name("link")
    link.symlink_to(folder, target_is_directory=True)
    assert unseal(folder, NAMES) == FILES
    refuse(link)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"spec.json": {}}', "\xff", "[" * 100])
def test_a_manifest_that_is_not_one_is_refused(folder, text):
    (folder / MANIFEST).write_bytes(text.encode("latin-1"))
    refuse(folder)


@pytest.mark.parametrize("entry", [None, [], "x", {}, {"sha256": "0", "bytes": 7}])
def test_a_manifest_entry_that_is_not_one_is_refused(folder, entry):
    sums = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**sums, "spec.json": entry}))
    refuse(folder)


def test_other_names_than_those_asked_for_are_refused(folder):
    with pytest.raises(Damaged):
        unseal(folder, NAMES | {"more": 1})
    with pytest.raises(Damaged):
        unseal(folder, {name: 1 << 20 for name in FILES if name != "empty"})


@pytest.mark.parametrize("function", ["rename", "fsync"])
def test_a_seal_that_fails_midway_leaves_nothing(tmp_path, monkeypatch, function):
    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(KeyboardInterrupt):
        seal(tmp_path / "abc", FILES)
    assert list(tmp_path.iterdir()) == []


def syncing(error, at=lambda mode: True):
    """os.fsync where the file system refuses it for the descriptors whose mode is chosen."""

    def fsync(descriptor, really=os.fsync):
        if at(os.fstat(descriptor).st_mode):
            raise OSError(error, os.strerror(error))
        really(descriptor)

    return fsync


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
@pytest.mark.parametrize("at", [stat.S_ISDIR, stat.S_ISREG])
def test_a_file_system_that_cannot_sync_is_passed_over(tmp_path, monkeypatch, error, at):
    monkeypatch.setattr(os, "fsync", syncing(error, at))
    seal(tmp_path / "new" / "run", FILES)
    assert unseal(tmp_path / "new" / "run", NAMES) == FILES


def test_a_file_system_that_opens_no_folders_is_passed_over(tmp_path, monkeypatch):
    def opened(path, flags, *rest, really=os.open, **named):
        if os.path.isdir(path):
            raise OSError(errno.EISDIR, "Is a directory")
        return really(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", opened)
    seal(tmp_path / "run", FILES)
    assert unseal(tmp_path / "run", NAMES) == FILES


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("at", [stat.S_ISDIR, stat.S_ISREG])
def test_a_disk_that_fails_is_not(tmp_path, monkeypatch, error, at):
    monkeypatch.setattr(os, "fsync", syncing(error, at))
    with pytest.raises(OSError, match=os.strerror(error)):
        seal(tmp_path / "run", FILES)


def test_a_folder_on_a_lower_layer_is_copied_where_it_cannot_be_renamed(folder, monkeypatch):
    def rename(old, new, really=os.rename):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", rename)
    move(folder, to := folder.with_name("moved"))
    assert unseal(to, NAMES) == FILES
    assert not folder.exists()
    monkeypatch.setattr(os, "rename", lambda old, new: os.stat("/absent"))
    with pytest.raises(FileNotFoundError):
        move(to, folder)


WRITER = """
import os, sys, shutil
from pathlib import Path
from bumplab.runs.sealed import seal
folder = Path(sys.argv[1])
print(os.getpid(), flush=True)
for i in range(100_000):
    seal(folder / f"{i:06d}", {"a": os.urandom(1 << 20), "b": os.urandom(1 << 20)})
"""


def test_a_killed_seal_leaves_no_visible_folder_that_is_not_whole(tmp_path):
    draw = random.Random(1)
    sealed = 0
    for trial in range(3):
        store = tmp_path / str(trial)
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(store)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(draw.uniform(0.1, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        visible = [path for path in store.glob("*") if not path.name.startswith(".")]
        for path in visible:
            assert {len(data) for data in unseal(path, {"a": 1 << 20, "b": 1 << 20}).values()} == {1 << 20}
        sealed += len(visible)
        seal(store / "after", FILES)
        assert unseal(store / "after", NAMES) == FILES
    assert sealed > 0


def test_sweep_removes_the_orphans_of_its_own_folder_only(folder):
    own = [folder.with_name(f".tmp-abc-{pid}") for pid in (1, 22)]
    others = [folder.with_name(name) for name in (".tmp-abcd-1", ".tmp-xyz-1", "abd")]
    for path in (*own, *others):
        path.mkdir()
        (path / "half").write_bytes(b"x")
    sweep(folder)
    assert not any(path.exists() for path in own)
    assert all(path.exists() for path in others)
    assert unseal(folder, NAMES) == FILES


def test_all_is_on_disk_before_the_folder_has_its_name_and_its_name_after(tmp_path, monkeypatch):
    """Else a power cut leaves a folder whose files are empty, or takes it away after older ones are gone."""
    done = []

    def fsync(descriptor, really=os.fsync):
        done.append(os.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[2])
        really(descriptor)

    def rename(old, new, really=os.rename):
        done.append("renamed")
        really(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    seal(tmp_path / "new" / "whole" / "run", {"a": b"1", "b": b"2"})
    parents = ["new", tmp_path.name]
    assert done == [*parents, "a", "b", MANIFEST, f".tmp-run-{os.getpid()}", "renamed", "whole"]
    done.clear()
    seal(tmp_path / "new" / "whole" / "other", {"a": b"1"})
    assert "new" not in done, "what was there needs no second time"
