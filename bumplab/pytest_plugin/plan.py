"""``--plan``: the runs that a session needs, how many are stored, and the cost of the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bumplab import machine
from bumplab.config import RunSpec
from bumplab.pytest_plugin import entries, summary
from bumplab.pytest_plugin.forms import forms
from bumplab.pytest_plugin.items import Item
from bumplab.pytest_plugin.settings import Settings
from bumplab.runs.estimate import trial
from bumplab.terminal import cell, duration
from bumplab.verdicts.claim import Claim


def show(claims: Sequence[Claim], settings: Settings, workers: int, console: Console) -> None:
    """Prints one line for each claim and one for all together. The last counts a run that claims share once."""
    looks = settings.looks
    console.print(f"profile {settings.profile.name}: {settings.profile.purpose}")
    table = Table(box=SIMPLE_HEAD)
    for column in ("claim", f"runs at {looks.first} seeds", f"at {looks.last}", "stored"):
        table.add_column(column, justify="left" if column == "claim" else "right")
    needed: dict[int, dict[RunSpec, None]] = {look: {} for look in (looks.first, looks.last)}
    """The runs by number of seeds."""
    for claim in claims:
        if lacking := settings.lacking(claim):
            table.add_row(claim.id, "skipped", "needs", ", ".join(lacking))
            continue
        runs_by_look = {look: _runs(claim, settings, look) for look in needed}
        for look, runs in runs_by_look.items():
            needed[look].update(dict.fromkeys(runs))
        table.add_row(claim.id, *_counts(runs_by_look, settings))
    table.add_section()
    table.add_row("together, each run once", *_counts(needed, settings))
    console.print(table)
    if note := summary.of_another_source(settings.store.root, settings.profile.base.subject):
        console.print(cell(note))
    stored = {run for runs in needed.values() for run in runs if settings.has(run)}
    missing = {look: [run for run in runs if run not in stored] for look, runs in needed.items()}
    if not missing[looks.last]:
        console.print("nothing is missing: a session would train nothing")
        return
    cost = trial(settings.profile.base, settings.device, settings.subject.users)
    parallel_runs = min(workers, machine.workers()) if settings.device == "cpu" else workers
    low, high = (cost.seconds(missing[look]) / parallel_runs + cost.once for look in (looks.first, looks.last))
    console.print(
        f"missing: {len(missing[looks.first])} to {len(missing[looks.last])} runs. With {workers} "
        f"worker{'s' if workers > 1 else ''} on {settings.device} about {duration(low)} to {duration(high)}, and "
        f"{cost.memory / 1e9:.1f} GB of main memory a worker"
    )
    most = settings.store.draws_bytes
    kept = "kept" if cost.draws <= most else f"not kept, because --draws allows {most / 1e6:.0f} MB"
    console.print(f"draws of a run: {cost.draws / 1e6:.1f} MB, {kept}")
    console.print(
        f"(from a trial here: {1000 * cost.step:.0f} ms a step, {cost.measurement:.1f} s a measurement, "
        f"{cost.once:.0f} s once a worker; parts that are settled early take fewer runs). Nothing was trained."
    )


def _runs(claim: Claim, settings: Settings, seeds: int) -> list[RunSpec]:
    """The runs of the claim in all its forms, each once."""
    runs: dict[RunSpec, None] = {}
    for form in forms(claim, Item("verdict"), settings):
        for of_condition in entries.planned(form.claim, settings, seeds).values():
            runs.update(dict.fromkeys(of_condition))
    return list(runs)


def _counts(runs_by_look: Mapping[int, Collection[RunSpec]], settings: Settings) -> tuple[str, str, str]:
    """The numbers of runs at the first and at the last look, and of those that are stored."""
    first, last = runs_by_look[settings.looks.first], runs_by_look[settings.looks.last]
    stored = sum(settings.has(run) for run in last)
    return str(len(first)), str(len(last)), str(stored)
