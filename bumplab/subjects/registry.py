"""Finds the subject that a user named, and the subject of a run.

Code is imported only because the user named it. Nothing is imported because a stored spec names it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard, cast

from bumplab.config import MOST_CHARACTERS, RENDERED, SubjectSpec
from bumplab.subjects.members import require_members
from bumplab.subjects.protocol import Diverged, Learner, Subject
from bumplab.subjects.sources import (
    Files,
    SubjectError,
    blamed,
    files_beside,
    files_imported,
    files_of_module,
    source_hash,
)
from bumplab.terminal import line

FORMS = "FILE.py:NAME or package.module:NAME"
_ALLOWED = "must be an instance of Subject, or a class or function that gives one"


@dataclass(frozen=True)
class Named:
    """A user's subject, and what a run's spec says of it."""

    spec: SubjectSpec
    subject: Subject
    files: Files = field(default_factory=dict, compare=False, repr=False)
    """Its source files, for `blamed` and `require_unchanged`."""


def load(name: str, arguments: Sequence[str] = (), folder: Path = Path()) -> Named:
    """Imports a user's subject. Import each subject once a process: Python keeps the modules that it imported.

    Args:
        name: ``FILE.py:NAME`` or ``package.module:NAME``. NAME is an instance of `Subject`, or a class or function that
            gives one. The file's folder is first on ``sys.path`` while it is imported, and last from then on.
        arguments: texts ``K=V`` for a class or function. V is a Python literal, else a text. The key of a run holds V
            as it is typed, without spaces around it: ``64`` and ``64.0`` are two subjects.
        folder: where a relative FILE begins.

    Raises:
        SubjectError: with one line, also where the user's code raises.
    """
    place, separator, attribute = name.rpartition(":")
    if not separator or not place or not attribute.isidentifier():
        raise SubjectError(f"subject {name!r}: must be {FORMS}")
    texts = _texts_of(arguments)
    if place.endswith(".py"):
        file = Path(os.path.abspath(folder / os.path.expanduser(place)))
        _require_file(file, place)
        short, files = _storable("name", f"{file.name}:{attribute}"), files_beside(file)
        before = set(sys.modules)
        module = _import_file(file, files)
        files = {**files_imported(before, files), **files}
    else:
        short, files = _storable("name", name), _files_of_module(place)
        module = _import_module(place, files)
    subject = _subject_of(module, short, texts, files)
    with _in_their_code(files):
        require_members(subject, short)
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_default_dtype() != torch.float32:
        raise SubjectError(f"{short}: sets torch's default dtype, which must stay float32: give dtypes one by one")
    versions = {library: _installed(library, short) for library in subject.libraries}
    spec = SubjectSpec(
        name=short,
        arguments=tuple(sorted(texts.items())),
        source=source_hash(files),
        versions=tuple(sorted((versions | ({"": subject.version} if subject.version else {})).items())),
    )
    return Named(spec, subject, files)


def resolve(spec: SubjectSpec, users: Named | None) -> Subject:
    """The subject that trains a run.

    ``users`` is the subject that the user named, if any. A run of a user's subject is trained by ``users`` alone.
    Raises `SubjectError` where that is another subject, or the same one with other arguments, source or versions.
    """
    if spec.factorized:
        from bumplab.subjects.factorized import Factorized

        return Factorized(resolve(replace(spec, factorized=False), users))
    if spec.name in RENDERED:
        from bumplab.subjects.rendered import How, Rendered

        return Rendered(cast(How, spec.name))
    if not spec.is_users:
        from bumplab.subjects.diffusion import Unet

        return Unet()
    if users is None:
        arguments = "".join(f" --subject-arg {key}={value}" for key, value in spec.arguments)
        todo = f"add --subject {spec.name}{arguments}"
        raise SubjectError(f"the run's subject is {described(spec)}, and the command line names none: {todo}")
    if users.spec != spec:
        sides = f"the run's subject is {described(spec)}, and the command line names {described(users.spec)}"
        raise SubjectError(f"{sides}: name the run's subject as it was, or another --runs-dir")
    return users.subject


@contextmanager
def blaming(users: Named | None) -> Iterator[None]:
    """An error of the user's code within the block becomes a `SubjectError` with its line. `Diverged` passes."""
    try:
        yield
    except (Diverged, SubjectError):
        raise
    except (Exception, SystemExit) as error:
        if users is None:
            raise
        raise SubjectError(f"{users.spec.name}: {blamed(error, users.files)}") from error


def require_unchanged(users: Named) -> None:
    """Raises `SubjectError` where a source file is no longer as it was imported: an import that came later saw it."""
    if users.files and source_hash(users.files) != users.spec.source:
        raise SubjectError(f"{users.spec.name}: its files changed while it was running: begin again; nothing was kept")


def described(spec: SubjectSpec) -> str:
    """The subject in words, such as ``my_dit.py:Dit width=64 (source 1a2b3c4d, torch 2.11)``."""
    versions = [f"{library or 'version'} {text}" for library, text in spec.versions]
    details = [f"source {spec.source[:8]}"] * spec.is_users + versions
    return " ".join([spec.name, *map("=".join, spec.arguments)]) + (f" ({', '.join(details)})" if details else "")


def _texts_of(arguments: Sequence[str]) -> dict[str, str]:
    """The texts of ``K=V`` by name, without spaces around them."""
    texts: dict[str, str] = {}
    for argument in arguments:
        key, separator, value = (part.strip() for part in argument.partition("="))
        if not separator or not key.isidentifier():
            raise SubjectError(f"argument {argument!r}: must be NAME=VALUE, such as width=64")
        if key in texts:
            raise SubjectError(f"argument {key!r}: given twice, as {texts[key]!r} and {value!r}: give it once")
        texts[_storable("argument", key)] = _storable(f"argument {key}", value)
    return texts


