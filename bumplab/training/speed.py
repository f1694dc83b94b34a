"""How a step is executed: threads, precision, memory format. Exact arithmetic would not tell the difference."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from bumplab.config import TrainingSpec

ModuleT = TypeVar("ModuleT", bound=nn.Module)

THREADS = 1
"""CPU threads of a training process. Two processes of one thread finish 1.3 times the steps of one process with two,
and weights are bit-identical between processes only at equal thread counts."""


LIBRARIES = ("numpy", "scipy", "scikit-learn", "umap-learn", "pynndescent", "numba")
"""Those that a measured number depends on, beside torch and OpenCV."""

COMPILING = {"force_layout_optimization": True, "combo_kernels": True}
"""Of torch.compile: channels last all through, and small operations that do not wait for one another in one kernel."""


@cache
def keep_memory() -> None:
    """Has glibc keep what is freed instead of giving it back: each step would otherwise fault its pages in anew.

    Costs no more memory than a step's peak. Elsewhere than on glibc nothing is changed.
    """
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # older versions allow 32 MB at most; without it the other setting would freeze the threshold at 128 kB
    if mallopt is not None and (mallopt(mmap_threshold, 2**30) or mallopt(mmap_threshold, 2**25)):
        mallopt(trim_threshold, 2**31 - 1)


def configure(device: str) -> None:
    """Settings of this process, made anew each time training or measuring begins.

    Anew, because UMAP's thread pool silently sets torch's back to all cores: two workers then took 1,200 ms for a step
    of 40 ms, and the weights depended on whether a run had been measured. The limit on the other pools (OpenBLAS,
    OpenMP) halves the processor time of measuring, half of which was threads waiting for one another.
    """
    threadpool_limits(THREADS)
    torch.set_num_threads(THREADS)
    if device == "cpu":
        keep_memory()
    else:
        torch.cuda.set_device(device)
        fast = not exact()
        torch.backends.cuda.matmul.allow_tf32 = fast
        torch.backends.cudnn.allow_tf32 = fast
        torch.backends.cudnn.benchmark = fast


def place(network: ModuleT, device: str) -> ModuleT:
    """Moves the weights to the device, channels-last, and compiles on a GPU when first called.

    Not on a CPU: compiling takes as long there as training three quick runs, and a step then 0.9 of the time.
    """
    moved: ModuleT = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device != "cpu" and not exact():
        moved.compile(dynamic=False, options=COMPILING)
    return moved


def flatten(network: nn.Module) -> nn.Parameter:
    """Moves the weights into one vector and their gradients into its ``grad``; the network's tensors become views.

    So the optimizer, the moving average and the check for NaN are one operation each, not one for each of 170 tensors:
    the difference is a tenth of the step of a small network.
    """
    flat = nn.Parameter(
        torch.cat([weight.detach().as_strided((weight.numel(),), (1,)) for weight in network.parameters()])
    )
    flat.grad = torch.zeros_like(flat)
    gradients = views(network, flat.grad)
    for (name, weight), view in zip(network.named_parameters(), views(network, flat.detach()).values(), strict=True):
        weight.data, weight.grad = view, gradients[name]
    return flat


def differentiate(loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Writes the gradient of ``loss`` into the vector that `flatten` made for it, which is the optimizer's.

    On a CPU each part as soon as it is known, while it is in the cache: gathering them takes a step 1 to 3 % longer.
    """
    if loss.device.type == "cpu":
        optimizer.zero_grad(set_to_none=False)
        loss.backward()  # type: ignore[no-untyped-call]
    else:
        gather(loss, network)


def gather(loss: Tensor, network: nn.Module) -> None:
    """The same with all parts copied at once: to accumulate them is a kernel for each of 180 tensors on a GPU."""
    weights = list(network.parameters())
    gradients: list[Any] = [weight.grad for weight in weights]
    torch._foreach_copy_(gradients, torch.autograd.grad(loss, weights))


def views(network: nn.Module, flat: Tensor) -> dict[str, Tensor]:
    """The parts of ``flat``, a vector laid out as `flatten` lays out the network's weights, by the weights' names."""
    parts, offset = {}, 0
    for name, weight in network.named_parameters():
        parts[name] = flat.as_strided(weight.shape, weight.stride(), flat.storage_offset() + offset)
        offset += weight.numel()
    return parts


def autocast(training: TrainingSpec, device: str) -> torch.autocast:
    """bf16 where the spec asks for it and the processor has it, else float32 (see `has_bf16`).

    At width 8 on a CPU it is no faster than float32 (`benchmarks/README.md`).
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=training.precision == "bf16" and has_bf16(device))


@cache
def has_bf16(device: str) -> bool:
    """Whether torch multiplies bf16 there otherwise than by a plain loop.

    It does by oneDNN on a CPU with AVX-512. With AVX2 alone a step at width 64 took 51 s in bf16, 4 s plainly.
    """
    if device == "cpu":
        # a build without oneDNN does not have the operator at all
        built = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return bool(built and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def captures(device: torch.device) -> bool:
    """Whether `capture` makes a graph there: on a GPU, unless bits are to repeat."""
    return device.type != "cpu" and not exact()


def capture(
    function: Callable[..., Tensor], example: Sequence[Tensor], changes: Sequence[Tensor] = ()
) -> Callable[..., Tensor]:
    """``function`` of tensors like those of ``example``, on a GPU as one CUDA graph; on a CPU and in exact mode itself.

    A graph is launched at once, where the CPU would take longer to launch its hundreds of kernels than the GPU to run
    them. ``changes``: the tensors that a call changes, put back after the trial calls that capturing needs. The result
    is overwritten by the next call, which may give fewer rows than the example's: the last rows then mean nothing.
    """
    if not captures(example[0].device):
        return function
    inputs = [tensor.clone() for tensor in example]
    before = [tensor.clone() for tensor in changes]
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):  # compiles, and lets cuDNN choose
            function(*inputs)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function(*inputs)
    for tensor, value in zip(changes, before, strict=True):
        tensor.copy_(value)

    def replay(*given: Tensor) -> Tensor:
        for into, value in zip(inputs, given, strict=True):
            into[: len(value)].copy_(value)
        graph.replay()
        return result

    return replay


def exact() -> bool:
    """Whether a GPU is to repeat a run bit for bit (``--exact``), at the cost of speed: torch's own global setting."""
    return torch.are_deterministic_algorithms_enabled()


def describe(device: str) -> dict[str, Any]:
    """What, beside the spec, decides a run's exact bits: the machine, and the libraries that train and measure."""
    import cv2  # not by its package's version: the same module comes from opencv-python and from its headless build

    cuda = device != "cpu"
    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if cuda else platform.machine(),
        "instructions": "cuda" if cuda else str(torch.backends.cpu.get_cpu_capability()),
        "threads": torch.get_num_threads(),
        "bf16": has_bf16(device),
        "exact": not cuda or exact(),
        "opencv": cv2.__version__,
        **{library: version(library) for library in LIBRARIES},
    }
