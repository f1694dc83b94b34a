"""What a subject learns from: the suite's side of `bumplab.subjects.protocol.TrainingData`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bumplab.config import DataSpec
from bumplab.data.bumps import render, render_factors, training_labels
from bumplab.randomness import derive, generator


class DeviceData(NamedTuple):
    """The same data for a training loop in torch: labels ``[K, 2]``, and the images of indices ``[B]``."""

    labels: Tensor
    images: Callable[[Tensor], Tensor]
    """``[B] -> [B, N, N]`` float32 in [0, 255], rendered on the device."""


class Feed:
    """The training data of a run: labels on the grid without the hole, and an image for each.

    In the shuffled control the bump of an image lies at another label, the same one for the whole run.
    """

    def __init__(self, data: DataSpec, seed: int, axis: Literal["x", "y"] | None = None):
        self._data, self._seed, self._axis = data, seed, axis
        labels = training_labels(data, seed)
        self._positions = labels
        if data.pairing == "shuffled":
            self._positions = labels[torch.randperm(len(labels), generator=generator(seed, "pairing"))]
        if axis is not None:
            labels = labels * torch.tensor([axis == "x", axis == "y"])
            if data.pairing == "true":
                labels = self._positions = torch.unique(labels, dim=0)
        self._labels = labels

    @property
    def labels(self) -> NDArray[np.float32]:
        """All training labels: ``[K, 2]`` in pixels, a copy."""
        return self._labels.numpy().copy()

    def images(self, which: NDArray[np.integer]) -> NDArray[np.float32]:
        """The images of these labels: float32 ``[B, N, N]`` in [0, 255]."""
        return self._render(self._positions[torch.as_tensor(which)]).numpy()

    def batch(self, step: int, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Images and labels of a batch, drawn with replacement. Equal steps give equal batches."""
        random = np.random.default_rng(derive(self._seed, "batch", step))
        which = random.integers(len(self._labels), size=size)
        return self.images(which), self._labels[which].numpy()

    def only(self, axis: Literal["x", "y"]) -> Feed:
        """Each x (or y) of the labels once, with 0 for the other axis. An image is a dark stripe along the column x.

        So a network of x is fed the same whatever the increment in y is. Shuffled labels stay as many as they are.
        """
        return Feed(self._data, self._seed, axis)

    def on(self, device: str) -> DeviceData:
        """The data for a training loop in torch that renders each batch on its device."""
        positions = self._positions.to(device)
        return DeviceData(self._labels.to(device), lambda which: self._render(positions[which]))

    def true_images(self, labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The images that a perfect generator draws for any labels ``[B, 2]``. For controls, not for subjects."""
        return self._render(torch.as_tensor(labels)).numpy()

    def _render(self, positions: Tensor) -> Tensor:
        size, sigma = self._data.image_size, self._data.sigma
        if self._axis is None:
            return render(positions, size, sigma)
        return render_factors(positions, size, sigma)[:, 0 if self._axis == "x" else 1]
