"""Workers of one session share the runs that its claims want, those of later looks included, and end together."""

import json

from bumplab import profiles

TRIVIAL = ("overlap", "bottleneck", "coupling", "phases")


def test_a_worker_without_claims_trains_what_an_open_claim_adds(suite, monkeypatch):
    """Five claims, one of which trains: two runs a seed. Both workers take half of them, at both looks."""
    monkeypatch.setenv("SECONDS", "1.0")
    for path in (suite.folder / "claims").glob("test_*.py"):
        path.unlink()
    for name in TRIVIAL:
        suite.write(name, "1.0")
    suite.write("seeds", 'runs["a"].last("image.order")', "{'a': profile.run(seed), 'b': profile.run(seed, dx=4.0)}")
    killed = suite.folder / ".runs" / "progress" / "killed"
    killed.mkdir(parents=True)
    unwanted = json.loads(profiles.get("quick").run(99).to_json())
    (killed / "gw0.json").write_text(json.dumps({"claims": [], "runs": [unwanted]}))
    suite.expected.unlink()
    ended = suite.run("-n", "2", "--seeds=4", "--max-seeds=5", "-k", "verdict")
    assert "5 passed" in ended.printed
    assert suite.entries()["seeds"]["seeds"] == 5
    workers = dict(suite.trained())
    assert set(workers) == {f"d={d} seed {seed}" for d in ("0.1", "4") for seed in range(1000, 1005)}
    assert len(suite.trained()) == 10
    assert sorted(workers.values()) == ["gw0"] * 5 + ["gw1"] * 5
    assert {workers[f"d={d} seed 1004"] for d in ("0.1", "4")} == {"gw0", "gw1"}
    assert sorted(path.name for path in killed.parent.iterdir()) == ["killed"]  # its own folder is gone
