"""A killed and resumed run equals one that was never killed, bit for bit; damaged checkpoints are refused."""

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


def trained(spec, until):
    state = start(spec, "cpu")
    train(state, spec, until)
    return state


def assert_equal_bits(a, b):
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert different == []


@pytest.mark.parametrize("spec", [SPEC, WITH_EMA, FACTORIZED, SHUFFLED], ids=["plain", "ema", "factorized", "shuffled"])
@pytest.mark.parametrize("killed_at", [0, 5, 12])
def test_a_resumed_run_equals_one_never_killed(spec, killed_at):
    checkpoint = save(to_tensors(trained(spec, killed_at)))
    resumed = from_tensors(spec, load(checkpoint), killed_at, "cpu")
    assert resumed.step == killed_at
    train(resumed, spec, 12)
    assert_equal_bits(to_tensors(resumed), to_tensors(trained(spec, 12)))


def test_resuming_twice_changes_nothing():
    state = trained(WITH_EMA, 3)
    for until in (6, 9):
        state = from_tensors(WITH_EMA, load(save(to_tensors(state))), state.step, "cpu")
        train(state, WITH_EMA, until)
    assert_equal_bits(to_tensors(state), to_tensors(trained(WITH_EMA, 9)))


def test_without_its_moments_a_resumed_run_would_differ():
    """Shows that the comparison above can fail: AdamW's moments matter within seven steps."""
    tensors = load(save(to_tensors(trained(SPEC, 5))))
    blank = {name: value * 0 if name.startswith("exp_avg") else value for name, value in tensors.items()}
    resumed = from_tensors(SPEC, blank, 5, "cpu")
    train(resumed, SPEC, 12)
    full = to_tensors(trained(SPEC, 12))
    assert any(not torch.equal(full[name], value) for name, value in to_tensors(resumed).items())


def test_every_parameter_is_saved_with_its_moments_and_average():
    names = [name for name, _ in start(WITH_EMA, "cpu").network.named_parameters()]
    tensors = to_tensors(trained(WITH_EMA, 2))
    kinds = ("weights", "averaged", "exp_avg", "exp_avg_sq")
    assert set(tensors) == {f"{kind}.{name}" for kind in kinds for name in names}
    assert not any(name.startswith("averaged") for name in to_tensors(trained(SPEC, 2)))
    both = to_tensors(start(FACTORIZED, "cpu"))
    assert set(both) == {f"{kind}.{part}.{name}" for kind in kinds for part in "xy" for name in names}
    assert all(value.device.type == "cpu" and value.is_contiguous() for value in tensors.values())


@pytest.fixture(scope="module")
def checkpoint():
    """The tensors of a run with averaged weights after two steps."""
    return load(save(to_tensors(trained(WITH_EMA, 2))))


KINDS = ("weights", "averaged", "exp_avg", "exp_avg_sq")


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_tensor_is_refused(checkpoint, kind):
    rest = {name: value for name, value in checkpoint.items() if name != f"{kind}.head.bias"}
    with pytest.raises(ValueError, match=rf"'{kind}\.head\.bias' is missing"):
        from_tensors(WITH_EMA, rest, 2, "cpu")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [torch.zeros(2), torch.zeros(()), torch.zeros(1, dtype=torch.float64)])
def test_a_tensor_of_another_shape_or_kind_is_refused(checkpoint, kind, bad):
    with pytest.raises(ValueError, match=rf"'{kind}\.head\.bias'"):
        from_tensors(WITH_EMA, checkpoint | {f"{kind}.head.bias": bad}, 2, "cpu")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_tensor_that_is_not_finite_is_refused(checkpoint, kind, bad):
    with pytest.raises(ValueError, match="NaN or infinity"):
        from_tensors(WITH_EMA, checkpoint | {f"{kind}.head.bias": torch.tensor([bad])}, 2, "cpu")


def test_tensors_of_another_model_are_refused(checkpoint):
    with pytest.raises(ValueError, match="another model"):
        from_tensors(WITH_EMA, checkpoint | {"weights.stranger": torch.zeros(1)}, 2, "cpu")
    with pytest.raises(ValueError, match="another model"):  # averaged weights, where the spec has none
        from_tensors(SPEC, checkpoint, 2, "cpu")
    wider = replace(WITH_EMA, model=replace(SPEC.model, width=8))
    with pytest.raises(ValueError, match="of another shape"):
        from_tensors(wider, checkpoint, 2, "cpu")
    with pytest.raises(ValueError, match="missing"):
        from_tensors(SPEC, {}, 0, "cpu")
    with pytest.raises(ValueError, match="missing"):  # one network's, where the spec has two
        from_tensors(FACTORIZED, checkpoint, 2, "cpu")
