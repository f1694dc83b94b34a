"""``python -m bumplab``: what there is beside `pytest claims`, by which claims are tried."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from bumplab.config import RunSpec
from bumplab.report import compare, document
from bumplab.runs import space
from bumplab.runs.locks import require_locks
from bumplab.runs.progress import replace_text
from bumplab.runs.store import RunStore, run_key
from bumplab.terminal import cell, keep_streams, line, warnings_as_usual

DAY = 86_400.0
MOST = 1e6
"""Days or GB."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0, or 2 with one line on what was wrong. `doctor` gives 1 where it found a failure."""
    keep_streams()
    with warnings_as_usual():
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bumplab", description="What there is beside `pytest claims`.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser(
        "report", help="compare reports, list all of a folder on one page, or print their schema"
    )
    what = report.add_mutually_exclusive_group(required=True)
    what.add_argument("--compare", nargs=2, type=Path, metavar=("OLD", "NEW"), help="print what moved between the two")
    what.add_argument("--history", type=_folder, metavar="FOLDER", help="write FOLDER/index.html over its reports")
    what.add_argument("--schema", action="store_true", help="print the JSON schema of a report")
    report.set_defaults(run=_report)
    train = commands.add_parser("train", help="train and measure one run, as a report names it, unless it is stored")
    train.add_argument("spec", help="the run's RunSpec as JSON")
    train.add_argument("--gpu", action="store_true", help="train on the first GPU")
    train.set_defaults(run=_train)
    runs = commands.add_parser("runs", help="list the runs of a store with their size and age, the oldest first")
    runs.set_defaults(run=_runs)
    prune = commands.add_parser("prune", help="remove runs from a store by age or size, the oldest first")
    prune.add_argument("--older-than", type=_amount, metavar="DAYS", help="remove runs written longer ago")
    prune.add_argument("--keep-gb", type=_amount, metavar="GB", help="remove the oldest until no more is left")
    prune.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    prune.set_defaults(run=_prune)
    check = commands.add_parser(
        "doctor", help="try in seconds what a session needs, and say what to do; trains nothing"
    )
    check.add_argument("--quiet", action="store_true", help="print only what is not well")
    check.add_argument("--json", action="store_true", help="print all findings as JSON")
    check.add_argument("--reports", type=_folder, default=Path("reports"), metavar="DIR", help="for reports (reports)")
    check.set_defaults(run=_doctor)
    for command in (train, runs, prune, check):
        command.add_argument("--runs-dir", type=_folder, default=Path(".runs"), metavar="DIR", help="the store (.runs)")
    options = parser.parse_args(arguments)
    try:
        status: int | None = options.run(options)
    except ImportError as error:
        _complain(f"{parser.prog}: {error}: {parser.prog} doctor says what to do")
        return 2
    except (ValueError, OSError) as error:
        _complain(f"{parser.prog}: {error}")
        return 2
    except RecursionError:
        _complain(f"{parser.prog}: a folder there holds too many in one another: remove it")
        return 2
    return status or 0


def _complain(said: str) -> None:
    print(line(said), file=sys.stderr)


def _report(options: argparse.Namespace) -> None:
    if options.schema:
        print(document.json_schema().decode())
    elif options.history:
        page = options.history / "index.html"
        reports = compare.reports_in(options.history, lambda error: _complain(f"passed over: {error}"))
        replace_text(page, compare.history_page(reports))
        Console().print(cell(f"{page}: {len(reports)} reports"))
    else:
        old, new = map(compare.read, options.compare)
        _compare(old, new, Console())


def _compare(old: document.Report, new: document.Report, console: Console) -> None:
    if old.profile != new.profile:
        console.print(cell(f"profiles differ: {old.profile} and {new.profile}; verdicts may differ for that reason"))
    table = Table(box=SIMPLE_HEAD)
    for head in ("claim", "part", old.written, new.written, "moved"):
        table.add_column(cell(head))
    for change in compare.differences(old, new):
        verdicts = [
            f"{entry.verdict if entry else ''} {compare.effect(entry)}".strip() for entry in (change.old, change.new)
        ]
        moved = change.moved and change.old and change.new  # a claim that was not tried has not moved
        row = ("" if change.part else change.claim, change.part, *verdicts, "moved" if moved else "")
        table.add_row(*map(cell, row))
    console.print(table)


def _train(options: argparse.Namespace) -> None:
    try:
        spec = RunSpec.from_dict(json.loads(options.spec))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the spec is not JSON ({error}): copy it, with its quotes, from a report") from error
    store = RunStore(options.runs_dir)
    require_locks(store.root)
    from bumplab.runs.planner import train_if_free

    record, trained = store.load(spec), False
    if record is None:
        trained = train_if_free(spec, store, "cuda:0" if options.gpu else "cpu")
        record = store.load(spec)
    if record is None:
        raise ValueError(f"run {run_key(spec)} is being trained by another process: wait for it")
    print(f"{'trained' if trained else 'stored'}: {store.path(record.key)}, {spec.label()}")
    if record.failed is not None:
        print(line(f"failed, and counts as a seed that did: {record.failed}; its last measurement before that:"))
    for name, value in record.rows[-1].items():
        print(f"  {line(name):<32} {value:.6g}")


def _doctor(options: argparse.Namespace) -> int:
    from bumplab import doctor

    constraints = Path(__file__).parents[1] / "constraints.txt"
    findings = doctor.examine(options.runs_dir, options.reports, constraints)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            if not (options.quiet and finding.state == "ok"):
                print(line(f"{finding.state:<8} {finding.check:<10} {finding.message}"))
    return int(any(finding.state == "failure" for finding in findings))


def _runs(options: argparse.Namespace) -> None:
    _list(space.stored(_store(options).root))


def _prune(options: argparse.Namespace) -> None:
    if options.older_than is None and options.keep_gb is None:
        raise ValueError("prune: say what may go, with --older-than DAYS, --keep-gb GB or both")
    older_than = None if options.older_than is None else options.older_than * DAY
    keep = None if options.keep_gb is None else int(options.keep_gb * 1e9)
    stuck: list[OSError] = []
    _list(space.prune(_store(options), older_than, keep, options.dry_run, stuck.append))
    print("would be removed; nothing was" if options.dry_run else "removed")
    if stuck:
        raise OSError(f"{len(stuck)} could not be removed: {'; '.join(map(str, stuck))}")


def _list(runs: Sequence[space.Stored]) -> None:
    table = Table("key", "run", "state", "size", "age", box=SIMPLE_HEAD)
    for run in runs:
        age = f"{run.age / DAY:.1f} d" if run.age > DAY else f"{run.age / 3600:.1f} h"
        table.add_row(*map(cell, (run.key, run.label, run.state, decimal(run.size), age)))
    console = Console()
    console.print(table)
    console.print(f"{len(runs)} run{'s' * (len(runs) != 1)}, {decimal(sum(run.size for run in runs))}")


def _store(options: argparse.Namespace) -> RunStore:
    if not options.runs_dir.is_dir():
        raise ValueError(f"--runs-dir {options.runs_dir}: is no folder; name the store of some pytest claims")
    return RunStore(options.runs_dir)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must name a folder")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~nobody, or no home
        raise argparse.ArgumentTypeError(f"{text}: {error}; name the folder in full") from error


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MOST:
        raise argparse.ArgumentTypeError(f"{text}: must be a number from 0 to {MOST:g}")
    return value


if __name__ == "__main__":
    sys.exit(main())
