"""What selects and lists claims trains nothing, writes nothing and leaves yesterday's report alone."""

import contextlib
import io
from pathlib import Path

import pytest

from bumplab.verdicts.suite import OURS, ids

CLAIMS = ids(OURS)

ROOT = Path(__file__).parents[2]


def pytest_here(*arguments):
    """pytest in this process, as a user starts it in the project's folder: its status and what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = pytest.main([f"--rootdir={ROOT}", str(ROOT / "claims"), *map(str, arguments)])
    return int(status), printed.getvalue()


def selected(*arguments):
    _, printed = pytest_here("--collect-only", "-q", *arguments)
    return [line.partition("::test_")[2] for line in printed.splitlines() if "::" in line]


def test_a_claims_name_selects_that_claim_alone():
    """Whatever the options: the test's name holds nothing else that a word could match."""
    for claim, options in zip(
        CLAIMS, [(), ("--seeds", "5"), ("--profile", "smoke"), ("--controls",)] * 3, strict=False
    ):
        assert selected("-k", claim, *options) == [claim]
    assert selected("-k", "not seeds") == sorted(set(CLAIMS) - {"seeds"})
    assert not [(a, b) for a in CLAIMS for b in CLAIMS if a != b and a in f"test_{b}.py::test_{b}"]


LISTS = [
    ["--collect-only"],
    ["--fixtures"],
    ["--fixtures-per-test"],
    ["--setup-plan"],
    ["--setup-only"],
    ["--cache-show"],
    ["--markers"],
    ["--power"],
    ["-k", "densty"],
    ["--deselect", "claims"],
]


@pytest.mark.parametrize("options", LISTS, ids=lambda options: options[0])
def test_where_no_test_runs_nothing_is_written_trained_or_opened(tmp_path, options):
    report = tmp_path / "report.html"
    report.write_text("yesterday's")
    place = [
        "--profile",
        "smoke",
        "--runs-dir",
        tmp_path / "runs",
        "--report",
        report,
        "--figures",
        tmp_path / "figures",
    ]
    status, printed = pytest_here(*options, *place)
    assert status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), printed
    assert list(tmp_path.iterdir()) == [report]
    assert report.read_text() == "yesterday's"


def test_workers_that_only_set_up_write_nothing(tmp_path):
    options = ["--setup-only", "--profile", "smoke", "-n", "2", "--runs-dir", tmp_path / "runs"]
    status, printed = pytest_here(*options, "--report", tmp_path / "report.html")
    assert status == 0, printed
    assert list(tmp_path.iterdir()) == []
