"""Folders that someone else made."""

import os
import shutil
import subprocess
from contextlib import contextmanager

from bumplab.runs.sealed import seal
from bumplab.runs.store import FILES


def reseal(folder, **changes):
    """Puts other files into a folder, with a manifest that agrees with them."""
    files = {name: (folder / name).read_bytes() for name in FILES} | changes
    shutil.rmtree(folder)
    seal(folder, files)


@contextmanager
def nested(place):
    """A folder of folders in one another, more than Python walks through; gone in the end, as pytest, which tidies up
    after every session on this machine, would not get through either."""
    place.mkdir(parents=True)
    here = os.open(place, os.O_RDONLY)
    for _ in range(3_000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", place, *place.parent.glob(f".tmp-{place.name}-*")], check=True)
