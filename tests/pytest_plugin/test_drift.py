"""The file of accepted verdicts: what is not as its header says is named in one line."""

from pathlib import Path

import pytest

from bumplab.pytest_plugin import drift
from bumplab.verdicts.error_rate import CLAIMS

ROOT = Path(__file__).parents[2]


def test_the_projects_own_file_can_be_read_and_has_every_claim_at_smoke():
    accepted = drift.load(ROOT / drift.FILE)
    assert {claim for profile, claim in accepted if profile == "smoke"} == set(CLAIMS)


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "expected.toml"
    file.write_text('[quick.hole]\nverdict = "CONTRADICTED"\nwhy = "as \\"measured\\""\n')
    assert drift.load(file) == {("quick", "hole"): drift.Expected("CONTRADICTED", 'as "measured"')}
    assert drift.load(tmp_path / "absent.toml") == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"\xff\xfe", "cannot be read as TOML: "),
        (b"[smoke.hole]\nverdict = ", "cannot be read as TOML: "),
        (b"a = [" * 100_000, "cannot be read as TOML: "),
        (b"[huge.hole]\n", "[huge]: tables must be named <profile>.<claim>, profiles quick, nightly"),
        (b"quick = 1\n", "[quick]: tables must be named <profile>.<claim>"),
        (b"[smoke.holes]\n", "[smoke.holes]: there is no such claim, only phases, "),
        (b"smoke.hole = 1\n", "[smoke.hole]: must have verdict and why, and nothing else"),
        (b"[smoke.hole]\nverdict = 'SUPPORTED'\n", "[smoke.hole]: must have verdict and why, and nothing else"),
        (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 'w'\nwhen = 1\n", "must have verdict and why, and nothing else"),
        (b"[smoke.hole]\nverdict = 'supported'\nwhy = 'w'\n", "verdict = 'supported': must be one of SUPPORTED, "),
        (b"[smoke.hole]\nverdict = []\nwhy = 'w'\n", "verdict = []: must be one of SUPPORTED, "),
        (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = ' '\n", "why = ' ': must say why the verdict was accepted"),
        (b"[smoke.hole]\nverdict = 'SUPPORTED'\nwhy = 3\n", "why = 3: must say why the verdict was accepted"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, text, line):
    (tmp_path / "expected.toml").write_bytes(text)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the line is compared below
        drift.load(tmp_path / "expected.toml")
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
