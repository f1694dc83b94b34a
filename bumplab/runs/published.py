"""An archive in the place of a store: the runs that ``pytest claims --published`` judges. Nothing of it is copied."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bumplab.config import RunSpec
from bumplab.runs.archive import Archive, NotAnArchive, one_registration
from bumplab.runs.record import RunRecord, require_all_numbers, run_key
from bumplab.runs.sealed import Damaged
from bumplab.runs.store import RunStore
from bumplab.terminal import line


@dataclass(frozen=True)
class Published:
    """An archive that stays open, its checksum, and the specs of its runs."""

    archive: Archive
    sha256: str
    specs: Mapping[str, RunSpec]
    """By key, without those that cannot be read."""

    @classmethod
    def of(cls, path: Path, number_of: Callable[[int], int]) -> Published:
        """The archive at ``path``. ``number_of`` gives the registration of a seed.

        Warns of each file and each run that is left out. Raises ValueError in one line where there is no archive, or
        where its runs are not of the registration that its manifest names.
        """
        with ExitStack() as on_error:
            archive = on_error.enter_context(Archive(path))
            specs, problems = archive.specs()
            for problem in [*archive.problems, *problems]:
                warnings.warn(problem, stacklevel=2)
            try:
                one_registration(specs.values(), number_of, named=archive.manifest.registration)
            except ValueError as error:
                raise NotAnArchive(f"{path}: {error}") from error
            published = cls(archive, archive.sha256(), specs)
            on_error.pop_all()
        return published

    @property
    def path(self) -> Path:
        return self.archive.path

    @property
    def registration(self) -> int:
        """The registration of all its runs; 0 for exploring."""
        return self.archive.manifest.registration


@dataclass(frozen=True)
class PublishedStore(RunStore):
    """Reads runs from a published archive alone. ``root`` holds the session's board, and runs that an audit trains."""

    published: Published = field(kw_only=True)
    _read: dict[str, RunRecord | None] = field(default_factory=dict, repr=False, compare=False)
    """The runs that were read, by key: a report needs them again. None where the checks failed."""

    def has(self, spec: RunSpec) -> bool:
        return run_key(spec) in self.published.specs

    def load(self, spec: RunSpec) -> RunRecord | None:
        """The run in the archive, or None. A damaged one counts as absent, with a warning."""
        return self.read(spec)

    def read(self, spec: RunSpec) -> RunRecord | None:
        key = run_key(spec)
        if key not in self.published.specs:
            return None
        if key not in self._read:
            self._read[key] = self._checked(key)
        return self._read[key]

    def _checked(self, key: str) -> RunRecord | None:
        try:
            record = self.published.archive.read(key).record
            if record.is_measured_again:
                require_all_numbers(record)  # nothing is measured again here
            return record
        except Damaged as error:
            warnings.warn(line(f"{self.published.path}: run {key}: {error}; it counts as not published"), stacklevel=2)
            return None

    def seconds(self, spec: RunSpec) -> float | None:
        record = self.read(spec)
        return None if record is None or record.failed is not None else sum(record.seconds.values())

    def is_current(self, record: RunRecord) -> bool:
        return True
