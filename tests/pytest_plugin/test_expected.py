"""Accepted verdicts: how a claim's test ends, what ``--accept`` writes, and mistakes in their file, each one line."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab import profiles
from bumplab.pytest_plugin import expected
from bumplab.verdicts import suite as suite_module
from tests.pytest_plugin.inside import ROOT

CLAIMS = suite_module.ids(ROOT / "claims")
KNOWN = ("hole", "seeds")


def test_the_projects_file_can_be_read_and_has_every_claim_at_smoke():
    accepted = expected.load(ROOT / expected.FILE, CLAIMS)
    assert {claim for profile, claim in accepted if profile == "smoke"} == set(CLAIMS)


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "expected.toml"
    file.write_text('[quick.hole]\nverdict = "CONTRADICTED"\nwhy = "as \\"measured\\""\n')
    assert expected.load(file, KNOWN) == {("quick", "hole"): expected.Expected("CONTRADICTED", 'as "measured"')}
    assert expected.load(tmp_path / "absent.toml", KNOWN) == {}


MISTAKES = [
    # text of the file, words of the line
    (b"\xff\xfe", ["cannot be read ("]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = \"two\\nlines\"\n", [r"two\nlines", "[smoke.hole]", "one line"]),
    (b"[smoke.hole]\nverdict = ", ["TOML"]),
    (b"a = [" * 100_000, ["TOML"]),
    (b"[huge.hole]\n", ["[huge]", "quick", "smoke"]),
    (b"quick = 1\n", ["[quick]", "<profile>.<claim>"]),
    (b"[smoke.holes]\n", ["[smoke.holes]", "hole, seeds"]),
    (b"smoke.hole = 1\n", ["[smoke.hole]", "verdict and why"]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\n", ["[smoke.hole]", "verdict and why"]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 'w'\nwhen = 1\n", ["[smoke.hole]", "verdict and why"]),
    (b"[smoke.hole]\nverdict = 'supported'\nwhy = 'w'\n", ["'supported'", "SUPPORTED, "]),
    (b"[smoke.hole]\nverdict = []\nwhy = 'w'\n", ["verdict = []", "SUPPORTED, "]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = ' '\n", ["why = ' '"]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 3\n", ["why = 3"]),
    (b"#" * (1 + (1 << 20)), [f"{1 << 20} bytes"]),
]


def test_a_mistake_in_the_file_is_one_line(tmp_path):
    for text, words in MISTAKES:
        (tmp_path / "expected.toml").write_bytes(text)
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - the line is compared below
            expected.load(tmp_path / "expected.toml", KNOWN)
        line = str(raised.value)
        assert [word for word in words if word not in line] == [], (text[:80], line)
        assert "\n" not in line, text[:80]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is no file"):
        expected.load(tmp_path / "pipe", KNOWN)  # and does not wait for it


def test_a_link_and_ends_of_lines_stay_as_they_are(tmp_path):
    (tmp_path / "target").write_bytes(b"# mine\r\n[smoke.hole]\r\nverdict = 'SUPPORTED'\r\nwhy = 'w'\r\n")
    (link := tmp_path / "expected.toml").symlink_to(tmp_path / "target")
    expected.accept(link, "smoke", {"hole": "CONTRADICTED"}, "why", KNOWN)
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes().count(b"\r\n") >= 3
    assert expected.load(link, KNOWN)["smoke", "hole"].verdict == "CONTRADICTED"


def test_red_is_a_verdict_that_moved_or_a_contradiction_that_nobody_accepted():
    cases = [(verdict, verdict, "passed" if verdict == "SUPPORTED" else "xfailed") for verdict in expected.VERDICTS]
    cases += [(a, b, "failed") for a in expected.VERDICTS for b in expected.VERDICTS if a != b]
    cases += [("SUPPORTED", None, "passed"), ("CONTRADICTED", None, "failed"), ("INCONCLUSIVE", None, "xfailed")]
    for verdict, accepted, wanted in cases:
        entry = accepted and expected.Expected(accepted, "looked at")
        end, message = expected.outcome(verdict, "the reason", entry)
        assert end == wanted, (verdict, accepted)
        if accepted is None:
            assert message == f"{verdict}: the reason"
        elif end == "failed":
            assert f"from {accepted} to {verdict}: the reason" in message, (verdict, accepted)
            assert "looked at" in message, (verdict, accepted)
        else:
            assert message.startswith(verdict), (verdict, accepted)
            assert message.endswith("looked at"), (verdict, accepted)


def test_accepting_writes_what_moved_and_leaves_the_rest_of_the_projects_file_as_it_is(tmp_path):
    text = (ROOT / expected.FILE).read_text()
    (tmp_path / "expected.toml").write_text(text)
    before = expected.load(ROOT / expected.FILE, CLAIMS)
    reached = {claim: entry.verdict for (profile, claim), entry in before.items() if profile == "quick"}
    assert expected.moved("quick", reached, before) == {}
    claim = min(claim for claim, verdict in reached.items() if verdict != "CONTRADICTED")
    moved = expected.moved("quick", reached | {claim: "CONTRADICTED"}, before)
    assert moved == {claim: "CONTRADICTED"}
    why = 'the hole\'s "edge" was mended \\ moved'
    expected.accept(tmp_path / "expected.toml", "quick", moved, why, CLAIMS)
    after = expected.load(tmp_path / "expected.toml", CLAIMS)
    assert after == before | {("quick", claim): expected.Expected("CONTRADICTED", why)}
    changed = set((tmp_path / "expected.toml").read_text().splitlines()) ^ set(text.splitlines())
    assert len(changed) <= 4, "two lines, before and after"


@given(
    verdicts=st.dictionaries(st.sampled_from(CLAIMS), st.sampled_from(expected.VERDICTS), min_size=1),
    profile=st.sampled_from(sorted(profiles.ALL)),
    why=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    text=st.sampled_from(["", "# mine\n", '[smoke.hole]\nverdict = "SUPPORTED"\nwhy = "w"\n', "[smoke]\n[quick]\n"]),
)
def test_what_is_accepted_is_read_or_refused_in_one_line(verdicts, profile, why, text):
    known = {*CLAIMS, "hole"}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "expected.toml"
        path.write_text(text)
        before = expected.load(path, known)
        if not why.strip() or not why.isprintable():
            with pytest.raises(ValueError, match="must say why in one line"):
                expected.accept(path, profile, verdicts, why, known)
            assert path.read_text() == text
        else:
            expected.accept(path, profile, verdicts, why, known)
            new = {(profile, claim): expected.Expected(verdict, why) for claim, verdict in verdicts.items()}
            assert expected.load(path, known) == before | new


def test_a_session_accepts_what_has_moved(suite):
    """hole is accepted otherwise, sigma at no profile yet; density is as accepted, and overlap is not tried."""
    claims = ("density", "hole", "overlap", "sigma")
    suite.expected.write_text("smoke = {}\n")
    choice = ("--seeds=3", "-k", "hole or density or sigma")
    ended = suite.run(*choice, "--accept", "why")
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    (line,) = ended.printed.strip().splitlines()
    assert line.startswith("ERROR: --accept: claims/expected.toml ")
    assert suite.trained() == [], "a file that cannot be added to is refused first"
    suite.expected.write_text(
        '[smoke.density]\nverdict = "CONTRADICTED"\nwhy = "planted"\n'
        '[smoke.hole]\nverdict = "INCONCLUSIVE"\nwhy = "an earlier look"\n'
        '[quick.sigma]\nverdict = "SUPPORTED"\nwhy = "of another profile"\n'
    )
    moved = suite.run(*choice)
    assert "1 failed, 1 passed, 1 deselected, 1 xfailed" in moved.printed
    assert "moved from INCONCLUSIVE to SUPPORTED" in moved.printed
    assert "an earlier look" in moved.printed
    before = expected.load(suite.expected, claims)
    ended = suite.run(*choice, "--accept", "the planted runs say so")
    assert ended.status == 0, ended.printed
    new = expected.Expected("SUPPORTED", "the planted runs say so")
    undecided = expected.Expected("INCONCLUSIVE", "the planted runs say so")
    after = before | {("smoke", "hole"): new, ("smoke", "sigma"): undecided}
    assert expected.load(suite.expected, claims) == after
    lines = ended.lines("accepted: ")
    assert [line.split()[1:] for line in sorted(lines)] == [
        ["smoke.hole,", "SUPPORTED", "in", "place", "of", "INCONCLUSIVE"],
        ["smoke.sigma,", "INCONCLUSIVE", "in", "place", "of", "no", "verdict"],
    ]
    assert suite.entries()["sigma"]["controls"], "none is accepted that its controls have not checked"
    again = suite.run(*choice, "--accept", "for another reason")
    assert len(again.lines("accepted: nothing")) == 1
    assert expected.load(suite.expected, claims) == after
