"""What one training run is: `RunSpec` and its parts, validated when they are made.

Every choice the paper leaves open is a named field here, so that a user can test whether a verdict hangs on it.
Nothing below this module reads options or the environment.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

Tap = Literal["down3", "bottleneck", "up1-features", "up1"]
LAYER_4: tuple[Tap, Tap] = ("up1-features", "up1")
"""The two taps of the paper's "layer 4", followed through training: before and after its own label injection."""
LAST_TAPS: tuple[Tap, Tap] = ("down3", "bottleneck")
"""Taps looked at when training ends: what they would add earlier is not worth a UMAP at every checkpoint."""

TOLERANCE = 1.0
"""A position is right when it is less than this many pixels off on both axes (eq. 1)."""

NON_TRIVIAL_OVERLAP = 0.1
"""Two bumps that overlap more are neighbours (Fig. 7b; `bumplab.data.overlap`)."""

OFF_GRID_MARGIN = 2.0
"""Off-grid labels stay this many pixels inside the outermost pixel centres, where no bump is cut off."""


LARGEST = 1e300
"""Upper bound for numbers in a spec: a JSON integer can overflow a float."""

MOST = {
    "image_size": 1024,
    "width": 1024,
    "encoding_dim": 4096,
    "attention_heads": 1024,
    "attention_max_size": 4096,
    "norm_groups": 1024,
    "timesteps": 100_000,
    "sampler_steps": 100_000,
    "steps": 100_000_000,
    "batch_size": 100_000,
    "every": 100_000_000,
    "samples": 100_000,
}
"""Upper bounds, 16 times the paper's values or more, so that a typo cannot start an endless run."""
MOST_MEASUREMENTS = 2_000
"""Upper bound for the measurements of a run: its files grow too large to read at 3,000 (`bumplab.runs.store`)."""


LINEAR_BETAS = (1e-4, 0.02)
"""The first and the last beta of the linear schedule (Ho et al. 2020), made for 1,000 timesteps."""
MOST_SIGNAL_LEFT = 0.1
"""Largest share of the image, by amplitude, that the last timestep may hold. At 1,000 timesteps it is 0.006."""


def linear_signal_left(timesteps: int) -> float:
    """``sqrt(prod(1 - beta))`` over betas evenly spaced between `LINEAR_BETAS`, to a thousandth of itself."""
    low, high = LINEAR_BETAS
    mean, square = (low + high) / 2, (low**2 + low * high + high**2) / 3
    return math.exp(-timesteps * (mean + square / 2) / 2)


def _require(ok: bool, what: str, given: object, allowed: str) -> None:
    if not ok:
        raise ValueError(f"{what} = {given!r}: must be {allowed}")


def _count(name: str, value: object, least: int = 1) -> None:
    most = MOST[name]
    _require(type(value) is int and least <= value <= most, name, value, f"a whole number from {least} to {most}")


def _require_fields(name: str, part: type, given: Any) -> None:
    known = [field.name for field in dataclasses.fields(part)]
    names = list(given) if isinstance(given, dict) else []
    missing = [field for field in known if field not in names]
    unknown = [field for field in names if field not in known]
    if missing or unknown:
        problem = f"missing {', '.join(missing) or 'none'}, unknown {', '.join(map(repr, unknown)) or 'none'}"
        raise ValueError(f"not a run spec: fields of {name}: {problem}")


