"""Accepted verdicts: how a claim's test ends, what ``--accept`` writes, and mistakes in their file, each one line."""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab import profiles
from bumplab.pytest_plugin import expected
from bumplab.verdicts import registration
from bumplab.verdicts import suite as suite_module
from bumplab.verdicts.decision import ControlVerdict
from tests.pytest_plugin.inside import ROOT

CLAIMS = suite_module.ids(ROOT / "claims")
KNOWN = ("hole", "seeds")


def test_the_projects_file_can_be_read_and_each_verdict_names_its_registration():
    accepted = expected.load(ROOT / expected.FILE, CLAIMS)
    certain = {claim.id for claim in suite_module.claims(suite_module.OURS) if claim.certain}
    expected.require_registered(accepted, registration.load(ROOT / registration.FILE), certain)


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
    (b"smoke.hole = 1\n", ["[smoke.hole]", "verdict, why"]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\n", ["[smoke.hole]", "verdict, why"]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 'w'\nwhen = 1\n", ["[smoke.hole]", "verdict, why"]),
    (b"[smoke.hole]\nverdict = 'supported'\nwhy = 'w'\n", ["'supported'", "SUPPORTED, "]),
    (b"[smoke.hole]\nverdict = []\nwhy = 'w'\n", ["verdict = []", "SUPPORTED, "]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = ' '\n", ["why = ' '"]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 3\n", ["why = 3"]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 'w'\nregistration = 0\n", ["registration = 0", "from 1 on"]),
    (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 'w'\nregistration = true\n", ["registration = True"]),
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
    expected.accept(link, "smoke", {"hole": expected.Expected("CONTRADICTED", "why")}, KNOWN)
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


def test_an_exploratory_verdict_never_fails_and_says_so():
    for verdict in expected.VERDICTS:
        for accepted in (None, *(expected.Expected(other, "w") for other in expected.VERDICTS)):
            end, message = expected.outcome(verdict, "the reason", accepted, exploratory=True)
            assert end == ("passed" if verdict == "SUPPORTED" else "xfailed"), verdict
            assert message == f"EXPLORATORY {verdict}: the reason"
            assert (end, message) == expected.part_outcome(verdict, "the reason", accepted, exploratory=True)


def test_a_part_is_red_where_it_contradicts_a_claim_that_nobody_accepted_as_contradicted():
    ends = {
        (verdict, accepted): expected.part_outcome(
            verdict, "r", accepted and expected.Expected(accepted, "looked at"), exploratory=False
        )[0]
        for verdict in expected.VERDICTS
        for accepted in (None, *expected.VERDICTS)
    }
    assert {pair for pair, end in ends.items() if end == "failed"} == {
        ("CONTRADICTED", None), ("CONTRADICTED", "SUPPORTED"), ("CONTRADICTED", "INCONCLUSIVE")
    }  # fmt: skip
    assert {verdict for (verdict, _), end in ends.items() if end == "passed"} == {"SUPPORTED"}


def test_a_control_is_red_unless_it_comes_out_as_known_or_no_run_could_tell():
    for positive, known in ((False, "CONTRADICTED"), (True, "SUPPORTED")):
        for verdict in expected.VERDICTS:
            control = ControlVerdict("c", "w", positive, verdict, "the reason", 3, [])
            end, message = expected.control_outcome(control, "")
            assert end == ("passed" if verdict == known else "failed"), (positive, verdict)
            assert known in message
            end, message = expected.control_outcome(control, "too few seeds")
            assert end == ("passed" if verdict == known else "xfailed"), (positive, verdict)
            assert ("too few seeds" in message) == (verdict != known)


def test_accepting_writes_what_moved_and_leaves_the_rest_of_the_file_as_it_is(tmp_path):
    """The file has the head of the project's, and two verdicts of quick. A verdict of another registration moved."""
    text = (ROOT / expected.FILE).read_text().partition("\n[")[0] + "\n"
    accepted = {
        claim: expected.Expected(verdict, f"of {claim}", 1)
        for claim, verdict in {"hole": "SUPPORTED", "seeds": "INCONCLUSIVE"}.items()
    }
    for claim, entry in accepted.items():
        text += f'[quick.{claim}]\nverdict = "{entry.verdict}"\nwhy = "{entry.why}"\nregistration = 1\n\n'
    (path := tmp_path / "expected.toml").write_text(text)
    before = expected.load(path, KNOWN)
    assert before == {("quick", claim): entry for claim, entry in accepted.items()}
    assert expected.moved("quick", {c: replace(e, why="another") for c, e in accepted.items()}, before) == {}
    registered_anew = replace(accepted["seeds"], registration=2)
    assert expected.moved("quick", accepted | {"seeds": registered_anew}, before) == {"seeds": registered_anew}
    new = replace(accepted["hole"], verdict="CONTRADICTED", why='the hole\'s "edge" was mended \\ moved')
    moved = expected.moved("quick", accepted | {"hole": new}, before)
    assert moved == {"hole": new}
    expected.accept(path, "quick", moved, KNOWN)
    assert expected.load(path, KNOWN) == before | {("quick", "hole"): new}
    changed = set(path.read_text().splitlines()) ^ set(text.splitlines())
    assert len(changed) == 4, "two lines, before and after"


@given(
    verdicts=st.dictionaries(
        st.sampled_from(CLAIMS),
        st.tuples(st.sampled_from(expected.VERDICTS), st.none() | st.integers(1, 10**6)),
        min_size=1,
    ),
    profile=st.sampled_from(sorted(profiles.ALL)),
    why=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    text=st.sampled_from(["", "# mine\n", '[smoke.hole]\nverdict = "SUPPORTED"\nwhy = "w"\n', "[smoke]\n[quick]\n"]),
)
def test_what_is_accepted_is_read_or_refused_in_one_line(verdicts, profile, why, text):
    known = {*CLAIMS, "hole"}
    new = {claim: expected.Expected(verdict, why, number) for claim, (verdict, number) in verdicts.items()}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "expected.toml"
        path.write_text(text)
        before = expected.load(path, known)
        if not why.strip() or not why.isprintable():
            with pytest.raises(ValueError, match="must say why in one line"):
                expected.accept(path, profile, new, known)
            assert path.read_text() == text
        else:
            expected.accept(path, profile, new, known)
            assert expected.load(path, known) == before | {(profile, claim): entry for claim, entry in new.items()}


def test_a_session_accepts_what_has_moved(suite):
    """hole is accepted otherwise, sigma at no profile yet; density is as accepted, and overlap is not tried."""
    claims = ("density", "hole", "overlap", "sigma")
    suite.expected.write_text("quick = {}\n")
    choice = ("--seeds=3", "--max-seeds=14", "-k", "hole or density or sigma")
    ended = suite.run(*choice, "--accept", "why")
    assert ended.status == pytest.ExitCode.USAGE_ERROR
    (line,) = ended.printed.strip().splitlines()
    assert line.startswith("ERROR: --accept: claims/expected.toml ")
    assert suite.trained() == [], "a file that cannot be added to is refused first"
    suite.expected.write_text(
        '[quick.density]\nverdict = "CONTRADICTED"\nwhy = "planted"\nregistration = 1\n'
        '[quick.hole]\nverdict = "INCONCLUSIVE"\nwhy = "an earlier look"\nregistration = 1\n'
        '[nightly.sigma]\nverdict = "SUPPORTED"\nwhy = "of another profile"\nregistration = 1\n'
    )
    moved = suite.run(*choice)
    assert "1 failed, 4 passed, 2 deselected, 2 xfailed" in moved.printed, (
        "the verdict on hole moved, and no part of it"
    )
    assert "moved from INCONCLUSIVE to SUPPORTED" in moved.printed
    assert "an earlier look" in moved.printed
    before = expected.load(suite.expected, claims)
    ended = suite.run(*choice, "--accept", "the planted runs say so")
    assert [line.split("[")[1].split("]")[0] for line in ended.lines("FAILED")] == ["quick-control-harmless"]
    new = expected.Expected("SUPPORTED", "the planted runs say so", 1)
    undecided = expected.Expected("INCONCLUSIVE", "the planted runs say so", 1)
    after = before | {("quick", "hole"): new, ("quick", "sigma"): undecided}
    assert expected.load(suite.expected, claims) == after
    lines = ended.lines("accepted: ")
    assert [line.split()[1:] for line in sorted(lines)] == [
        ["quick.hole,", "SUPPORTED", "in", "place", "of", "INCONCLUSIVE"],
        ["quick.sigma,", "INCONCLUSIVE", "in", "place", "of", "no", "verdict"],
    ]
    assert suite.entries()["sigma"]["controls"], "none is accepted that its controls have not checked"
    again = suite.run(*choice, "--accept", "for another reason")
    assert len(again.lines("accepted: nothing")) == 1
    assert expected.load(suite.expected, claims) == after


def test_a_verdict_that_decides_nothing_cannot_be_accepted(suite):
    before = suite.expected.read_text()
    for options, words in (
        (["--profile", "smoke"], "smoke"),
        (["--from-seed", "10"], "density is EXPLORATORY (--from-seed was given)"),
    ):
        ended = suite.run("--seeds=3", "--max-seeds=14", *options, "--accept", "why")
        assert ended.status == pytest.ExitCode.USAGE_ERROR
        (line,) = ended.lines("ERROR: --accept: ")
        assert words in line
    assert (suite.trained(), suite.expected.read_text()) == ([], before)
    assert suite.run("--seeds=3", "--max-seeds=14", "-k", "overlap", "--accept", "no seed is drawn").status == 0
