"""Networks of all kinds train alike: with weights in one vector where they fit, and as they are where they do not."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bumplab import profiles
from bumplab.diffusion import loop, weights
from bumplab.diffusion.checkpoint import restore, to_arrays
from bumplab.diffusion.loop import train
from bumplab.diffusion.rng import Drawing
from bumplab.diffusion.weights import FlatWeights, PlainWeights, is_flat
from bumplab.randomness import generator
from bumplab.subjects.state import from_bytes, to_bytes
from tests.diffusion.unets import start, trained

SPEC = profiles.get("smoke").run(0)
WITH_EMA = replace(SPEC, training=replace(SPEC.training, ema_decay=0.9))


class Small(nn.Module):
    """Two convolutions with something between them. Its inputs are float32, whatever its weights are."""

    def __init__(self, *between):
        super().__init__()
        self.first, self.between, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(*between), nn.Conv2d(4, 1, 1)

    def forward(self, x, t, labels):
        planes = (labels / 16)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        h = torch.cat([x, planes], dim=1).to(self.first.weight.dtype)
        return self.last(self.between(self.first(h)).to(self.last.weight.dtype)).float()


def frozen():
    network = Small()
    network.last.bias.requires_grad_(False)
    return network


def mixed():
    network = Small()
    network.last.bfloat16()
    return network


def mixed_with_norm():
    network = Small(nn.BatchNorm2d(4))
    network.last.bfloat16()
    return network


def tied(*between):
    """Two names of one weight."""
    network = Small(nn.Conv2d(4, 4, 1), nn.GELU(), nn.Conv2d(4, 4, 1), *between)
    network.between[2].weight = network.between[0].weight
    return network


def with_unused(*between):
    """A weight that the forward pass does not reach."""
    network = Small(*between)
    network.unused = nn.Linear(2, 2)
    return network


def with_gaps():
    network = Small()
    network.scale = nn.Parameter(torch.ones(4, 4)[:, :2])
    return network


NETWORKS = {
    "plain": (Small, True),
    "bf16": (lambda: Small().bfloat16(), True),
    "tied": (tied, True),
    "unused": (with_unused, True),
    "dropout": (lambda: Small(nn.Dropout(0.5)), True),
    "buffers": (lambda: Small(nn.BatchNorm2d(4)), False),
    "frozen": (frozen, False),
    "all frozen but buffers": (lambda: Small(nn.BatchNorm2d(4)).requires_grad_(False), False),
    "mixed dtypes": (mixed, False),
    "mixed with buffers": (mixed_with_norm, False),
    "tied with buffers": (lambda: tied(nn.BatchNorm2d(4)), False),
    "unused with buffers": (lambda: with_unused(nn.BatchNorm2d(4)), False),
    "gaps in memory": (with_gaps, False),
}
TRAINABLE = [name for name in NETWORKS if not name.startswith("all frozen")]


def test_weights_are_one_vector_where_they_fit_into_one():
    for name, (build, fits) in NETWORKS.items():
        assert is_flat(build()) is fits, name
    assert not is_flat(nn.Identity())
    assert isinstance(start(SPEC).weights, FlatWeights), "the paper's network trains fast"
    assert isinstance(start(SPEC, build=NETWORKS["buffers"][0]).weights, PlainWeights)


def arrays_of(state):
    """All that goes on from here, through a file."""
    return from_bytes(to_bytes(to_arrays(state.weights.tensors())))


def assert_equal_bits(a, b, case):
    assert a.keys() == b.keys(), case
    assert [name for name in a if a[name].tobytes() != b[name].tobytes()] == [], case


@pytest.mark.parametrize("name", TRAINABLE)
def test_any_network_goes_on_from_its_state_bit_for_bit(name):
    """With buffers, the average's buffers, bf16 weights and the masks of a dropout."""
    build, _ = NETWORKS[name]
    whole = trained(WITH_EMA, 12, build=build)
    half = arrays_of(trained(WITH_EMA, 6, build=build))
    resumed = start(WITH_EMA, build=build)
    restore(resumed, half, 6)
    assert_equal_bits(arrays_of(resumed), half, name)
    train(resumed, 12)
    assert_equal_bits(arrays_of(resumed), arrays_of(whole), name)
    for network in ("network", "averaged"):
        one, other = (getattr(state, network).state_dict() for state in (resumed, whole))
        assert [key for key in one if not torch.equal(one[key], other[key])] == [], (name, network)
    assert any(half[key].tobytes() != array.tobytes() for key, array in arrays_of(whole).items()), "nothing was trained"


