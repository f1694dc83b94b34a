"""docs/options.md holds the options, commands and profiles that there are. Each has one line in its help."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from bumplab import profiles
from bumplab.__main__ import main, parser_and_commands
from bumplab.pytest_plugin.options import HELP_WIDTH

DOCS = Path(__file__).parents[1] / "docs"
SCRIPT = runpy.run_path(str(DOCS / "options.py"))
PAGE = (DOCS / "options.md").read_text(encoding="utf-8")
OPTIONS = {name: attributes for group in SCRIPT["option_groups"]().values() for name, attributes in group.items()}
COMMANDS = {name: text for texts in parser_and_commands()[1].values() for name, text in texts.items()}


def test_the_page_is_what_its_script_writes():
    assert SCRIPT["rewritten"](PAGE) == PAGE, "run: python docs/options.py"


def test_the_tables_name_every_option_command_and_profile():
    """Whatever the script writes: a script without a row for some of them would agree with its page."""
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert sorted(row.split()[0] for row in rows if row.startswith("--")) == sorted(OPTIONS)
    assert {row for row in rows if not row.startswith("--")} == {*COMMANDS, *profiles.ALL}


def test_the_page_speaks_of_options_that_there_are(capsys):
    known = {"--junit-xml", "--help", *OPTIONS}
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([*command.split(), "--help"])
        known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known


def test_a_help_is_one_line():
    texts = {name: attributes["help"] for name, attributes in OPTIONS.items()} | COMMANDS
    assert len(texts) > 20
    assert {name: text for name, text in texts.items() if not 0 < len(text) <= HELP_WIDTH} == {}


def test_pytests_help_has_every_option_under_its_group():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "claims",
        "--help",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
    ]
    printed = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, check=True).stdout
    for title, group in SCRIPT["option_groups"]().items():
        section = printed.partition(f"bumplab: {title}:\n")[2].partition("\n\n")[0]
        assert re.findall(r"^  (--[a-z-]+)", section, re.MULTILINE) == list(group), title


def test_the_help_of_the_command_line_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert [
        name for name, text in COMMANDS.items() if not re.search(rf"^  {name} +{re.escape(text)}$", printed, re.M)
    ] == []
    for parent in ("", "runs "):
        with pytest.raises(SystemExit):
            main([*parent.split(), "none-such"])
        taken = re.findall(r"[\w-]+", capsys.readouterr().err.partition("choose from")[2])
        assert {f"{parent}{name}" for name in taken} == {
            name for name in COMMANDS if name.count(" ") == parent.count(" ") and name.startswith(parent)
        }
