"""A session with ``--minutes``: it ends in time, keeps what it trained, and the next ones reach the same verdicts."""

import re
from types import SimpleNamespace

import pytest

from bumplab.runs import deadline
from bumplab.runs.board import Board
from bumplab.runs.stopping import Stopped
from bumplab.runs.store import RunRecord
from tests.pytest_plugin import planted
from tests.pytest_plugin.planted import FIRST
from tests.rows import rows_of

VERDICTS = {"density": "CONTRADICTED", "hole": "SUPPORTED", "sigma": "SUPPORTED", "overlap": "SUPPORTED"}
RUNS = 28
"""Seven seeds of four conditions."""


@pytest.fixture
def clock(monkeypatch):
    """A clock in seconds that a planted run moves on by a minute, and nothing else does."""
    clock, train = SimpleNamespace(seconds=1_000.0), planted.train

    def train_for_a_minute(spec, store, device):
        train(spec, store, device)
        clock.seconds += 60

    monkeypatch.setenv("NOTED", "60")
    monkeypatch.setattr(planted, "train", train_for_a_minute)
    monkeypatch.setattr(deadline, "now", lambda: clock.seconds)
    return clock


def verdicts(suite):
    return {claim: (entry["verdict"], entry["seeds"], entry["stopped"]) for claim, entry in suite.entries().items()}


def test_sessions_in_time_reach_the_verdicts_of_one_without_an_end(suite, clock):
    """density is accepted as CONTRADICTED. After 5 seeds it is open, and that is no move."""
    ended = suite.run("--minutes", "5.5")
    assert (ended.status, len(suite.trained())) == (0, 5), ended.printed
    entries = suite.entries()
    assert verdicts(suite) == {
        "density": ("INCONCLUSIVE", 5, True), "hole": ("SKIPPED", 0, True), "sigma": ("SKIPPED", 0, True),
        "overlap": ("SUPPORTED", 0, False),
    }  # fmt: skip
    assert "in 0 of 5 seeds" in entries["density"]["reason"]
    assert entries["density"]["reason"].endswith("stopped by --minutes")
    assert entries["density"]["expected"]["verdict"] == "CONTRADICTED"
    assert "expected CONTRADICTED" not in (suite.folder / "report.md").read_text()
    assert entries["hole"]["reason"] == "--minutes 5.5 are over: 6 of 6 runs are missing (about 6 min)"
    (closing,) = ended.lines("--minutes 5.5 are over: 10 of 15 runs are missing (about 10 min): ")
    assert closing.endswith("give the command again")
    for session in range(2, 7):
        ended = suite.run("--minutes", "5.5")
        assert (ended.status, len(suite.trained())) == (0, min(5 * session, RUNS)), ended.printed
    assert len(set(suite.trained())) == RUNS, "none was trained twice"
    assert verdicts(suite) == {claim: (verdict, 7 * (claim != "overlap"), False) for claim, verdict in VERDICTS.items()}
    assert not ended.lines("--minutes")


def test_a_run_under_way_stops_at_the_end_and_the_next_session_goes_on_with_it(suite, clock, monkeypatch):
    """In place of the built-in trainer: six steps of ten seconds, and each of them is a checkpoint."""
    done, sessions = {}, []

    def train_here(spec, store, device, users, stops):
        for step in range(done.get(spec, 0), 6):
            clock.seconds += 10
            done[spec] = step + 1
            sessions[-1].append(spec.label())
            if step < 5 and stops(spec):
                raise Stopped
        store.publish(RunRecord(spec, rows_of(spec), seconds={"training": 60.0}), b"")

    monkeypatch.setattr(planted, "plant", lambda config: None)
    monkeypatch.setattr("bumplab.pytest_plugin.session.train_here", train_here)
    for _ in range(3):
        sessions.append([])
        ended = suite.run("-k", "density and verdict", "--minutes", "0.5")
        assert (ended.status, suite.verdicts()) == (0, {"density": "SKIPPED"})
    first, second = (f"d=4 seed {seed}" for seed in (FIRST, FIRST + 1))
    assert sessions == [[first] * 3, [first] * 3, [second] * 3]
    assert not list((suite.folder / ".runs" / "progress").glob("*/")), "the sessions have ended"


