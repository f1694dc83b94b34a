"""What is fast computes the same: networks against the plain one, one vector of weights, steps that a GPU replays."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import plain
from bumplab import profiles
from bumplab.diffusion import loop, speed, unet
from bumplab.diffusion.encoding import encode_condition
from bumplab.diffusion.loop import train
from bumplab.diffusion.rng import Drawing
from bumplab.diffusion.unet import Norm, UNet
from bumplab.randomness import generator
from tests.diffusion.unets import start

SMOKE = profiles.get("smoke").run(0)
QUICK = profiles.get("quick").run(0)
WIDE = replace(  # attention on every map and several heads, as in the paper
    SMOKE, model=replace(SMOKE.model, attention_max_size=1024, attention_heads=4, norm_groups=1)
)
HALF = replace(WIDE, training=replace(WIDE.training, precision="bf16"))
BF16, FLOAT32 = 2.0**-8, 2.0**-23
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch sees no CUDA device")
EVERYWHERE = ["cpu", pytest.param("cuda:0", marks=[pytest.mark.gpu, gpu])]


def inputs_of(state):
    """A batch as a network gets it: noise, timesteps and labels."""
    rng = Drawing(generator(0, "batch"))
    chosen = rng.integers(len(state.data.labels), 8)
    return rng.normal(8, 1, 16, 16), rng.integers(1000, 8), state.data.labels[chosen]


def vector_of(state):
    return state.weights.vectors["weights"]


@pytest.fixture
def double(monkeypatch):
    """Makes conditions float64, as weights and images are. A difference that is left is then no rounding."""
    for module in (unet, plain):
        monkeypatch.setattr(module, "encode_condition", lambda *args: encode_condition(*args).double())


def test_the_network_computes_what_the_plain_one_does(double, monkeypatch):
    """With the operations that it uses on a CPU, and with those on a GPU."""
    for spec, on_gpu in product((SMOKE, QUICK, WIDE), (False, True)):
        monkeypatch.setattr(unet, "_on_gpu", lambda x, on_gpu=on_gpu: on_gpu)
        network = UNet(spec.model, spec.data.image_size).double()
        theirs = plain.PlainUNet(network, spec)
        noise, *condition = inputs_of(start(spec))
        inputs = (noise.double(), *condition)
        expected, output = theirs(*inputs), network(*inputs)
        assert torch.allclose(output.double(), expected, atol=1e-6), (spec, on_gpu)  # the output is float32
        weight = torch.randn(output.shape)
        (output * weight).sum().backward()
        (expected * weight).sum().backward()
        for name, parameter in network.named_parameters():
            gradient = theirs.w[name].grad
            assert float((parameter.grad - gradient).norm() / gradient.norm()) < 1e-6, (name, spec, on_gpu)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "tolerance"), [(SMOKE, 0.01), (WIDE, 0.01), (HALF, 0.03)], ids=["smoke", "wide", "bf16"]
)
@pytest.mark.parametrize("device", EVERYWHERE)
def test_200_steps_lose_what_they_lose_plainly(spec, tolerance, device):
    """The mean loss of each 50 steps is within 1 % (bf16: 3 %). Single steps differ, as rounding errors grow."""
    fast = start(spec, device)
    plainly = plain.PlainTraining(fast, replace(spec, training=replace(spec.training, precision="float32")))
    for until in range(50, 201, 50):
        expected = sum(plainly.train(until)) / 50
        assert train(fast, until) == pytest.approx(expected, rel=tolerance)


def test_bf16_is_used_where_the_processor_has_it(monkeypatch):
    """Without it a step in bf16 would take 12 times as long, so the step is one in float32."""
    for has in (True, False):
        monkeypatch.setattr(speed, "has_bf16", lambda device, has=has: has)
        state, exact = start(HALF), start(WIDE)
        assert (train(state, 2) == train(exact, 2)) is not has
        assert torch.equal(vector_of(state), vector_of(exact)) is not has


def test_a_cpu_has_bf16_where_onednn_is_built_in_and_has_it(monkeypatch):
    """Where oneDNN is not built in, torch lacks the operator that would tell."""
    for has, built in product((True, False), (True, False)):
        operators = SimpleNamespace(_is_mkldnn_bf16_supported=lambda has=has: has) if built else SimpleNamespace()
        with monkeypatch.context() as patch:
            patch.setattr(torch, "ops", SimpleNamespace(mkldnn=operators))
            patch.setattr(torch.backends.mkldnn, "is_available", lambda built=built: built)
            assert speed.has_bf16.__wrapped__("cpu") is (built and has), (built, has)


def test_norm_is_group_norm_and_keeps_the_memory_format():
    torch.manual_seed(0)
    for groups, size in product((1, 4, 8), (8, 16, 32)):
        norm = Norm(groups, 8)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        x = torch.randn(3, 8, size, size).contiguous(memory_format=torch.channels_last)
        expected = F.group_norm(x, groups, norm.weight, norm.bias)
        assert torch.allclose(norm(x), expected, atol=1e-6), (groups, size)
        assert norm(x).is_contiguous(memory_format=torch.channels_last), (groups, size)


def test_the_formula_of_norm_that_a_gpu_uses_is_group_norm():
    torch.manual_seed(0)
    for groups in (1, 4, 8):
        norm = Norm(groups, 8).double()
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        x = torch.randn(3, 8, 4, 4).double().contiguous(memory_format=torch.channels_last).requires_grad_()
        ours, theirs = norm.formula(x), F.group_norm(x, groups, norm.weight, norm.bias)
        assert torch.allclose(ours, theirs, atol=1e-12), groups
        assert ours.is_contiguous(memory_format=torch.channels_last), groups
        weight, inputs = torch.randn_like(ours), (x, norm.weight, norm.bias)
        for a, b in zip(*(torch.autograd.grad((y * weight).sum(), inputs) for y in (ours, theirs)), strict=True):
            assert torch.allclose(a, b, atol=1e-10), groups
        with torch.no_grad():
            rounded = (8 + x).bfloat16()
            half, exact = norm.float().formula(rounded), F.group_norm(rounded.float(), groups, norm.weight, norm.bias)
        assert half.dtype == torch.bfloat16
        assert torch.allclose(half.float(), exact, atol=BF16 * float(exact.abs().max())), f"sums in bf16: {groups}"


def test_maps_double_on_a_gpu_as_interpolate_doubles_them():
    x = torch.randn(2, 3, 5, 4).double().requires_grad_()
    ours = unet.double(unet.double(x, 2), 3)
    theirs = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert torch.allclose(ours, theirs, atol=1e-12)
    weight = torch.randn_like(ours)
    a, b = (torch.autograd.grad((y * weight).sum(), x)[0] for y in (ours, theirs))
    assert torch.allclose(a, b, atol=1e-12)


def test_one_vector_holds_all_weights_and_all_gradients():
    network = speed.to_device(UNet(SMOKE.model, 16), "cpu", compiled=True)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    flat = speed.flatten(network)
    assert flat.numel() == sum(weight.numel() for weight in before.values())
    assert all(torch.equal(weight, before[name]) for name, weight in network.named_parameters())
    convolution = network.down2.mix.conv1.weight
    assert convolution.is_contiguous(memory_format=torch.channels_last)
    network(*inputs_of(start(SMOKE))).square().sum().backward()
    assert all(
        torch.equal(part, network.get_parameter(name).grad) for name, part in speed.views(network, flat.grad).items()
    )
    assert float(flat.grad.norm()) > 0
    with torch.no_grad():
        flat.zero_()
    assert not any(bool(weight.any()) for weight in network.parameters())


def test_gradients_gathered_as_on_a_gpu_are_those_accumulated():
    state = start(SMOKE)
    optimizer = state.weights.optimizer
    (flat,) = optimizer.param_groups[0]["params"]
    gradients = []
    for write in (lambda loss: speed.differentiate(loss, state.network, optimizer),
                  lambda loss: speed.gather(loss, state.network)):  # fmt: skip
        flat.grad.fill_(7.0)  # as the step before left it
        write(state.network(*inputs_of(state)).square().sum())
        gradients.append(flat.grad.clone())
    assert float(gradients[0].norm()) > 0
    assert torch.equal(*gradients)


class Questions(TorchDispatchMode):
    """Counts the copies of a number from the device. Each makes the CPU wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.asked += function.name().split(".")[0] in ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal")
        return function(*args, **(kwargs or {}))


