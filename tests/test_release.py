"""One version everywhere, and a citation file that names what its format requires."""

import re
import tomllib
from pathlib import Path

import pytest

import bumplab

ROOT = Path(__file__).parents[1]


def test_every_file_names_the_same_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert {project["version"], newest, cited} == {bumplab.__version__}


def test_the_citation_has_what_its_format_requires_and_cites_the_paper():
    citation = pytest.importorskip("yaml").safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    page = (ROOT / "bumplab" / "report" / "templates" / "page.html.j2").read_text()
    assert paper["title"].removesuffix("?") in page
    assert [author["family-names"] for author in paper["authors"]] == ["Liang", "Liu", "Fiete"]
