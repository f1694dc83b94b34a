"""Runs as one file: a zip archive of sealed runs and a manifest.

::

    manifest.json                           `Manifest`: who made it, and the size and SHA-256 of each file of each run
    runs/<key>/spec.json, rows.json         of every run
    runs/<key>/evidence.safetensors         images and embeddings, where they were exported
    runs/<key>/weights.safetensors          where they were exported
    runs/<key>/draws-<step>.safetensors     what the run drew at a step, where it was exported

The container is zip, for two reasons. A reader finds one run without unpacking the others. Each file unpacks by itself
and in bounded pieces. In tar.xz the rows take 0.6 of the space (117 runs of quick: 2.4 kB a run in place of 4.0). But
one run is found only by unpacking all before it, and a damaged byte costs every run behind it.

Archives come from others (`docs/threat-model.md`). No file is unpacked to a path that the archive names. The reader
takes only the form that `bumplab.runs.pack` makes: one part, no comment, no zip64, files of known names that are stored
or deflated.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Self
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import msgspec
from msgspec import Meta, Struct

from bumplab.config import RunSpec
from bumplab.runs import draws
from bumplab.runs.record import FILES, RunRecord, run_key
from bumplab.runs.sealed import MANIFEST, Damaged
from bumplab.runs.store import finished
from bumplab.subjects.state import to_bytes
from bumplab.terminal import line

FORMAT = 1
MANIFEST_BYTES = 1 << 23
"""Largest manifest that is read. A run takes 250 bytes in it."""
DIRECTORY_BYTES = 1 << 23
"""Largest directory of a zip file that is read. It takes 120 bytes a file, and a zip file holds 65,535 files."""
END = struct.Struct("<4s4H2LH")
"""The end of a zip file: signature, two numbers of parts, two of files, size and place of the directory, comment."""
MOST_INFLATION = 100
"""All files together unpack to at most this many times the archive's size. Rows of quick take 4 times their space."""
FREE_BYTES = 1 << 26
"""Bytes that may be unpacked of any archive, however small."""
PIECE = 1 << 20
"""Bytes that are unpacked at a time. A longer read would allocate what the archive's header claims."""
MEMBER = re.compile(r"runs/([0-9a-f]{20})/([a-z]+\.(?:json|safetensors)|draws-([0-9]{9})\.safetensors)")
UNPACKING = (BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
"""Errors of zipfile for damaged files."""


def most_unpacked(size: int) -> int:
    """Most bytes that an archive of this size unpacks to, all its files together."""
    return FREE_BYTES + MOST_INFLATION * size


class NotAnArchive(ValueError):
    """The file is no archive of runs, or one that cannot be read. In one line."""


def one_registration(specs: Iterable[RunSpec], number_of: Callable[[int], int], named: int | None = None) -> int:
    """The registration whose seeds all these runs have; 0 for exploring. ``number_of`` gives that of a seed.

    Runs of several are never judged together. Raises ValueError in one line for them, for no run, and for runs of
    another registration than ``named``.
    """
    found = sorted({number_of(spec.seed) for spec in specs})
    if len(found) == 1 and named in (None, found[0]):
        return found[0]
    names = "" if named is None else f"names registration {named}, and "
    several = " and ".join(map(str, found)) or "none, as there is no run"
    raise ValueError(
        f"{names}the runs have seeds of registration {several} (0: exploring): export those of one, by --registration"
    )


class Entry(Struct, frozen=True):
    """A file of a run."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Meta(ge=0, lt=2**32)]


class Manifest(Struct, frozen=True):
    """What an archive says of itself."""

    format: Annotated[int, Meta(ge=1, lt=1_000)]
    bumplab: Annotated[str, Meta(max_length=100)]
    """The version of bumplab that wrote it."""
    command: Annotated[str, Meta(max_length=10_000)]
    """The command that wrote it, without the places of the archive and the store."""
    registration: Annotated[int, Meta(ge=0, lt=1_000_000)]
    """The number of the registration that its runs were trained for; 0 for none."""
    runs: dict[Annotated[str, Meta(pattern="^[0-9a-f]{20}$")], dict[str, Entry]]
    """The files of each run by the run's key."""


@dataclass(frozen=True)
class Copy:
    """A finished run outside the store that it is copied to. It is checked, but for its draws."""

    record: RunRecord
    weights: bytes
    """Empty where they were not kept."""
    draws: Callable[[int], bytes]
    """The file of a step's draws (`bumplab.runs.draws`). Raises `Damaged` where it is missing or damaged."""


class Archive:
    """An archive that is open for reading. A context manager.

    Raises `NotAnArchive` in one line where the file is missing, or is no archive of this format.
    """

    def __init__(self, path: Path):
        self.path = path
        self.problems: list[str] = []
        """A line for each file of the archive that is passed over."""
        self._room = 0
        self._file = self._opened()
        try:
            self._zip = self._zip_file()
            self._members = self._checked_members()
            self.manifest = self._checked_manifest()
        except BaseException:
            self.close()
            raise
        self._pass_over_unlisted()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. Its runs cannot be read any more."""
        self._file.close()

    def read(self, key: str) -> Copy:
        """The run of a key in the manifest, checked as a store checks it. Raises `Damaged`.

        Its draws are unpacked when they are asked for.
        """
        files = {"evidence.safetensors": to_bytes({}), "weights.safetensors": b""}
        for name in FILES.keys() & self.manifest.runs[key].keys():
            files[name] = self._unpacked(key, name, FILES[name])
        if missing := sorted(FILES.keys() - files.keys()):
            raise Damaged(f"{missing[0]} is missing")
        return Copy(finished(files, _spec_of(files["spec.json"], key)), files["weights.safetensors"], self._draws(key))

    def spec(self, key: str) -> RunSpec:
        """The spec of a run in the manifest. The rest of the run is not looked at. Raises `Damaged`."""
        return _spec_of(self._unpacked(key, "spec.json", FILES["spec.json"]), key)

    def specs(self) -> tuple[dict[str, RunSpec], list[str]]:
        """The specs of all runs by key, and a line for each that cannot be read."""
        specs, problems = {}, []
        for key in sorted(self.manifest.runs):
            try:
                specs[key] = self.spec(key)
            except Damaged as error:
                problems.append(line(f"{self.path}: run {key}: {error}; left out"))
        return specs, problems

    def sha256(self) -> str:
        """The checksum of the whole file."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()  # type: ignore[arg-type]

    def _draws(self, key: str) -> Callable[[int], bytes]:
        return lambda step: self._unpacked(key, f"draws-{step:09d}.safetensors", draws.FILE_BYTES)

    def _unpacked(self, key: str, name: str, limit: int) -> bytes:
        """A file of a run, of at most ``limit`` bytes, with the size and checksum of the manifest. Raises `Damaged`."""
        entry, info = self.manifest.runs[key].get(name), self._members.get(f"runs/{key}/{name}")
        if entry is None or info is None:
            raise Damaged(f"{name} is missing")
        data = self._inflated(info, name, limit)
        if (hashlib.sha256(data).hexdigest(), len(data)) != (entry.sha256, entry.bytes):
            raise Damaged(f"{name} does not match its checksum")
        return data

    def _inflated(self, info: ZipInfo, name: str, limit: int) -> bytes:
        """Unpacks a file in pieces. The sizes in the archive's headers are not trusted. Raises `Damaged`."""
        data = bytearray()
        try:
            with self._zip.open(info) as member:
                while piece := member.read(PIECE):
                    data += piece
                    self._room -= len(piece)
                    if len(data) > limit:
                        raise Damaged(f"{name} has more than the {limit} bytes allowed")
                    if self._room < 0:
                        raise Damaged(f"the archive unpacks to over {MOST_INFLATION} times its size")
        except UNPACKING as error:
            raise Damaged(f"{name} cannot be unpacked ({line(error)[:200]})") from error
        return bytes(data)

    def _opened(self) -> IO[bytes]:
        try:
            file = open(self.path, "rb", opener=_open)  # noqa: SIM115 - it stays open
        except OSError as error:
            advice = "name the file that `runs export` wrote"
            raise NotAnArchive(f"{self.path}: cannot be read ({error.strerror}): {advice}") from error
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise self._refused("is no regular file")
        return file

    def _zip_file(self) -> ZipFile:
        """The zip file, where its end has the right form. zipfile would read a directory of any size into memory."""
        size = self._file.seek(0, os.SEEK_END)
        self._room = most_unpacked(size)
        self._file.seek(max(0, size - END.size - 20))
        tail = self._file.read()
        end = tail[-END.size :]
        if len(end) < END.size or not end.startswith(b"PK\5\6"):
            raise self._refused("no zip file, or one that was cut short or added to")
        _, *parts, count, counted, length, place, comment = END.unpack(end)
        is_plain = not any(parts) and count == counted and not comment and not tail.startswith(b"PK\6\7")
        if not is_plain or length > DIRECTORY_BYTES or place + length + END.size != size:
            raise self._refused("its directory is damaged, or of another form than `runs export` writes")
        try:
            return ZipFile(self._file)
        except UNPACKING as error:
            raise self._refused(f"its directory cannot be read ({line(error)[:200]})") from error

    def _checked_members(self) -> dict[str, ZipInfo]:
        """The files that may be read, by name. Names the others in `problems`."""
        members = {}
        counts = Counter(info.filename for info in self._zip.infolist())
        for info in self._zip.infolist():
            name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
            match = MEMBER.fullmatch(name)
            if name != MANIFEST and not (match and (match[2] in FILES or match[3])):
                self._pass_over(name, "is no file of a run")
            elif stat.S_ISLNK(kind):
                self._pass_over(name, "is a symbolic link")
            elif kind not in (0, stat.S_IFREG):
                self._pass_over(name, "is no regular file")
            elif info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                self._pass_over(name, "is packed by another method than deflate")
            elif counts[name] > 1:
                self._pass_over(name, "is there more than once")
            else:
                members[name] = info
        return members

    def _checked_manifest(self) -> Manifest:
        if (info := self._members.get(MANIFEST)) is None:
            raise self._refused(f"a zip file without a {MANIFEST} that can be read")
        try:
            manifest = msgspec.json.decode(self._inflated(info, MANIFEST, MANIFEST_BYTES), type=Manifest)
        except (Damaged, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._refused(f"its {MANIFEST} cannot be read ({line(error)[:200]})") from error
        if manifest.format != FORMAT:
            raise self._refused(f"it has format {manifest.format}, and this version of bumplab reads {FORMAT}")
        return manifest

    def _pass_over_unlisted(self) -> None:
        for name in self._members.keys() - {MANIFEST}:
            _, key, file = name.split("/")
            if file not in self.manifest.runs.get(key, {}):
                self._pass_over(name, f"is not in {MANIFEST}")
        self.problems.sort()

    def _pass_over(self, name: str, reason: str) -> None:
        self.problems.append(line(f"{self.path}: {name[:200]}: {reason}; left out"))

    def _refused(self, reason: str) -> NotAnArchive:
        advice = "ask for it again, or make one with `runs export`"
        return NotAnArchive(f"{self.path}: is no archive of runs: {reason}: {advice}")


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # without NONBLOCK, opening a pipe would never return


def _spec_of(data: bytes, key: str) -> RunSpec:
    """The spec in a file of the run ``key``. Raises `Damaged`."""
    try:
        spec = RunSpec.from_dict(json.loads(data))
    except (ValueError, TypeError, RecursionError) as error:
        raise Damaged(f"spec.json cannot be read ({type(error).__name__})") from error
    if run_key(spec) != key:
        raise Damaged("its key is not that of its spec: another version of bumplab trained it")
    return spec
