"""Folders that someone else made."""

import os


def nested(place):
    """Folders in one another, more than Python walks through."""
    here = os.open(place, os.O_RDONLY)
    for _ in range(3_000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
