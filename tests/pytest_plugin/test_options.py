"""Options: a mistake is one line and exit code 4, before anything trains. ``--power`` and ``--plan`` print tables."""

import os
import re
from types import SimpleNamespace

import pytest
import torch

from bumplab import machine, profiles
from bumplab.pytest_plugin import command_line, options, plan, plugin
from bumplab.runs.estimate import Trial
from bumplab.runs.store import RunRecord, RunStore
from bumplab.terminal import duration
from bumplab.verdicts import suite as suite_module
from bumplab.verdicts.looks import MAX_SEEDS, MIN_SEEDS
from tests.pytest_plugin.inside import ROOT, pytest_here, pytest_inside
from tests.pytest_plugin.planted import FIRST, VALUE
from tests.rows import rows_of

MISTAKES = [
    # options, the option that the line names, words of the line
    (["--profile", "huge"], "--profile", ["huge", "quick", "smoke"]),
    (["--profile", "huge", "-n", "2"], "--profile", ["huge", "quick", "smoke"]),
    (["--seeds", "0"], "--seeds 0", ["2 to 64"]),
    (["--seeds=-3"], "--seeds -3", ["2 to 64"]),
    (["--max-seeds", "65"], "--max-seeds 65", ["2 to 64"]),
    (["--seeds", "5", "--max-seeds", "4"], "--max-seeds 4", ["--seeds", "5"]),
    (["--vary", "colour=red"], "--vary", ["colour", "prediction, "]),
    (["--vary", "prediction=x0"], "--vary", ["x0", "epsilon", "v"]),
    (["--vary", "prediction=epsilon", "--vary", "width"], "--vary", ["width=8"]),
    (["--report", "out.pdf"], "--report", ["out.pdf", ".html"]),
    (["--report", ""], "--report", ["must name a file"]),
    (["--runs-dir", ""], "--runs-dir", ["must name a folder"]),
    (["--figures", ""], "--figures", ["must name a folder"]),
    (["--report", "~nobody-of-this-name/a.html"], "--report", ["~nobody-of-this-name/a.html"]),
    (["--exact"], "--exact", ["--gpu"]),
    *(
        (["--minutes", text], f"--minutes {text}: ", ["above 0", "10080"])
        for text in ("0", "0.0", "-1", "nan", "1e9", "x", "10080.1", "٣")
    ),
]
ACCEPTED = [
    # of registered seeds
    (["--accept", ""], "--accept", ["''", "1 to 500"]),
    (["--accept", "a\nb"], "--accept", [r"a\nb", "1 to 500"]),
    (["--accept", "why", "--vary", "prediction=epsilon"], "--accept", ["--vary"]),
    (["--accept", "why", "--seeds", "5"], "--accept", ["3 to 14", "5 to 14", "--max-seeds"]),
    (["--accept", "why", "--max-seeds", "15"], "--accept", ["3 to 14", "3 to 15"]),
    (["--accept", "why", "--profile", "smoke"], "--accept", ["smoke", "decides nothing"]),
]
if not torch.cuda.is_available():
    MISTAKES.append((["--gpu"], "--gpu", ["no GPU"]))


def test_a_mistake_is_one_line_and_exit_code_4(suite):
    (suite.folder / "a.json").mkdir()
    mistakes = [*MISTAKES, *ACCEPTED, (["--report", suite.folder / "a.html"], "--report", ["a.json"])]
    for arguments, option, words in mistakes:
        with_looks = [] if "seeds" in "".join(map(str, arguments)) else ["--seeds=3", "--max-seeds=14"]
        ended = pytest_inside(suite.folder / "claims", "--collect-only", *with_looks, *arguments, folder=suite.folder)
        assert ended.status == pytest.ExitCode.USAGE_ERROR, arguments
        lines = ended.printed.strip().splitlines()
        assert len(lines) == 1, arguments
        assert lines[0].startswith(f"ERROR: {option}"), arguments
        assert [word for word in words if word not in lines[0]] == [], arguments


def test_one_number_of_seeds_sets_the_other():
    for seeds, max_seeds, looks in (
        (None, None, (3, 14)), ("2", None, (2, 14)), ("14", None, (14, 14)), ("20", None, (20, 20)),
        (None, "5", (3, 5)), (None, "2", (2, 2)), ("4", "4", (4, 4)), ("2", "64", (2, 64)),
    ):  # fmt: skip
        settings = command_line._looks(seeds, max_seeds, needed=180.0)
        assert (settings.first, settings.last) == looks, (seeds, max_seeds)


def test_a_number_of_seeds_is_plain_digits_in_range():
    for text in ("", "-3", "2.0", "three", "٣", "²", "1", "65", "9" * 5000):
        with pytest.raises(pytest.UsageError, match="2 to 64"):
            command_line._number("--seeds", text)


def test_the_options_page_gives_the_range_of_seeds():
    page = (ROOT / "docs" / "options.md").read_text()
    (row,) = [row for row in page.splitlines() if row.startswith("- `--seeds")]
    assert f"from {MIN_SEEDS} to {MAX_SEEDS}" in row


def test_a_variation_of_precision_needs_a_device_with_bf16(monkeypatch):
    monkeypatch.setattr("bumplab.diffusion.speed.has_bf16", lambda device: device != "cpu")
    ended = pytest_here("--collect-only", "--vary", "precision=bf16")
    assert (ended.status, len(ended.lines("ERROR: --vary: precision=bf16: "))) == (4, 1)


def test_claims_are_asked_for_by_paths_around_them_and_in_them(tmp_path):
    """What xdist's controller goes by."""
    paths = {"claims": True, "claims/test_hole.py::test_hole": True, ".": True, "tests": False, "claims2": False}
    for path, asked in paths.items():
        config = SimpleNamespace(invocation_params=SimpleNamespace(dir=tmp_path), args=[path])
        assert options.asks_for_claims(config, tmp_path) == asked, path


