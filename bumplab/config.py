"""One training run as data: `RunSpec` and its parts, validated at construction.

Every choice that the paper leaves open is a named field here. So a user can test whether a verdict depends on it.
Nothing below this module reads options or the environment.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

Role = Literal["layer4", "layer4-injected", "encoder", "bottleneck"]
"""What claims mean by a place in a generator. Each subject says which of its activations that is."""
FOLLOWED: Role = "layer4"
"""The paper's "layer 4" (Fig. 6) before its own label injection. Every checkpoint measures it."""
LAST_ROLES: tuple[Role, ...] = ("layer4-injected", "encoder", "bottleneck")
"""Roles that only the last checkpoint measures."""
ROLES: tuple[Role, ...] = (FOLLOWED, *LAST_ROLES)

TOLERANCE = 1.0
"""A position is right when its error on each axis is below this many pixels (eq. 1)."""

NON_TRIVIAL_OVERLAP = 0.1
"""Two bumps are neighbours when their overlap exceeds this share (Fig. 7b; `bumplab.data.overlap`)."""

WHOLE_BUMP_MARGIN = 2.0
"""A bump this many pixels inside the outermost pixel centres is not cut off."""
LEAST_PROBED = 0.1
"""Least share of the probe square that a hole leaves, so that labels outside the hole are soon drawn."""

LARGEST_NUMBER = 1e300
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
    "warmup": 100_000_000,
    "batch_size": 100_000,
    "every": 100_000_000,
    "samples": 100_000,
}
"""Upper bounds, 16 times the paper's values or more, so that a typo cannot start an endless run."""
LONGEST_SHORT_NAME = 60
"""Most characters of a subject's name in the name of a file."""
MOST_CHARACTERS = 200
"""Upper bound for the length of a subject's name, and of its arguments and versions."""
MOST_MEASUREMENTS = 2_000
"""Upper bound for the measurements of a run. With 3,000 its files are too large to read (`bumplab.runs.store`)."""

LINEAR_BETAS = (1e-4, 0.02)
"""First and last beta of the linear schedule (Ho et al. 2020), which was made for 1,000 timesteps."""
MOST_SIGNAL_LEFT = 0.1
"""Largest share of the image's amplitude that may remain at the last timestep. At 1,000 timesteps 0.006 remain."""


def linear_signal_left(timesteps: int) -> float:
    """Share of the image's amplitude that remains at the last timestep of the linear schedule, 0 to 1.

    It is ``sqrt(prod(1 - beta))`` over betas evenly spaced between `LINEAR_BETAS`, to a relative error of 0.001.
    """
    low, high = LINEAR_BETAS
    mean, square = (low + high) / 2, (low**2 + low * high + high**2) / 3
    return math.exp(-timesteps * (mean + square / 2) / 2)


def _require(ok: bool, name: str, value: object, allowed: str) -> None:
    if not ok:
        raise ValueError(f"{name} = {value!r}: must be {allowed}")


def _count(name: str, value: object, least: int = 1) -> None:
    most = MOST[name]
    _require(type(value) is int and least <= value <= most, name, value, f"a whole number from {least} to {most}")


def _require_fields(name: str, part: type, fields: Any) -> None:
    """Raises ValueError unless ``fields`` is a dictionary with exactly the fields of this part of a spec."""
    known = [field.name for field in dataclasses.fields(part)]
    names = list(fields) if isinstance(fields, dict) else []
    missing = [field for field in known if field not in names]
    unknown = [field for field in names if field not in known]
    if missing or unknown:
        problem = f"missing {', '.join(missing) or 'none'}, unknown {', '.join(map(repr, unknown)) or 'none'}"
        raise ValueError(f"not a run spec: fields of {name}: {problem}")