@pytest.mark.parametrize("build", [tied, NETWORKS["dropout"][0], None], ids=["tied", "dropout", "UNet"])
def test_both_kinds_of_weights_take_the_same_steps(build, monkeypatch):
    """A step of Adam is as long as the learning rate, whatever the gradient: rounding may turn a tiny one around."""
    flat = trained(WITH_EMA, 3, build=build)
    monkeypatch.setattr(weights, "is_flat", lambda network: False)
    plain = trained(WITH_EMA, 3, build=build)
    assert (type(flat.weights), type(plain.weights)) == (FlatWeights, PlainWeights)
    for network in ("network", "averaged"):
        one, other = (dict(getattr(state, network).named_parameters()) for state in (flat, plain))
        assert one.keys() == other.keys()
        for name, weight in one.items():
            assert float((weight - other[name]).detach().abs().mean()) < 1e-5, (network, name)
    assert float(flat.weights.count) == float(plain.weights.count) == 3


SCHEDULED = replace(WITH_EMA, training=replace(WITH_EMA.training, warmup=4, decay="linear", beta2=0.95))


@pytest.mark.parametrize(("warmup", "decay"), [(0, "linear"), (5, "none"), (5, "linear"), (11, "linear")])
def test_the_rate_follows_the_schedules_of_torch(warmup, decay):
    """Also in the step that ends the warm-up, and in the last one."""
    training = replace(SPEC.training, warmup=warmup, decay=decay, steps=12)
    weight = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.AdamW([weight], lr=training.learning_rate)
    rises = [torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, total_iters=warmup - 1)] if warmup else []
    falls = [torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=12 - warmup)] if decay != "none" else []
    both = [*rises, *(falls or [torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)])]
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, both, [warmup] if warmup else [])
    for step in range(12):
        expected = optimizer.param_groups[0]["lr"]
        assert float(weights.rate_at(training, torch.tensor(float(step)))) == pytest.approx(expected, rel=1e-5), step
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("kind", ["flat", "plain"])
def test_scheduled_training_goes_on_from_its_state_bit_for_bit(kind, monkeypatch):
    """The rate and beta2 of the spec are used, and the rate depends on the step alone."""
    if kind == "plain":
        monkeypatch.setattr(weights, "is_flat", lambda network: False)
    whole = arrays_of(trained(SCHEDULED, 12))
    half = arrays_of(trained(SCHEDULED, 6))
    resumed = start(SCHEDULED)
    restore(resumed, half, 6)
    train(resumed, 12)
    assert_equal_bits(arrays_of(resumed), whole, kind)
    for changed in ({"warmup": 0}, {"decay": "none"}, {"beta2": 0.9}):
        other = arrays_of(trained(replace(SCHEDULED, training=replace(SCHEDULED.training, **changed)), 12))
        assert any(other[name].tobytes() != array.tobytes() for name, array in whole.items()), changed


def test_a_weight_without_a_gradient_is_not_moved_by_it():
    """In one vector it decays as all weights do. By itself the optimizer leaves it out, and counts no step of it."""
    for name in ("unused", "unused with buffers"):
        build, fits = NETWORKS[name]
        before, state = start(SPEC, build=build), trained(SPEC, 12, build=build)
        decay = (1 - SPEC.training.learning_rate * SPEC.training.weight_decay) ** 12 if fits else 1.0
        old, new = before.network.unused.weight, state.network.unused.weight
        assert torch.allclose(new, old * decay, rtol=1e-6), name
        assert not torch.equal(before.network.first.weight, state.network.first.weight), name
    assert float(state.weights.tensors()["step.unused.weight"]) == 0
    assert float(state.weights.tensors()["step.first.weight"]) == 12


def test_frozen_weights_stay_and_buffers_are_averaged_by_copying_them():
    before, state = start(WITH_EMA, build=frozen), trained(WITH_EMA, 6, build=frozen)
    assert torch.equal(before.network.last.bias, state.network.last.bias)
    assert torch.equal(before.network.last.bias, state.averaged.last.bias)
    assert not torch.equal(before.network.last.weight, state.network.last.weight)
    state = trained(WITH_EMA, 6, build=NETWORKS["buffers"][0])
    ours, averaged = state.network.between[0], state.averaged.between[0]
    assert int(averaged.num_batches_tracked) == int(ours.num_batches_tracked) == 6
    assert torch.equal(averaged.running_mean, ours.running_mean)
    assert bool(ours.running_mean.any())
    assert not torch.equal(averaged.weight, ours.weight)


