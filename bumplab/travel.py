"""``python -m bumplab runs export`` and ``runs import``: runs as one file (`bumplab.runs.archive`)."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress

from bumplab import profiles
from bumplab.config import RunSpec, SubjectSpec
from bumplab.profiles import REPLICATES, Profile
from bumplab.runs import pack, space
from bumplab.runs.archive import Archive, NotAnArchive, one_registration
from bumplab.runs.copies import import_runs
from bumplab.runs.locks import require_locks
from bumplab.runs.store import RunStore
from bumplab.terminal import line
from bumplab.verdicts import registration, suite
from bumplab.verdicts.claim import FIRST_SEED, Claim
from bumplab.verdicts.hashes import Fixed, hashes_of, rule_hash

AddCommand = Callable[[Any, str, str, str, Callable[[argparse.Namespace], int | None]], argparse.ArgumentParser]
"""Adds a command to others: its group, its name, its help, and what it runs."""
MOST_PROBLEMS = 50
"""Most lines that an import prints on what it left out. The last one counts the others."""


def add_commands(of_runs: Any, command: AddCommand) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Adds both commands to those of ``runs``, and returns their parsers."""
    export = command(of_runs, "runs", "export", "write finished runs to one file, an archive", _export)
    export.add_argument("file", type=Path, metavar="FILE", help="the archive to write, a .zip file")
    export.add_argument("--profile", choices=list(profiles.ALL), help="the runs that claims ask for at this profile")
    export.add_argument("--claims", nargs="+", metavar="ID", help="the runs of these claims, with their controls")
    export.add_argument(
        "--no-draws", action="store_true", help="leave out what was drawn: activations, images and embeddings"
    )
    export.add_argument(
        "--shown-images",
        action="store_true",
        help="with --no-draws: keep images and embeddings of the runs that a report shows at every checkpoint",
    )
    export.add_argument(
        "--registration", type=int, metavar="K", help="the runs of this registration's seeds; 0 for seeds below 1000"
    )
    export.add_argument("--weights", action="store_true", help="also the weights of the trained networks")
    imports = command(of_runs, "runs", "import", "copy the runs of archives into the store, checked", _import)
    imports.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an archive that `runs export` wrote")
    imports.add_argument(
        "--profile",
        choices=list(profiles.ALL),
        help="only what a session here goes on from: the profile's registration, this machine's arithmetic",
    )
    imports.add_argument("--gpu", action="store_true", help="with --profile: the session trains on the GPU")
    return export, imports


def _export(options: argparse.Namespace) -> None:
    if options.file.suffix != ".zip":
        raise ValueError(f"{options.file}: must name a .zip file")
    if options.file.is_dir() or not options.file.parent.is_dir():
        raise ValueError(f"{options.file}: must name a file in a folder that exists")
    if options.shown_images and not options.no_draws:
        raise ValueError("--shown-images: goes with --no-draws; without it all images are exported")
    if not options.runs_dir.is_dir():
        raise ValueError(f"--runs-dir {options.runs_dir}: is no folder; name the store of a session")
    store = RunStore(options.runs_dir)
    finished = (run.spec for run in space.stored(store.root) if run.state == "finished")
    specs = [spec for spec in finished if spec is not None]
    if options.profile is not None or options.claims is not None:
        asked = asked_for(specs, _profiles(options.profile), _claims(options.claims))
        specs = [spec for spec in specs if spec in asked]
    found = {registration.number_of(spec.seed) for spec in specs}
    if len(found) > 1 and options.registration is None and options.profile is not None:
        options.registration = judged_on(options.profile)
    if options.registration is not None:
        specs = [spec for spec in specs if registration.number_of(spec.seed) == options.registration]
    if not specs:
        raise ValueError(f"--runs-dir {store.root}: holds none of these runs finished; `runs` lists what it holds")
    number = one_registration(specs, registration.number_of)
    all_drawn = not options.no_draws
    shown = shown_at_every_checkpoint(_profiles(options.profile), number) if options.shown_images else set()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("exporting", total=len(specs))
        count = pack.write(
            path=options.file,
            store=store,
            specs=specs,
            kept=lambda spec: pack.Kept(all_drawn, all_drawn or spec in shown, options.weights),
            command=_command(options),
            registration=number,
            on_run=lambda: progress.advance(task),
        )
    size = decimal(options.file.stat().st_size)
    others = ", ".join(map(str, sorted(found - {number})))
    left_out = f"; left out: those of registration {others}" if others else ""
    print(line(f"{options.file}: {count} run{'s' * (count != 1)} of registration {number}, {size}{left_out}"))


