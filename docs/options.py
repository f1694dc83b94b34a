"""Writes the tables of docs/options.md from the options, commands and profiles that there are: python docs/options.py.

The text outside the tables is written by hand.
"""

import re
from pathlib import Path

from bumplab import profiles
from bumplab.__main__ import parser_and_commands
from bumplab.pytest_plugin import options

PAGE = Path(__file__).with_name("options.md")
TABLE = re.compile(r"<!-- (\w+) -->\n.*?<!-- end -->", re.DOTALL)
"""A generated table stands between ``<!-- its name -->`` and ``<!-- end -->``."""


class Recorded:
    """Takes options as pytest's parser does: ``groups`` has the attributes of each option by the title of its group."""

    def __init__(self):
        self.groups = {}

    def getgroup(self, name, description):
        return Group(self.groups.setdefault(description.removeprefix("bumplab: "), {}))


class Group:
    def __init__(self, recorded):
        self.recorded = recorded

    def addoption(self, name, **attributes):
        self.recorded[name] = attributes


def option_groups():
    """For each group of options of `pytest claims`: the attributes of each option by its name, such as ``--seeds``."""
    recorded = Recorded()
    options.add(recorded, None)
    return recorded.groups


def options_table():
    lines = ["| option | what it does (default) |", "| --- | --- |"]
    for title, group in option_groups().items():
        lines.append(f"| **{title}** | |")
        for name, attributes in group.items():
            written = " ".join(filter(None, [name, attributes.get("metavar", "")]))
            lines.append(f"| `{written}` | {attributes['help']} |")
    return lines


def commands_table():
    lines = ["| command | what it does |", "| --- | --- |"]
    _, commands = parser_and_commands()
    for group, texts in commands.items():
        lines.append(f"| **{group}** | |")
        lines += [f"| `{name}` | {text} |" for name, text in texts.items()]
    return lines


def profiles_table():
    lines = ["| profile | canvas, width | steps x batch | what for |", "| --- | --- | --- | --- |"]
    for profile in profiles.ALL.values():
        run = profile.base
        size = run.data.image_size
        budget = f"{run.training.steps:,} x {run.training.batch_size}"
        lines.append(f"| `{profile.name}` | {size} x {size}, {run.model.width} | {budget} | {profile.purpose} |")
    return lines


TABLES = {"options": options_table, "commands": commands_table, "profiles": profiles_table}


def rewritten(page):
    """The text of the page with today's tables."""
    return TABLE.sub(lambda found: "\n".join([f"<!-- {found[1]} -->", *TABLES[found[1]](), "<!-- end -->"]), page)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
