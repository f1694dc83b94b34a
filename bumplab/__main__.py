"""``python -m bumplab``: commands on runs, stores and reports. Claims are judged by `pytest claims`."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress
from rich.table import Table

from bumplab import travel
from bumplab.config import RunSpec
from bumplab.report import compare, document, matrix
from bumplab.report.wording import counted_reports
from bumplab.runs import space
from bumplab.runs.locks import require_locks
from bumplab.runs.progress import replace_text
from bumplab.runs.store import RunStore, run_key
from bumplab.terminal import cell, keep_streams, line, warnings_as_usual

DAY = 86_400.0
LARGEST_AMOUNT = 1e6
"""Upper bound of days and of GB in the options of ``prune``."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, or 2 with one line of error.

    ``doctor`` gives 1 on a failure, and ``runs import`` where something was left out.
    """
    keep_streams()
    with warnings_as_usual():
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bumplab", description="Commands on runs, stores and reports.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser(
        "report", help="compare reports, list a folder of them, set subjects side by side, or print the schema"
    )
    task = report.add_mutually_exclusive_group(required=True)
    task.add_argument("--compare", nargs=2, type=Path, metavar=("OLD", "NEW"), help="print the differences")
    task.add_argument(
        "--history", type=_folder, metavar="FOLDER", help="write FOLDER/index.html with a list of its reports"
    )
    task.add_argument("--schema", action="store_true", help="print the JSON schema of a report")
    task.add_argument(
        "--matrix", nargs="+", type=Path, metavar="REPORT", help="write a page of these reports: claims by subjects"
    )
    report.add_argument("--to", type=Path, metavar="FILE", help="the page of --matrix (matrix.html)")
    report.set_defaults(run=_report)
    train = commands.add_parser("train", help="train and measure one run unless it is stored")
    train.add_argument("spec", help="the run's RunSpec as JSON, copied from a report")
    train.add_argument("--gpu", action="store_true", help="train on the first GPU")
    train.add_argument("--subject", metavar="FILE.py:NAME", help="the run's subject, where it is a user's")
    train.add_argument("--subject-arg", action="append", default=[], metavar="K=V", help="an argument of it")
    train.set_defaults(run=_train)
    runs = commands.add_parser("runs", help="list the runs of a store with size and age, the oldest first")
    runs.set_defaults(run=_runs)
    of_runs = runs.add_subparsers(metavar="COMMAND")
    measure = of_runs.add_parser("measure", help="measure stored draws again where the measurement has changed")
    measure.set_defaults(run=_measure)
    export, imports = travel.add_commands(of_runs)
    prune = commands.add_parser("prune", help="remove the oldest runs from a store, by age or by size")
    prune.add_argument("--older-than", type=_amount, metavar="DAYS", help="remove runs that are older")
    prune.add_argument("--keep-gb", type=_amount, metavar="GB", help="remove runs until the store is no larger")
    prune.add_argument("--dry-run", action="store_true", help="list the runs and remove none")
    prune.set_defaults(run=_prune)
    doctor = commands.add_parser("doctor", help="check in seconds what a session needs; trains nothing")
    doctor.add_argument("--quiet", action="store_true", help="print warnings and failures only")
    doctor.add_argument("--json", action="store_true", help="print all findings as JSON")
    doctor.add_argument(
        "--reports", type=_folder, default=Path("reports"), metavar="DIR", help="the folder of reports (reports)"
    )
    doctor.set_defaults(run=_doctor)
    for command in (train, runs, measure, export, imports, prune, doctor):
        of_runs_too = command in (measure, export, imports)
        default = argparse.SUPPRESS if of_runs_too else Path(".runs")  # those have what `runs` was given
        command.add_argument("--runs-dir", type=_folder, default=default, metavar="DIR", help="the store (.runs)")
    options = parser.parse_args(arguments)
    try:
        status: int | None = options.run(options)
    except ImportError as error:
        _print_error(f"{parser.prog}: {error}: {parser.prog} doctor says what to do")
        return 2
    except (ValueError, OSError) as error:
        _print_error(f"{parser.prog}: {error}")
        return 2
    except RecursionError:
        _print_error(f"{parser.prog}: folders are nested too deeply: remove them")
        return 2
    return status or 0


def _print_error(message: str) -> None:
    print(line(message), file=sys.stderr)


def _report(options: argparse.Namespace) -> None:
    if options.to is not None and options.matrix is None:
        raise ValueError(f"--to {options.to}: only --matrix takes it: give --matrix REPORT...")
    if options.matrix:
        page = options.to if options.to is not None else Path("matrix.html")
        made = matrix.write(options.matrix, page)
        Console().print(cell(f"{page}: {len(made.rows)} claims, {counted_reports(len(made.columns))}"))
    elif options.schema:
        print(document.json_schema().decode())
    elif options.history:
        page = options.history / "index.html"
        reports = compare.reports_in(options.history, lambda error: _print_error(f"passed over: {error}"))
        replace_text(page, compare.history_page(reports))
        Console().print(cell(f"{page}: {counted_reports(len(reports))}"))
    else:
        old, new = map(compare.read, options.compare)
        _compare(old, new, Console())


def _compare(old: document.Report, new: document.Report, console: Console) -> None:
    for what, before, after in zip(
        ("profiles", "subjects"), compare.scale_and_subject(old), compare.scale_and_subject(new), strict=True
    ):
        if before != after:
            console.print(cell(f"{what} differ: {before} and {after}; verdicts may differ for that reason"))
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
    from bumplab.runs.planner import train_here, train_if_free
    from bumplab.subjects import registry

    record, trained = store.load(spec), False
    if record is None:
        users = registry.load(options.subject, options.subject_arg) if options.subject else None
        trained = train_if_free(spec, store, "cuda:0" if options.gpu else "cpu", train=partial(train_here, users=users))
        record = store.load(spec)
    if record is None:
        raise ValueError(f"run {run_key(spec)} is being trained by another process: wait for it")
    print(f"{'trained' if trained else 'stored'}: {store.path(record.key)}, {spec.label()}")
    if record.failed is not None:
        print(line(f"failed: {record.failed}. Claims count it as a failed seed. Its last measurement before:"))
    for name, value in record.rows[-1].items():
        print(f"  {line(name):<32} {value:.6g}")


def _measure(options: argparse.Namespace) -> None:
    """Measures every finished run of the store whose draws were kept and whose numbers are not today's."""
    store = _store(options)
    require_locks(store.root)
    from bumplab.runs import again

    specs = [run.spec for run in space.stored(store.root) if run.state == "finished" and run.spec is not None]
    counts: Counter[str] = Counter()
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("measuring", total=len(specs))
        for spec in specs:
            counts[again.measure_if_old(spec, store)] += 1
            progress.advance(task)
    print("\n".join(f"{count:>6} {outcome}" for outcome, count in sorted(counts.items())) or "no finished run")


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
    errors: list[OSError] = []
    _list(space.prune(_store(options), older_than, keep, options.dry_run, errors.append))
    print("would be removed; nothing was" if options.dry_run else "removed")
    if errors:
        raise OSError(f"{len(errors)} could not be removed: {'; '.join(map(str, errors))}")


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
        raise ValueError(f"--runs-dir {options.runs_dir}: is no folder; name the store of a session")
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
    if not 0 <= value <= LARGEST_AMOUNT:
        raise argparse.ArgumentTypeError(f"{text}: must be a number from 0 to {LARGEST_AMOUNT:g}")
    return value


if __name__ == "__main__":
    sys.exit(main())
