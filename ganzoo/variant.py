"""The card of a variant as frozen dataclasses: parts, training settings and weights. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
LABELS = ("unused", "optional", "required")
SHAPES = ("linear", "cosine", "exponential")  # of schedules
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}  # names in torch.optim


def check_name(name: str) -> str:
    """Returns `name` if it is a valid name: 1 to 64 of a-z, 0-9, `.`, `_` and `-`; else raises ValueError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a name: use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit"
        )
    return name


@dataclass(frozen=True)
class ImageSpec:
    """The shape of images: `size` pixels square, `channels` 1 or 3; `classes` is 0 without labels."""

    size: int
    channels: int
    classes: int = 0


@dataclass(frozen=True)
class Part:
    """A registered generator, discriminator, loss, regularizer or augmentation by name, with its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Moves a value from `from_value` (None: the setting itself) to `to_value` during training.

    It starts at `from_fraction` of all training steps and ends at `to_fraction`; it is constant before and after.
    `shape` is "linear", "cosine" (half a period) or "exponential" (the same factor at every step; both values above 0).
    """

    to_value: float
    from_value: float | None = None
    from_fraction: float = 0.0
    to_fraction: float = 1.0
    shape: str = "linear"


@dataclass(frozen=True, kw_only=True)
class Training:
    """The paper's training settings; `--set training.<field>=<value>` changes a field.

    Attributes:
        optimizer: "adam", "adamw", "rmsprop" or "sgd"; `<role>_optimizer` overrides it for one network.
        optimizer_options: passed to every optimizer; `<role>_optimizer_options` override them for one network.
        generator_lr: learning rate per optimizer step, as `discriminator_lr` and `loss_lr`.
        batch_size: of the whole batch, over all processes and micro-batches.
        accumulate: micro-batches per batch (gradient accumulation).
        steps: training steps.
        ema: decay per step of the moving average of the generator's weights (None: no average).
        ema_start: the step at which the average starts.
        mirror: flips half of the real images horizontally.
        schedules: by setting: `generator_lr`, `discriminator_lr`, `loss_lr`, `beta2`, `momentum`, `ema`,
            `ema_half_life` (as a fraction of all steps, so that it scales with the length of the run), or a numeric
            attribute of a part (`loss.<name>`, `augmentation.<name>`, `regularizers.<part>.<name>`).
    """

    optimizer: str = "adam"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    generator_lr: float = 2e-4
    discriminator_lr: float = 2e-4
    loss_lr: float | None = None
    generator_optimizer: str | None = None
    discriminator_optimizer: str | None = None
    loss_optimizer: str | None = None
    generator_optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    discriminator_optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    loss_optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    accumulate: int = 1
    steps: int = 100_000
    ema: float | None = None
    ema_start: int = 0
    mirror: bool = False
    schedules: Mapping[str, Schedule] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Location and hash of a pretrained generator: a file in the plugin's package, or a Hub repository at a commit.

    Give exactly one of `package_file` ("package:path/inside") and `repo`; `revision` is a commit (40 hex digits), never
    a branch. `sha256` is the hash of `model.safetensors`.
    """

    image: ImageSpec
    sha256: str
    license: str
    package_file: str | None = None
    repo: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        if (self.package_file is None) == (self.repo is None):
            raise ValueError("weights need exactly one of package_file and repo")
        if self.repo is not None and not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError(f"the revision of {self.repo} must be a commit of 40 hex digits, got {self.revision!r}")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The card of one variant: its parts by name, supported image sizes and the paper's training settings.

    `sizes` are in pixels, the default first. `labels` is "unused", "optional" or "required". `discriminator` is None
    for variants without one. `weights` maps a tag that begins with the variant's name ("dcgan.fashion-mnist") to
    pretrained weights.
    """

    name: str
    summary: str
    paper: str
    year: int
    generator: Part
    discriminator: Part | None
    loss: Part
    sizes: tuple[int, ...]
    labels: str = "unused"
    tags: tuple[str, ...] = ()
    regularizers: tuple[Part, ...] = ()
    augmentation: Part | None = None
    training: Training = Training()
    weights: Mapping[str, Weights] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.labels not in LABELS:
            raise ValueError(f"labels of variant '{self.name}' is {self.labels!r}; known: {', '.join(LABELS)}")
        if not self.sizes:
            raise ValueError(f"variant '{self.name}' supports no image size")
        for tag in self.weights:  # names of variants are unique, so tags that begin with them are too
            if not tag.startswith(f"{self.name}.") or not NAME.fullmatch(tag):
                raise ValueError(f"weights of variant '{self.name}' must be tagged '{self.name}.<what>', not {tag!r}")


RegisterVariant = Callable[[Variant], None]  # the argument of the hook register_variants
Register = Callable[[str, Callable[..., Any]], None]  # of every other hook: a name and a factory
