"""Workers of one session share what its claims want, what is wanted later included, and end together."""

import json
import os
import signal
import subprocess
import time

from bumplab import profiles

TRIVIAL = ("overlap", "bottleneck", "coupling", "phases")


def test_a_worker_without_claims_trains_what_an_open_claim_adds(suite):
    """Five claims, one of which trains: two runs a seed. Both workers take half of them, at both looks."""
    for name in TRIVIAL:
        suite.write(name, "1.0", "{}")
    suite.write("seeds", 'runs["a"].last("value")', "{'a': profile.run(seed), 'b': profile.run(seed, dx=4.0)}")
    killed = suite.folder / ".runs" / "progress" / "killed"
    killed.mkdir(parents=True)
    unwanted = json.loads(profiles.get("smoke").run(99).to_json())
    (killed / "gw0.json").write_text(json.dumps({"claims": [], "runs": [unwanted]}))
    began = time.monotonic()
    done = suite.run("-n", "2", "-k", f"seeds or {' or '.join(TRIVIAL)}", seconds=2)
    assert "5 passed" in done.stdout
    assert suite.entries()["seeds"]["seeds"] == 3
    workers = dict(suite.trained())
    assert set(workers) == {f"d={d} seed {seed}" for d in ("0.5", "4") for seed in (10, 11, 12)}
    assert len(suite.trained()) == 6
    assert sorted(workers.values()) == ["gw0", "gw0", "gw0", "gw1", "gw1", "gw1"]
    assert {workers[f"d={d} seed 12"] for d in ("0.5", "4")} == {"gw0", "gw1"}
    assert time.monotonic() - began < 60
    assert sorted(path.name for path in killed.parent.iterdir()) == ["killed"]  # its own folder is gone


def test_a_claim_whose_worker_died_is_in_the_report(suite):
    suite.write("sigma", '__import__("os")._exit(1)', "{'a': profile.run(seed, dx=2.0)}")
    done = suite.run("-n", "2", "-k", "sigma or overlap")
    entries = suite.entries()
    assert (entries["sigma"]["verdict"], entries["overlap"]["verdict"]) == ("ERROR", "SUPPORTED")
    assert "its worker died" in entries["sigma"]["reason"]
    assert "1 of 1 claims judged" in done.stdout


def test_the_next_session_after_a_killed_one_trains_what_is_missing_and_ends(suite):
    """The killed session's workers leave locks and wishes behind, among them runs that the next one does not need."""
    session = subprocess.Popen(
        suite.command("-n", "2"), cwd=suite.folder, stdout=subprocess.DEVNULL, start_new_session=True,
        env=suite.environment(seconds=1.0),
    )  # fmt: skip
    try:
        while not suite.trained():
            assert session.poll() is None
            time.sleep(0.05)
    finally:
        os.killpg(session.pid, signal.SIGKILL)
        session.wait()
    assert list((suite.folder / ".runs" / "progress").glob("*/gw*.json"))
    before = len(suite.trained())
    done = suite.run("-n", "2", "-k", "sigma or overlap")
    assert "2 passed" in done.stdout
    assert {label for label, _ in suite.trained()[before:]} <= {"d=2 seed 10", "d=2 seed 11"}
