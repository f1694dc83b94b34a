"""A store on a file system without locks is refused in one line, and one with them is not."""

import errno
import fcntl

import pytest

from bumplab import profiles
from bumplab.__main__ import main
from bumplab.runs.locks import require_locks


def nobody_kept_out(descriptor, operation):
    return None


def no_locks(descriptor, operation):
    raise OSError(errno.ENOSYS, "Function not implemented")


def out_of_locks(descriptor, operation):
    raise OSError(errno.ENOLCK, "No locks available")


def test_a_local_folder_has_locks_again_and_again(tmp_path):
    require_locks(tmp_path / "new")
    require_locks(tmp_path / "new")


@pytest.mark.parametrize("flock", [nobody_kept_out, no_locks, out_of_locks])
def test_a_file_system_without_working_locks_is_refused(tmp_path, monkeypatch, flock):
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=r"locks there|file locks|No locks available"):
        require_locks(tmp_path)


def test_the_command_says_it_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fcntl, "flock", nobody_kept_out)
    assert main(["train", profiles.get("smoke").run(0).to_json(), "--runs-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "do not keep a second process out: name a folder on a local disk" in line
