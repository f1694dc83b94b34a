"""The project in docs/another-paper.md is whole: pytest collects it, and its claim reads what is planted for it."""

import re
from pathlib import Path

import pytest

from bumplab.verdicts import suite
from tests.claims.checks import check_planted, check_reads, check_verdicts
from tests.pytest_plugin.inside import pytest_inside

PAGE = (Path(__file__).parents[1] / "docs" / "another-paper.md").read_text()
FILES = dict(re.findall(r"^`([\w./]+)`:\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def project(tmp_path):
    """The files of the page in a folder."""
    for name, text in (FILES | {"pytest.ini": "[pytest]\n"}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_pytest_collects_the_claim_with_its_part_and_its_control(project):
    ended = pytest_inside("claims", "--collect-only", "-q", "--controls", folder=project)
    assert ended.status == 0, ended.printed
    tests = set(re.findall(r"\[quick-(.+)\]", ended.printed))
    (claim,) = suite.claims(project / "claims")
    assert tests == {*(part.slug for part in claim.parts), *(control.slug for control in claim.controls), "verdict"}


def test_the_claim_of_the_page_passes_the_checks_of_our_claims(project):
    (claim,) = suite.claims(project / "claims")
    check_planted(claim)
    check_verdicts(claim)
    check_reads(claim, {"more right": {"probe.correct"}})
