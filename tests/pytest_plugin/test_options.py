"""Options: a mistake is one clear line and exit code 4, before anything trains."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

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
        (["--report", "out.pdf"], "--report out.pdf: must name an .html file"),
        (["--profile", "huge", "-n", "2"], "--profile: unknown profile 'huge': choose one of quick, nightly"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_4(arguments, line):
    done = run_claims(*arguments)
    assert done.returncode == 4
    assert line in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpu_without_a_gpu_is_one_line_and_exit_code_4():
    done = run_claims("--gpu")
    assert done.returncode == 4
    assert "--gpu: torch finds no GPU here" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_runs_dir_that_cannot_be_written_is_one_line_and_exit_code_4(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = run_claims("--profile", "smoke", "--runs-dir", str(tmp_path / "file"))
    assert done.returncode == 4
    assert "cannot be written" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
