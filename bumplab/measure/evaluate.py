"""One checkpoint -> one row of numbers, with the images and embeddings behind them (Appendix B.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bumplab.config import LAST_TAPS, LAYER_4, TOLERANCE, RunSpec
from bumplab.data.bumps import draw_in_hole, draw_off_grid, nearest_labels, render, training_labels
from bumplab.diffusion.generator import FactorizedUNet, channels, compose
from bumplab.diffusion.sampler import Denoiser, sample
from bumplab.diffusion.unet import UNet
from bumplab.measure.accuracy import accuracy, detect, failure_modes
from bumplab.measure.detector import Image, quantise
from bumplab.measure.names import MODES, SHOWN, SamplesNotFinite, taps_at
from bumplab.measure.representation import represent
from bumplab.randomness import derive, generator
from bumplab.training.speed import autocast, capture, captures, configure

SAMPLING_BATCH = 256


@dataclass
class Measurement:
    """``row``: named numbers, NaN where undefined. ``evidence``: arrays for the report, by name."""

    row: dict[str, float]
    evidence: dict[str, NDArray[np.generic]] = field(default_factory=dict)


def label_sets(spec: RunSpec, last: bool = False) -> dict[str, Tensor]:
    """The labels a run is measured on, ``[samples, 2]`` each: ``on_grid``, ``off_grid`` and, with a hole, ``in_hole``.

    They are the same at every checkpoint of a run, so that its curves do not jump with the draw; at the last one
    more of the latter two may follow them (`MeasureSpec.last_samples`).
    """
    data, count = spec.data, spec.measure.samples
    more = max(0, spec.measure.last_samples - count) if last else 0
    random = generator(spec.seed, "labels")
    labels = training_labels(data)
    sets = {"on_grid": labels[torch.randint(len(labels), (count,), generator=random)]}
    off_grid, in_hole = [], []
    for number in (count, more):
        off_grid.append(draw_off_grid(data, number, random))
        if data.hole:
            in_hole.append(draw_in_hole(data, number, random, margin=TOLERANCE))
    sets["off_grid"] = torch.cat(off_grid)
    return sets | ({"in_hole": torch.cat(in_hole)} if data.hole else {})


def draw(
    network: UNet | FactorizedUNet, spec: RunSpec, labels: Tensor, device: str, recorded: int = 0
) -> tuple[Image, dict[str, NDArray[np.float32]]]:
    """Samples for ``labels [B, 2]``: uint8 images ``[B, N, N]``, and the activations ``[recorded, D]`` of each tap.

    Activations are read at the last sampling step of the first ``recorded`` of these very images. The noise depends
    on the run's seed alone. Raises `SamplesNotFinite`.
    """
    images: list[NDArray[np.float32]] = []
    taps: dict[str, list[NDArray[np.float32]]] = {tap: [] for tap in (*LAYER_4, *LAST_TAPS)}
    shape = (channels(spec), spec.data.image_size, spec.data.image_size)

    def record(tap: str, activation: Tensor) -> None:
        taps[tap].append(activation.float().flatten(1).cpu().numpy())

    for first in range(0, len(labels), SAMPLING_BATCH):
        chunk = labels[first : first + SAMPLING_BATCH].to(device)
        random = generator(spec.seed, "sampling", first, device)
        noise = torch.randn(len(chunk), *shape, device=device, generator=random)
        denoise = _denoiser(network, spec, chunk, record if first < recorded else None)
        images.append(compose(spec, sample(denoise, noise, spec.diffusion, random)).cpu().numpy())
    grey, finite = quantise(np.concatenate(images))
    if not finite.all():
        raise SamplesNotFinite(f"{(~finite).sum()} of {len(finite)} samples hold NaN or infinity")
    return grey, {tap: np.concatenate(parts)[:recorded] for tap, parts in taps.items() if parts}


_captured: WeakKeyDictionary[nn.Module, Callable[..., Tensor]] = WeakKeyDictionary()
"""The step of each network that is on a GPU, captured: once, since training changes weights where they lie."""


def _denoiser(
    network: UNet | FactorizedUNet, spec: RunSpec, labels: Tensor, record: Callable[[str, Tensor], None] | None
) -> Denoiser:
    """The network told ``labels``, its activations recorded at the last step; the steps before it as fast as may be."""

    def predict(x: Tensor, t: Tensor, labels: Tensor, record: Callable[[str, Tensor], None] | None = None) -> Tensor:
        run = network if record is None else network.forward  # not compiled: recording leaves the device
        with autocast(spec.training, x.device.type):
            return run(x, t, labels, record)

    def denoise(x: Tensor, t: Tensor, last: bool) -> Tensor:
        if last and record is not None:
            return predict(x, t, labels, record)
        if not captures(x.device):
            return predict(x, t, labels)
        if network not in _captured:
            _captured[network] = capture(predict, [_padded(part) for part in (x, t, labels)])
        return _captured[network](x, t, labels)[: len(x)]

    return denoise


def _padded(part: Tensor) -> Tensor:
    """A chunk of samples filled up to the size that all have, but for a run's last."""
    return torch.cat([part, part.new_zeros(SAMPLING_BATCH - len(part), *part.shape[1:])])


