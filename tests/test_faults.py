"""The short version of `benchmarks/faults.py`: nothing finished is lost, nothing damaged is used."""

import random
import warnings
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import faults, kills
from bumplab.runs import sealed, store


@pytest.mark.parametrize("unfinished", [False, True])
def test_damaged_files_are_never_used(unfinished):
    found = faults.mutations(70, random.Random(1), unfinished)
    assert (found.tried, found.survived, found.lost, found.used_wrongly) == (70, 70, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("unfinished", [False, True])
def test_the_count_sees_a_store_that_does_not_check(monkeypatch, unfinished):
    """A store without checksums, as a control of the test above: damage gets through or crashes the reader."""
    monkeypatch.setattr(
        store,
        "unseal",
        lambda folder, limits: {name: sealed.read_file(folder / name, limits[name]) for name in sorted(limits)},
    )
    found = faults.mutations(70, random.Random(1), unfinished)
    assert found.lost + found.used_wrongly > 0


def test_the_count_sees_a_store_that_leaves_damage_where_it_is(monkeypatch):
    """Who waits for the run would wait for ever."""
    monkeypatch.setattr(store.RunStore, "set_aside", lambda self, folder, reason: warnings.warn(reason, stacklevel=2))
    found = faults.mutations(7, random.Random(1))
    assert (found.survived, found.lost) == (0, 7)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [3])
def test_a_crowd_finishes_each_run_once_though_some_die(processes):
    found = faults.crowd(10, random.Random(1), processes)
    assert (found.survived, found.lost, found.used_wrongly) == (10, 0, 0)


@pytest.mark.slow
def test_the_count_sees_a_crowd_without_locks():
    found = faults.crowd(4, random.Random(1), 3, locked=False)
    assert found.lost + found.used_wrongly > 0


@pytest.mark.slow
def test_a_killed_suite_ends_as_one_never_killed():
    """Killed once, at a step: at a moment it would mostly be importing, with nothing to lose."""
    found = kills.kills(1, random.Random(1), "phases")
    assert (found.survived, found.lost, found.used_wrongly) == (1, 0, 0)


@pytest.mark.parametrize(
    ("log", "again"),
    [
        ("1 a 0,1 a 1,1 a 2", []),
        ("1 a 0,2 b 0,1 a 1,2 b 1", []),
        ("1 a 0,1 a 1,1 a 2,2 a 0,2 a 1,2 a 2,2 a 3,3 a 2", [(2, 0), (3, 2)]),
        ("1 a 0,1 a 1,2 a 1", [(1, 1)]),
        ("1 a 0,1 a 1,1 a 0,1 a 1", [(1, 0)]),
    ],
)
def test_runs_taken_up_again_are_seen(log, again):
    assert kills.repeated(log.split(",")) == again


@pytest.mark.parametrize("reached", range(1, 13))
def test_no_more_is_repeated_than_since_a_checkpoint_that_is_written(reached):
    """At a checkpoint's step a kill may find it unwritten; a step later, trained since, it is there."""
    every = kills.SMOKE.base.measure.every
    last = (reached - 1) // every * every
    assert not kills.too_many((reached, last))
    assert kills.too_many((reached, last - 1))


def test_a_session_that_says_nothing_has_no_verdict_though_an_older_one_had(tmp_path, monkeypatch):
    (tmp_path / "report.json").write_text('{"claims": [], "runs": {}}')
    command = {"args": ["false"], "cwd": tmp_path}
    monkeypatch.setattr(kills, "command", lambda place, claims: command)
    assert kills.verdicts(tmp_path, "hole") is None


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [{"step": 1.0}]},
        {"failed": "x"},
        {"environment": {"instructions": "cuda"}},
        {"evidence": {"0/x": np.ones(1)}},
    ],
)
def test_a_run_judged_otherwise_is_another(change):
    record = store.RunRecord(faults.SMOKE.run(0))
    assert faults.content(record) == faults.content(replace(record))
    assert faults.content(replace(record, **change)) != faults.content(record)
    assert faults.content(record, b"weights") != faults.content(record)