def _import(options: argparse.Namespace) -> int:
    """Opens all archives before it copies a run. Returns 1 where something was left out."""
    if options.gpu and options.profile is None:
        raise ValueError("--gpu: goes with --profile, which leaves out runs that were computed otherwise")
    store = RunStore(options.runs_dir)
    with ExitStack() as stack:
        archives = [stack.enter_context(Archive(path)) for path in options.files]
        arithmetic_of = None
        if options.profile is not None:
            _require_registration(archives, options.profile)
            arithmetic_of = _arithmetic_here(options.gpu)
        require_locks(store.root)
        store.require_writable()
        problems, counts = [], []
        with Progress(console=Console(stderr=True), transient=True) as progress:
            for archive in archives:
                task = progress.add_task("importing", total=len(archive.manifest.runs))
                imported = import_runs(archive, store, partial(progress.advance, task), arithmetic_of)
                problems += imported.problems
                left_out = len(archive.manifest.runs) - imported.new - imported.kept
                counts.append(
                    f"{archive.path}: {imported.new} new, {imported.kept} already stored, {left_out} left out"
                )
    print("\n".join(map(line, counts)))
    for problem in problems[:MOST_PROBLEMS]:
        print(problem, file=sys.stderr)
    if len(problems) > MOST_PROBLEMS:
        print(f"and {len(problems) - MOST_PROBLEMS} more were left out", file=sys.stderr)
    return int(bool(problems))


def judged_on(profile: str) -> int:
    """The registration on which the claims are judged at a profile today, the latest of several; 0 for exploring."""
    ledger = registration.load(suite.OURS.parent / registration.FILE)

    def of_claim(claim: Claim) -> int:
        def now() -> Fixed | None:
            return registration.fixed_at(profile, rule_hash(), hashes_of(claim))

        return registration.standing(ledger, claim.id, profile, now).registration

    return max(of_claim(claim) for claim in suite.claims(suite.OURS) if not claim.certain)


def _require_registration(archives: Iterable[Archive], profile: str) -> None:
    """Raises `NotAnArchive` in one line where an archive has runs of another registration than judges the profile."""
    judged = judged_on(profile)
    for archive in archives:
        specs, _ = archive.specs()
        try:
            number = one_registration(specs.values(), registration.number_of)
        except ValueError as error:
            raise NotAnArchive(f"{archive.path}: {error}") from error
        if number != judged:
            raise NotAnArchive(
                f"{archive.path}: holds runs of registration {number} (0: exploring), and {profile} is judged on "
                f"registration {judged}: nothing is imported; without --profile all are"
            )


def _arithmetic_here(gpu: bool) -> Callable[[RunSpec], str]:
    """The arithmetic in which a session here would compute a run."""
    from bumplab.diffusion import speed  # imports torch, as the next one does
    from bumplab.runs.execute import arithmetic_on

    device = speed.gpu(worker=0, exactly=False) if gpu else "cpu"
    if device is None:
        raise ValueError("--gpu: torch finds no GPU here; leave --gpu away where the session trains on the CPU")
    return partial(arithmetic_on, device)


def asked_for(specs: Iterable[RunSpec], scales: Iterable[Profile], claims: Collection[Claim]) -> set[RunSpec]:
    """What the claims' parts and controls ask for, at each profile, for all seeds and subjects of ``specs``."""
    seeds = sorted({spec.seed % REPLICATES for spec in specs})
    subjects = {spec.subject for spec in specs if spec.subject.is_users and not spec.subject.factorized}
    asked: set[RunSpec] = set()
    forms = [form for claim in claims for form in (claim, *map(claim.under, claim.controls))]
    with_subjects = [_with_subject(profile, subject) for profile in scales for subject in (SubjectSpec(), *subjects)]
    for profile, form, seed in product(with_subjects, forms, seeds):
        asked |= form.all_runs(profile, seed)
    return asked


def shown_at_every_checkpoint(scales: Iterable[Profile], number: int) -> set[RunSpec]:
    """The runs whose samples and manifolds a report of this registration shows in full; 0 stands for exploring.

    They are those of the first seeds of the first condition of phases.
    """
    from bumplab.report.page import MANIFOLD_SEEDS, PHASES  # imports matplotlib, which takes seconds

    (phases,) = (claim for claim in suite.claims(suite.OURS) if claim.id == PHASES)
    runs = set()
    for profile in scales:
        first = registration.SEEDS_A_REGISTRATION * number or FIRST_SEED
        for seed in range(first, first + MANIFOLD_SEEDS):
            runs.add(next(iter(phases.runs(profile, seed).values())))
    return runs


def _with_subject(profile: Profile, subject: SubjectSpec) -> Profile:
    return replace(profile, base=replace(profile.base, subject=subject))


def _profiles(name: str | None) -> list[Profile]:
    """The profile of this name, or all."""
    return list(profiles.ALL.values()) if name is None else [profiles.get(name)]


def _claims(ids: Collection[str] | None) -> list[Claim]:
    """The claims of these ids, or all. Raises ValueError in one line for another id."""
    known = {claim.id: claim for claim in suite.claims(suite.OURS)}
    if unknown := sorted(set(ids or ()) - known.keys()):
        raise ValueError(f"--claims {unknown[0]}: must be of {', '.join(known)}")
    return [claim for claim in known.values() if ids is None or claim.id in ids]


def _command(options: argparse.Namespace) -> str:
    """The command with its options. The places of the archive and the store are left out: equal runs, equal bytes."""
    words = ["python", "-m", "bumplab", "runs", "export", "FILE"]
    if options.profile is not None:
        words += ["--profile", options.profile]
    if options.claims is not None:
        words += ["--claims", *sorted(set(options.claims))]
    if options.registration is not None:
        words += ["--registration", str(options.registration)]
    words += [f"--{name.replace('_', '-')}" for name in ("no_draws", "shown_images", "weights") if vars(options)[name]]
    return shlex.join(words)
