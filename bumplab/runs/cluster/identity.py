"""What must be equal on a worker and in the session: the code, the libraries and the subject.

The profile and the registration travel inside each spec. What they mean is code of the package, which is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import bumplab
from bumplab.measure.libraries import versions
from bumplab.subjects.registry import Named, described, load
from bumplab.subjects.sources import files_beside, source_hash

LIBRARIES = ("torch", "safetensors", "msgspec", "dask", "distributed")
"""Libraries that are compared, beside those that measure."""
INSTALL = "pip install -c constraints.txt '.[dask]'"
ADVICE = f"install the same on both ({INSTALL}), and start the worker again"


@dataclass(frozen=True)
class SubjectByName:
    """The user's subject as the command line names it (`bumplab.subjects.registry.load`)."""

    name: str
    arguments: tuple[str, ...]
    folder: str

    def load(self) -> Named:
        """The subject. It is imported once a process. Raises `SubjectError` in one line."""
        return _loaded(self)


@cache
def _loaded(subject: SubjectByName) -> Named:
    return load(subject.name, subject.arguments, Path(subject.folder))


@cache
def _package() -> dict[str, str]:
    """The package as this process has it. Takes 10 ms, once a process."""
    sources = source_hash(files_beside(Path(bumplab.__file__)))
    libraries = {library: version(library).partition("+")[0] for library in LIBRARIES}
    return {"bumplab": f"{version('bumplab')} with sources {sources[:12]}"} | libraries | versions()


def here(subject: SubjectByName | None = None) -> dict[str, str]:
    """What this process has, by name.

    A build of torch for another processor (``2.13.0+cpu``) counts as the same version. Raises ImportError where OpenCV
    is missing, and `SubjectError` where the subject cannot be imported.
    """
    return _package() | ({} if subject is None else {"subject": described(subject.load().spec)})


def difference(session: Mapping[str, str], worker: Mapping[str, str], name: str) -> str:
    """What differs between the session and the worker of this name, in one line; empty where nothing does."""
    differing = [key for key in sorted(session.keys() | worker.keys()) if session.get(key) != worker.get(key)]
    if not differing:
        return ""
    theirs, ours = (_listed(side, differing) for side in (worker, session))
    return f"worker {name} has {theirs}, and this session has {ours}: {ADVICE}"


def _listed(has: Mapping[str, str], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {has.get(name, 'not at all')}" for name in names)
