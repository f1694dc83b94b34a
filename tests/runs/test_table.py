"""The table of a store: every checkpoint of every finished run, in columns that a page documents."""

import csv
import io
import json
import math
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab import profiles
from bumplab.__main__ import main
from bumplab.config import ROLES, RunSpec, SubjectSpec
from bumplab.measure.names import row_names, sample_counts
from bumplab.runs import table
from bumplab.runs.store import RunRecord, RunStore
from bumplab.terminal import line
from tests.rows import rows_of

SMOKE = profiles.get("smoke")
HOLE = SMOKE.run(7, hole=5.0)
USERS = replace(SMOKE.run(4), subject=SubjectSpec("=my.py:subject", (("width", "8"),), 64 * "0"))
PAGE = (Path(__file__).parents[2] / "docs" / "table.md").read_text()
pytestmark = pytest.mark.usefixtures("no_sync")


@pytest.fixture
def store(tmp_path):
    """Three finished runs, of which one has a hole and one failed, and a run under way."""
    store = RunStore(tmp_path / "store")
    store.publish(RunRecord(HOLE, rows_of(HOLE)), b"")
    store.publish(RunRecord(SMOKE.run(3), rows_of(SMOKE.run(3), 1), failed="the loss is nan"), b"")
    store.publish(RunRecord(USERS, rows_of(USERS)), b"")
    store.save_partial(RunRecord(SMOKE.run(5), rows_of(SMOKE.run(5), 1)), b"x")
    return store


def written(store, path, capsys):
    """What the command prints of a table of the store."""
    assert main(["runs", "table", str(path), "--runs-dir", str(store.root)]) == 0
    return capsys.readouterr().out


def leaves(spec):
    """The fields of a spec by dotted name."""
    for field in fields(spec):
        part = getattr(spec, field.name)
        if is_dataclass(part):
            yield from (f"{field.name}.{leaf.name}" for leaf in fields(part))
        else:
            yield field.name


def test_a_row_is_a_checkpoint_and_holds_its_spec_and_its_numbers(store, tmp_path, capsys):
    printed = written(store, tmp_path / "runs.csv", capsys)
    assert "1 unfinished" in printed
    with open(tmp_path / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [(row["seed"], row["step"]) for row in rows]
    expected = [(str(spec.seed), str(step)) for spec in (HOLE, USERS) for step in spec.measured_steps()]
    assert sorted(steps) == sorted([*expected, ("3", "0")])
    for spec in (HOLE, USERS):
        record = store.load(spec)
        for row, numbers in zip([row for row in rows if row["key"] == record.key], record.rows, strict=True):
            measured = {name: row[name] for name in numbers if name != "step"}
            assert {name: float(text) for name, text in measured.items()} == {name: numbers[name] for name in measured}
            others = set(table.columns()) - set(leaves(RunSpec())) - set(numbers) - {"key", "arithmetic"}
            assert all(row[name] == "" for name in others)
            assert float(row["data.hole"]) == spec.data.hole
            assert row["training.steps"] == str(spec.training.steps)
    assert {row["failed"] for row in rows if row["seed"] == "3"} == {"the loss is nan"}
    assert {row["subject.name"] for row in rows if row["seed"] == "4"} == {"'=my.py:subject"}
    assert {row["subject.arguments"] for row in rows if row["seed"] == "4"} == {json.dumps({"width": "8"})}


def test_the_columns_are_the_spec_and_all_that_any_run_measures():
    """Every profile is looked at, with and without a hole, at every kind of checkpoint."""
    assert set(leaves(RunSpec())) <= set(table.columns())
    measured = set()
    for profile in profiles.ALL.values():
        for spec in (profile.run(0), profile.run(0, hole=profile.holes[0])):
            for step in spec.measured_steps():
                measured |= row_names(spec, step)
    assert set(table.columns()) - set(leaves(RunSpec())) - measured == {"key", "failed", "arithmetic"}
    assert measured <= set(table.columns())


def test_the_page_gives_each_column_once_with_a_unit():
    sets = sample_counts(HOLE, HOLE.training.steps)
    documented = []
    for cells in re.findall(r"^\| (`.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE):
        assert all(cell.strip() for cell in cells), cells
        for name in re.findall(r"`([^`]+)`", cells[0]):
            places = sets if name.startswith("<set>") else ROLES if name.startswith("<role>") else [""]
            documented += [re.sub("^<(set|role)>", place, name) for place in places]
    assert sorted(documented) == sorted(table.columns())


def test_a_parquet_file_has_the_same_rows_with_their_types(store, tmp_path, capsys):
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install -e '.[table]'")
    written(store, tmp_path / "runs.parquet", capsys)
    read = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    rows = list(table.rows(table.finished(store)))
    empty = dict.fromkeys(table.columns())
    for got, row in zip(read, rows, strict=True):
        known = {name: value for name, value in row.items() if value == value}
        assert got == empty | known
        assert {name: type(got[name]) for name in known} == {name: table.columns()[name] for name in known}


def test_what_is_no_table_is_one_line_and_writes_nothing(store, tmp_path, capsys, monkeypatch):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    for name, root, words in (
        ("runs.xlsx", store.root, (".csv", ".parquet")),
        ("runs", store.root, (".csv", ".parquet")),
        ("folder.csv", store.root, ("folder",)),
        ("nowhere/runs.csv", store.root, ("nowhere",)),
        ("runs.parquet", store.root, ("pip install pyarrow", ".csv")),
        ("runs.csv", tmp_path / "empty", ("finished run", "empty")),
        ("runs.csv", tmp_path / "missing", ("missing",)),
    ):
        before = sorted(tmp_path.iterdir())
        assert main(["runs", "table", str(tmp_path / name), "--runs-dir", str(root)]) == 2, name
        (error,) = capsys.readouterr().err.splitlines()
        assert [word for word in words if word not in error] == [], error
        assert sorted(tmp_path.iterdir()) == before, name


@given(text=st.text().map(line), number=st.floats() | st.integers() | st.booleans())
def test_a_cell_of_csv_is_no_formula_and_loses_no_digit(text, number):
    row = dict.fromkeys(table.columns(), number) | {"failed": text}
    ((read),) = csv.DictReader(io.StringIO(table._as_csv([row]).decode(errors="surrogatepass"), newline=""))
    assert not read["failed"].startswith(("=", "+", "-", "@"))
    assert read["failed"].removeprefix("'") == text.removeprefix("'")
    assert read["loss"] == ("" if math.isnan(number) else str(number))
