"""The short version of `benchmarks/faults.py`: no finished run is lost, and no damaged file is used."""

import random
import warnings
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import faults, kills
from bumplab.runs import sealed, store


@pytest.mark.parametrize(("unfinished", "count"), [(False, 70), (True, 35)])
def test_damaged_files_are_never_used(unfinished, count):
    """A checkpoint is tried less often, because reading it takes longer."""
    outcome = faults.mutations(count, random.Random(1), unfinished)
    assert (outcome.tried, outcome.survived, outcome.lost, outcome.used_wrongly) == (count, count, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("unfinished", [False, True])
def test_the_count_sees_a_store_that_does_not_check(monkeypatch, unfinished):
    """A control of the test above. Without checksums, the reader uses damaged data or crashes."""
    monkeypatch.setattr(
        store,
        "unseal",
        lambda folder, limits: {name: sealed.read_file(folder / name, limits[name]) for name in sorted(limits)},
    )
    outcome = faults.mutations(70, random.Random(1), unfinished)
    assert outcome.lost + outcome.used_wrongly > 0


def test_the_count_sees_a_store_that_leaves_damage_where_it_is(monkeypatch):
    """A process that waits for the run would wait for ever."""
    monkeypatch.setattr(store.RunStore, "set_aside", lambda self, folder, reason: warnings.warn(reason, stacklevel=2))
    outcome = faults.mutations(7, random.Random(1))
    assert (outcome.survived, outcome.lost) == (0, 7)


@pytest.mark.slow
def test_a_crowd_finishes_each_run_once_though_some_die():
    outcome = faults.crowd(10, random.Random(1), processes=3)
    assert (outcome.survived, outcome.lost, outcome.used_wrongly) == (10, 0, 0)


@pytest.mark.slow
def test_the_count_sees_a_crowd_without_locks():
    outcome = faults.crowd(4, random.Random(1), processes=3, locked=False)
    assert outcome.lost + outcome.used_wrongly > 0


@pytest.mark.slow
def test_a_killed_suite_ends_as_one_never_killed():
    """The kill comes at a step. At a random moment the suite would mostly be importing, and lose nothing."""
    outcome = kills.kills(1, random.Random(1), "phases")
    assert (outcome.survived, outcome.lost, outcome.used_wrongly) == (1, 0, 0)


def test_repeated_steps_are_seen():
    """A line is a process, a run and a step."""
    for log, again in (
        ("1 a 0,1 a 1,1 a 2", []),
        ("1 a 0,2 b 0,1 a 1,2 b 1", []),
        ("1 a 0,1 a 1,1 a 2,2 a 0,2 a 1,2 a 2,2 a 3,3 a 2", [(2, 0), (3, 2)]),
        ("1 a 0,1 a 1,2 a 1", [(1, 1)]),
        ("1 a 0,1 a 1,1 a 0,1 a 1", [(1, 0)]),
    ):
        assert kills.repeated(log.split(",")) == again, log


def test_only_the_steps_since_a_written_checkpoint_may_be_repeated():
    """At a checkpoint's own step, a kill may come before it is written. One step later it is there."""
    every = kills.SMOKE.base.measure.every
    for reached in range(1, 13):
        last = (reached - 1) // every * every
        assert not kills.too_many((reached, last)), reached
        assert kills.too_many((reached, last - 1)), reached


def test_a_session_without_a_report_has_no_verdict_though_an_older_one_had(tmp_path, monkeypatch):
    (tmp_path / "report.json").write_text('{"claims": [], "runs": {}}')
    command = {"args": ["false"], "cwd": tmp_path}
    monkeypatch.setattr(kills, "command", lambda *_: command)
    assert kills.verdicts(tmp_path, "hole") is None


def test_runs_with_other_contents_differ():
    record = store.RunRecord(faults.SMOKE.run(0))
    assert faults.content(record) == faults.content(replace(record))
    for change in (
        {"rows": [{"step": 1.0}]},
        {"failed": "x"},
        {"environment": {"instructions": "cuda"}},
        {"evidence": {"0/x": np.ones(1)}},
    ):
        assert faults.content(replace(record, **change)) != faults.content(record), change
    assert faults.content(record, b"weights") != faults.content(record)
