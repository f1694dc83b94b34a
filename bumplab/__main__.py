"""``python -m bumplab``: commands on runs, stores and reports. Claims are judged by `pytest claims`."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress
from rich.table import Table

from bumplab import travel
from bumplab.config import RunSpec
from bumplab.report import compare, document, matrix
from bumplab.report.wording import counted_reports
from bumplab.runs import space, table
from bumplab.runs.locks import require_locks
from bumplab.runs.progress import replace_text
from bumplab.runs.store import RunStore, run_key
from bumplab.terminal import cell, keep_streams, line, warnings_as_usual

DAY = 86_400.0
LARGEST_AMOUNT = 1e6
"""Upper bound of days and of GB in the options of ``prune``."""
HELP = argparse.RawDescriptionHelpFormatter
Run = Callable[[argparse.Namespace], int | None]
"""What carries out a command. It returns the exit status, 0 for None."""
Commands = dict[str, dict[str, str]]
"""By group: each command, and what it does in at most 56 characters."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, or 2 with one line of error.

    ``doctor`` gives 1 on a failure, and ``runs import`` where something was left out.
    """
    keep_streams()
    with warnings_as_usual():
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    parser, _ = parser_and_commands()
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


def parser_and_commands() -> tuple[argparse.ArgumentParser, Commands]:
    """The parser of the command line, and what its help and `docs/options.md` list."""
    prog, listed = "python -m bumplab", dict[str, dict[str, str]]()
    parser = argparse.ArgumentParser(prog=prog, usage=f"{prog} [-h] COMMAND ...", formatter_class=HELP)
    parser.description = "Commands on runs, reports and this machine. Claims are judged by: pytest claims"
    commands = parser.add_subparsers(required=True, metavar="COMMAND", prog=prog, help=argparse.SUPPRESS)

    def command(of: Any, group: str, name: str, text: str, run: Run) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = of.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        listed.setdefault(group, {})[added.prog.removeprefix(f"{prog} ")] = text
        return added

    train = command(commands, "runs", "train", "train and measure one run unless it is stored", _train)
    train.add_argument("spec", help="the run's RunSpec as JSON, copied from a report")
    train.add_argument("--gpu", action="store_true", help="train on the first GPU")
    train.add_argument("--subject", metavar="FILE.py:NAME", help="the run's subject, where it is a user's")
    train.add_argument("--subject-arg", action="append", default=[], metavar="K=V", help="an argument of it")
    runs = command(commands, "runs", "runs", "list a store's runs, the oldest first", _runs)
    of_runs = runs.add_subparsers(metavar="COMMAND")
    measure = command(of_runs, "runs", "measure", "measure stored draws again by today's measurement", _measure)
    as_table = command(of_runs, "runs", "table", "write all checkpoints of a store as one table", _table)
    export, imports = travel.add_commands(of_runs, command)
    as_table.add_argument("file", type=Path, metavar="FILE", help="the table, FILE.csv or FILE.parquet")
    prune = command(commands, "runs", "prune", "remove the oldest runs, by age or by size", _prune)
    prune.add_argument("--older-than", type=_amount, metavar="DAYS", help="remove runs that are older")
    prune.add_argument("--keep-gb", type=_amount, metavar="GB", help="remove runs until the store is no larger")
    prune.add_argument("--dry-run", action="store_true", help="list the runs and remove none")
    report = command(commands, "reports", "report", "compare reports, or put several on one page", _report)
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
    register = command(commands, "claims", "register", "fix the claims before any judged run is looked at", _register)
    of_register = register.add_mutually_exclusive_group(required=True)
    of_register.add_argument("--why", metavar="TEXT", help="add an entry to claims/registered.toml with this reason")
    register.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar="NAME",
        help="fix them at this profile alone; repeatable (all)",
    )
    of_register.add_argument("--show", action="store_true", help="print the entries, and how each claim stands")
    doctor = command(commands, "this machine", "doctor", "check in seconds what a session needs", _doctor)
    doctor.add_argument("--quiet", action="store_true", help="print warnings and failures only")
    doctor.add_argument("--json", action="store_true", help="print all findings as JSON")
    doctor.add_argument(
        "--reports", type=_folder, default=Path("reports"), metavar="DIR", help="the folder of reports (reports)"
    )
    for of_store in (train, runs, measure, as_table, export, imports, prune, doctor):
        below_runs = of_store in (measure, as_table, export, imports)  # they have what `runs` was given
        default = argparse.SUPPRESS if below_runs else Path(".runs")
        of_store.add_argument("--runs-dir", type=_folder, default=default, metavar="DIR", help="the store (.runs)")
    groups = [_as_help(group, texts) for group, texts in listed.items()]
    parser.epilog = "\n\n".join([*groups, f"{prog} COMMAND --help lists the options of a command."])
    return parser, listed


def _as_help(group: str, texts: dict[str, str]) -> str:
    return "\n".join([f"{group}:", *(f"  {name:<14} {text}" for name, text in texts.items())])


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
    moves = Table(box=SIMPLE_HEAD)
    for head in ("claim", "part", old.written, new.written, "moved"):
        moves.add_column(cell(head))
    for change in compare.differences(old, new):
        verdicts = [
            f"{entry.verdict if entry else ''} {compare.effect(entry)}".strip() for entry in (change.old, change.new)
        ]
        moved = change.moved and change.old and change.new  # a claim that was not tried has not moved
        row = ("" if change.part else change.claim, change.part, *verdicts, "moved" if moved else "")
        moves.add_row(*map(cell, row))
    console.print(moves)


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


def _table(options: argparse.Namespace) -> None:
    """Writes the table, and prints what it holds and what of the store it leaves out."""
    table.require_file(options.file)
    store = _store(options)
    rows = list(table.rows(table.finished(store)))
    states = Counter(run.state for run in space.stored(store.root) if run.state != "finished")
    left_out = f"; left out: {', '.join(f'{states[state]} {state}' for state in sorted(states))}" if states else ""
    if not rows:
        raise ValueError(f"--runs-dir {store.root}: holds no finished run{left_out}: name the store of a session")
    table.write(options.file, rows)
    runs = len({row["key"] for row in rows})
    print(line(f"{options.file}: {len(rows)} rows of {runs} run{'s' * (runs != 1)}{left_out}"))


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


def _register(options: argparse.Namespace) -> None:
    from bumplab import registering

    if options.show:
        registering.show(Console())
    else:
        registering.register(options.why, options.profile, Console())


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
    listed = Table("key", "run", "state", "size", "age", box=SIMPLE_HEAD)
    for run in runs:
        age = f"{run.age / DAY:.1f} d" if run.age > DAY else f"{run.age / 3600:.1f} h"
        listed.add_row(*map(cell, (run.key, run.label, run.state, decimal(run.size), age)))
    console = Console()
    console.print(listed)
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
