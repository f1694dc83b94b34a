"""The UNet of the paper: size, shapes, roles, attention, conditioning and gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bumplab.config import ModelSpec
from bumplab.diffusion.encoding import encode_condition, sinusoidal
from bumplab.diffusion.unet import ROLES, SelfAttention, UNet, attention

SMALL = ModelSpec(width=4, encoding_dim=8, attention_heads=2)


def network(spec=SMALL, size=16):
    torch.manual_seed(0)
    return UNet(spec, size).eval()


def forward(net, size=16, labels=((3.0, 5.0), (8.0, 8.5))):
    x = torch.randn(len(labels), 1, size, size, generator=torch.Generator().manual_seed(1))
    t = torch.arange(len(labels)) * 400 + 10
    return net(x, t, torch.tensor(labels))


def outputs_of_roles(net, size=16):
    """The output of each role's module in a forward pass, in the order of the calls, and the network's output."""
    outputs, hooks = {}, []
    for role, name in ROLES.items():
        hook = lambda module, inputs, output, role=role: outputs.update({role: output})  # noqa: E731
        hooks.append(net.get_submodule(name).register_forward_hook(hook))
    result = forward(net, size)
    for hook in hooks:
        hook.remove()
    return outputs, result


@pytest.fixture(scope="module")
def paper():
    """The UNet at the paper's width, on the paper's canvas, with the roles' activations and its output."""
    torch.manual_seed(0)
    net = UNet(ModelSpec(), 32).eval()
    with torch.inference_mode():
        taps, output = outputs_of_roles(net, 32)
    return net, output, taps


def test_the_papers_width_has_about_23_million_parameters(paper):
    assert 22e6 < sum(p.numel() for p in paper[0].parameters()) < 25e6


def test_the_output_and_the_roles_have_the_documented_shapes(paper):
    _, output, taps = paper
    assert output.shape == (2, 1, 32, 32)
    assert output.dtype == torch.float32
    assert {role: tuple(a.shape[1:]) for role, a in taps.items()} == {
        "encoder": (256, 4, 4),
        "bottleneck": (256, 4, 4),
        "layer4": (128, 8, 8),
        "layer4-injected": (128, 8, 8),
    }
    assert list(taps) == ["encoder", "bottleneck", "layer4", "layer4-injected"], "in the order of the forward pass"


def test_channels_are_those_of_the_paper(paper):
    """Output channels of each double convolution: 64-128-256-256, 512-512-256, 128-64-64."""
    net = paper[0]
    down = [net.stem, net.down1.change, net.down2.change, net.down3.change]
    up = [net.up1.change, net.up2.change, net.up3.change]
    outputs = [[conv.conv2.out_channels for conv in part] for part in (down, net.bottleneck, up)]
    assert outputs == [[64, 128, 256, 256], [512, 512, 256], [128, 64, 64]]


def test_blocks_are_built_as_described(paper):
    """A block is two conv3x3 - GroupNorm - GELU - conv3x3 - GroupNorm, the first residual, then SiLU - Linear."""
    net = paper[0]
    for block in (net.down1, net.down2, net.down3, net.up1, net.up2, net.up3):
        assert (block.mix.residual, block.change.residual) == (True, False)
        assert block.mix.conv1.in_channels == block.mix.conv2.out_channels == block.change.conv1.in_channels
        assert [type(m) for m in block.inject] == [nn.SiLU, nn.Linear]
        assert block.inject[1].in_features == 3 * 256
        assert block.inject[1].out_features == block.change.conv2.out_channels
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m is not net.head]
    assert {m.kernel_size for m in convolutions} == {(3, 3)}
    assert sum(isinstance(m, nn.GroupNorm) for m in net.modules()) == len(convolutions) == 2 * (1 + 6 * 2 + 3)
    assert not any(isinstance(m, nn.Embedding) for m in net.modules())


def test_attention_follows_blocks_with_maps_up_to_the_limit():
    """Maps after the six blocks of a 32-pixel canvas are 16, 8, 4, 8, 16 and 32 wide."""
    sizes = {"down1": 16, "down2": 8, "down3": 4, "up1": 8, "up2": 16, "up3": 32}
    for largest, count in ((1024, 6), (32, 6), (16, 5), (8, 3), (4, 1), (1, 0)):
        net = network(ModelSpec(width=4, encoding_dim=8, attention_heads=1, attention_max_size=largest), 32)
        attends = {name: isinstance(getattr(net, f"attend_{name}"), SelfAttention) for name in sizes}
        assert attends == {name: size <= largest for name, size in sizes.items()}, largest
        assert sum(isinstance(m, SelfAttention) for m in net.modules()) == count, largest
        with torch.inference_mode():
            assert forward(net, 32).shape == (2, 1, 32, 32), largest