class _Part:
    """A part of a spec. Construction checks the declared types of its fields, then calls `validate`.

    Both raise ValueError with one line: field, value, and what is allowed. A field declared float is stored as float:
    1 and 1.0 make the same run.
    """

    declared_types: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        cls.declared_types = {name: kind for name, kind in get_type_hints(cls).items() if name != "declared_types"}

    def __post_init__(self) -> None:
        for name, declared in self.declared_types.items():
            value = getattr(self, name)
            if declared is float:
                ok = (
                    isinstance(value, (int, float))
                    and not isinstance(value, bool)
                    and -LARGEST_NUMBER < value < LARGEST_NUMBER
                )
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
    """Images of one bump (Section 2). Side, increments, spread and hole are in pixels."""

    image_size: int = 32
    dx: float = 0.1
    dy: float = 0.1
    sigma: float = 1.0
    hole: float = 0.0
    """Side of the centred square of labels that training leaves out (Appendix C.2); 0 for no hole."""
    pairing: Literal["true", "shuffled"] = "true"
    """Control: shuffled gives each image the label of another image, the same one for the whole run."""
    stripe: float = 0.0
    """Width of the centred stripe of labels, over all y, that training leaves out in place of a hole; 0 for none."""
    cells: int = 0
    """Cells on each axis, centred and ``dx`` and ``dy`` apart, whose centres are the labels; 0 for the whole grid."""
    matrices: int = 0
    """Random permutation matrices of cells that training holds, up to ``cells``. No two of them share a cell."""

    @property
    def left_out(self) -> float:
        """Side of the hole, or width of the stripe; 0 where training leaves nothing out."""
        return self.hole or self.stripe

    def validate(self) -> None:
        _count("image_size", self.image_size)
        _require(self.image_size % 8 == 0, "image_size", self.image_size, "divisible by 8 (the UNet halves it 3 times)")
        for axis in ("dx", "dy"):
            d = getattr(self, axis)
            _require(0 < d <= self.image_size, axis, d, f"above 0 and at most image_size ({self.image_size})")
            _require(d >= 0.001 * self.image_size, axis, d, "at least a thousandth of image_size (1e6 labels)")
        _require(self.sigma > 0, "sigma", self.sigma, "above 0")
        most = self.image_size - 2 * (1 + WHOLE_BUMP_MARGIN)
        _require(
            self.hole == 0 or 2 * TOLERANCE < self.hole < most,
            "hole",
            self.hole,
            f"0, or above {2 * TOLERANCE:g} (a smaller hole has training labels within the tolerance everywhere) and "
            f"below {most:g} (a larger one leaves no whole bump outside)",
        )
        ok = self.stripe == 0 or (self.hole == 0 and 2 * TOLERANCE < self.stripe < most)
        _require(ok, "stripe", self.stripe, f"0, or without a hole above {2 * TOLERANCE:g} and below {most:g}")
        self._validate_cells()

    def _validate_cells(self) -> None:
        farthest = int(self.image_size / max(self.dx, self.dy))
        ok = type(self.cells) is int and (self.cells == 0 or 2 <= self.cells <= farthest)
        _require(ok, "cells", self.cells, f"0, or a whole number from 2 to {farthest} (image_size / increment)")
        _require(not (self.cells and self.left_out), "cells", self.cells, "0 with a hole or a stripe")
        least = min(1, self.cells)
        ok = type(self.matrices) is int and least <= self.matrices <= self.cells
        _require(ok, "matrices", self.matrices, f"a whole number from {least} to cells ({self.cells})")


@dataclass(frozen=True)
class ModelSpec(_Part):
    """The conditional UNet (Appendix B.1)."""

    width: int = 64
    encoding_dim: int = 256
    """Length of each of the three positional encodings (timestep, x, y)."""
    attention_heads: int = 4
    attention_max_size: int = 1024
    """Self-attention follows feature maps of up to this side (pixels). In the paper it follows every block."""
    norm_groups: int = 1

    def attended(self, image_size: int) -> list[int]:
        """Sides, in pixels, of the feature maps that self-attention follows."""
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
    """At most ``timesteps``, and evenly spaced among them (respacing, Nichol and Dhariwal 2021)."""

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
    """The largest rate: that after the warm-up."""
    warmup: int = 0
    """Steps over which the rate rises from 0, in equal parts."""
    decay: Literal["none", "linear"] = "none"
    """How the rate goes on after the warm-up: it stays, or falls in equal parts, to 0 after the last step."""
    beta2: float = 0.999
    """AdamW's decay of the mean of squared gradients."""
    weight_decay: float = 0.01
    ema_decay: float = 0.0
    """Decay of the average of the weights, which is measured. 0 measures the weights themselves."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16: of products and convolutions, where the processor has it. A run's environment tells whether it has."""

    def validate(self) -> None:
        _count("steps", self.steps)
        _count("batch_size", self.batch_size)
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _count("warmup", self.warmup, least=0)
        _require(0 <= self.beta2 < 1, "beta2", self.beta2, "at least 0 and below 1")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or above")
        _require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "at least 0 and below 1")


