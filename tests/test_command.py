"""``python -m bumplab train``: the command by which a report says how to repeat a run."""

import json
import math
from dataclasses import replace

import pytest

from bumplab import __main__ as command
from bumplab import profiles
from bumplab.diffusion import denoising
from bumplab.diffusion.sampler import sample
from bumplab.runs.store import RunStore, run_key

SPEC = profiles.get("smoke").run(3)
FIELDS = json.loads(SPEC.to_json())
NO_DX = {name: value for name, value in FIELDS["data"].items() if name != "dx"}
PARTS = "data, model, diffusion, training, measure, seed, subject"


def test_a_run_is_trained_once_and_then_loaded(tmp_path, capsys):
    """What lies in its place is damaged at first: a file, in place of a folder."""
    arguments, store = ["train", SPEC.to_json(), "--runs-dir", str(tmp_path)], RunStore(tmp_path)
    (run := store.path(run_key(SPEC))).parent.mkdir(parents=True)
    run.write_text("x")
    with pytest.warns(UserWarning, match="moved to"):
        assert command.main(arguments) == 0
    first = capsys.readouterr().out
    assert first.startswith("trained: ")
    record = store.load(SPEC)
    assert [row["step"] for row in record.rows] == SPEC.measured_steps()
    assert f"on_grid.accuracy                 {record.rows[-1]['on_grid.accuracy']:.6g}" in first
    assert command.main(arguments) == 0
    assert capsys.readouterr().out == first.replace("trained: ", "stored: ", 1)


def test_a_run_that_failed_is_called_one(tmp_path, capsys):
    training = replace(SPEC.training, learning_rate=1e30, steps=6)
    spec = replace(SPEC, training=training, measure=replace(SPEC.measure, every=12))
    for word in ("trained", "stored"):
        assert command.main(["train", spec.to_json(), "--runs-dir", str(tmp_path)]) == 0
        first, second, *_ = capsys.readouterr().out.splitlines()
        assert first.startswith(word)
        assert second.startswith("failed"), word
        assert "the loss is" in second, word


def test_a_run_under_way_elsewhere_is_one_line(tmp_path, capsys):
    with RunStore(tmp_path).lock(run_key(SPEC)):
        assert command.main(["train", SPEC.to_json(), "--runs-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert run_key(SPEC) in line


def test_samples_that_are_not_finite_before_training_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(denoising, "sample", lambda *arguments: sample(*arguments) * math.nan)
    assert command.main(["train", SPEC.to_json(), "--runs-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{SPEC.label()}: 24 of 24 samples" in line


def test_what_is_no_spec_is_one_line_and_exit_code_2(tmp_path, capsys):
    for text, words in (
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ("{}", f"missing {PARTS}, unknown none"),
        ("[1]", f"missing {PARTS}, unknown none"),
        (json.dumps({**FIELDS, "sede": 1}), "missing none, unknown 'sede'"),
        (json.dumps({**FIELDS, "data": {**NO_DX, "dz": 1}}), "fields of data: missing dx, unknown 'dz'"),
        (json.dumps({**FIELDS, "data": 3}), "fields of data: missing image_size, dx, dy, sigma, hole, pairing"),
        (json.dumps({**FIELDS, "seed": -1}), "seed = -1: must be"),
    ):
        assert command.main(["train", text, "--runs-dir", str(tmp_path)]) == 2, text[:80]
        error = capsys.readouterr().err
        assert words in error, text[:80]
        assert error.count("\n") == 1, text[:80]
    assert list(tmp_path.iterdir()) == []
