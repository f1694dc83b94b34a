"""All finished runs of a store as one table: a row for each checkpoint (`docs/table.md`)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bumplab.config import DataSpec, RunSpec
from bumplab.measure.names import row_names
from bumplab.runs import space
from bumplab.runs.progress import replace_bytes
from bumplab.runs.record import RunRecord
from bumplab.runs.store import RunStore
from bumplab.terminal import line

Cell = str | int | float | bool
TableRow = dict[str, Cell]
"""A value for each column. NaN stands for what was not measured at the checkpoint, and for what has no number."""
SUFFIXES = (".csv", ".parquet")
FORMULA = ("=", "+", "-", "@")
"""First characters by which a spreadsheet takes a text for a formula. The texts of a store may come from others."""


def columns() -> dict[str, type]:
    """The columns of every table in their order, and the type of each.

    They are the fields of a spec, the step, the measured names, and what tells the run. They depend on no store.
    """
    of_spec = {name: type(value) for name, value in _flat(RunSpec()).items()}
    names = sorted(_measured_names() - {"step", "loss"})
    measured: dict[str, type] = {"step": int, **dict.fromkeys(["loss", *names], float)}
    return of_spec | measured | {"key": str, "seed": int, "failed": str, "arithmetic": str}


def finished(store: RunStore) -> Iterator[RunRecord]:
    """The finished runs of a store, the oldest first, failed ones too. Each is read and checked when it is asked for.

    A damaged run is moved aside with a warning. Raises OSError where a folder cannot be read.
    """
    for run in space.stored(store.root):
        if run.state == "finished" and run.spec is not None and (record := store.load(run.spec)) is not None:
            yield record


def rows(records: Iterable[RunRecord]) -> Iterator[TableRow]:
    """A row for each checkpoint of these runs, with a value for each of `columns`.

    Numbers that another version measured under another name are left out.
    """
    names = _measured_names() - {"step"}
    for record in records:
        of_run: TableRow = {
            **_flat(record.spec),
            "key": record.key,
            "seed": record.spec.seed,
            "failed": line(record.failed or ""),
            "arithmetic": line(record.arithmetic),
        }
        for row in record.rows:
            values = of_run | {"step": int(row["step"])} | {name: row.get(name, math.nan) for name in names}
            yield {name: values[name] for name in columns()}


def require_file(path: Path) -> None:
    """Raises ValueError in one line where no table can be written to this path. Call it before a store is read."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a table is a file with the suffix {' or '.join(SUFFIXES)}: name such a file")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder: name a file")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: {path.parent} is no folder: make it, or name another file")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ValueError(f"{path}: .parquet needs pyarrow, which is not installed: pip install pyarrow, or name a .csv")


def write(path: Path, table: list[TableRow]) -> None:
    """Writes the rows as CSV or Parquet, by the suffix of ``path``. Replaces a file. Call `require_file` before.

    A NaN is an empty cell of CSV and a null of Parquet. A text of CSV that a spreadsheet would take for a formula gets
    an apostrophe before it.
    """
    replace_bytes(path, _as_csv(table) if path.suffix == ".csv" else _as_parquet(table))


def _as_csv(table: list[TableRow]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns()), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _in_csv(value) for name, value in row.items()} for row in table)
    return text.getvalue().encode()


def _in_csv(value: Cell) -> Cell:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return "" if math.isnan(value) else value


def _as_parquet(table: list[TableRow]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns().items()])
    arrays = []
    for column in schema:
        values = [row[column.name] for row in table]
        arrays.append(pa.array(values, column.type, from_pandas=True))  # from_pandas: NaN becomes null
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer)
    return buffer.getvalue()


def _measured_names() -> set[str]:
    """Every name that a row of some run can have. A run with a hole has all label sets."""
    spec = RunSpec(data=DataSpec(hole=6.0))
    return row_names(spec, 0) | row_names(spec, spec.training.steps)


def _flat(spec: RunSpec) -> TableRow:
    """The fields of a spec by dotted name, but for the seed. Arguments and versions of a subject are JSON texts."""
    flat: TableRow = {}
    for part in (field.name for field in fields(spec) if field.name != "seed"):
        values: dict[str, Any] = spec.subject.to_dict() if part == "subject" else vars(getattr(spec, part))
        for name, value in values.items():
            flat[f"{part}.{name}"] = json.dumps(value) if isinstance(value, dict) else value
    return flat