def test_a_claim_without_all_controls_is_open_and_no_control_fails(suite, clock):
    """hole needs 14 runs, and its control "shuffled" 5. Of these 2, and then 4, are there."""
    for minutes, runs, controls, reason in (
        ("16", 16, ["turned"], "not all controls were tried, stopped by --minutes; without them SUPPORTED"),
        ("2", 18, ["turned", "shuffled", "planted"], "its controls cannot tell: 'shuffled'"),
    ):
        ended = suite.run("-k", "hole", "--controls", "--minutes", minutes)
        assert ended.status == 0, ended.printed
        (entry,) = suite.entries().values()
        assert (entry["verdict"], entry["unchecked"], entry["stopped"]) == ("INCONCLUSIVE", "SUPPORTED", True), minutes
        assert entry["reason"].startswith(reason), minutes
        assert ([control["name"] for control in entry["controls"]], len(suite.trained())) == (controls, runs)
    suite.run("-k", "hole", "--controls")
    assert suite.verdicts() == {"hole": "SUPPORTED"}
    assert len(set(suite.trained())) == 19


def test_what_is_stopped_is_not_accepted(suite, clock):
    suite.expected.unlink()
    ended = suite.run("--accept", "planted", "--max-seeds=14", "--seeds=3", "--minutes", "5")
    assert (ended.status, suite.verdicts()["density"]) == (0, "INCONCLUSIVE")
    assert re.findall(r"\[.*\]", suite.expected.read_text()) == ["[quick.overlap]"]


def test_workers_have_the_deadline_of_their_controller(suite, monkeypatch):
    """The controller's clock stands still in 1970. By the clock of its workers the time is over at once."""
    monkeypatch.setattr(deadline, "now", lambda: 1_000.0)
    suite.path = suite.folder / "reports" / "claims-quick-subset.json"
    ended = suite.run("--minutes", "60", "-n", "2", report=None)
    assert not (suite.folder / "reports" / "claims-quick.html").exists(), "a report on all claims is not replaced"
    assert (ended.status, suite.trained()) == (0, []), ended.printed
    assert suite.verdicts() == {"density": "SKIPPED", "hole": "SKIPPED", "sigma": "SKIPPED", "overlap": "SUPPORTED"}
    assert len(ended.lines("--minutes 60 are over: 12 of 12 runs are missing: ")) == 1


def test_the_board_holds_runs_of_later_looks_until_their_part_is_settled(suite, monkeypatch):
    """In one process. A part needs 7 seeds, and a control 5. Three parts have one seed in their region, and need more.

    The claims come in the order density, hole with its parts at 1 and 0.5 px and its control, sigma.
    """
    value = f"({planted.VALUE} - 0.55)"
    inside = planted.INSIDE.replace(planted.VALUE, value.replace('["a"]', '["b"]'))
    suite.write("hole", value, "{'a': profile.run(seed, dx=1.0)}", planted.ANOTHER, inside)
    suite.write("sigma", value, "{'a': profile.run(seed, dx=2.0)}")
    seen, train = {}, planted.train

    def look_and_train(spec, store, device):
        (session,) = (store.root / "progress").glob("*/")
        later = Board(store.root, session.name, "reader").later()
        seen[spec.label()] = [run.label() for run in later if not store.has(run)]
        train(spec, store, device)

    monkeypatch.setattr(planted, "train", look_and_train)
    suite.run("--controls", "--seeds=3", "--max-seeds=16", "-k", "verdict and not overlap")

    def labels(d, last, first=1):
        """From the first to the last of these seeds, counted from 1."""
        return {f"d={d} seed {FIRST - 1 + number}" for number in range(first, last + 1)}

    def waiting(d, number):
        """The runs of later looks on the board when this seed of this condition is trained."""
        (label,) = labels(d, number, number)
        return seen[label]

    begun = waiting(4, 1)
    assert set(begun) == labels(1, 7) | labels(0.5, 7) | labels(2, 7) | labels(4, 7) | labels("1 shuffled", 5)
    seeds = [int(label.split()[-1]) for label in begun]
    assert seeds == sorted(seeds)
    assert not labels(4, 16) & set(waiting(1, 1)), "density is settled"
    assert set(waiting(1, 7)) & labels(1, 16) == labels(1, 7, 7), "the look at 7 seeds may settle it"
    assert set(waiting(1, 8)) & labels(1, 16) == labels(1, 9, 8), "it has not, and each further look may"
    assert labels(1, 15, 15) <= set(waiting(1, 14))
    assert not labels(1, 16) & set(waiting(0.5, 4)), "the first part of hole is settled"
    assert labels(0.5, 15, 15) <= set(waiting(0.5, 14))
    assert not labels(0.5, 16) & set(waiting("1 shuffled", 1)), "both are settled, and its control is not"