def test_tied_weights_stay_one_weight_also_in_the_average():
    for name in ("tied", "tied with buffers"):
        state = trained(WITH_EMA, 6, build=NETWORKS[name][0])
        for network in (state.network, state.averaged):
            first, second = network.between[0].weight, network.between[2].weight
            assert first.data_ptr() == second.data_ptr(), name
        assert not torch.equal(state.network.between[0].weight, state.averaged.between[0].weight), name


def test_layers_that_draw_masks_move_no_global_generator_and_draw_another_mask_each_step():
    masks = []

    class Watched(nn.Dropout):
        def forward(self, x):
            result = super().forward(x)
            masks.append((result == 0).numpy().tobytes())
            return result

    torch.manual_seed(4)
    before = torch.get_rng_state()
    for _ in range(2):
        trained(SPEC, 3, build=lambda: Small(Watched(0.5)))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(4)
    assert len(set(masks)) == 3, "a mask depends on the step alone"
    assert masks[:3] == masks[3:]
    trained(replace(SPEC, seed=1), 1, build=lambda: Small(Watched(0.5)))
    assert masks[-1] not in masks[:3], "another seed has the same masks"


def test_weights_that_overflow_are_reported_as_divergence():
    for kind in ("weights", "averaged", "exp_avg", "exp_avg_sq"):
        state = trained(WITH_EMA, 1, build=NETWORKS["buffers"][0])
        state.weights.tensors()[f"{kind}.first.bias"].fill_(torch.inf)
        with pytest.raises(FloatingPointError, match=rf"{kind}\.first\.bias not finite at step 1"):
            train(state, 1)
    state.weights.tensors()["exp_avg_sq.first.bias"].fill_(0)
    state.network.between[0].running_var.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="running_var not finite"):
        train(state, 1)


def test_a_mask_of_infinities_is_no_divergence_and_survives_a_checkpoint():
    def masked():
        network = NETWORKS["buffers"][0]()
        network.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        return network

    state, again = trained(SPEC, 2, build=masked), trained(SPEC, 0, build=masked)
    restore(again, to_arrays(state.weights.tensors()), 2)
    assert torch.equal(again.network.mask, torch.tensor([0.0, -torch.inf]))


def test_what_a_step_changes_is_named_so_that_a_capture_can_undo_it():
    state = trained(WITH_EMA, 1, build=NETWORKS["buffers"][0])
    before = {name: tensor.clone() for name, tensor in state.weights.tensors().items()}
    places = {tensor.data_ptr() for tensor in state.weights.changed()}
    train(state, 2)
    moved = [name for name, tensor in state.weights.tensors().items() if not torch.equal(tensor, before[name])]
    assert {name.split(".")[0] for name in moved} == {"weights", "averaged", "exp_avg", "exp_avg_sq", "step"}
    assert any("running_mean" in name for name in moved)
    assert all(state.weights.tensors()[name].data_ptr() in places for name in moved)


@pytest.mark.parametrize("name", ["buffers", "dropout", "plain"])
def test_a_step_as_a_gpu_replays_it_is_the_step(name):
    """On a CPU nothing is captured, but all is prepared for it. Preparing changes nothing."""
    build, _ = NETWORKS[name]
    drawn, replayed = (start(WITH_EMA, build=build) for _ in range(2))
    for state in (drawn, replayed):
        state.network.train()
    before, mode = arrays_of(replayed), torch.get_rng_state()
    chosen = torch.arange(8)
    step = loop._captured(replayed, chosen)
    assert_equal_bits(arrays_of(replayed), before, "the trial changed something")
    assert torch.equal(torch.get_rng_state(), mode)
    assert replayed.network.training
    for number in range(3):
        losses = []
        for state, update in ((drawn, lambda *batch: loop._update(drawn, *batch)), (replayed, step)):
            torch.manual_seed(number)
            losses.append(float(update(chosen + number, Drawing(generator(0, "batch", number)))))
            state.step += 1
        assert losses[0] == losses[1]
    assert_equal_bits(arrays_of(replayed), arrays_of(drawn), name)