def test_the_roles_of_layer_4_differ_by_the_label_injection_alone():
    """The injection is one number per channel. It depends on the label, and layer4 comes before it."""
    net = network()
    with torch.inference_mode():
        taps, output = outputs_of_roles(net)
        assert torch.equal(output, forward(net)), "hooks changed the output"
        injected = taps["layer4-injected"] - taps["layer4"]
        condition = encode_condition(torch.tensor([10, 410]), torch.tensor([[3.0, 5.0], [8.0, 8.5]]), 8)
        assert torch.allclose(injected, net.up1.inject(condition)[:, :, None, None].expand_as(injected), atol=1e-5)
        assert not torch.allclose(injected[0], injected[1], atol=1e-3)
        net.up1.inject[1].bias += 1.0
        after, _ = outputs_of_roles(net)
    assert torch.equal(after["layer4"], taps["layer4"])
    assert torch.allclose(after["layer4-injected"], taps["layer4-injected"] + 1, atol=1e-5)


def test_gradients_reach_every_parameter():
    for size in (16, 32):
        net = network(size=size)
        forward(net, size).square().sum().backward()
        dead = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
        assert dead == [], size


def test_images_of_a_batch_do_not_mix():
    net = network()
    with torch.inference_mode():
        x, t = torch.randn(3, 1, 16, 16), torch.tensor([1, 500, 999])
        labels = torch.tensor([[1.0, 2.0], [9.0, 4.0], [5.0, 15.0]])
        one_by_one = torch.cat([net(x[i : i + 1], t[i : i + 1], labels[i : i + 1]) for i in range(3)])
        assert torch.allclose(net(x, t, labels), one_by_one, atol=1e-4)


def test_output_depends_on_timestep_x_and_y():
    net, x = network(), torch.randn(1, 1, 16, 16)
    with torch.inference_mode():
        base = net(x, torch.tensor([100]), torch.tensor([[4.0, 9.0]]))
        for t, label in ((600, (4.0, 9.0)), (100, (6.0, 9.0)), (100, (4.0, 6.0)), (100, (9.0, 4.0))):
            assert not torch.allclose(net(x, torch.tensor([t]), torch.tensor([label])), base, atol=1e-4)


@given(x=st.floats(0, 32), y=st.floats(0, 32), small=st.floats(1e-3, 0.1))
def test_encoding_is_continuous_and_keeps_t_x_and_y_apart(x, y, small):
    """A change of the label moves its own third by at most the change times the norm of the frequencies."""
    t, labels = torch.tensor([7]), torch.tensor([[x, y]])
    base = encode_condition(t, labels, 64)
    assert base.shape == (1, 192)
    frequencies = torch.logspace(0, -4, 32)
    for axis in (0, 1):
        step = torch.zeros(1, 2)
        step[0, axis] = small
        moved = (encode_condition(t, labels + step, 64) - base).reshape(3, 64)
        distance = float(moved[1 + axis].norm())
        assert 0.5 * small < distance < 1.1 * small * float(frequencies.norm())
        assert bool((moved[[0, 2 - axis]] == 0).all())


def test_encoding_is_sines_and_cosines_of_geometric_frequencies():
    values = torch.tensor([0.0, 1.5, 31.9])
    angles = values[:, None] * torch.logspace(0, -4, 16)
    assert torch.allclose(sinusoidal(values, 32), torch.cat([angles.sin(), angles.cos()], dim=1), atol=1e-5)


def test_attention_equals_the_fused_kernel():
    """In bf16 on a CPU by plain products, up to 256 pixels at once and then head by head."""
    for pixels in (1, 16, 256, 300):
        q, k, v = torch.randn(3, 2, 4, pixels, 8, generator=torch.Generator().manual_seed(pixels))
        expected = F.scaled_dot_product_attention(q, k, v)
        assert torch.allclose(attention(q, k, v), expected, atol=1e-5), pixels
        in_bf16 = attention(*(part.bfloat16() for part in (q, k, v)))
        assert in_bf16.dtype == torch.bfloat16
        assert torch.allclose(in_bf16.float(), expected, atol=0.05), pixels
