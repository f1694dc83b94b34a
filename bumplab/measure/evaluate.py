"""One checkpoint -> one row of numbers, with the images and embeddings behind them (Appendix B.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bumplab.config import LAYER_4, TOLERANCE, RunSpec
from bumplab.data.bumps import draw_in_hole, draw_off_grid, render, training_labels
from bumplab.diffusion.sampler import sample
from bumplab.diffusion.unet import UNet
from bumplab.measure.accuracy import MODES, accuracy, detect, failure_modes
from bumplab.measure.detector import Image, quantise
from bumplab.measure.representation import represent
from bumplab.randomness import derive, generator
from bumplab.training.speed import autocast, configure

SAMPLING_BATCH = 256
SHOWN = 25
"""Images kept for the report at each checkpoint, as in Fig. 3."""


@dataclass
class Measurement:
    """``row``: named numbers, NaN where undefined. ``evidence``: arrays for the report, by name."""

    row: dict[str, float]
    evidence: dict[str, NDArray[np.generic]] = field(default_factory=dict)


def label_sets(spec: RunSpec) -> dict[str, Tensor]:
    """The labels a run is measured on, ``[samples, 2]`` each: ``on_grid``, ``off_grid`` and, with a hole, ``in_hole``.

    They are the same at every checkpoint of a run, so that its curves do not jump with the draw.
    """
    data, count = spec.data, spec.measure.samples
    random = generator(spec.seed, "labels")
    labels = training_labels(data)
    sets = {"on_grid": labels[torch.randint(len(labels), (count,), generator=random)]}
    sets["off_grid"] = draw_off_grid(data, count, random)
    if data.hole:
        sets["in_hole"] = draw_in_hole(data, count, random, margin=TOLERANCE)
    return sets


def draw(network: UNet, spec: RunSpec, labels: Tensor, device: str) -> tuple[Image, dict[str, NDArray[np.float32]]]:
    """Samples for ``labels [B, 2]``: uint8 images ``[B, N, N]`` and the activations of `LAYER_4`, ``[B, D]`` each.

    Activations are read at the last sampling step of these very images. The noise depends on the run's seed alone.
    """
    images: list[NDArray[np.float32]] = []
    taps: dict[str, list[NDArray[np.float32]]] = {tap: [] for tap in LAYER_4}
    for first in range(0, len(labels), SAMPLING_BATCH):
        chunk = labels[first : first + SAMPLING_BATCH].to(device)
        random = generator(spec.seed, "sampling", first, device)
        noise = torch.randn(len(chunk), 1, spec.data.image_size, spec.data.image_size, device=device, generator=random)

        def record(tap: str, activation: Tensor) -> None:
            if tap in taps:
                taps[tap].append(activation.float().flatten(1).cpu().numpy())

        def denoise(x: Tensor, t: Tensor, last: bool, chunk: Tensor = chunk) -> Tensor:
            with autocast(spec.training, device):
                return network(x, t, chunk, record if last else None)  # type: ignore[no-any-return]

        images.append(sample(denoise, noise, spec.diffusion, random).cpu().numpy())
    grey, _ = quantise((np.concatenate(images) + 1) * 127.5)
    return grey, {tap: np.concatenate(parts) for tap, parts in taps.items()}


def evaluate(network: UNet, spec: RunSpec, device: str) -> Measurement:
    """Everything science asks of one checkpoint. Draws no global randomness and leaves the weights as they were."""
    configure(device)
    was_training = network.training
    network.eval()
    sets = label_sets(spec)
    images, taps = draw(network, spec, torch.cat(list(sets.values())), device)
    network.train(was_training)

    count = spec.measure.samples
    row: dict[str, float] = {}
    evidence: dict[str, NDArray[np.generic]] = {}
    for i, (name, labels) in enumerate(sets.items()):
        part = slice(i * count, (i + 1) * count)
        asked = labels.double().numpy()
        found = detect(images[part], spec.data.sigma)
        modes = failure_modes(found, asked)
        truth, _ = quantise(render(labels, spec.data.image_size, spec.data.sigma).numpy())
        ceiling = accuracy(detect(truth, spec.data.sigma).positions, asked)
        row |= {f"{name}.{key}": value for key, value in accuracy(found.positions, asked).items()}
        row |= {f"{name}.{key.replace('accuracy', 'ceiling')}": value for key, value in ceiling.items()}
        row |= {f"{name}.{mode}": float((modes == k).mean()) for k, mode in enumerate(MODES)}
        evidence |= {
            f"{name}.images": images[part][:SHOWN],
            f"{name}.labels": asked[:SHOWN].astype(np.float32),
            f"{name}.positions": found.positions[:SHOWN].astype(np.float32),
            f"{name}.modes": modes[:SHOWN].astype(np.uint8),
        }
        if name == "on_grid":
            evidence["embedding.labels"] = asked.astype(np.float32)
            for tap in LAYER_4:
                measures, embedding = represent(
                    taps[tap][part], asked, found.positions, derive(spec.seed, "embedding") % 2**32
                )
                row |= {f"{tap}.{key}": value for key, value in measures.items()}
                evidence[f"{tap}.embedding"] = embedding.astype(np.float16)
    return Measurement(row, evidence)
