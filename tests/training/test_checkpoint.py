"""A killed and resumed run equals one that was never killed, bit for bit. Damaged checkpoints are refused."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from bumplab import profiles
from bumplab.training.checkpoint import from_tensors, to_tensors
from bumplab.training.loop import start, train

SPEC = profiles.get("smoke").run(0)
WITH_EMA = replace(SPEC, training=replace(SPEC.training, ema_decay=0.9))
FACTORIZED = profiles.get("smoke").factorized(WITH_EMA)
SHUFFLED = profiles.get("smoke").shuffled(SPEC)
KINDS = ("weights", "averaged", "exp_avg", "exp_avg_sq")


def trained(spec, until):
    state = start(spec, "cpu")
    train(state, spec, until)
    return state


def assert_equal_bits(a, b, case):
    assert a.keys() == b.keys(), case
    assert [name for name in a if not torch.equal(a[name], b[name])] == [], case


def test_a_resumed_run_equals_one_never_killed():
    for name, spec in {"ema": WITH_EMA, "factorized": FACTORIZED, "shuffled, no ema": SHUFFLED}.items():
        state, checkpoints = start(spec, "cpu"), {}
        for step in (0, 5, 12):
            train(state, spec, step)
            checkpoints[step] = save(to_tensors(state))
        for step, checkpoint in checkpoints.items():
            resumed = from_tensors(spec, load(checkpoint), step, "cpu")
            assert resumed.step == step, name
            if step == 0:
                train(resumed, spec, 7)
                resumed = from_tensors(spec, load(save(to_tensors(resumed))), 7, "cpu")
            train(resumed, spec, 12)
            assert_equal_bits(to_tensors(resumed), load(checkpoints[12]), (name, step))


def test_without_its_moments_a_resumed_run_would_differ():
    """A control of the test above: AdamW's moments matter within seven steps."""
    tensors = load(save(to_tensors(trained(SPEC, 5))))
    blank = {name: value * 0 if name.startswith("exp_avg") else value for name, value in tensors.items()}
    resumed = from_tensors(SPEC, blank, 5, "cpu")
    train(resumed, SPEC, 12)
    whole = to_tensors(trained(SPEC, 12))
    assert any(not torch.equal(whole[name], value) for name, value in to_tensors(resumed).items())


def test_every_parameter_is_saved_with_its_moments_and_average():
    names = [name for name, _ in start(WITH_EMA, "cpu").network.named_parameters()]
    tensors = to_tensors(trained(WITH_EMA, 2))
    assert set(tensors) == {f"{kind}.{name}" for kind in KINDS for name in names}
    assert not any(name.startswith("averaged") for name in to_tensors(trained(SPEC, 2)))
    both = to_tensors(start(FACTORIZED, "cpu"))
    assert set(both) == {f"{kind}.{part}.{name}" for kind in KINDS for part in "xy" for name in names}
    assert all(value.device.type == "cpu" and value.is_contiguous() for value in tensors.values())


@pytest.fixture(scope="module")
def checkpoint():
    """The tensors of a run with averaged weights after two steps."""
    return load(save(to_tensors(trained(WITH_EMA, 2))))


def refusal(spec, tensors, step=2):
    """The reason for which a checkpoint is refused."""
    with pytest.raises(ValueError, match="checkpoint") as raised:
        from_tensors(spec, tensors, step, "cpu")
    return str(raised.value)


def test_a_tensor_that_is_missing_or_of_another_kind_is_refused(checkpoint):
    for kind in KINDS:
        name = f"{kind}.head.bias"
        rest = {other: value for other, value in checkpoint.items() if other != name}
        assert f"{name!r} is missing" in refusal(WITH_EMA, rest), kind
        for bad in (torch.zeros(2), torch.zeros(()), torch.zeros(1, dtype=torch.float64)):
            assert f"{name!r} is missing or of another shape" in refusal(WITH_EMA, checkpoint | {name: bad}), bad
        for bad in (torch.nan, torch.inf, -torch.inf):
            assert f"{name!r} holds NaN" in refusal(WITH_EMA, checkpoint | {name: torch.tensor([bad])}), bad
    assert from_tensors(WITH_EMA, checkpoint, 2, "cpu").step == 2


def test_tensors_of_another_model_are_refused(checkpoint):
    wider = replace(WITH_EMA, model=replace(SPEC.model, width=8))
    for spec, tensors, reason in (
        (WITH_EMA, checkpoint | {"weights.stranger": torch.zeros(1)}, "another model"),
        (SPEC, checkpoint, "another model"),  # averaged weights, where the spec has none
        (wider, checkpoint, "of another shape"),
        (SPEC, {}, "missing"),
        (FACTORIZED, checkpoint, "missing"),  # the tensors of one network, where the spec has two
    ):
        assert reason in refusal(spec, tensors), reason
