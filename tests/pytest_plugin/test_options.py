"""Options: a mistake is one clear line and exit code 4, before anything trains."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bumplab.pytest_plugin import options
from bumplab.verdicts.error_rate import MAX_SEEDS, MIN_SEEDS
from bumplab.verdicts.suite import OURS, ids
from tests.pytest_plugin.test_listing import pytest_here

CLAIMS = ids(OURS)

ROOT = Path(__file__).parents[2]


def run_claims(*arguments):
    command = [sys.executable, "-m", "pytest", "claims", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--profile", "huge"], "--profile: unknown profile 'huge': choose one of quick, nightly, paper, smoke"),
        (["--seeds", "0"], "--seeds 0: must be a whole number from 2 to 32"),
        (["--seeds", "1"], "--seeds 1: must be a whole number from 2 to 32"),
        (["--seeds", "33"], "--seeds 33: must be a whole number from 2 to 32"),
        (["--seeds", "three"], "--seeds three: must be a whole number from 2 to 32"),
        (["--seeds=-3"], "--seeds -3: must be a whole number from 2 to 32"),
        (["--max-seeds", "33"], "--max-seeds 33: must be a whole number from 2 to 32"),
        (["--seeds", "5", "--max-seeds", "4"], "--max-seeds 4: must be at least --seeds, which is 5"),
        (["--vary", "colour=red"], "--vary: unknown choice 'colour': must be one of tap, "),
        (["--vary", "prediction=x0"], "--vary: prediction = 'x0': must be 'epsilon' or 'v'"),
        (["--vary", "tap=up1", "--vary", "width"], "--vary: width: needs a value, such as width=8"),
        (["--report", "out.pdf"], "--report out.pdf: must name an .html file"),
        (["--profile", "huge", "-n", "2"], "--profile: unknown profile 'huge': choose one of quick, nightly"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_4(arguments, line):
    status, printed = pytest_here("--collect-only", *arguments)
    assert status == pytest.ExitCode.USAGE_ERROR
    (error,) = printed.strip().splitlines()
    assert error.startswith(f"ERROR: {line}")


@pytest.mark.parametrize(
    ("seeds", "max_seeds", "looks"),
    [
        (None, None, (3, 8)),
        ("2", None, (2, 8)),
        ("8", None, (8, 8)),
        ("10", None, (10, 10)),
        (None, "5", (3, 5)),
        (None, "2", (2, 2)),
        ("4", "4", (4, 4)),
        ("2", "32", (2, 32)),
    ],
)
def test_what_is_not_given_follows_what_is(seeds, max_seeds, looks):
    found = options._looks(seeds, max_seeds)
    assert (found.first, found.last) == looks


@pytest.mark.parametrize("text", ["", "-3", "2.0", "٣", "²", "1", "33", "9" * 5000])
def test_a_number_of_seeds_is_plain_digits_in_range(text):
    with pytest.raises(pytest.UsageError, match="must be a whole number from 2 to 32"):
        options._number("--seeds", text)


def test_the_readme_says_how_many_seeds_may_be_asked_for():
    rows = [
        line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(("| `--seeds", "| `--max"))
    ]
    assert [f"from {MIN_SEEDS} to {MAX_SEEDS}" in row for row in rows] == [True, True]


def test_the_power_of_the_suites_own_claims_can_be_printed(tmp_path):
    done = run_claims("--power", "-n", "2", "--runs-dir", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stdout + done.stderr
    for claim in CLAIMS:
        assert f"\n{claim} " in done.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_plan_says_what_is_missing_and_trains_nothing(tmp_path):
    runs = tmp_path / "runs"
    ask = ("--plan", "--profile", "smoke", "--max-seeds", "2", "-k", "density", "--runs-dir", str(runs))
    done = run_claims(*ask, "-n", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line.split() for line in done.stdout.splitlines() if line.strip().startswith("density"))
    assert row == ["density", "4", "4", "0"]  # two increments, two seeds
    assert re.search(r"missing: 4 to 4 runs\. With 2 workers on cpu about \d+ s to \d+ s, and \d\.\d GB", done.stdout)
    assert not runs.exists()
    assert run_claims(*(word for word in ask if word != "--plan")).returncode == 0
    again = run_claims(*ask)
    assert "nothing is missing: a session would only judge" in again.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_word_that_matches_no_claim_names_those_there_are(tmp_path, workers):
    place = ("--runs-dir", str(tmp_path / "runs"), "--report", str(tmp_path / "report.html"))
    done = run_claims("-k", "densty", "--profile", "smoke", *place, *workers)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert f"-k densty: matches no claim; there are {', '.join(CLAIMS)}\n" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpu_without_a_gpu_is_one_line_and_exit_code_4():
    done = run_claims("--gpu")
    assert done.returncode == 4
    assert "--gpu: torch finds no GPU here" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_exact_without_gpu_is_one_line_that_says_what_a_cpu_does():
    status, printed = pytest_here("--exact", "--collect-only")
    assert status == 4
    assert "--exact: goes with --gpu; on a CPU runs repeat bit for bit anyway" in printed


@pytest.mark.parametrize(("option", "what"), [("--runs-dir", "folder"), ("--figures", "folder"), ("--report", "file")])
def test_a_place_without_a_name_is_not_this_folder(option, what):
    status, printed = pytest_here("--profile", "smoke", "--collect-only", option, "")
    assert (status, printed.strip()) == (4, f"ERROR: {option}: must name a {what}")


def test_a_runs_dir_that_cannot_be_written_is_one_line_and_exit_code_4(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = run_claims("--profile", "smoke", "--runs-dir", str(tmp_path / "file"))
    assert done.returncode == 4
    assert "cannot be written" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
