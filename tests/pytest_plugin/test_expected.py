"""Accepted verdicts: how a claim's test ends, what ``--accept`` writes, and mistakes in their file, each one line."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab import profiles
from bumplab.pytest_plugin import expected
from bumplab.verdicts.suite import OURS, ids
from tests.pytest_plugin.test_listing import pytest_here

CLAIMS = ids(OURS)

ROOT = Path(__file__).parents[2]


def test_the_projects_own_file_can_be_read_and_has_every_claim_at_smoke():
    accepted = expected.load(ROOT / expected.FILE)
    assert {claim for profile, claim in accepted if profile == "smoke"} == set(CLAIMS)


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "expected.toml"
    file.write_text('[quick.hole]\nverdict = "CONTRADICTED"\nwhy = "as \\"measured\\""\n')
    assert expected.load(file) == {("quick", "hole"): expected.Expected("CONTRADICTED", 'as "measured"')}
    assert expected.load(tmp_path / "absent.toml") == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"\xff\xfe", "cannot be read ("),
        (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = \"two\\nlines\"\n", "must say in one line why"),
        (b"[smoke.hole]\nverdict = ", "cannot be read as TOML: "),
        (b"a = [" * 100_000, "cannot be read as TOML: "),
        (b"[huge.hole]\n", "[huge]: tables must be named <profile>.<claim>, profiles quick, nightly"),
        (b"quick = 1\n", "[quick]: tables must be named <profile>.<claim>"),
        (b"[smoke.holes]\n", "[smoke.holes]: there is no such claim, only bottleneck, "),
        (b"smoke.hole = 1\n", "[smoke.hole]: must have verdict and why, and nothing else"),
        (b"[smoke.hole]\nverdict = 'SUPPORTED'\n", "[smoke.hole]: must have verdict and why, and nothing else"),
        (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 'w'\nwhen = 1\n", "must have verdict and why, and nothing else"),
        (b"[smoke.hole]\nverdict = 'supported'\nwhy = 'w'\n", "verdict = 'supported': must be one of SUPPORTED, "),
        (b"[smoke.hole]\nverdict = []\nwhy = 'w'\n", "verdict = []: must be one of SUPPORTED, "),
        (
            b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = ' '\n",
            "why = ' ': must say in one line why the verdict was accepted",
        ),
        (
            b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 3\n",
            "why = 3: must say in one line why the verdict was accepted",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path, text, line):
    (tmp_path / "expected.toml").write_bytes(text)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the line is compared below
        expected.load(tmp_path / "expected.toml")
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_no_file_is_one_line_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "expected.toml")
    with pytest.raises(ValueError, match="is no file of at most"):
        expected.load(tmp_path / "expected.toml")


def test_what_cannot_be_added_to_is_refused_before_anything_is_trained(suite):
    (suite.folder / "claims" / "expected.toml").write_text("smoke = {}\n")
    done = suite.run("--seeds=3", "-k", "hole", "--accept", "why")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("ERROR: --accept: claims/expected.toml cannot be added to (")
    assert suite.trained() == []


def test_a_link_and_ends_of_lines_stay_as_they_are(tmp_path):
    (tmp_path / "target").write_bytes(b"# mine\r\n[smoke.hole]\r\nverdict = 'SUPPORTED'\r\nwhy = 'w'\r\n")
    (link := tmp_path / "expected.toml").symlink_to(tmp_path / "target")
    expected.accept(link, "smoke", {"hole": "CONTRADICTED"}, "why")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes().count(b"\r\n") >= 3
    assert expected.load(link)["smoke", "hole"].verdict == "CONTRADICTED"


def accepted_as(verdict):
    return expected.Expected(verdict, "looked at")


@pytest.mark.parametrize(
    ("verdict", "accepted", "end"),
    [
        *((verdict, verdict, "passed" if verdict == "SUPPORTED" else "xfailed") for verdict in expected.VERDICTS),
        *((a, b, "failed") for a in expected.VERDICTS for b in expected.VERDICTS if a != b),
        ("SUPPORTED", None, "passed"),
        ("CONTRADICTED", None, "failed"),
        ("INCONCLUSIVE", None, "xfailed"),
    ],
)
def test_red_is_a_verdict_that_moved_or_a_contradiction_that_nobody_accepted(verdict, accepted, end):
    found, message = expected.outcome(verdict, "the reason", accepted and accepted_as(accepted))
    assert found == end
    if accepted is None:
        assert message == f"{verdict}: the reason"
    elif end == "failed":
        assert f"moved from {accepted} to {verdict}" in message
        assert "looked at" in message
    else:
        assert message.endswith("as accepted: looked at")


def test_accepting_writes_what_moved_and_leaves_the_rest_of_the_projects_file_as_it_is(tmp_path):
    text = (ROOT / expected.FILE).read_text()
    (tmp_path / "expected.toml").write_text(text)
    before = expected.load(ROOT / expected.FILE)
    reached = {claim: entry.verdict for (profile, claim), entry in before.items() if profile == "quick"}
    assert expected.moved("quick", reached, before) == {}
    moved = expected.moved("quick", reached | {"hole": "CONTRADICTED"}, before)
    assert moved == {"hole": "CONTRADICTED"}
    why = 'the hole\'s "edge" was mended \\ moved'
    expected.accept(tmp_path / "expected.toml", "quick", moved, why)
    after = expected.load(tmp_path / "expected.toml")
    assert after == before | {("quick", "hole"): expected.Expected("CONTRADICTED", why)}
    changed = set((tmp_path / "expected.toml").read_text().splitlines()) ^ set(text.splitlines())
    assert len(changed) <= 4, "two lines, before and after"


@given(
    verdicts=st.dictionaries(st.sampled_from(CLAIMS), st.sampled_from(expected.VERDICTS), min_size=1),
    profile=st.sampled_from(sorted(profiles.ALL)),
    why=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    text=st.sampled_from(["", "# mine\n", '[smoke.hole]\nverdict = "SUPPORTED"\nwhy = "w"\n', "[smoke]\n[quick]\n"]),
)
def test_what_is_accepted_is_read_or_refused_in_one_line(verdicts, profile, why, text):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "expected.toml"
        path.write_text(text)
        before = expected.load(path)
        if not why.strip() or not why.isprintable():
            with pytest.raises(ValueError, match="must say why in one line"):
                expected.accept(path, profile, verdicts, why)
            assert path.read_text() == text
        else:
            expected.accept(path, profile, verdicts, why)
            new = {(profile, claim): expected.Expected(verdict, why) for claim, verdict in verdicts.items()}
            assert expected.load(path) == before | new


def test_a_session_accepts_what_has_moved(suite):
    """hole is accepted otherwise, sigma at no profile yet; density is as accepted, and overlap is not tried."""
    file = suite.folder / "claims" / "expected.toml"
    file.write_text(file.read_text() + '[smoke.hole]\nverdict = "INCONCLUSIVE"\nwhy = "an earlier look"\n')
    choice = ("--seeds=3", "-k", "hole or density or sigma", "-n", "2")
    moved = suite.run(*choice)
    assert "1 failed, 1 passed, 1 xfailed" in moved.stdout
    assert "verdict moved from INCONCLUSIVE to SUPPORTED" in moved.stdout
    assert "an earlier look" in moved.stdout
    before = expected.load(file)
    done = suite.run(*choice, "--accept", "the planted runs say so")
    assert done.returncode == 0, done.stdout
    new = expected.Expected("SUPPORTED", "the planted runs say so")
    undecided = expected.Expected("INCONCLUSIVE", "the planted runs say so")
    assert expected.load(file) == before | {("smoke", "hole"): new, ("smoke", "sigma"): undecided}
    lines = [line for line in done.stdout.splitlines() if line.startswith("accepted: ")]
    assert lines == [
        "accepted: smoke.sigma, INCONCLUSIVE in place of no verdict",
        "accepted: smoke.hole, SUPPORTED in place of INCONCLUSIVE",
    ]
    assert suite.entries()["sigma"]["controls"], "none is accepted that its controls have not checked"
    again = suite.run(*choice, "--accept", "for another reason")
    assert "accepted: nothing, as no verdict has moved" in again.stdout
    assert expected.load(file)["smoke", "hole"] == new


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--accept", ""], "--accept: '': must say why in one line"),
        (["--accept", "a\nb"], "--accept: 'a\\nb': must say why in one line"),
        (["--accept", "why", "--vary", "prediction=epsilon"], "--accept: does not go with --vary"),
        (
            ["--accept", "why", "--seeds", "5"],
            "--accept: does not go with other looks: verdicts are accepted for 3 to 8",
        ),
        (["--accept", "why", "--max-seeds", "9"], "--accept: does not go with other looks"),
    ],
)
def test_what_cannot_be_accepted_is_one_line(options, line):
    status, printed = pytest_here("--collect-only", *options)  # nothing is trained where it is not refused
    assert status == pytest.ExitCode.USAGE_ERROR
    assert printed.strip().startswith(f"ERROR: {line}")
    assert len(printed.strip().splitlines()) == 1