class _Part:
    """A part of a spec. Its fields are checked by their declared types, then by `validate`.

    Fields declared float are stored as float, so that 1 and 1.0 make the same run.
    """

    declared_types: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        cls.declared_types = {name: kind for name, kind in get_type_hints(cls).items() if name != "declared_types"}

    def __post_init__(self) -> None:
        for name, declared in self.declared_types.items():
            value = getattr(self, name)
            if declared is float:
                ok = isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST < value < LARGEST
                _require(ok, name, value, "a finite number")
                object.__setattr__(self, name, float(value))
            elif get_origin(declared) is Literal:
                choices = get_args(declared)
                *first, last = map(repr, choices)
                _require(value in choices, name, value, f"{', '.join(first)} or {last}")
        self.validate()

    def validate(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class DataSpec(_Part):
    """Images of one bump (Section 2): canvas side, label increments, spread and held-out square, all in pixels."""

    image_size: int = 32
    dx: float = 0.1
    dy: float = 0.1
    sigma: float = 1.0
    hole: float = 0.0
    """Side of the centred square of labels left out of training (Appendix C.2); 0 for none."""
    pairing: Literal["true", "shuffled"] = "true"
    """Control: shuffled gives each image the label of another, the same one for the whole run."""

    def validate(self) -> None:
        _count("image_size", self.image_size)
        _require(self.image_size % 8 == 0, "image_size", self.image_size, "divisible by 8 (the UNet halves it 3 times)")
        for axis in ("dx", "dy"):
            d = getattr(self, axis)
            _require(0 < d <= self.image_size, axis, d, f"above 0 and at most image_size ({self.image_size})")
            _require(d >= 0.001 * self.image_size, axis, d, "at least a thousandth of image_size (1e6 labels)")
        _require(self.sigma > 0, "sigma", self.sigma, "above 0")
        most = self.image_size - 2 * (1 + OFF_GRID_MARGIN)
        _require(
            self.hole == 0 or 2 * TOLERANCE < self.hole < most,
            "hole",
            self.hole,
            f"0, or above {2 * TOLERANCE:g} (nothing inside is untrained otherwise) and below {most:g} (no whole bump "
            f"is left outside otherwise)",
        )


@dataclass(frozen=True)
class ModelSpec(_Part):
    """The conditional UNet (Appendix B.1)."""

    width: int = 64
    encoding_dim: int = 256
    """Length of each of the three positional encodings (t, x, y)."""
    attention_heads: int = 4
    attention_max_size: int = 1024
    """Largest feature map (side, in pixels) followed by self-attention. The paper interlaces it everywhere."""
    norm_groups: int = 1
    kind: Literal["joint", "factorized"] = "joint"
    """Control: factorized is two such networks that each see one coordinate; their product is the image (Fig. 1a)."""

    def attended(self, image_size: int) -> list[int]:
        """The sides of the feature maps that self-attention follows, in pixels."""
        sides = [image_size >> halvings for halvings in range(4)]
        return [side for side in sides if side <= self.attention_max_size]

    def validate(self) -> None:
        for name in ("width", "encoding_dim", "attention_heads", "attention_max_size", "norm_groups"):
            _count(name, getattr(self, name))
        _require(self.encoding_dim % 2 == 0, "encoding_dim", self.encoding_dim, "even (sines and cosines)")
        for name in ("attention_heads", "norm_groups"):
            _require(
                self.width % getattr(self, name) == 0, name, getattr(self, name), f"a divisor of width {self.width}"
            )


@dataclass(frozen=True)
class DiffusionSpec(_Part):
    """The diffusion process, its objective (eq. 2) and its sampler."""

    timesteps: int = 1000
    schedule: Literal["linear", "cosine"] = "linear"
    prediction: Literal["epsilon", "v"] = "epsilon"
    sampler: Literal["ancestral", "ddim"] = "ancestral"
    sampler_steps: int = 1000
    """Fewer than ``timesteps`` are evenly spaced among them (respacing, Nichol and Dhariwal 2021)."""

    def validate(self) -> None:
        _count("timesteps", self.timesteps, least=2)
        _count("sampler_steps", self.sampler_steps)
        allowed = f"at most timesteps ({self.timesteps})"
        _require(self.sampler_steps <= self.timesteps, "sampler_steps", self.sampler_steps, allowed)
        if self.schedule == "linear":
            left = linear_signal_left(self.timesteps)
            allowed = (
                f"more with the linear schedule: the noise that sampling begins with would still hold {left:.0%} of "
                f"the image (at most {MOST_SIGNAL_LEFT:.0%}); or take schedule='cosine'"
            )
            _require(left <= MOST_SIGNAL_LEFT, "timesteps", self.timesteps, allowed)


@dataclass(frozen=True)
class TrainingSpec(_Part):
    """Optimisation (Appendix B.6): AdamW on batches of labels drawn with replacement."""

    steps: int = 320_000
    batch_size: int = 16
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    ema_decay: float = 0.0
    """Decay of the averaged weights that are measured; 0 measures the weights themselves."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16: of products and convolutions, where the processor has it; a run's environment says whether it had."""

    def validate(self) -> None:
        _count("steps", self.steps)
        _count("batch_size", self.batch_size)
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or above")
        _require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "at least 0 and below 1")


