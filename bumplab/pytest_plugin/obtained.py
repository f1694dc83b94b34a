"""The runs that the claims of a process have needed, each read or trained once, and kept as curves."""

from __future__ import annotations

from collections.abc import Iterable

from bumplab.config import RunSpec
from bumplab.pytest_plugin.settings import Settings
from bumplab.runs.board import Board
from bumplab.runs.copies import copy_or_train
from bumplab.runs.planner import Trainer, obtain
from bumplab.runs.store import run_key
from bumplab.verdicts.claim import FIRST_SEED, Claim, Part, SeedRuns
from bumplab.verdicts.curves import Curves


class MixedArithmetic(ValueError):
    """Runs of one claim were computed in different arithmetics, so they differ by more than their seeds."""


class Obtained:
    """The runs of a session, by spec. All items of its claims in this process share them."""

    def __init__(self, settings: Settings, board: Board, train: Trainer):
        self.settings, self.board = settings, board
        self.train = train
        """Trains each run that is missing. Another plugin may set it in its ``pytest_configure``."""
        self.curves: dict[RunSpec, Curves] = {}
        self.seconds: dict[RunSpec, float] = {}
        """Process time of each run."""
        self.arithmetics: dict[RunSpec, str] = {}

    @property
    def trainer(self) -> Trainer:
        """`train`, which first looks for the run in the stores and archives of ``--also-runs``."""
        return copy_or_train(self.settings.also_runs, self.train)

    def add(self, runs: Iterable[RunSpec]) -> None:
        """Waits for these runs, and trains those that nobody trains. Raises OSError as the store does."""
        settings, missing = self.settings, [run for run in runs if run not in self.curves]
        for record in obtain(missing, self.board, settings.store, settings.device, train=self.trainer):
            self.curves[record.spec] = Curves.of(record)
            self.seconds[record.spec] = sum(record.seconds.values())
            self.arithmetics[record.spec] = record.arithmetic


class RunsOfForm:
    """The runs of one form of a claim, as `bumplab.verdicts.decision.decide` asks for them.

    ``behind`` collects the runs behind all forms of the claim.
    """

    def __init__(self, obtained: Obtained, claim: Claim, behind: dict[RunSpec, None]):
        self.obtained, self.claim, self.behind = obtained, claim, behind
        self.used: dict[RunSpec, None] = {}

    def __call__(self, part: Part, seeds: int) -> list[SeedRuns]:
        """The runs of a part for a number of seeds. Raises `MixedArithmetic` where the form's runs differ in it."""
        obtained, runs_of = self.obtained, self.claim.runs_of(part)
        specs = [runs_of(obtained.settings.profile, seed) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
        for runs in specs:
            self.used.update(dict.fromkeys(runs.values()))
        obtained.add(self.used)
        self.behind.update(self.used)
        self._require_one_arithmetic()
        return [{condition: obtained.curves[run] for condition, run in runs.items()} for runs in specs]

    def _require_one_arithmetic(self) -> None:
        computed = {self.obtained.arithmetics[run]: run for run in self.used}
        if len(computed) > 1:
            kinds = " and ".join(f"{how}: {run.label()} ({run_key(run)})" for how, run in sorted(computed.items()))
            raise MixedArithmetic(
                f"runs computed in {kinds}; a claim cannot mix them: judge it on one kind of machine, "
                "with a --runs-dir of its own"
            )
