"""A sealed folder appears whole or not at all, and any damage to it is noticed."""

import errno
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab.runs import sealed
from bumplab.runs.sealed import MANIFEST, Damaged, move, read_file, seal, sweep, sync, unseal

FILES = {
    "spec.json": b'{"a":1}',
    "evidence.safetensors": bytes(range(256)) * 5,
    "weights.safetensors": b"\x00\xff" * 300,
    "empty": b"",
}
LIMITS = dict.fromkeys(FILES, 1 << 20)
NAMES = [*sorted(FILES), MANIFEST]


@pytest.fixture
def folder(tmp_path):
    seal(tmp_path / "results" / "abc", FILES)
    return tmp_path / "results" / "abc"


def assert_damaged(folder, case, limits=LIMITS):
    try:
        unseal(folder, limits)
    except Damaged:
        return
    pytest.fail(f"no damage was noticed: {case}")


@given(files=st.dictionaries(st.sampled_from(["a", "b.json", "c.safetensors"]), st.binary(max_size=200)))
def test_what_is_sealed_is_unsealed(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("seal") / "deep" / "folder"
    seal(folder, files)
    assert unseal(folder, dict.fromkeys(files, 200)) == files
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_a_changed_file_is_noticed(folder):
    """It is cut to several lengths, is longer, or has a flipped bit."""
    draw = random.Random(0)
    for name in NAMES:
        whole = (folder / name).read_bytes()
        changes = [whole + b"\x00"]
        if whole:
            changes += [whole[:length] for length in {0, 1, len(whole) // 2, len(whole) - 2, len(whole) - 1}]
            for position in {0, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(20))}:
                changed = bytearray(whole)
                changed[position] ^= 1 << draw.randrange(8)
                changes.append(bytes(changed))
        for changed in changes:
            (folder / name).write_bytes(changed)
            assert_damaged(folder, (name, changed[:50], len(changed)))
        (folder / name).write_bytes(whole)
        assert unseal(folder, LIMITS) == FILES, name


def test_a_missing_or_foreign_file_is_noticed(folder, tmp_path):
    for name in NAMES:
        path, elsewhere = folder / name, tmp_path / "elsewhere"
        path.rename(elsewhere)
        assert_damaged(folder, f"{name} is missing")
        path.mkdir()
        assert_damaged(folder, f"{name} is a folder")
        path.rmdir()
        path.symlink_to(elsewhere)
        assert_damaged(folder, f"{name} is a link to the right content")
        path.unlink()
        elsewhere.rename(path)
    assert unseal(folder, LIMITS) == FILES
    assert_damaged(folder, "asked for one file more", LIMITS | {"more": 1})
    assert_damaged(folder, "asked for one file less", {name: 1 << 20 for name in FILES if name != "empty"})
    (folder / "foreign.pkl").write_bytes(b"x")
    assert_damaged(folder, "a foreign file")


def test_a_missing_or_linked_folder_or_a_file_in_its_place_is_damaged(folder, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    for name in ("absent", "file", "link"):
        assert_damaged(tmp_path / name, name)


def test_a_manifest_of_another_form_is_refused(folder):
    sums = json.loads((folder / MANIFEST).read_text())
    entries = (None, [], "x", {}, {"sha256": "0", "bytes": 7})
    texts = ["", "{", "[]", "null", "3", '{"spec.json": {}}', "\xff", "[" * 100, "[" * 100_000]
    for text in [*texts, *(json.dumps({**sums, "spec.json": entry}) for entry in entries)]:
        (folder / MANIFEST).write_bytes(text.encode("latin-1"))
        assert_damaged(folder, text[:100])


def test_a_folder_that_is_moved_away_while_it_is_read_is_damaged(folder, monkeypatch):
    def listdir(path):
        raise FileNotFoundError(errno.ENOENT, "No such file", path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert_damaged(folder, "gone")


def test_a_seal_that_fails_midway_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args):
        raise KeyboardInterrupt

    for function in ("rename", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(KeyboardInterrupt):
                seal(tmp_path / "abc", FILES)
        assert list(tmp_path.iterdir()) == [], function


def syncing(error, applies):
    """os.fsync that raises ``error`` for descriptors whose mode ``applies`` to."""

    def fsync(descriptor, really=os.fsync):
        if applies(os.fstat(descriptor).st_mode):
            raise OSError(error, os.strerror(error))
        really(descriptor)

    return fsync


def test_a_file_system_that_cannot_sync_is_used_and_a_disk_that_fails_is_an_error(tmp_path, monkeypatch):
    for applies in (stat.S_ISDIR, stat.S_ISREG):
        for error in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EIO, errno.ENOSPC):
            folder = tmp_path / f"{applies.__name__}-{error}" / "run"
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", syncing(error, applies))
                if error in (errno.EIO, errno.ENOSPC):
                    with pytest.raises(OSError, match=os.strerror(error)):
                        seal(folder, FILES)
                else:
                    seal(folder, FILES)
                    assert unseal(folder, LIMITS) == FILES, (applies, error)


def test_sync_tells_whether_the_file_system_can(tmp_path, monkeypatch):
    with open(tmp_path / "file", "wb") as file:
        assert sync(file.fileno())
        monkeypatch.setattr(os, "fsync", syncing(errno.ENOSYS, stat.S_ISREG))
        assert not sync(file.fileno())


def test_a_file_system_that_opens_no_folders_is_used(tmp_path, monkeypatch):
    def opened(path, flags, *rest, really=os.open, **named):
        if os.path.isdir(path):
            raise OSError(errno.EISDIR, "Is a directory")
        return really(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", opened)
    seal(tmp_path / "run", FILES)
    assert unseal(tmp_path / "run", LIMITS) == FILES


def test_a_folder_on_a_lower_layer_is_copied_where_it_cannot_be_renamed(folder, monkeypatch):
    def rename(old, new):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", rename)
    move(folder, to := folder.with_name("moved"))
    assert unseal(to, LIMITS) == FILES
    assert not folder.exists()
    monkeypatch.setattr(os, "rename", lambda old, new: os.stat("/absent"))
    with pytest.raises(FileNotFoundError):
        move(to, folder)


WRITER = """
import os, sys
from pathlib import Path
from bumplab.runs.sealed import seal
folder = Path(sys.argv[1])
print(os.getpid(), flush=True)
for i in range(100_000):
    seal(folder / f"{i:06d}", {"a": os.urandom(1 << 20), "b": os.urandom(1 << 20)})
"""


def test_a_killed_seal_leaves_no_visible_folder_that_is_not_whole(tmp_path):
    """Each writer is killed at a random moment after its first folder."""
    draw = random.Random(1)
    for trial in range(3):
        store = tmp_path / str(trial)
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(store)], stdout=subprocess.PIPE)
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while not (store / "000000").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for path in store.glob("[0-9]*"):
            contents = unseal(path, {"a": 1 << 20, "b": 1 << 20})
            assert {len(data) for data in contents.values()} == {1 << 20}, path
        seal(store / "after", FILES)
        assert unseal(store / "after", LIMITS) == FILES


def test_sweep_removes_the_orphans_of_one_folder(folder):
    orphans = [folder.with_name(f".tmp-abc-{pid}") for pid in (1, 22)]
    others = [folder.with_name(name) for name in (".tmp-abcd-1", ".tmp-xyz-1", "abd")]
    for path in (*orphans, *others):
        path.mkdir()
        (path / "half").write_bytes(b"x")
    sweep(folder)
    assert not any(path.exists() for path in orphans)
    assert all(path.exists() for path in others)
    assert unseal(folder, LIMITS) == FILES


def test_all_is_on_disk_before_the_folder_has_its_name_and_its_name_after(tmp_path, monkeypatch):
    """Otherwise a power cut leaves a folder of empty files, or removes a new folder after the old ones are gone."""
    calls = []

    def fsync(descriptor, really=os.fsync):
        calls.append(os.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[2])
        really(descriptor)

    def rename(old, new, really=os.rename):
        calls.append("renamed")
        really(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    seal(tmp_path / "new" / "whole" / "run", {"a": b"1", "b": b"2"})
    parents = ["new", tmp_path.name]
    assert calls == [*parents, "a", "b", MANIFEST, f".tmp-run-{os.getpid()}", "renamed", "whole"]
    calls.clear()
    seal(tmp_path / "new" / "whole" / "other", {"a": b"1"})
    assert "new" not in calls, "an old parent is already on disk"


def test_a_manifest_over_its_limit_is_refused(folder, monkeypatch):
    monkeypatch.setattr(sealed, "MANIFEST_BYTES", (folder / MANIFEST).stat().st_size)
    assert unseal(folder, LIMITS) == FILES
    monkeypatch.setattr(sealed, "MANIFEST_BYTES", (folder / MANIFEST).stat().st_size - 1)
    assert_damaged(folder, "a manifest of one byte too many")


def test_only_a_regular_file_of_bounded_size_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("pipe")
    socket.socket(socket.AF_UNIX).bind("socket")
    os.mkdir("folder")
    (tmp_path / "small").write_text("y" * 100)
    os.symlink("small", "link")
    with open("large", "wb") as file:
        file.truncate(1 << 40)  # a sparse file that fits no memory
    for name in ("pipe", "socket", "folder", "link", "large", "absent", "small/x"):
        with pytest.raises(Damaged, match=rf"^{name.split('/')[-1]} "):
            read_file(tmp_path / name, 100)
    assert read_file(tmp_path / "small", 100) == b"y" * 100
    with pytest.raises(Damaged, match="100 bytes"):
        read_file(tmp_path / "small", 99)
