"""The claims of a folder: one more file there is one more claim, and nothing else has to know."""

import shutil
from dataclasses import dataclass

import pytest

from bumplab.verdicts.error_rate import FAMILY_ALPHA
from bumplab.verdicts.suite import OURS, alpha, claims, ids, in_the_papers_order

ANOTHER = """
from bumplab.verdicts.claim import Claim, Part, Region
from bumplab.verdicts.intervals import certain, student_t

CLAIM = Claim(
    id="{id}", statement="s", source="Fig. 1", prediction="p", runs=lambda profile, seed: {{"a": profile.run(seed)}},
    parts=(Part("v", "u", Region(low=0), "w", lambda runs: 1.0, {interval}),), curves={{}},
)
"""


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(OURS, tmp_path / "claims", ignore=shutil.ignore_patterns("__pycache__"))


def test_a_claim_is_added_by_its_file_alone(folder):
    random = sum(not claim.certain for claim in claims(OURS))
    assert alpha(folder) == pytest.approx(FAMILY_ALPHA / random)
    (folder / "test_another.py").write_text(ANOTHER.format(id="another", interval="student_t"))
    assert set(ids(folder)) == {*ids(OURS), "another"}
    assert [claim.id for claim in claims(folder)] == list(ids(folder)) == sorted(ids(folder))
    assert alpha(folder) == pytest.approx(FAMILY_ALPHA / (random + 1))
    (folder / "test_counted.py").write_text(ANOTHER.format(id="counted", interval="certain"))
    assert "counted" in ids(folder)
    assert alpha(folder) == pytest.approx(FAMILY_ALPHA / (random + 1)), "a claim without chance takes no share"


def test_a_module_is_imported_once_and_ids_import_none(folder):
    (folder / "test_broken.py").write_text("1 / 0")
    assert "broken" in ids(folder)
    (folder / "test_broken.py").unlink()
    assert all(a is b for a, b in zip(claims(folder), claims(folder), strict=True))


def test_a_folder_without_claims_has_none(tmp_path):
    assert ids(tmp_path / "nowhere") == claims(tmp_path / "nowhere") == ()
    (tmp_path / "expected.toml").write_text("")
    (tmp_path / "helper.py").write_text("1 / 0")
    assert ids(tmp_path) == ()
    assert alpha(tmp_path) == FAMILY_ALPHA


def test_a_broken_module_is_one_line(tmp_path):
    for text, words in [
        ("1 / 0\n", ["ZeroDivisionError", "importable"]),
        ("def (\n", ["SyntaxError"]),
        ("import nowhere_to_be_found\n", ["ModuleNotFoundError", "nowhere_to_be_found"]),
        ("raise ValueError('two\\nlines')\n", ["two lines"]),
        ("import sys\nsys.exit(3)\n", ["SystemExit"]),
        ("import pytest\npytest.skip('later', allow_module_level=True)\n", ["Skipped", "later"]),
        ("x = 1\n", ["no CLAIM", "Claim(id='a'"]),
        ("CLAIM = 3\n", ["no CLAIM", "Claim(id='a'"]),
        (ANOTHER.format(id="b", interval="certain"), ["'b'", "must be 'a'"]),
    ]:
        file = tmp_path / "test_a.py"
        file.write_text(text)
        with pytest.raises(ValueError, match=str(file)) as error:
            claims(tmp_path)
        assert "\n" not in str(error.value), text
        assert all(word in str(error.value) for word in words), (text, str(error.value))
    file.write_text(ANOTHER.format(id="a", interval="certain"))
    assert [claim.id for claim in claims(tmp_path)] == ["a"], "what failed before is read again"


@dataclass
class Entry:
    id: str
    source: str


def test_sections_come_before_appendices():
    entries = [
        Entry("d", "Appendix B"),
        Entry("a", "Fig. 1"),
        Entry("c", "Section 3, Fig. 4"),
        Entry("b", "Section 3, Fig. 4"),
        Entry("z", "Section 2"),
    ]
    assert [entry.id for entry in in_the_papers_order(entries)] == ["z", "b", "c", "d", "a"]
    ours = in_the_papers_order(claims(OURS))
    assert [not claim.source.startswith("Section") for claim in ours] == sorted(
        not claim.source.startswith("Section") for claim in ours
    )
