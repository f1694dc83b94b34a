"""The two kinds of generator: what each learns to draw. The factorized one passes nothing between x and y."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bumplab.config import DataSpec, ModelSpec, RunSpec
from bumplab.data.bumps import render
from bumplab.diffusion.generator import FactorizedUNet, build, channels, clean, compose
from bumplab.diffusion.unet import TAPS, UNet

JOINT = RunSpec(DataSpec(image_size=16), ModelSpec(width=4, encoding_dim=8, attention_heads=1, attention_max_size=8))
FACTORIZED = replace(JOINT, model=replace(JOINT.model, kind="factorized"))
COORDINATES = {"x": 0, "y": 1}
LABELS = torch.tensor([[3.0, 5.0], [8.0, 8.5]])
T = torch.tensor([10, 410])


def inputs(seed=0):
    return torch.randn(2, 2, 16, 16, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build(FACTORIZED).eval()


def test_a_factorized_generator_is_two_different_networks():
    joint, factorized = build(JOINT), build(FACTORIZED)
    assert type(joint) is UNet
    assert type(factorized) is FactorizedUNet
    sizes = [sum(p.numel() for p in network.parameters()) for network in (joint, factorized)]
    assert sizes[1] == 2 * sizes[0]
    x, y = (part.stem.conv1.weight for part in (factorized.x, factorized.y))
    assert x is not y
    assert not torch.equal(x, y), "the two networks begin alike"


@pytest.mark.parametrize("spec", [JOINT, FACTORIZED], ids=["joint", "factorized"])
@given(x=st.floats(0, 16, width=32), y=st.floats(0, 16, width=32), sigma=st.floats(0.5, 2))
def test_learned_images_compose_to_the_bump(spec, x, y, sigma):
    spec, labels = replace(spec, data=replace(spec.data, sigma=sigma)), torch.tensor([[x, y], [y, x], [4.0, 9.0]])
    learned = clean(spec, labels)
    assert learned.shape == (3, channels(spec), 16, 16)
    assert float(learned.abs().max()) <= 1
    assert torch.allclose(compose(spec, learned), render(labels, 16, sigma), atol=1e-2)


def test_the_output_has_the_shape_of_the_learned_images(network):
    for spec, built in ((JOINT, build(JOINT).eval()), (FACTORIZED, network)):
        with torch.inference_mode():
            output = built(inputs()[:, : channels(spec)], T, LABELS)
        assert output.shape == clean(spec, LABELS).shape, spec.model.kind
        assert output.dtype == torch.float32


def test_a_channel_depends_on_its_own_label_and_noise_alone(network):
    """Bit for bit: the other coordinate's label and image may be anything."""
    x = inputs()
    with torch.inference_mode():
        base = network(x, T, LABELS)
        for axis, channel in COORDINATES.items():
            other = 1 - channel
            for seed in range(3):
                changed, labels = x.clone(), LABELS.clone()
                changed[:, other] = 5 * inputs(seed + 1)[:, other]
                labels[:, other] = torch.tensor([15.0, 0.5]) / (seed + 1)
                output = network(changed, T, labels)
                assert torch.equal(output[:, channel], base[:, channel]), (axis, seed)
                assert not torch.allclose(output[:, other], base[:, other], atol=1e-4), (axis, seed)
            labels = LABELS.clone()
            labels[:, other] += 2.0
            moved = network(x, T, labels)[:, other]
            assert not torch.allclose(moved, base[:, other], atol=1e-5), f"the label of {axis}'s neighbour is ignored"


def test_gradients_of_a_channel_stay_in_its_network(network):
    for axis, channel in COORDINATES.items():
        other = 1 - channel
        x, labels = inputs().requires_grad_(), LABELS.clone().requires_grad_()
        network.zero_grad(set_to_none=True)
        network(x, T, labels)[:, channel].square().sum().backward()
        for gradient in (x.grad, labels.grad):
            assert bool((gradient[:, other] == 0).all()), axis
            assert bool((gradient[:, channel] != 0).any()), axis
        others = getattr(network, "yx"[channel]).parameters()
        assert all(p.grad is None or not bool(p.grad.any()) for p in others), axis
        assert all(bool(p.grad.any()) for p in getattr(network, axis).parameters()), axis


def test_taps_concatenate_those_of_both_networks(network):
    taps, recorded = {}, []

    def record(tap, activation):
        recorded.append(tap)
        taps[tap] = activation

    x, none = inputs(), torch.zeros(2)
    alone = {"x": {}, "y": {}}
    with torch.inference_mode():
        output = network(x, T, LABELS, record)
        network.x(x[:, :1], T, torch.stack([LABELS[:, 0], none], dim=1), alone["x"].__setitem__)
        network.y(x[:, 1:], T, torch.stack([none, LABELS[:, 1]], dim=1), alone["y"].__setitem__)
        assert torch.equal(network(x, T, LABELS), output), "recording changed the output"
    assert recorded == list(TAPS), "each tap once, in order"
    for tap in TAPS:
        assert torch.equal(taps[tap], torch.cat([alone["x"][tap], alone["y"][tap]], dim=1))
        assert taps[tap].shape[1] == 2 * alone["x"][tap].shape[1]
