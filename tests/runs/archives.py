"""Archives of smoke runs for tests, and how to write one that `bumplab.runs.pack` would not write."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import safetensors.numpy

from bumplab import profiles
from bumplab.measure.measure import Sample
from bumplab.measure.names import sample_counts
from bumplab.runs import draws, pack
from bumplab.runs.archive import Archive
from bumplab.runs.copies import import_runs
from bumplab.runs.record import RunRecord, run_key
from bumplab.runs.store import RunStore
from tests.rows import arrays_of, row_of

SPEC = profiles.get("smoke").run(0)
OTHER = replace(SPEC, seed=1)
KEY, OTHER_KEY = run_key(SPEC), run_key(OTHER)
WEIGHTS = safetensors.numpy.save({"w": np.arange(6, dtype=np.float32)})
ENVIRONMENT = {"torch": "2", "umap-learn": "0", "opencv": "0"}


def record_of(spec=SPEC, number=0.5, checkpoints=None, **changes):
    """A run with rows, all arrays of its first step, and an environment."""
    rows = [row_of(spec, step, number) | {"loss": number} for step in spec.measured_steps()[:checkpoints]]
    evidence = {f"0/{name}": array for name, array in arrays_of(spec, 0).items()}
    return RunRecord(spec, rows, evidence, {"training": 1.5}, dict(ENVIRONMENT), **changes)


def publish(store, spec=SPEC, with_draws=False, number=0.5, **changes):
    """Publishes `record_of`, by default without draws."""
    checksums = {}
    for step in spec.measured_steps() if with_draws else ():
        drawn = Sample(np.full((sum(sample_counts(spec, step).values()), 16, 16), seed_of(spec), np.uint8))
        checksums[step] = draws.save(store.root, run_key(spec), step, drawn)
    store.publish(record_of(spec, number, draws=checksums, **changes), WEIGHTS)


def store_of_two(folder):
    """A store of two finished runs with draws and weights."""
    store = RunStore(folder)
    for spec in (SPEC, OTHER):
        publish(store, spec, with_draws=True)
    return store


def seed_of(spec):
    return spec.seed % 256


def export(path, store, specs=(SPEC, OTHER), **kept):
    """Writes an archive, by default with draws and evidence. Returns its path."""
    pack.write(path=path, store=store, specs=specs, kept=lambda spec: pack.Kept(**kept), command="a command")
    return path


def imported(path, store):
    """What became of an archive's runs in the store."""
    with Archive(path) as archive:
        return import_runs(archive, store)


def read_all(path):
    """The content of each file of an archive, by name."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def rewrite(path, files, infos=(), method=zipfile.ZIP_DEFLATED):
    """Writes a zip file of these files, then of ``infos``: pairs of a ZipInfo and its content.

    The manifest agrees with ``files``, unless ``files`` holds one.
    """
    manifest = json.loads(files.get("manifest.json", b'{"format": 1, "bumplab": "", "command": "", "registration": 0}'))
    if "runs" not in manifest:
        manifest["runs"] = entries_of(files)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
            archive.writestr(name, data)
        for info, data in infos:
            archive.writestr(info, data)
    path.write_bytes(stream.getvalue())
    return path


def entries_of(files):
    """The entries of a manifest for ``runs/<key>/<name>`` files."""
    runs = {}
    for name, data in files.items():
        if name.startswith("runs/") and name.count("/") == 2:
            _, key, file = name.split("/")
            runs.setdefault(key, {})[file] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return runs


def special(name, kind):
    """A file of a zip file, of a kind such as a symbolic link."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return info
