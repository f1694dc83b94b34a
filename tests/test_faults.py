"""The short version of `benchmarks/faults.py`: nothing finished is lost, nothing damaged is used."""

import random

import pytest

from benchmarks import faults
from bumplab.runs import sealed, store


def test_damaged_files_are_never_used():
    found = faults.mutations(70, random.Random(1))
    assert (found.tried, found.survived, found.lost, found.used_wrongly) == (70, 70, 0, 0)


def test_the_count_sees_a_store_that_does_not_check(monkeypatch):
    """A store without checksums, as a control of the test above: damage gets through or crashes the reader."""
    monkeypatch.setattr(
        store,
        "unseal",
        lambda folder, limits: {name: sealed.read_file(folder / name, limits[name]) for name in sorted(limits)},
    )
    found = faults.mutations(70, random.Random(1))
    assert found.lost + found.used_wrongly > 0


@pytest.mark.parametrize("processes", [3])
def test_a_crowd_finishes_each_run_once_though_some_die(processes):
    found = faults.crowd(10, random.Random(1), processes)
    assert (found.survived, found.lost, found.used_wrongly) == (10, 0, 0)
