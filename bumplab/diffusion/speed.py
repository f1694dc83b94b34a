"""How a step is executed: threads, precision, memory format. In exact arithmetic, results would not depend on it."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from bumplab.config import TrainingSpec

ModuleT = TypeVar("ModuleT", bound=nn.Module)

THREADS = 1
"""CPU threads of a training process. Two processes of one thread finish 1.3 times the steps of one process of two.

Weights are bit-identical between processes only at equal thread counts.
"""
COMPILING = {"force_layout_optimization": True, "combo_kernels": True}
"""Options of torch.compile: channels last in all layers, and independent small operations in one kernel."""


@cache
def keep_memory() -> None:
    """Makes glibc keep freed memory. Otherwise each step would page its memory in again.

    This costs no more memory than a step's peak. Without glibc, nothing changes.
    """
    trim_threshold, mmap_threshold = -1, -3  # malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # older versions allow at most 32 MB; setting the trim threshold alone would freeze the other one at 128 kB
    if mallopt is not None and (mallopt(mmap_threshold, 2**30) or mallopt(mmap_threshold, 2**25)):
        mallopt(trim_threshold, 2**31 - 1)


def configure(device: str) -> None:
    """Sets threads, memory and matrix products of this process. Called each time that training or measuring begins.

    UMAP's thread pool resets torch's threads to all cores. With two workers a step then took 1,200 ms instead of 40 ms,
    and the weights depended on whether a run had been measured. The limit on the other pools (OpenBLAS, OpenMP) halves
    the processor time of measuring: their threads had waited for one another.
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


def to_device(network: ModuleT, device: str, compiled: bool) -> ModuleT:
    """Moves the weights to the device, channels-last. A GPU compiles a ``compiled`` network when it is first called.

    A CPU does not: compiling takes as long as training three quick runs, and then saves a tenth of each step.
    """
    moved: ModuleT = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled and device != "cpu" and not exact():
        moved.compile(dynamic=False, options=COMPILING)
    return moved


def flatten(network: nn.Module) -> nn.Parameter:
    """Moves the weights into one vector and their gradients into its ``grad``. The network's tensors become views.

    So the optimizer, the moving average and the check for NaN are one operation each instead of 170. This saves a tenth
    of a small network's step.
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
    """Writes the gradient of ``loss`` into the vector of gradients that `flatten` made.

    A CPU writes each part as soon as it is computed, while it is in the cache. `gather` would make a step 1 to 3 %
    longer there.
    """
    if loss.device.type == "cpu":
        optimizer.zero_grad(set_to_none=False)
        loss.backward()  # type: ignore[no-untyped-call]
    else:
        gather(loss, network)


def gather(loss: Tensor, network: nn.Module) -> None:
    """Writes the gradient of ``loss``, all parts at once. Part by part, a GPU would launch 180 kernels."""
    weights = list(network.parameters())
    gradients: list[Any] = [weight.grad for weight in weights]
    torch._foreach_copy_(gradients, torch.autograd.grad(loss, weights, materialize_grads=True))


def views(network: nn.Module, flat: Tensor) -> dict[str, Tensor]:
    """The parts of a vector in the order of `flatten`, by the names of the network's weights."""
    parts, offset = {}, 0
    for name, weight in network.named_parameters():
        parts[name] = flat.as_strided(weight.shape, weight.stride(), flat.storage_offset() + offset)
        offset += weight.numel()
    return parts


def autocast(training: TrainingSpec, device: str) -> torch.autocast:
    """bf16 where the spec asks for it and `has_bf16` holds, else float32.

    At width 8 on a CPU, bf16 is no faster than float32 (`benchmarks/README.md`).
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=training.precision == "bf16" and has_bf16(device))


@cache
def has_bf16(device: str) -> bool:
    """Whether the device has fast bf16 products. A CPU has them through oneDNN with AVX-512.

    With AVX2 alone, torch uses a plain loop: a step at width 64 took 51 s in bf16 and 4 s in float32.
    """
    if device == "cpu":
        # a build without oneDNN lacks the operator
        built = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return bool(built and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def captures(device: torch.device) -> bool:
    """Whether `capture` makes a CUDA graph: on a GPU, unless in exact mode."""
    return device.type != "cpu" and not exact()


def capture(
    function: Callable[..., Tensor], example: Sequence[Tensor], changes: Sequence[Tensor] = ()
) -> Callable[..., Tensor]:
    """On a GPU, ``function`` as one CUDA graph. On a CPU and in exact mode, ``function`` itself.

    ``example`` holds tensors of the shapes that calls will have. ``changes`` holds the tensors that a call changes:
    capturing calls ``function`` a few times, and then restores them. A graph launches hundreds of kernels at once. The
    CPU would take longer to launch them one by one than the GPU takes to run them.

    Each call overwrites the result of the last. A call may pass fewer rows than ``example`` has; ignore the result's
    rows beyond them.
    """
    if not captures(example[0].device):
        return function
    inputs = [tensor.clone() for tensor in example]
    before = [tensor.clone() for tensor in changes]
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):  # compiles the network, and lets cuDNN choose its algorithms
            function(*inputs)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function(*inputs)
    for tensor, value in zip(changes, before, strict=True):
        tensor.copy_(value)

    def replay(*tensors: Tensor) -> Tensor:
        for held, value in zip(inputs, tensors, strict=True):
            held[: len(value)].copy_(value)
        graph.replay()
        return result

    return replay


def exact() -> bool:
    """Whether a GPU must repeat a run bit for bit (``--exact``), which is slower. This is a global setting of torch."""
    return torch.are_deterministic_algorithms_enabled()


def describe(device: str) -> dict[str, Any]:
    """What decides a run's exact bits beside its spec and the libraries that measure: torch and the machine."""
    cuda = device != "cpu"
    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if cuda else platform.machine(),
        "instructions": "cuda" if cuda else str(torch.backends.cpu.get_cpu_capability()),
        "threads": torch.get_num_threads(),
        "bf16": has_bf16(device),
        "exact": not cuda or exact(),
    }


def gpu(worker: int, exactly: bool) -> str | None:
    """torch's name of the GPU for this worker, or None where there is no GPU.

    With ``exactly`` torch computes deterministically from here on.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        return None
    if exactly:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch reads it at its first use of the GPU
        torch.use_deterministic_algorithms(True)
    return f"cuda:{worker % count}"