@dataclass(frozen=True)
class MeasureSpec(_Part):
    """What is measured, and when (Appendix B.3, B.6). Each measured step is also a checkpoint to resume from."""

    every: int = 6_400
    """Steps between two checkpoints of the later training (`RunSpec.measured_steps`)."""
    samples: int = 500
    """Images drawn for each label set (`bumplab.data.label_sets`)."""
    probe_low: float = 3.0
    probe_high: float = 30.0
    """Probe labels lie from ``probe_low`` to ``probe_high`` pixels on each axis. The profile keeps them within the
    training labels of all its increments, whose last one is ``d * (ceil(N / d) - 1)``."""

    def validate(self) -> None:
        _count("every", self.every)
        _count("samples", self.samples)
        _require(self.samples >= 20, "samples", self.samples, "at least 20 (UMAP looks at 15 neighbours)")
        least = 1 + WHOLE_BUMP_MARGIN
        _require(self.probe_low >= least, "probe_low", self.probe_low, f"at least {least:g} (bumps are whole there)")
        allowed = f"above probe_low ({self.probe_low:g})"
        _require(self.probe_high > self.probe_low, "probe_high", self.probe_high, allowed)


RENDERED = ("nearest-label", "half-way", "true", "fading")
"""Subjects that learn nothing, for controls: they show true images (`bumplab.subjects.rendered`)."""
_HEX_DIGITS = set("0123456789abcdef")


@dataclass(frozen=True)
class SubjectSpec(_Part):
    """What is trained: all that a run's results depend on beside the other parts of its spec.

    The default is the built-in subject, the paper's UNet. `bumplab.subjects.registry` makes the spec of a user's own.
    A spec is data: nothing is imported because a stored spec names it.
    """

    name: str = "unet"
    """``unet``, one of `RENDERED`, or the user's ``FILE.py:NAME`` or ``package.module:NAME``."""
    arguments: tuple[tuple[str, str], ...] = ()
    """The user's arguments as text, sorted by name."""
    source: str = ""
    """SHA-256 of the user's source files, 64 hexadecimal digits. Empty for a subject of bumplab."""
    versions: tuple[tuple[str, str], ...] = ()
    """Versions of the libraries that the subject declares, sorted by name. ``""`` is its own version."""
    factorized: bool = False
    """Control: two such subjects, one for x and one for y, whose product is the image (Fig. 1a)."""

    @property
    def is_users(self) -> bool:
        """Whether it is a subject of the user's."""
        return ":" in self.name

    @property
    def short_name(self) -> str:
        """A name for files: letters, digits, ``-``, ``_`` and ``.``, such as ``my_dit`` or ``gan-Gan``.

        A name that had to be shortened or changed ends with six digits of its hash.
        """
        file, _, name = self.name.rpartition(":")
        words = [file.removesuffix(".py")] if file else []
        words += [name] if name != "subject" else []
        text = "-".join([*words, *(f"{key}-{value}" for key, value in self.arguments)])
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text)[:LONGEST_SHORT_NAME]
        if plain == text:
            return plain
        return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    def validate(self) -> None:
        texts = [self.name, *(text for pairs in (self.arguments, self.versions) for pair in pairs for text in pair)]
        ok = all(isinstance(text, str) and text.isprintable() and len(text) <= MOST_CHARACTERS for text in texts)
        _require(
            ok and self.name != "", "subject", self.name, f"texts of at most {MOST_CHARACTERS} printable characters"
        )
        for pairs in (self.arguments, self.versions):
            _require(list(pairs) == sorted(dict(pairs).items()), "subject", self.name, "arguments in order, each once")
        known = ("unet", *RENDERED)
        allowed = f"one of {', '.join(known)}, FILE.py:NAME or package.module:NAME"
        _require(self.is_users or self.name in known, "subject", self.name, allowed)
        _require(isinstance(self.factorized, bool), "factorized", self.factorized, "True or False")
        has_hash = len(self.source) == 64 and set(self.source) <= _HEX_DIGITS
        _require(has_hash if self.is_users else self.source == "", "source", self.source, "the SHA-256 of its files")

    def to_dict(self) -> dict[str, Any]:
        """The subject as JSON holds it."""
        pairs = {"arguments": dict(self.arguments), "versions": dict(self.versions)}
        return {"name": self.name, "source": self.source, "factorized": self.factorized, **pairs}

    @classmethod
    def from_dict(cls, fields: Any) -> Self:
        """The subject of `to_dict`. Raises ValueError for missing, unknown or invalid fields."""
        _require_fields("subject", cls, fields)
        pairs = {}
        for name in ("arguments", "versions"):
            _require(isinstance(fields[name], dict), name, fields[name], "texts by name")
            pairs[name] = tuple(sorted(fields[name].items()))
        return cls(**{**fields, **pairs})


