"""A run as the files of a worker's answer: what comes home damaged is not stored."""

import pytest

from bumplab.runs.cluster.files import copy_of, files_of
from bumplab.runs.sealed import Damaged
from bumplab.runs.store import RunStore, run_key
from tests.runs.farm import record_of, specs

WEIGHTS = (2).to_bytes(8, "little") + b"{}"
"""A file of safetensors without any tensor."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    store, (spec,) = RunStore(tmp_path_factory.mktemp("store")), specs(1)
    store.publish(record_of(spec), WEIGHTS)
    return files_of(store, run_key(spec))


def test_what_comes_home_is_the_run_and_its_weights(files):
    (spec,) = specs(1)
    copy = copy_of(files, spec)
    assert copy.record.rows == record_of(spec).rows
    assert copy.weights == WEIGHTS


@pytest.mark.parametrize("name", ["spec.json", "rows.json", "weights.safetensors", "evidence.safetensors"])
def test_a_file_that_is_cut_changed_missing_or_no_file_is_refused(files, name):
    data = files[name]
    for damaged in (data[:-1], data[:-1] + bytes([data[-1] ^ 1]), data + b" ", None, "text"):
        with pytest.raises(Damaged):
            copy_of(files | {name: damaged}, specs(1)[0])
    with pytest.raises(Damaged):
        copy_of({other: content for other, content in files.items() if other != name}, specs(1)[0])


def test_another_run_in_its_place_is_refused(files):
    with pytest.raises(Damaged):
        copy_of(files, specs(1, first=1)[0])
    with pytest.raises(Damaged):
        copy_of(["no files"], specs(1)[0])
