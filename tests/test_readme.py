"""README is short, its links and those of docs/ lead somewhere, and the commands that it marks run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
MARK = "<!-- run by tests/test_readme.py -->"
WORDS = 700


def commands(text):
    """The lines of the blocks after `MARK`."""
    blocks = re.findall(re.escape(MARK) + r"\n```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_read_in_a_few_minutes():
    assert len(README.read_text().split()) <= WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_file_and_a_heading(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_marked_commands_run():
    lines = commands(README.read_text())
    assert lines
    for line in lines:
        program, *arguments = shlex.split(line)
        ran = [sys.executable, "-m", Path(program).name, *arguments]
        done = subprocess.run(ran, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