def test_auto_takes_as_many_workers_as_the_machine_allows(monkeypatch):
    workers = []

    class Asks:
        def pytest_collection_finish(self, session):
            workers.append(session.config.option.numprocesses)

    monkeypatch.setattr(machine, "workers", lambda: 3)
    pytest_here("-n", "auto", "--collect-only", "-k", "overlap", plugins=[Asks()])
    assert workers == [3]
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "2")
    assert plugin.pytest_xdist_auto_num_workers() is None, "xdist reads it"


def test_each_worker_takes_the_next_gpu(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", calls.append)
    for worker, device in (("gw0", "cuda:0"), ("gw3", "cuda:1")):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        assert command_line._device(gpu=True, exact=False) == device, worker
    monkeypatch.delenv("PYTEST_XDIST_WORKER")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    assert calls == []
    assert command_line._device(gpu=True, exact=True) == "cuda:0"
    assert calls == [True]
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8", "the user's value stays"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(pytest.UsageError, match="no GPU"):
        command_line._device(gpu=True, exact=False)


def test_power_prints_a_table_and_trains_nothing(suite, monkeypatch):
    """With workers, too: the table needs the claims, which their controller does not collect."""

    def table(claims, looks, needed):
        return f"the power of {' '.join(claim.id for claim in claims)} at {looks.first} to {looks.last} seeds"

    with monkeypatch.context() as patch:
        patch.setattr("bumplab.verdicts.power.table", table)
        for without in ((), ("-p", "no:terminal")):
            ended = suite.run("--power", "-k", "hole or sigma", "-n", "2", *without)
            assert ended.status == 0, ended.printed
            assert "the power of hole sigma at 3 to 8 seeds\n" in ended.printed, without
            assert "power of the claims, 3 to 8 seeds" in ended.printed, without
            assert "passed" not in ended.printed, without
        (suite.folder / "claims" / "test_sigma.py").write_text("1 / 0")
        ended = suite.run("--power")
        assert (ended.status, "the power of" in ended.printed) == (4, False), "its claims share no known error rate"
        (line,) = ended.lines("ERROR: ")
        assert "test_sigma.py: cannot be imported (ZeroDivisionError" in line
    ended = pytest_here("--power", "-k", "overlap or bottleneck")
    assert (ended.status, len(ended.lines("overlap ")), len(ended.lines("bottleneck "))) == (0, 1, 1), ended.printed
    assert not (suite.folder / ".runs").exists()
    assert not (suite.folder / "report.html").exists()


def test_the_plan_counts_missing_runs_with_their_cost_and_trains_nothing(suite, monkeypatch):
    """Two claims share runs, one of which is stored. hole needs those of its second part and of a control, too."""
    store, quick = RunStore(suite.folder / ".runs"), profiles.get("quick")
    ten_seconds_a_run = 10 / quick.base.training.steps
    cost = Trial(step=ten_seconds_a_run, measurement=0.0, image=0.0, once=7.0, memory=1_500_000_000, draws=65_000_000)
    trained = {"spec": None, "device": None}
    monkeypatch.setattr(plan, "trial", lambda spec, device, users: trained.update(spec=spec, device=device) or cost)
    monkeypatch.setattr(machine, "workers", lambda: 2)
    suite.write("density", f"-{VALUE}", "{'a': profile.run(seed, dx=1.0)}")
    store.publish(RunRecord(spec := quick.run(FIRST, dx=1.0), rows_of(spec)), b"")
    ask = ("--plan", "--controls", "-k", "hole or density", "-n", "4")
    ended = suite.run(*ask)
    assert ended.status == 0, ended.printed
    rows = {line.split()[0]: line.split()[-3:] for line in ended.printed.splitlines() if len(line.split()) > 3}
    assert (rows["density"], rows["hole"], rows["together,"]) == (["3", "8", "1"], ["9", "24", "1"], ["9", "24", "1"])
    text = " ".join(ended.printed.split())
    for words in (
        "missing: 8 to 23 runs",
        "With 4 workers on cpu",
        "about 47 s to 2 min",
        "1.5 GB",
        "65.0 MB, not kept",
    ):
        assert words in text  # by the 2 workers that the machine allows
    assert trained == {"spec": quick.base, "device": "cpu"}
    trained.clear()
    for seed in range(FIRST, FIRST + 8):
        for spec in (quick.run(seed, dx=1.0), quick.run(seed, dx=0.5), quick.shuffled(quick.run(seed, dx=1.0))):
            if not store.has(spec):
                store.publish(RunRecord(spec, rows_of(spec)), b"")
    assert "nothing is missing" in suite.run(*ask).printed
    assert (trained, suite.trained(), (suite.folder / "report.html").exists()) == ({}, [], False)
    assert [duration(seconds) for seconds in (89, 90, 5399, 5400)] == ["89 s", "2 min", "90 min", "1.5 h"]


@pytest.mark.slow
def test_the_plan_tries_a_run_on_this_machine(tmp_path):
    torch.set_num_threads(1)  # as the trial does, which ends with its process
    (first, *_) = suite_module.ids(ROOT / "claims")
    ended = pytest_here("--plan", "--profile", "smoke", "-k", first, "--runs-dir", tmp_path / "runs", "-n", "2")
    text = " ".join(ended.printed.split())
    assert re.search(r"missing: \d+ to \d+ runs\. With 2 workers on cpu about \d+ s to \d+ s, and \d\.\d GB", text), (
        text
    )
    assert list(tmp_path.iterdir()) == []
