"""The claims of a folder: one more file there is one more claim, and nothing else has to know."""

from dataclasses import dataclass

import pytest

from bumplab.verdicts.evidence import FAMILY_ALPHA
from bumplab.verdicts.suite import claims, ids, in_the_papers_order, needed

ANOTHER = """
from bumplab.verdicts.claim import Claim, Part, Region

CLAIM = Claim(
    id="{id}", statement="s", source="Fig. 1", prediction="p", runs=lambda profile, seed: {{"a": profile.run(seed)}},
    parts=(Part("v", "r", "h", "u", Region(low=0), "w", lambda runs: 1.0),), curves={{}}, certain={certain},
)
"""


@pytest.fixture
def folder(tmp_path):
    for id, certain in (("one", False), ("sure", True), ("two", False)):
        (tmp_path / f"test_{id}.py").write_text(ANOTHER.format(id=id, certain=certain))
    return tmp_path


def test_a_claim_is_added_by_its_file_alone(folder):
    assert needed(folder) == pytest.approx(2 / FAMILY_ALPHA)
    (folder / "test_another.py").write_text(ANOTHER.format(id="another", certain=False))
    assert [claim.id for claim in claims(folder)] == list(ids(folder)) == ["another", "one", "sure", "two"]
    assert needed(folder) == pytest.approx(3 / FAMILY_ALPHA)
    (folder / "test_exact.py").write_text(ANOTHER.format(id="exact", certain=True))
    assert "exact" in ids(folder)
    assert needed(folder) == pytest.approx(3 / FAMILY_ALPHA), "a claim without chance takes no share"


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
    assert needed(tmp_path) == 1 / FAMILY_ALPHA


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
        (ANOTHER.format(id="b", certain=True), ["'b'", "must be 'a'"]),
    ]:
        file = tmp_path / "test_a.py"
        file.write_text(text)
        with pytest.raises(ValueError, match=str(file)) as error:
            claims(tmp_path)
        assert "\n" not in str(error.value), text
        assert all(word in str(error.value) for word in words), (text, str(error.value))
    file.write_text(ANOTHER.format(id="a", certain=True))
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
