"""A store on a file system without locks is refused in one line, and one with them is not."""

import errno
import fcntl
import os
import threading
from typing import ClassVar

import pytest
from filelock import FileLock

from bumplab import profiles
from bumplab.__main__ import main
from bumplab.runs.locks import require_locks
from bumplab.runs.planner import train_if_free
from bumplab.runs.store import RunStore, run_key

SPEC = profiles.get("smoke").run(0)


def nobody_kept_out(descriptor, operation):
    return None


def no_locks(descriptor, operation):
    raise OSError(errno.ENOSYS, "Function not implemented")


def out_of_locks(descriptor, operation):
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_local_folder_has_locks_again_and_again(tmp_path):
    require_locks(tmp_path / "new")
    require_locks(tmp_path / "new")


def test_sessions_that_begin_at_once_wait_for_each_others_probe(tmp_path):
    require_locks(tmp_path)
    held = FileLock(tmp_path / "locks" / "probe.lock", thread_local=False)
    held.acquire()
    threading.Timer(0.3, held.release).start()
    require_locks(tmp_path)


class OfThisProcess:
    """Locks that hold within one process, as in some folders that a virtual machine shares with its host."""

    held: ClassVar[set] = set()

    def __call__(self, descriptor, operation):
        file = os.fstat(descriptor).st_ino
        if operation & fcntl.LOCK_UN:
            self.held.discard(file)
        elif file in self.held:
            raise BlockingIOError(errno.EWOULDBLOCK, "Resource temporarily unavailable")
        else:
            self.held.add(file)


@pytest.mark.parametrize("flock", [nobody_kept_out, no_locks, out_of_locks, OfThisProcess()])
def test_a_file_system_without_working_locks_is_refused(tmp_path, monkeypatch, flock):
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=r"locks there|file locks|No locks available"):
        require_locks(tmp_path)


def test_the_command_says_it_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", nobody_kept_out)
    assert main(["train", profiles.get("smoke").run(0).to_json(), "--runs-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "do not keep a second process out: name a folder on a local disk" in line


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("name", "take"),
    [
        ("probe", lambda store: require_locks(store.root)),
        (run_key(SPEC), lambda store: store.lock(run_key(SPEC)).acquire()),
        (run_key(SPEC), lambda store: train_if_free(SPEC, store, "cpu")),
    ],
)
def test_a_lock_is_not_taken_through_a_link(tmp_path, there, name, take):
    """It would be a file of another's that is locked, or one made anywhere."""
    store, target = RunStore(tmp_path / "store"), tmp_path / "target"
    if there:
        target.write_text("x")
    (store.root / "locks").mkdir(parents=True)
    (store.root / "locks" / f"{name}.lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links") as raised:
        take(store)
    assert raised.value.errno == errno.ELOOP
    assert target.exists() == there
    assert not store.has(SPEC)
