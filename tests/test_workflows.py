"""What GitHub runs: a token that can write in one job alone, one night at a time, quick written down once."""

from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
WORKFLOWS = {path.stem: path for path in (Path(__file__).parents[1] / ".github" / "workflows").glob("*.yml")}


@pytest.fixture
def workflows():
    return {name: yaml.safe_load(path.read_text()) for name, path in WORKFLOWS.items()}


def test_only_the_job_that_publishes_may_write(workflows):
    assert all(flow["permissions"] == {"contents": "read"} for flow in workflows.values())
    jobs = {(name, job): body for name, flow in workflows.items() for job, body in flow["jobs"].items()}
    assert [where for where, body in jobs.items() if "permissions" in body] == [("nightly", "publish")]
    assert jobs["nightly", "publish"]["permissions"] == {"contents": "write"}


def test_nights_wait_for_each_other(workflows):
    assert workflows["nightly"]["concurrency"] == {"group": "nightly"}


def test_quick_is_written_down_once(workflows):
    assert set(WORKFLOWS) == {"ci", "nightly", "quick"}
    assert workflows["nightly"]["jobs"]["quick"] == {"uses": "./.github/workflows/quick.yml"}
    assert "workflow_call" in str(workflows["quick"][True])  # YAML reads the key "on" as true
    uploads = [step.get("with", {}).get("name") for flow in workflows.values() for job in flow["jobs"].values()
               for step in job.get("steps", []) if "upload" in step.get("uses", "")]  # fmt: skip
    assert sorted(uploads) == ["report-gpu", "report-quick"]
