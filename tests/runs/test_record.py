"""A run's key and its arithmetic, and how large its files may be. What its files must hold is in test_hostile.py."""

import json
import tracemalloc
from dataclasses import fields, is_dataclass, replace
from itertools import product

from bumplab import profiles
from bumplab.config import DataSpec, RunSpec, SubjectSpec
from bumplab.runs import board, progress, record, sealed
from bumplab.runs.record import FILES, RunRecord, arithmetic, run_key
from bumplab.runs.store import RunStore
from tests.rows import evidence_of, rows_of

SPEC = profiles.get("smoke").run(0)
KEY = run_key(SPEC)


def test_the_arithmetic_names_products_and_libraries():
    for asked, cuda, exact, bf16 in product(("bf16", "float32"), *[(False, True)] * 3):
        spec = replace(SPEC, training=replace(SPEC.training, precision=asked))
        environment = {"instructions": "cuda" if cuda else "AVX2", "exact": exact, "bf16": bf16}
        expected = "TF32" if cuda and not exact else "float32"
        if asked == "bf16" and bf16:
            expected = "bf16"
        libraries = {"umap-learn": "0.5", "opencv": "5.0"}
        text = arithmetic(spec, environment | libraries)
        assert text == f"{expected}, with umap-learn 0.5 and OpenCV 5.0", (asked, environment)
        assert arithmetic(spec, environment | {"umap-learn": "0.6", "opencv": "5.0"}) != text
        assert arithmetic(spec, environment | {"umap-learn": "0.5", "opencv": "5.1"}) != text
    assert arithmetic(SPEC, {}) == "float32, with umap-learn of some version and OpenCV of some version"


def leaves(part, path=()):
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            yield from leaves(value, (*path, field.name))
        else:
            yield (*path, field.name), value


def with_leaf(part, path, value):
    inner = value if len(path) == 1 else with_leaf(getattr(part, path[0]), path[1:], value)
    return replace(part, **{path[0]: inner})


# another valid value for each field whose double is not valid
OTHER = {
    "image_size": 40, "hole": 3.0, "attention_heads": 2, "norm_groups": 2, "schedule": "cosine", "prediction": "v",
    "sampler": "ancestral", "precision": "bf16", "ema_decay": 0.5, "warmup": 5, "decay": "linear",
    "beta2": 0.5, "weight_decay": 0.5, "timesteps": 2000,
    "pairing": "shuffled", "stripe": 4.0, "probe_low": 4.0, "probe_high": 28.0, "seed": 1,
    "factorized": True, "name": "my.py:other",
    "arguments": (("a", "2"),), "source": 64 * "1", "versions": (("torch", "3"),),
}  # fmt: skip


def test_the_key_changes_with_every_field_and_what_is_drawn_and_with_nothing_else(monkeypatch):
    run_key = record.run_key.__wrapped__  # the cache gives equal specs one key, whatever `TRAINING` is
    base = with_leaf(RunSpec(), ("diffusion",), replace(RunSpec().diffusion, sampler="ddim", sampler_steps=20))
    base = replace(base, subject=SubjectSpec("my.py:subject", (("a", "1"),), 64 * "0", (("torch", "2"),)))
    assert len(dict(leaves(base))) > 20
    in_cells = replace(base, data=replace(base.data, cells=4, matrices=2))
    of_cells = [(in_cells, path, value) for path, value in leaves(in_cells) if path[-1] in ("cells", "matrices")]
    others = [(base, path, value) for path, value in leaves(base) if path[-1] not in ("cells", "matrices")]
    for base, path, value in (*others, *of_cells):
        other = OTHER[path[-1]] if path[-1] in OTHER else value * 2
        changed = with_leaf(base, path, other)
        assert other != value, path
        assert run_key(changed) != run_key(base), path
        assert run_key(with_leaf(changed, path, value)) == run_key(base), path
    assert run_key(RunSpec(data=DataSpec(dx=1, sigma=2))) == run_key(RunSpec(data=DataSpec(dx=1.0, sigma=2.0)))
    assert run_key(RunSpec.from_dict(json.loads(SPEC.to_json()))) == KEY
    assert len(KEY) == 20
    assert set(KEY) <= set("0123456789abcdef")
    monkeypatch.setattr(record, "RESULTS_FORMAT", record.RESULTS_FORMAT + 1)
    assert run_key(SPEC) == KEY, "a new form of the files trains nothing again"
    monkeypatch.setattr(record, "TRAINING", record.TRAINING + 1)
    assert run_key(SPEC) != KEY


def test_limits_leave_room_for_a_paper_scale_run_and_bound_memory():
    spec = profiles.get("paper").run(0)
    steps = len(spec.measured_steps())
    rows = [{f"a.rather.long.name.{k}": 0.12345678901234567 for k in range(150)}] * steps
    assert 4 * len(json.dumps(rows)) < FILES["rows.json"]
    images = 3 * 25 * spec.data.image_size**2 * steps
    embeddings = 2 * 3 * 2 * spec.measure.samples * steps
    assert 4 * (images + embeddings) < FILES["evidence.safetensors"]
    entry = '"320000/layer4.embedding":{"dtype":"F16","shape":[500,3],"data_offsets":[1234567890,1234567890]},'
    assert 4 * steps * 20 * len(entry) < record.HEADER_BYTES
    assert sum(FILES.values()) < 1.4e9
    assert max(record.HEADER_BYTES, sealed.MANIFEST_BYTES, progress.PROGRESS_BYTES) <= 1 << 22
    assert board.BOARD_BYTES <= 1 << 26


def test_reading_a_run_takes_no_more_memory_than_its_size(tmp_path):
    """The limit of a file is a gigabyte, which a machine may not have."""
    store = RunStore(tmp_path)
    store.publish(RunRecord(SPEC, rows_of(SPEC), evidence_of(SPEC)), b"")
    tracemalloc.start()
    try:
        assert store.load(SPEC) is not None
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
