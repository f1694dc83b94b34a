"""A killed and resumed run equals one that was never killed, bit for bit. Damaged checkpoints are refused."""

from dataclasses import replace

import numpy as np
import pytest

from bumplab import profiles
from bumplab.diffusion.checkpoint import restore, to_arrays
from bumplab.diffusion.loop import train
from bumplab.subjects.state import from_bytes, to_bytes
from tests.diffusion.unets import start, trained

SPEC = profiles.get("smoke").run(0)
WITH_EMA = replace(SPEC, training=replace(SPEC.training, ema_decay=0.9))
SHUFFLED = profiles.get("smoke").shuffled(SPEC)
KINDS = ("weights", "averaged", "exp_avg", "exp_avg_sq")


def arrays_of(state):
    """All that goes on from here, through a file."""
    return from_bytes(to_bytes(to_arrays(state.weights.tensors())))


def resumed_at(spec, arrays, step):
    state = start(spec)
    restore(state, arrays, step)
    return state


def assert_equal_bits(a, b, case):
    assert a.keys() == b.keys(), case
    assert [name for name in a if a[name].tobytes() != b[name].tobytes()] == [], case


def test_a_resumed_run_equals_one_never_killed():
    for name, spec in {"ema": WITH_EMA, "shuffled, no ema": SHUFFLED}.items():
        state, checkpoints = start(spec), {}
        for step in (0, 5, 12):
            train(state, step)
            checkpoints[step] = arrays_of(state)
        for step, checkpoint in checkpoints.items():
            resumed = resumed_at(spec, checkpoint, step)
            assert resumed.step == step, name
            if step == 0:
                train(resumed, 7)
                resumed = resumed_at(spec, arrays_of(resumed), 7)
            train(resumed, 12)
            assert_equal_bits(arrays_of(resumed), checkpoints[12], (name, step))


def test_without_its_moments_a_resumed_run_would_differ():
    """A control of the test above: AdamW's moments matter within seven steps."""
    arrays = arrays_of(trained(SPEC, 5))
    blank = {name: value * 0 if name.startswith("exp_avg") else value for name, value in arrays.items()}
    resumed = resumed_at(SPEC, blank, 5)
    train(resumed, 12)
    whole = arrays_of(trained(SPEC, 12))
    assert any(not np.array_equal(whole[name], value) for name, value in arrays_of(resumed).items())


def test_every_parameter_is_saved_with_its_moments_and_average():
    names = [name for name, _ in start(WITH_EMA).network.named_parameters()]
    assert set(arrays_of(trained(WITH_EMA, 2))) == {f"{kind}.{name}" for kind in KINDS for name in names}
    assert not any(name.startswith("averaged") for name in arrays_of(trained(SPEC, 2)))


@pytest.fixture(scope="module")
def checkpoint():
    """The arrays of a run with averaged weights after two steps."""
    return arrays_of(trained(WITH_EMA, 2))


def refusal(spec, arrays, step=2):
    """The reason for which a checkpoint is refused."""
    with pytest.raises(ValueError, match="checkpoint") as raised:
        resumed_at(spec, arrays, step)
    return str(raised.value)


def test_an_array_that_is_missing_or_of_another_kind_is_refused(checkpoint):
    for kind in KINDS:
        name = f"{kind}.head.bias"
        rest = {other: value for other, value in checkpoint.items() if other != name}
        assert f"{name!r} is missing" in refusal(WITH_EMA, rest), kind
        for bad in (np.zeros(2, np.float32), np.zeros((), np.float32), np.zeros(1), np.zeros(1, np.int32)):
            assert f"{name!r} is missing or of another shape" in refusal(WITH_EMA, checkpoint | {name: bad}), bad
        for bad in (np.nan, np.inf, -np.inf):
            assert f"{name!r} holds NaN" in refusal(WITH_EMA, checkpoint | {name: np.float32([bad])}), bad
    assert resumed_at(WITH_EMA, checkpoint, 2).step == 2


def test_arrays_of_another_model_are_refused(checkpoint):
    wider = replace(WITH_EMA, model=replace(SPEC.model, width=8))
    for spec, arrays, reason in (
        (WITH_EMA, checkpoint | {"weights.stranger": np.zeros(1, np.float32)}, "another model"),
        (SPEC, checkpoint, "another model"),  # averaged weights, where the spec has none
        (wider, checkpoint, "of another shape"),
        (SPEC, {}, "missing"),
    ):
        assert reason in refusal(spec, arrays), reason
