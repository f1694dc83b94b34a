"""``python -m bumplab train``: the command by which a report says how to repeat a run."""

import json
import math
from dataclasses import replace

import pytest

from bumplab import __main__ as command
from bumplab import profiles
from bumplab.runs.store import RunStore, run_key

SPEC = profiles.get("smoke").run(3)
GIVEN = json.loads(SPEC.to_json())
NO_DX = {name: value for name, value in GIVEN["data"].items() if name != "dx"}
FIELDS = "data, model, diffusion, training, measure, seed"


def test_a_run_is_trained_once_and_then_found(tmp_path, capsys):
    asked = ["train", SPEC.to_json(), "--runs-dir", str(tmp_path)]
    assert command.main(asked) == 0
    first = capsys.readouterr().out
    assert first.startswith("trained: ")
    record = RunStore(tmp_path).load(SPEC)
    assert [row["step"] for row in record.rows] == SPEC.measured_steps()
    assert f"on_grid.accuracy                 {record.rows[-1]['on_grid.accuracy']:.6g}" in first
    assert command.main(asked) == 0
    assert capsys.readouterr().out == first.replace("trained: ", "stored: ", 1)


def test_a_run_that_failed_is_told_as_one(tmp_path, capsys):
    training = replace(SPEC.training, learning_rate=1e30, steps=6)
    spec = replace(SPEC, training=training, measure=replace(SPEC.measure, every=3))
    for word in ("trained", "stored"):
        assert command.main(["train", spec.to_json(), "--runs-dir", str(tmp_path)]) == 0
        first, second, *_ = capsys.readouterr().out.splitlines()
        assert first.startswith(word)
        assert second.startswith("failed, and counts as a seed that did: the loss is ")


@pytest.mark.parametrize("damage", ["a file cut short", "a file in its place"])
def test_a_damaged_run_is_set_aside_and_trained(tmp_path, capsys, damage):
    store = RunStore(tmp_path)
    folder = store.path(run_key(SPEC))
    folder.parent.mkdir(parents=True)
    if damage == "a file in its place":
        folder.write_text("x")
    else:
        folder.mkdir()
        (folder / "rows.json").write_text("{")
    with pytest.warns(UserWarning, match="moved to"):
        assert command.main(["train", SPEC.to_json(), "--runs-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("trained: ")
    assert store.load(SPEC) is not None


def test_samples_that_are_not_finite_before_training_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bumplab.measure.evaluate.sample", lambda denoise, noise, *rest: noise * math.nan)
    assert command.main(["train", SPEC.to_json(), "--runs-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{SPEC.label()}: 48 of 48 samples hold NaN or infinity before any training" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "the spec is not JSON"),
        ("[" * 100_000, "the spec is not JSON"),
        ("{}", f"not a run spec: fields of the run: missing {FIELDS}, unknown none"),
        ("[1]", f"not a run spec: fields of the run: missing {FIELDS}, unknown none"),
        (json.dumps({**GIVEN, "sede": 1}), "not a run spec: fields of the run: missing none, unknown 'sede'"),
        (json.dumps({**GIVEN, "data": {**NO_DX, "dz": 1}}), "fields of data: missing dx, unknown 'dz'"),
        (json.dumps({**GIVEN, "data": 3}), "fields of data: missing image_size, dx, dy, sigma, hole, pairing, unknown"),
        (json.dumps({**GIVEN, "seed": -1}), "seed = -1: must be a whole number"),
    ],
)
def test_what_is_no_spec_is_one_line_and_exit_code_2(tmp_path, capsys, text, said):
    assert command.main(["train", text, "--runs-dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
