"""Measures one checkpoint: one row of numbers, and the images and embeddings behind them (Appendix B.3)."""

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
from bumplab.measure.accuracy import Detections, accuracy, detect, failure_modes
from bumplab.measure.detector import Image, quantise
from bumplab.measure.names import MODES, SHOWN, SamplesNotFinite, taps_at
from bumplab.measure.representation import represent
from bumplab.randomness import derive, generator
from bumplab.training.speed import autocast, capture, captures, configure

SAMPLING_BATCH = 256
"""Images drawn at a time."""


@dataclass
class Measurement:
    """What one checkpoint gives (`bumplab.measure.names` lists it)."""

    row: dict[str, float]
    """Named numbers; NaN where unknown."""
    evidence: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    """Named arrays that the report shows."""


def label_sets(spec: RunSpec, last: bool = False) -> dict[str, Tensor]:
    """The labels that a run is measured on, by set: ``on_grid``, ``off_grid`` and, with a hole, ``in_hole``.

    Each set is ``[measure.samples, 2]`` in pixels, and the same at every checkpoint, so that curves do not jump with
    the draw. At the last step (``last``) more labels may follow, but not on the grid (`MeasureSpec.last_samples`).
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
    """Images that the network draws for ``labels [B, 2]``, and activations behind them.

    The noise depends on the run's seed alone.

    Returns:
        uint8 images ``[B, N, N]``, and for each tap the activations ``[recorded, D]`` of the first ``recorded`` images
        at the last sampling step.

    Raises:
        SamplesNotFinite: an image holds NaN or infinity.
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
"""On a GPU, the captured sampling step of each network. It stays valid: training changes weights in place."""


def _denoiser(
    network: UNet | FactorizedUNet, spec: RunSpec, labels: Tensor, record: Callable[[str, Tensor], None] | None
) -> Denoiser:
    """The network with ``labels [B, 2]`` bound. ``record`` gets the activations of the last sampling step.

    On a GPU every other step is a captured one.
    """

    def predict(x: Tensor, t: Tensor, labels: Tensor, record: Callable[[str, Tensor], None] | None = None) -> Tensor:
        run = network if record is None else network.forward  # forward is not compiled: recording leaves the device
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
    """``part [B, ...]`` filled with zeros to `SAMPLING_BATCH` rows. The last chunk of samples may have fewer rows."""
    return torch.cat([part, part.new_zeros(SAMPLING_BATCH - len(part), *part.shape[1:])])


def evaluate(network: UNet | FactorizedUNet, spec: RunSpec, device: str, step: int) -> Measurement:
    """Everything that is measured at one checkpoint (Appendix B.3), but for ``step`` and ``loss``.

    It uses no global randomness and changes no weight. Raises `SamplesNotFinite`.
    """
    configure(device)
    last = step == spec.training.steps
    sets = label_sets(spec, last)
    images, activations = _images(network, spec, sets, device)
    ceilings = _ceilings(spec, last)
    measurement = Measurement({})
    for name, labels in sets.items():
        asked = labels.double().numpy()
        detections = detect(images[name], spec.data.sigma)
        _add_label_set(measurement, name, images[name], asked, detections, ceilings[name])
        if name == "on_grid":
            measurement.evidence["embedding.labels"] = asked.astype(np.float32)
            for tap in taps_at(spec, step):
                seed = derive(spec.seed, "embedding") % 2**32
                tap_activations = activations[tap] if activations else np.full((len(asked), 1), np.nan)
                representation = represent(tap_activations, asked, detections.positions, seed)
                measurement.row |= {f"{tap}.{key}": value for key, value in representation.measures.items()}
                measurement.evidence[f"{tap}.embedding"] = representation.embedding.astype(np.float16)
    return measurement


def _images(
    network: UNet | FactorizedUNet, spec: RunSpec, sets: dict[str, Tensor], device: str
) -> tuple[dict[str, Image], dict[str, NDArray[np.float32]]]:
    """The images ``[B, N, N]`` of each label set, and each tap's activations ``[measure.samples, D]`` on the grid.

    A control that measures rendered images (`MeasureSpec.source`) has no activations.
    """
    if spec.measure.source != "network":
        return {name: _rendered(spec, labels) for name, labels in sets.items()}, {}
    was_training = network.training
    network.eval()
    # on_grid is the first set: its images are the first measure.samples ones
    drawn, activations = draw(network, spec, torch.cat(list(sets.values())), device, recorded=spec.measure.samples)
    network.train(was_training)
    ends = np.cumsum([len(labels) for labels in sets.values()])
    return dict(zip(sets, np.split(drawn, ends[:-1]), strict=True)), activations


def _add_label_set(
    measurement: Measurement,
    name: str,
    images: Image,
    asked: NDArray[np.float64],
    detections: Detections,
    ceiling: dict[str, float],
) -> None:
    """Adds the numbers of a label set, and the first `SHOWN` images with what was detected in them."""
    modes = failure_modes(detections, asked)
    measurement.row |= {f"{name}.{key}": value for key, value in accuracy(detections.positions, asked).items()}
    measurement.row |= {f"{name}.{key.replace('accuracy', 'ceiling')}": value for key, value in ceiling.items()}
    measurement.row |= {f"{name}.{mode}": float((modes == k).mean()) for k, mode in enumerate(MODES)}
    measurement.row[f"{name}.samples"] = float(len(asked))
    measurement.evidence |= {
        f"{name}.images": images[:SHOWN],
        f"{name}.labels": asked[:SHOWN].astype(np.float32),
        f"{name}.positions": detections.positions[:SHOWN].astype(np.float32),
        f"{name}.modes": modes[:SHOWN].astype(np.uint8),
    }


def _rendered(spec: RunSpec, labels: Tensor) -> Image:
    """Controls: true images of ``labels``, or of their nearest training labels, in place of the network's."""
    shown = nearest_labels(training_labels(spec.data), labels) if spec.measure.source == "nearest-label" else labels
    return quantise(render(shown, spec.data.image_size, spec.data.sigma).numpy())[0]


@lru_cache(maxsize=4)
def _ceilings(spec: RunSpec, last: bool) -> dict[str, dict[str, float]]:
    """The detector's accuracy on true images of each label set. It is the same at every checkpoint of a run."""
    ceilings = {}
    for name, labels in label_sets(spec, last).items():
        truth, _ = quantise(render(labels, spec.data.image_size, spec.data.sigma).numpy())
        ceilings[name] = accuracy(detect(truth, spec.data.sigma).positions, labels.double().numpy())
    return ceilings