def _storable(what: str, text: str) -> str:
    if not text.isprintable() or len(text) > MOST_CHARACTERS:
        shown = f"{text[:40]!r} ({len(text)} characters)"
        raise SubjectError(f"{what} = {shown}: must be at most {MOST_CHARACTERS} printable characters")
    return text


def _value_of(text: str) -> Any:
    """The value of a Python literal, or the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _require_file(file: Path, place: str) -> None:
    if os.path.isfile(file):
        return
    problem = "is no regular file" if os.path.exists(file) else "does not exist"
    raise SubjectError(f"{line(place)}: {problem} ({line(file)}): name a Python file, as in FILE.py:NAME")


def _import_file(file: Path, files: Files) -> ModuleType:
    """Runs the file as a module of its own name, which its neighbours can import too."""
    name = file.stem
    other = sys.modules.get(name)
    if other is not None and getattr(other, "__file__", None) != str(file):
        raise SubjectError(f"{line(file.name)}: Python has already imported another module {name!r}: rename the file")
    spec = spec_from_file_location(name, file)
    assert spec is not None, "its name ends in .py"
    assert spec.loader is not None, "a file has a loader"
    module = module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    sys.modules[name] = module
    try:
        with _in_their_code(files):
            spec.loader.exec_module(module)
    except SubjectError:
        del sys.modules[name]
        raise
    finally:  # later imports find the neighbours, but no neighbour takes the place of an installed library
        sys.path[:] = [*(place for place in sys.path if place != str(file.parent)), str(file.parent)]
    return module


def _files_of_module(module: str) -> Files:
    if not all(part.isidentifier() for part in module.split(".")):
        raise SubjectError(f"subject's module {module!r}: must be a module's name; a file's name must end in .py")
    try:
        return files_of_module(module)
    except ModuleNotFoundError as error:
        raise _not_found(module, error) from error


def _not_found(module: str, error: ModuleNotFoundError) -> SubjectError:
    return SubjectError(f"{module}: there is no module {error.name!r}: install it, or name a file, as in FILE.py:NAME")


def _import_module(module: str, files: Files) -> ModuleType:
    with _in_their_code(files):
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if f"{module}.".startswith(f"{error.name}."):
                raise _not_found(module, error) from error
            raise


@contextmanager
def _in_their_code(files: Files) -> Iterator[None]:
    """Turns an error of the user's code into a `SubjectError` with the file and line in it."""
    try:
        yield
    except SubjectError:
        raise
    except (Exception, SystemExit) as error:
        raise SubjectError(blamed(error, files)) from error


def _subject_of(module: ModuleType, where: str, texts: Mapping[str, str], files: Files) -> Subject:
    """The subject that NAME in the module is or gives. ``where`` is the name with its file or module."""
    place, _, attribute = where.rpartition(":")
    with _in_their_code(files):
        value = getattr(module, attribute, None)
    if value is None:
        raise SubjectError(f"{place}: holds no {attribute!r}: {_ALLOWED}; {_candidates(module)}")
    if _is_subject(value):
        if texts:
            raise SubjectError(f"{where}: is an instance, which takes no arguments: name its class, or give none")
        return value
    kind = value if isinstance(value, type) else type(value)
    if Learner in kind.__mro__:
        raise SubjectError(f"{where}: is a Learner: name the Subject whose start gives it; {_candidates(module)}")
    if any(base.__module__.startswith("torch.nn") for base in kind.__mro__):
        raise SubjectError(f"{where}: is a network: wrap it, as in subject = Diffusion(lambda task: ...)")
    signature = None if value is Subject else _signature_of(value)
    if signature is None:
        raise SubjectError(f"{where}: is of type {type(value).__name__}: {_ALLOWED}; {_candidates(module)}")
    arguments = {key: _value_of(text) for key, text in texts.items()}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        names = ", ".join(signature.parameters)
        allowed = f"it takes {names}, as --subject-arg NAME=VALUE" if names else "it takes no arguments"
        raise SubjectError(f"{where}: {error}: {allowed}") from error
    with _in_their_code(files):
        subject = value(**arguments)
    if not _is_subject(subject):
        raise SubjectError(
            f"{where}: gives a value of type {type(subject).__name__}: {_ALLOWED}; {_candidates(module)}"
        )
    return subject


def _is_subject(value: object) -> TypeGuard[Subject]:
    return Subject in type(value).__mro__


def _signature_of(value: Any) -> inspect.Signature | None:
    """What a class or function takes, or None where it cannot be called or looked into."""
    if isinstance(value, type) and getattr(value, "__init__", None) is Subject.__init__:
        return inspect.Signature()  # Protocol's own `__init__` claims to take anything
    try:
        return inspect.signature(value)
    except (TypeError, ValueError):
        return None


def _candidates(module: ModuleType) -> str:
    """The public names in the module that are subjects or could give one, in words."""
    subjects = [name for name, value in vars(module).items() if name[0] != "_" and _could_be(value, module)]
    return f"such names here: {', '.join(sorted(subjects)) or 'none'}"


def _could_be(value: object, module: ModuleType) -> bool:
    if isinstance(value, type):
        return value is not Subject and Subject in value.__mro__
    return _is_subject(value) or (inspect.isfunction(value) and value.__module__ == module.__name__)


def _installed(library: str, short: str) -> str:
    """The version of an installed distribution."""
    try:
        return _storable(f"version of {library}", version(library))
    except (PackageNotFoundError, ValueError) as error:
        raise SubjectError(
            f"{short}: library {library!r} is not installed: install it, or leave it out of libraries"
        ) from error
