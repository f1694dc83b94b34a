"""A store on a file system without locks is refused in one line, and a store with locks is not."""

import errno
import fcntl
import os
import sys
import threading

import pytest
from filelock import FileLock

from bumplab import profiles
from bumplab.__main__ import main
from bumplab.runs.locks import require_locks


def test_a_local_folder_has_locks_again_and_again(tmp_path):
    require_locks(tmp_path / "new")
    require_locks(tmp_path / "new")


def test_sessions_that_begin_at_once_wait_for_each_others_probe(tmp_path):
    require_locks(tmp_path)
    held = FileLock(tmp_path / "locks" / "probe.lock", thread_local=False)
    held.acquire()
    threading.Timer(0.3, held.release).start()
    require_locks(tmp_path)


def excludes_nobody(descriptor, operation):
    return None


def has_no_locks(descriptor, operation):
    raise OSError(errno.ENOSYS, "Function not implemented")


def is_out_of_locks(descriptor, operation):
    raise OSError(errno.ENOLCK, "No locks available")


class OfThisProcess:
    """Locks that hold within one process, as in some folders that a virtual machine shares with its host."""

    def __init__(self):
        self.held = set()

    def __call__(self, descriptor, operation):
        file = os.fstat(descriptor).st_ino
        if operation & fcntl.LOCK_UN:
            self.held.discard(file)
        elif file in self.held:
            raise BlockingIOError(errno.EWOULDBLOCK, "Resource temporarily unavailable")
        else:
            self.held.add(file)


def test_a_file_system_without_working_locks_is_refused(tmp_path, monkeypatch):
    for number, flock in enumerate((excludes_nobody, has_no_locks, is_out_of_locks, OfThisProcess())):
        with monkeypatch.context() as patch:
            patch.setattr(fcntl, "flock", flock)
            with pytest.raises(OSError, match=r"locks there|file locks|No locks available"):
                require_locks(tmp_path / str(number))


def test_a_second_process_that_cannot_try_the_lock_is_an_error(tmp_path, monkeypatch):
    for program, reason in (("exit 1", "it was killed"), ("echo one >&2; echo two >&2; exit 3", "two")):
        other = tmp_path / "python"
        other.write_text(f"#!/bin/sh\n{program}\n")
        other.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(other))
        with pytest.raises(OSError, match=rf"\({reason}\)") as raised:
            require_locks(tmp_path)
        assert raised.value.errno == errno.ENOLCK


def test_the_command_says_it_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", excludes_nobody)
    assert main(["train", profiles.get("smoke").run(0).to_json(), "--runs-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "name a folder on a local disk" in line
    assert not (tmp_path / "results").exists()