@dataclass(frozen=True)
class MeasureSpec(_Part):
    """What is measured, and when (Appendix B.3, B.6). A measurement is also a checkpoint to resume from."""

    every: int = 6_400
    """Steps between measurements; step 0 and the last step are always measured."""
    samples: int = 500
    """Images drawn for each label set (training labels, off-grid, in the hole)."""
    last_samples: int = 0
    """Images drawn at the last step for the sets off-grid and in the hole, where more are wanted there; 0: no more."""
    source: Literal["network", "nearest-label", "true"] = "network"
    """Control: what is measured in place of the network's samples: true images of the nearest training labels, as a
    generator would draw that only copies, or those of the labels asked for."""

    def validate(self) -> None:
        _count("every", self.every)
        _count("samples", self.samples)
        _require(self.samples >= 20, "samples", self.samples, "at least 20 (UMAP looks at 15 neighbours)")
        most = MOST["samples"]
        ok = type(self.last_samples) is int and (self.last_samples == 0 or self.samples <= self.last_samples <= most)
        _require(ok, "last_samples", self.last_samples, f"0, or a whole number from samples ({self.samples}) to {most}")


@dataclass(frozen=True)
class RunSpec(_Part):
    """One training run: the unit of replication. Two runs with equal specs are the same run."""

    data: DataSpec = field(default_factory=DataSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    diffusion: DiffusionSpec = field(default_factory=DiffusionSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    measure: MeasureSpec = field(default_factory=MeasureSpec)
    seed: int = 0

    def validate(self) -> None:
        for name, kind in _PARTS.items():
            _require(isinstance(getattr(self, name), kind), name, getattr(self, name), f"a {kind.__name__}")
        ok = isinstance(self.seed, int) and not isinstance(self.seed, bool) and 0 <= self.seed < 2**32
        _require(ok, "seed", self.seed, "a whole number from 0 to 2^32 - 1")
        least = -(-self.training.steps // MOST_MEASUREMENTS)
        allowed = f"at least {least} for {self.training.steps} steps (at most {MOST_MEASUREMENTS} measurements)"
        _require(self.measure.every >= least, "every", self.measure.every, allowed)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no white space, so that equal specs have equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, given: Any) -> Self:
        """The spec that `to_json` wrote. Raises ValueError for missing, unknown or invalid fields."""
        _require_fields("the run", cls, given)
        parts: dict[str, Any] = {"seed": given["seed"]}
        for name, kind in _PARTS.items():
            _require_fields(name, kind, given[name])
            parts[name] = kind(**given[name])
        return cls(**parts)

    def measured_steps(self) -> list[int]:
        """Steps at which the run is measured: 0, every `measure.every`, and the last."""
        return [*range(0, self.training.steps, self.measure.every), self.training.steps]

    def label(self) -> str:
        """A short name for progress lines and plots, such as ``d=0.1 hole=3 seed 2``."""
        d = self.data
        size = f"d={d.dx:g}" if d.dx == d.dy else f"dx={d.dx:g} dy={d.dy:g}"
        sigma = "" if d.sigma == 1 else f" sigma={d.sigma:g}"
        hole = f" hole={d.hole:g}" if d.hole else ""
        control = " ".join(
            word
            for word, ordinary in ((d.pairing, "true"), (self.model.kind, "joint"), (self.measure.source, "network"))
            if word != ordinary
        )
        return f"{size}{sigma}{hole}{f' {control}' if control else ''} seed {self.seed}"


_PARTS: dict[str, type] = {
    "data": DataSpec,
    "model": ModelSpec,
    "diffusion": DiffusionSpec,
    "training": TrainingSpec,
    "measure": MeasureSpec,
}
