"""The source files of a user's subject: which they are, their hash, and the line in them that raised an error."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import sysconfig
import traceback
from collections.abc import Container, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from bumplab.terminal import line

MOST_FILES = 5_000
"""Most source files of a subject. A folder with more holds other things than a subject."""
MOST_BYTES = 64 * 2**20
"""Most bytes of them all."""
ERROR_CHARACTERS = 500
"""Most characters kept of an error's message."""
NO_SOURCES = {"__pycache__", "node_modules"}
INSTALLED = {"site-packages", "dist-packages"}
"""Folders of installed libraries."""
OWN_FOLDER = "move the subject to a folder of its own"

Files = Mapping[str, Path]
"""Source files by their name in the hash, such as ``my_dit.py`` or ``my_package/nets/unet.py``."""


class SubjectError(ValueError):
    """A subject that cannot be found, started or trusted, in one line: what was given, what is allowed, what to do."""


def files_beside(file: Path) -> Files:
    """All ``*.py`` in the file's folder and in the folders below it. Raises `SubjectError` above `MOST_FILES`."""
    return _named(list(_sources_in(file.parent)), file.parent)


def files_imported(before: Container[str], known: Files) -> Files:
    """Sources of the modules that were imported since ``before``, the names in ``sys.modules``, by the module's name.

    Such a module lies elsewhere than the ``known`` files, as one of an editable install. Installed libraries and
    bumplab are left out.
    """
    files = {}
    known_paths = {os.path.realpath(path) for path in known.values()}
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if name in before or not isinstance(place, str) or name.partition(".")[0] == "bumplab":
            continue
        is_library = INSTALLED & set(Path(place).parts) or Path(place).is_relative_to(sysconfig.get_path("stdlib"))
        if not is_library and _is_source(Path(place)) and os.path.realpath(place) not in known_paths:
            files[f"{name}:module"] = Path(place)
    return files


def files_of_module(module: str) -> Files:
    """All ``*.py`` of the module's top-level package, or the one file of a module that lies in no package.

    A namespace package may lie in several folders. Raises ModuleNotFoundError where there is no such top-level module,
    and `SubjectError` where it has no source or more than `MOST_FILES`.
    """
    top = module.partition(".")[0]
    try:
        spec = find_spec(top)
    except ValueError:  # a module without a spec, such as __main__
        spec = None
    if spec is None:
        raise ModuleNotFoundError(f"no module named {top!r}", name=top)
    files: dict[str, Path] = {}
    for folder in map(Path, spec.submodule_search_locations or ()):
        files = {**_named(list(_sources_in(folder)), folder.parent), **files}  # Python imports from the first folder
    if spec.submodule_search_locations is None and spec.origin is not None and _is_source(Path(spec.origin)):
        files = {Path(spec.origin).name: Path(spec.origin)}
    if not files:
        raise SubjectError(f"{top}: has no source in Python whose changes could be seen: name a module that has")
    return files


def source_hash(files: Files) -> str:
    """SHA-256 of the files' names and contents: 64 hexadecimal digits. Raises `SubjectError` above `MOST_BYTES`."""
    sums, left = {}, MOST_BYTES
    for name, path in files.items():
        try:
            with open(path, "rb") as file:
                content = file.read(left + 1)
        except OSError as error:
            raise SubjectError(
                f"{line(path)}: cannot be read ({error.strerror}): make it readable, or move it"
            ) from error
        left -= len(content)
        if left < 0:
            raise SubjectError(f"{line(path.parent)}: its source files exceed {MOST_BYTES >> 20} MB: {OWN_FOLDER}")
        sums[name] = hashlib.sha256(content).hexdigest()
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()


def blamed(error: BaseException, files: Files) -> str:
    """One line for an error in a subject's code, such as ``my_dit.py:12: ZeroDivisionError: division by zero``.

    The line number is that of the innermost frame in the subject's own files. Without such a frame there is none.
    """
    names = {os.path.realpath(path): name for name, path in files.items()}
    places = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    text: object = error
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 0))
        text = error.msg  # the whole text names the file and the line once more
    own = [(names[os.path.realpath(path)], number) for path, number in places if os.path.realpath(path) in names]
    place = f"{own[-1][0]}:{own[-1][1]}: " if own else ""
    words = " ".join(str(text).split())[:ERROR_CHARACTERS]
    return line(place + type(error).__name__ + (f": {words}" if words else ""))


def _is_source(path: Path) -> bool:
    return path.suffix == ".py" and path.is_file()


def _sources_in(package: Path) -> Iterator[Path]:
    """All ``*.py`` in a folder and those below it, through links too. Leaves out hidden ones and environments."""
    seen: set[str] = set()
    for root, folders, names in os.walk(package, followlinks=True):
        seen.add(os.path.realpath(root))
        kept = sorted(name for name in folders if not name.startswith(".") and name not in NO_SOURCES)
        kept = [name for name in kept if not os.path.exists(os.path.join(root, name, "pyvenv.cfg"))]
        folders[:] = [name for name in kept if os.path.realpath(os.path.join(root, name)) not in seen]  # links upwards
        paths = [Path(root, name) for name in names if not name.startswith(".")]
        yield from filter(_is_source, paths)


def _named(paths: list[Path], folder: Path) -> dict[str, Path]:
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    if len(files) > MOST_FILES:
        raise SubjectError(f"{line(folder)}: holds {len(files)} source files, at most {MOST_FILES}: {OWN_FOLDER}")
    return files
