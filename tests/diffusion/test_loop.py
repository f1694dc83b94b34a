"""Training learns, repeats exactly, touches no global randomness, and reports a divergence."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from bumplab import profiles
from bumplab.config import DataSpec
from bumplab.diffusion.loop import train
from bumplab.diffusion.weights import average_decay
from tests.diffusion.unets import start, trained

SPEC = profiles.get("smoke").run(0)


def with_training(**changes):
    return replace(SPEC, training=replace(SPEC.training, **changes))


def weights(network):
    return torch.cat([p.detach().flatten().cpu() for p in network.parameters()])


def test_loss_falls():
    """It falls from about 1, the variance of the target, to less than half in 50 steps."""
    state = start(with_training(batch_size=16, learning_rate=2e-2))
    first, *_, last = [train(state, until) for until in range(10, 51, 10)]
    assert last < first / 2


def test_the_loss_of_a_silent_network_is_the_spread_of_the_target():
    """With a head of zeros it is 1 for epsilon. For v, between noise and image, it is about 1 and below 1.2."""
    for schedule, prediction, tolerance in (("cosine", "v", 0.2), ("linear", "epsilon", 0.03)):
        spec = replace(SPEC, diffusion=replace(SPEC.diffusion, schedule=schedule, prediction=prediction))
        spec = replace(spec, training=replace(spec.training, batch_size=64))
        state = start(spec)
        torch.nn.init.zeros_(state.network.head.weight)
        torch.nn.init.zeros_(state.network.head.bias)
        assert train(state, 1) == pytest.approx(1.0, abs=tolerance), prediction


def test_equal_seeds_repeat_bit_for_bit_and_others_differ():
    first, again, other = (weights(trained(replace(SPEC, seed=seed), 5).network) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_untrained_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = weights(start(SPEC).network)
    torch.manual_seed(2)
    assert torch.equal(weights(start(with_training(ema_decay=0.9)).network), first)
    assert not torch.equal(weights(start(replace(SPEC, seed=1)).network), first)


def test_stopping_and_going_on_equals_going_through():
    state = trained(SPEC, 5)
    train(state, 12)
    assert torch.equal(weights(state.network), weights(trained(SPEC).network))


def test_global_randomness_is_neither_read_nor_moved():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    state = start(with_training(ema_decay=0.9))
    assert torch.equal(torch.get_rng_state(), before), "start moved torch's global generator"
    train(state, 2)
    assert torch.equal(torch.get_rng_state(), before), "train moved torch's global generator"


def test_averaged_weights_follow_the_recursion():
    spec = with_training(ema_decay=0.9)
    state = start(spec)
    expected = weights(state.network)
    assert torch.equal(weights(state.averaged), expected)
    for step in range(1, 4):
        train(state, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weights(state.network)
    assert torch.allclose(weights(state.averaged), expected, atol=1e-6)
    assert not torch.equal(weights(state.averaged), weights(state.network))
    plain = start(SPEC)
    assert plain.averaged is plain.network, "without an average the network itself is measured"
    assert plain.averaged.head.weight.requires_grad


@given(decay=st.floats(0.5, 0.99999), step=st.integers(1, 400_000))
def test_an_average_forgets_the_untrained_network_whatever_its_decay(decay, step):
    """After 100 steps less than a millionth of it is left. Without a warm-up 0.9999 would leave 0.99 of it."""
    used = float(average_decay(decay, torch.tensor(float(step))))
    assert used == pytest.approx(min(decay, (1 + step) / (10 + step)), rel=1e-6)
    left = math.prod(min(decay, (1 + s) / (10 + s)) for s in range(1, 101))
    assert left < 1e-6


def test_an_absurd_learning_rate_is_reported_as_divergence():
    for learning_rate in (1e30, 1e38):
        with pytest.raises(FloatingPointError, match="between steps 0 and 6"):
            trained(with_training(learning_rate=learning_rate), 6)


def test_vectors_that_overflow_are_reported_as_divergence():
    """Their checkpoint could not be resumed. The loss, and for moments the weights too, may still be finite."""
    spec = with_training(ema_decay=0.9)
    for name in ("weights", "averaged", "exp_avg", "exp_avg_sq"):
        for value in (math.inf, -math.inf, math.nan):
            state = trained(spec, 1)
            state.weights.vectors[name][0] = value
            with pytest.raises(FloatingPointError, match=f"{name} not finite at step 1"):
                train(state, 1)


def test_every_finished_step_is_reported_once():
    seen = []
    state = trained(SPEC, 4, on_step=seen.append)
    assert math.isnan(train(state, 4, on_step=seen.append))
    train(state, 6, on_step=seen.append)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_bf16_trains_in_float32_weights():
    state = start(with_training(precision="bf16"))
    assert train(state, 3) == pytest.approx(train(start(SPEC), 3), rel=0.1)
    assert {p.dtype for p in state.network.parameters()} == {torch.float32}


class Allocated(TorchDispatchMode):
    """Counts the bytes of all tensors made while active, whether freed or not: an upper bound of the peak."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.total += sum(t.numel() * t.element_size() for t in tree_flatten(result)[0] if isinstance(t, torch.Tensor))
        return result


def test_memory_does_not_grow_with_the_number_of_images():
    """102,400 images of 32x32 take 419 MB. Over 1,024 images, training on them makes only more labels: below 20 MB."""
    totals = []
    for d in (1.0, 0.1):
        spec = replace(SPEC, data=DataSpec(32, d, d))
        with Allocated() as allocated:
            trained(spec, 1)
        totals.append(allocated.total)
    assert 0 < totals[1] - totals[0] < 20e6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch sees no CUDA device")
def test_three_steps_on_a_gpu_start_from_the_weights_of_the_cpu():
    state = start(SPEC, "cuda:0")
    assert torch.equal(weights(state.network), weights(start(SPEC).network))
    assert math.isfinite(train(state, 3))
    assert state.step == 3
    assert next(state.network.parameters()).device.type == "cuda"