@dataclass(frozen=True)
class RunSpec(_Part):
    """One training run, the unit of replication. Equal specs are the same run."""

    data: DataSpec = field(default_factory=DataSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    diffusion: DiffusionSpec = field(default_factory=DiffusionSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    measure: MeasureSpec = field(default_factory=MeasureSpec)
    seed: int = 0
    subject: SubjectSpec = field(default_factory=SubjectSpec)

    def validate(self) -> None:
        for name, kind in (*_PARTS.items(), ("subject", SubjectSpec)):
            _require(isinstance(getattr(self, name), kind), name, getattr(self, name), f"a {kind.__name__}")
        ok = isinstance(self.seed, int) and not isinstance(self.seed, bool) and 0 <= self.seed < 2**32
        _require(ok, "seed", self.seed, "a whole number from 0 to 2^32 - 1")
        least = -(-self.training.steps // MOST_MEASUREMENTS)
        allowed = f"at least {least} for {self.training.steps} steps (at most {MOST_MEASUREMENTS} measurements)"
        _require(self.measure.every >= least, "every", self.measure.every, allowed)
        self._validate_probe()

    def _validate_probe(self) -> None:
        """Checks that the probe square lies where bumps are whole, and that the hole leaves enough of it."""
        size, hole = self.data.image_size, self.data.left_out
        low, high = self.measure.probe_low, self.measure.probe_high
        most = size - WHOLE_BUMP_MARGIN
        allowed = f"at most {most:g} for image_size {size} (no bump is cut off there)"
        _require(high <= most, "probe_high", high, allowed)
        begin, end = (size - hole) / 2, (size + hole) / 2
        covered = max(0.0, min(high, end) - max(low, begin)) / (high - low)
        allowed = f"smaller: outside it must lie {LEAST_PROBED:g} of the probe square ({low:g} to {high:g})"
        name, share = ("stripe", covered) if self.data.stripe else ("hole", covered**2)
        _require(1 - share >= LEAST_PROBED, name, hole, allowed)

    def to_json(self) -> str:
        """Canonical JSON, with sorted keys and no white space. Equal specs have equal text."""
        fields = dataclasses.asdict(self) | {"subject": self.subject.to_dict()}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, fields: Any) -> Self:
        """The spec of parsed `to_json` text. Raises ValueError for missing, unknown or invalid fields."""
        _require_fields("the run", cls, fields)
        parts: dict[str, Any] = {"seed": fields["seed"], "subject": SubjectSpec.from_dict(fields["subject"])}
        for name, kind in _PARTS.items():
            _require_fields(name, kind, fields[name])
            parts[name] = kind(**fields[name])
        return cls(**parts)

    def measured_steps(self) -> list[int]:
        """Steps at which the run is measured, rising. Each is a checkpoint to resume from.

        They are 0, then 1/4, 1/2, 3/4, 1, 3/2 and 2 times `MeasureSpec.every`, then every `MeasureSpec.every`, and the
        last step. Fractions are rounded down.
        """
        every, steps = self.measure.every, self.training.steps
        early = {every * quarters // 4 for quarters in (1, 2, 3, 6)}
        return sorted({step for step in early if step < steps} | {*range(0, steps, every), steps})

    @property
    def network_steps(self) -> int:
        """Training steps of all its networks. A factorized run has two."""
        return self.training.steps * (2 if self.subject.factorized else 1)

    def label(self) -> str:
        """A short name for progress lines and plots, such as ``d=0.1 hole=3 seed 2``. It is not unique."""
        d = self.data
        size = f"d={d.dx:g}" if d.dx == d.dy else f"dx={d.dx:g} dy={d.dy:g}"
        sigma = "" if d.sigma == 1 else f" sigma={d.sigma:g}"
        hole = f" hole={d.hole:g}" if d.hole else ""
        hole += f" stripe={d.stripe:g}" if d.stripe else ""
        hole += f" cells={d.cells} matrices={d.matrices}" if d.cells else ""
        choices = {
            d.pairing: d.pairing != "true",
            "factorized": self.subject.factorized,
            self.subject.name: self.subject.name in RENDERED,
        }
        controls = "".join(f" {choice}" for choice, is_made in choices.items() if is_made)
        return f"{size}{sigma}{hole}{controls} seed {self.seed}"


_PARTS: dict[str, type] = {
    "data": DataSpec,
    "model": ModelSpec,
    "diffusion": DiffusionSpec,
    "training": TrainingSpec,
    "measure": MeasureSpec,
}