def test_a_step_asks_the_device_for_no_number(monkeypatch):
    """Exceptions are the check of labels, which is made on a CPU alone, and the CPU's optimizer."""
    state = start(HALF)
    monkeypatch.setattr(state.weights.optimizer, "step", lambda: None)
    rng = Drawing(generator(0, "batch"))
    chosen = rng.integers(len(state.data.labels), 8)
    with Questions() as questions:
        loop._update(state, chosen, rng)
    assert questions.asked == 1
    with Questions() as questions:
        float(vector_of(state)[0])
    assert questions.asked == 1, "the count sees nothing"


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SMOKE, HALF], ids=["float32", "bf16"])
def test_the_network_compiles_to_one_graph_that_computes_the_same(spec):
    state = start(spec)
    inputs = inputs_of(state)
    compiled = torch.compile(state.network, backend="aot_eager", fullgraph=True, dynamic=False)
    unit = BF16 if spec.training.precision == "bf16" else FLOAT32
    with speed.autocast(spec.training, "cpu"):
        ours, theirs = compiled(*inputs), state.network(*inputs)
    assert torch.allclose(ours, theirs, atol=32 * unit)
    gradients = []
    for output in (ours, theirs):
        state.weights.optimizer.zero_grad(set_to_none=False)
        output.square().sum().backward()
        gradients.append(torch.cat([weight.grad.flatten().clone() for weight in state.network.parameters()]))
    assert float((gradients[0] - gradients[1]).norm() / gradients[1].norm()) < 64 * unit
    assert float(gradients[1].norm()) > 0


def test_torch_knows_what_compiling_is_asked_for():
    """A name that a later torch lacks would fail on a GPU alone."""
    assert speed.COMPILING.keys() <= set(torch._inductor.list_options())


def test_on_a_cpu_nothing_is_captured():
    def function(x):
        return x + 1

    assert speed.capture(function, [torch.zeros(1)]) is function


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("spec", [SMOKE, HALF], ids=["float32", "bf16"])
def test_a_captured_step_is_the_step(spec, monkeypatch):
    """Three replayed steps end in the weights of three launched ones. Capturing itself trains nothing."""
    captured = start(spec, "cuda:0")
    train(captured, 3)
    monkeypatch.setattr(speed, "capture", lambda function, *_: function)
    launched = start(spec, "cuda:0")
    train(launched, 3)
    assert captured.step == launched.step == 3
    a, b = vector_of(captured), vector_of(launched)
    assert float((a - b).norm() / b.norm()) < 1e-3


@pytest.mark.gpu
@gpu
def test_the_exact_mode_repeats_bit_for_bit(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        weights = []
        for _ in range(2):
            state = start(SMOKE, "cuda:0")
            train(state, 5)
            weights.append(vector_of(state).clone())
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*weights)
