"""How a step is executed: threads, precision, memory format. Exact arithmetic would not tell the difference."""

from __future__ import annotations

import platform
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from bumplab.config import TrainingSpec

ModuleT = TypeVar("ModuleT", bound=nn.Module)

THREADS = 1
"""CPU threads of a training process. Two processes of one thread finish 1.3 times the steps of one process with two,
and weights are bit-identical between processes only at equal thread counts."""


def configure(device: str) -> None:
    """Settings of this process, made anew each time training or measuring begins.

    Anew, because UMAP's thread pool silently sets torch's back to all cores: two workers then took 1,200 ms for a step
    of 40 ms, and the weights depended on whether a run had been measured. The limit on the other pools (OpenBLAS,
    OpenMP) halves the processor time of measuring, half of which was threads waiting for one another.
    """
    if device == "cpu":
        threadpool_limits(THREADS)
        torch.set_num_threads(THREADS)
    else:
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


def place(network: ModuleT, device: str) -> ModuleT:
    """Moves the weights to the device, channels-last: 1.4 times as fast a step on a CPU at width 8."""
    moved: ModuleT = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def autocast(training: TrainingSpec, device: str) -> torch.autocast:
    """bf16 where the spec asks for it. At width 8 on a CPU it is no faster than float32 (`benchmarks/README.md`)."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=training.precision == "bf16")


def describe(device: str) -> dict[str, Any]:
    """What, beside the spec, decides a run's exact bits."""
    cuda = device != "cpu"
    return {
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if cuda else platform.machine(),
        "instructions": "cuda" if cuda else str(torch.backends.cpu.get_cpu_capability()),
        "threads": torch.get_num_threads(),
    }
