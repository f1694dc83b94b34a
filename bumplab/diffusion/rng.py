"""The random numbers of one training step or one draw, as an objective asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

Request = Callable[["Rng"], Tensor]
"""One call of an `Rng`, made again."""


class Rng(Protocol):
    """Random tensors on the device. An objective takes all its randomness from here, so that a run can be repeated."""

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32."""
        ...

    def uniform(self, *shape: int) -> Tensor:
        """Numbers from 0 to 1, float32."""
        ...

    def integers(self, below: int, *shape: int) -> Tensor:
        """Whole numbers from 0 to ``below - 1``, int64."""
        ...


class Drawing:
    """Draws from a generator. It keeps the requests, so that they can be made again."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator
        self.requests: list[Request] = []

    def normal(self, *shape: int) -> Tensor:
        self.requests.append(lambda rng: rng.normal(*shape))
        return torch.randn(*shape, device=self.generator.device, generator=self.generator)

    def uniform(self, *shape: int) -> Tensor:
        self.requests.append(lambda rng: rng.uniform(*shape))
        return torch.rand(*shape, device=self.generator.device, generator=self.generator)

    def integers(self, below: int, *shape: int) -> Tensor:
        self.requests.append(lambda rng: rng.integers(below, *shape))
        return torch.randint(below, shape, device=self.generator.device, generator=self.generator)


class Prepared:
    """Gives tensors that were drawn before, in their order. A captured step reads them: it cannot draw itself."""

    def __init__(self, tensors: Sequence[Tensor]):
        self._tensors: Iterator[Tensor] = iter(tensors)

    def normal(self, *shape: int) -> Tensor:
        return next(self._tensors)

    def uniform(self, *shape: int) -> Tensor:
        return next(self._tensors)

    def integers(self, below: int, *shape: int) -> Tensor:
        return next(self._tensors)
