"""The runs that the claims of a process have needed, each read or trained once, and kept as curves."""

from __future__ import annotations

from collections.abc import Iterable

from bumplab.config import RunSpec
from bumplab.pytest_plugin.forms import Form
from bumplab.pytest_plugin.settings import Settings
from bumplab.runs.board import Board
from bumplab.runs.cluster.engine import Cluster
from bumplab.runs.cluster.submissions import ASKED
from bumplab.runs.copies import copy_or_train
from bumplab.runs.deadline import Deadline
from bumplab.runs.planner import OutOfTime, Trainer, help_others, obtain
from bumplab.runs.store import RunRecord, run_key
from bumplab.verdicts.claim import Part, SeedRuns
from bumplab.verdicts.curves import Curves
from bumplab.verdicts.decision import RunsMissing

STOPPED = "stopped by --minutes"
NOT_PUBLISHED = "as more runs are not published"


class MixedArithmetic(ValueError):
    """Runs of one claim were computed in different arithmetics, so they differ by more than their seeds."""


class Obtained:
    """The runs of a session, by spec. All items of its claims in this process share them."""

    def __init__(self, settings: Settings, board: Board, deadline: Deadline, train: Trainer):
        self.settings, self.board, self.deadline = settings, board, deadline
        self.train = train
        """Trains each run that is missing. Another plugin may set it in its ``pytest_configure``."""
        self.cluster: Cluster | None = None
        """Trains in place of this machine, with ``--dask``."""
        self.stage = ASKED
        """How urgent its runs are on the cluster."""
        self.curves: dict[RunSpec, Curves] = {}
        self.seconds: dict[RunSpec, float] = {}
        """Process time of each run."""
        self.arithmetics: dict[RunSpec, str] = {}

    @property
    def trains(self) -> bool:
        """Whether runs that are missing are trained. Otherwise no other worker need know what is missing."""
        return self.settings.published is None

    @property
    def trainer(self) -> Trainer:
        """`train`, which first looks for the run in the stores and archives of ``--also-runs``."""
        return copy_or_train(self.settings.also_runs, self.train)

    def add(self, runs: Iterable[RunSpec]) -> None:
        """Waits for these runs, and trains those that nobody trains. Raises OSError as the store does.

        Raises `OutOfTime` where the deadline leaves too little time, and `RunsMissing` where one is not published.
        """
        settings, missing = self.settings, [run for run in runs if run not in self.curves]
        if not self.trains:
            records = [self._published(run) for run in missing]
        elif self.cluster is not None:
            records = self.cluster.obtain(missing, self.stage)
        else:
            records = obtain(
                missing, board=self.board, store=settings.store, device=settings.device, train=self.trainer,
                deadline=self.deadline,
            )  # fmt: skip
        for record in records:
            self.curves[record.spec] = Curves.of(record)
            self.seconds[record.spec] = sum(record.seconds.values())
            self.arithmetics[record.spec] = record.arithmetic

    def _published(self, run: RunSpec) -> RunRecord:
        record = self.settings.store.load(run)
        if record is None:
            raise RunsMissing(NOT_PUBLISHED)
        return record

    def help_others(self) -> None:
        """For a worker that has no claim left: trains what the others need."""
        settings = self.settings
        help_others(
            board=self.board, store=settings.store, device=settings.device, train=self.trainer, deadline=self.deadline
        )


class RunsOfForm:
    """The runs of one form of a claim, as `bumplab.verdicts.decision.decide` asks for them.

    ``behind`` collects the runs behind all forms of the claim. `decide` asks for one part after the other. So a part is
    settled when it asks for another one.
    """

    def __init__(self, obtained: Obtained, form: Form, behind: dict[RunSpec, None]):
        self.obtained, self.form, self.behind = obtained, form, behind
        self.used: dict[RunSpec, None] = {}
        self._part: Part | None = None
        """The judged part that is open."""

    def __call__(self, part: Part, seeds: int) -> list[SeedRuns]:
        """The runs of a part for a number of seeds. Raises `MixedArithmetic` where the form's runs differ in it.

        Raises `RunsMissing` where the deadline leaves too little time for one of them, or one is not published.
        """
        obtained, runs_of = self.obtained, self.form.claim.runs_of(part)
        if obtained.trains:
            self._note(part, seeds)
        first = obtained.settings.looks_of(self.form.claim).first_seed
        specs = [runs_of(obtained.settings.profile, seed) for seed in range(first, first + seeds)]
        asked = dict.fromkeys(run for runs in specs for run in runs.values())
        try:
            obtained.add(asked)
        except OutOfTime as error:
            raise RunsMissing(STOPPED) from error
        self.used.update(asked)
        self.behind.update(asked)
        self._require_one_arithmetic()
        return [{condition: obtained.curves[run] for condition, run in runs.items()} for runs in specs]

    def __enter__(self) -> RunsOfForm:
        return self

    def __exit__(self, *_: object) -> None:
        """No part of the form needs a further run, also where it ended by an error."""
        if self.obtained.trains:
            self.obtained.board.settle(self.form.questions())

    def _note(self, part: Part, seeds: int) -> None:
        """Tells the other workers what the part may need, and that the part before it is settled."""
        board = self.obtained.board
        if self._part is not None and self._part.name != part.name:
            board.settle([self.form.question(self._part)])
        if part.judges:
            self._part = part
            board.expect(self.form.question(part), self.form.may_need(part, self.obtained.settings, seeds))

    def _require_one_arithmetic(self) -> None:
        computed = {self.obtained.arithmetics[run]: run for run in self.used}
        if len(computed) > 1:
            kinds = " and ".join(f"{how}: {run.label()} ({run_key(run)})" for how, run in sorted(computed.items()))
            raise MixedArithmetic(
                f"runs computed in {kinds}; a claim cannot mix them: judge it on one kind of machine, "
                "with a --runs-dir of its own"
            )