def evaluate(network: UNet | FactorizedUNet, spec: RunSpec, device: str, step: int) -> Measurement:
    """Everything science asks of one checkpoint. Draws no global randomness and leaves the weights as they were.

    Raises `SamplesNotFinite`: such a run has failed, and none of its numbers would mean anything.
    """
    configure(device)
    was_training = network.training
    network.eval()
    last = step == spec.training.steps
    sets = label_sets(spec, last)
    taps: dict[str, NDArray[np.float32]] = {}
    if spec.measure.source == "network":
        drawn, taps = draw(network, spec, torch.cat(list(sets.values())), device, recorded=spec.measure.samples)
        images = dict(
            zip(sets, np.split(drawn, np.cumsum([len(labels) for labels in sets.values()])[:-1]), strict=True)
        )
    else:
        images = {name: _rendered(spec, labels) for name, labels in sets.items()}
    network.train(was_training)

    row: dict[str, float] = {}
    evidence: dict[str, NDArray[np.generic]] = {}
    ceilings = _ceilings(spec, last)
    for name, labels in sets.items():
        asked = labels.double().numpy()
        found = detect(images[name], spec.data.sigma)
        modes = failure_modes(found, asked)
        row |= {f"{name}.{key}": value for key, value in accuracy(found.positions, asked).items()}
        row |= {f"{name}.{key.replace('accuracy', 'ceiling')}": value for key, value in ceilings[name].items()}
        row |= {f"{name}.{mode}": float((modes == k).mean()) for k, mode in enumerate(MODES)}
        row[f"{name}.samples"] = float(len(labels))
        evidence |= {
            f"{name}.images": images[name][:SHOWN],
            f"{name}.labels": asked[:SHOWN].astype(np.float32),
            f"{name}.positions": found.positions[:SHOWN].astype(np.float32),
            f"{name}.modes": modes[:SHOWN].astype(np.uint8),
        }
        if name == "on_grid":
            evidence["embedding.labels"] = asked.astype(np.float32)
            for tap in taps_at(spec, step):
                activations = taps[tap] if spec.measure.source == "network" else np.full((len(asked), 1), np.nan)
                measures, embedding = represent(
                    activations, asked, found.positions, derive(spec.seed, "embedding") % 2**32
                )
                row |= {f"{tap}.{key}": value for key, value in measures.items()}
                evidence[f"{tap}.embedding"] = embedding.astype(np.float16)
    return Measurement(row, evidence)


def _rendered(spec: RunSpec, labels: Tensor) -> Image:
    """The images that stand in for samples: perfect bumps where the labels ask, or at their nearest training labels."""
    at = nearest_labels(training_labels(spec.data), labels) if spec.measure.source == "nearest-label" else labels
    return quantise(render(at, spec.data.image_size, spec.data.sigma).numpy())[0]


@lru_cache(maxsize=4)
def _ceilings(spec: RunSpec, last: bool) -> dict[str, dict[str, float]]:
    """What the detector scores on the true images of each label set: the same at every checkpoint of a run."""
    ceilings = {}
    for name, labels in label_sets(spec, last).items():
        truth, _ = quantise(render(labels, spec.data.image_size, spec.data.sigma).numpy())
        ceilings[name] = accuracy(detect(truth, spec.data.sigma).positions, labels.double().numpy())
    return ceilings
