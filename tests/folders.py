"""Folders that others made, and the store's answer to them."""

import os
import shutil
import subprocess
import warnings
from contextlib import contextmanager

from bumplab.runs.sealed import seal
from bumplab.runs.store import FILES, run_key


def reseal(folder, **changes):
    """Replaces files of a sealed folder, with a manifest that agrees with them."""
    files = {name: (folder / name).read_bytes() for name in FILES} | changes
    shutil.rmtree(folder)
    seal(folder, files)


def assert_set_aside(load, folder, case, *words):
    """``load()`` gives None, and ``folder`` is moved to the store's ``damaged``.

    One warning names the folder and holds ``words``.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = load()
    messages = [str(warning.message) for warning in caught]
    assert loaded is None, case
    assert len(messages) == 1, (case, messages)
    assert all(word in messages[0] for word in (str(folder), "moved to", *words)), (case, messages[0])
    assert "\n" not in messages[0], case
    assert not os.path.lexists(folder), case


def assert_refused(store, spec, case, *words):
    """The finished run is moved aside by `assert_set_aside`, and is absent after that."""
    assert_set_aside(lambda: store.load(spec), store.path(run_key(spec)), case, *words)
    assert store.load(spec) is None, case


@contextmanager
def nested(path):
    """A folder of 1,100 folders in one another, more than Python walks through.

    The folder is removed at the end: pytest, which tidies up after every session, could not remove it.
    """
    path.mkdir(parents=True)
    here = os.open(path, os.O_RDONLY)
    for _ in range(1_100):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", path, *path.parent.glob(f".tmp-{path.name}-*")], check=True)
