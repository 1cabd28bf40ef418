"""The card of a variant as frozen dataclasses: parts, training settings and weights. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
LABELS = ("unused", "optional", "required")
KINDS = ("image", "points", "class")  # of fields
PAIRINGS = ("paired", "independent")
ImageSize = int | tuple[int, int]  # pixels of a square, or (height, width)
SHAPES = ("linear", "cosine", "exponential", "steps")  # of schedules
LocalPath = Annotated[str, "a file or folder"]  # the type of an option that names one: stored absolute
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}  # names in torch.optim


def check_name(name: str) -> str:
    """Returns `name` if it is a valid name: 1 to 64 of a-z, 0-9, `.`, `_` and `-`; else raises ValueError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a name: use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit"
        )
    return name


@dataclass(frozen=True)
class Field:
    """One tensor of a sample, without the batch axis.

    Attributes:
        shape: (C, H, W) of an image, (2,) of a point, () of a class number.
        kind: "image" (in [-1, 1]), "points" (any finite numbers) or "class" (int64).
        classes: how many classes a field of kind "class" has.
    """

    shape: tuple[int, ...]
    kind: str = "image"
    classes: int = 0


@dataclass(frozen=True)
class SampleSpec:
    """The shape of samples: the `output` that a generator makes, and the `inputs` that it may take besides a latent.

    Class labels are the input "label". `size`, `channels` and `classes` describe square images.
    """

    output: Field
    inputs: Mapping[str, Field] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.output, frozenset(self.inputs.items())))

    @property
    def classes(self) -> int:
        """The number of classes of the labels; 0 without labels."""
        return self.inputs["label"].classes if "label" in self.inputs else 0

    @property
    def sources(self) -> dict[str, Field]:
        """The inputs other than the label."""
        return {name: one for name, one in self.inputs.items() if name != "label"}

    @property
    def channels(self) -> int:
        """The channels of the output; ValueError if it is no image."""
        return self._image_shape()[0]

    @property
    def height(self) -> int:
        """The height of the output in pixels; ValueError if it is no image."""
        return self._image_shape()[1]

    @property
    def width(self) -> int:
        """The width of the output in pixels; ValueError if it is no image."""
        return self._image_shape()[2]

    @property
    def size(self) -> int:
        """The height and width of a square output; ValueError for any other, so that a network for squares refuses."""
        if self.height != self.width:
            raise ValueError(f"images of {self.height} x {self.width} pixels are not square, as this part needs them")
        return self.width

    @property
    def image_size(self) -> ImageSize:
        """The size of the output as `ImageSpec` takes it: one number for squares, else (height, width)."""
        return self.width if self.height == self.width else (self.height, self.width)

    @property
    def extent(self) -> str:
        """The size of the output in words: "64 pixels", "48 x 64 pixels" or "2 numbers"."""
        if self.output.kind != "image":
            return f"{' x '.join(map(str, self.output.shape))} numbers"
        return f"{self.width} pixels" if self.height == self.width else f"{self.height} x {self.width} pixels"

    def turned(self, name: str) -> SampleSpec:
        """Returns the specification with the output and the input `name` exchanged: that of the other direction."""
        return SampleSpec(self.inputs[name], {**self.inputs, name: self.output})

    def _image_shape(self) -> tuple[int, ...]:
        if self.output.kind != "image":
            raise ValueError(f"samples are {self.output.kind} of shape {self.output.shape}, and this part needs images")
        return self.output.shape


def size_text(size: ImageSize) -> str:
    """Writes a size as `--image-size` takes it: "64", or "48x64" for a height of 48 and a width of 64."""
    height, width = (size, size) if isinstance(size, int) else size
    return str(width) if height == width else f"{height}x{width}"


def ImageSpec(size: ImageSize, channels: int, classes: int = 0) -> SampleSpec:
    """Returns the specification of square images of `size` pixels with 1 to 4 channels; `classes` 0 without labels.

    `size` may also be (height, width).
    """
    labels = {"label": Field((), "class", classes)} if classes else {}
    height, width = (size, size) if isinstance(size, int) else size
    return SampleSpec(Field((channels, height, width)), labels)


@dataclass(frozen=True)
class Sizes:
    """The image sizes that a variant supports: its `own`, the default first, and those that a rule adds.

    `sizes[0]` and iteration give its own sizes; `in` asks the rule too.

    Attributes:
        own: in pixels, those of the paper or the official code.
        powers: every power of two from `least` to `most` as well.
        multiple: every multiple of this number from `least` to `most` as well; 0 for none.
        least: the smallest size that the rule adds.
        most: the largest size that the rule adds.
        square: False if height and width may differ, each a size by this rule.
    """

    own: tuple[int, ...]
    powers: bool = False
    multiple: int = 0
    least: int = 16
    most: int = 1024
    square: bool = True

    def __contains__(self, size: object) -> bool:
        if size in self.own:
            return True
        if type(size) is not int or not self.least <= size <= self.most:
            return False
        return (self.powers and size & (size - 1) == 0) or (self.multiple > 0 and size % self.multiple == 0)

    def __iter__(self) -> Iterator[int]:
        return iter(self.own)

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, place: int) -> int:
        return self.own[place]

    def __str__(self) -> str:
        own = ", ".join(map(str, self.own))
        rules = ["powers of two"] * self.powers + [f"multiples of {self.multiple}"] * (self.multiple > 0)
        return own + (f", and {' and '.join(rules)} from {self.least} to {self.most}" if rules else "")

    def every(self) -> list[int]:
        """Returns all supported sizes: its own, then those that the rule adds, from the smallest."""
        steps = [1 << power for power in range(16)] if self.powers else []
        steps += range(self.multiple, self.most + 1, self.multiple) if self.multiple else []
        return [*self.own, *sorted({one for one in steps if one in self}.difference(self.own))]

    def nearest(self, size: int) -> int:
        """Returns the supported size that is closest to `size`, the smaller of two."""
        return min(sorted(self.every()), key=lambda one: abs(one - size))


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
    `shape` is "linear", "cosine" (half a period), "exponential" (the same factor at every step; both values above 0) or
    "steps": the same factor at each of the `milestones`, fractions of all training steps, and constant between them.
    """

    to_value: float
    from_value: float | None = None
    from_fraction: float = 0.0
    to_fraction: float = 1.0
    shape: str = "linear"
    milestones: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Training:
    """The paper's training settings; `--set training.<field>=<value>` changes a field.

    Attributes:
        optimizer: "adam", "adamw", "rmsprop" or "sgd", for every network without one of its own.
        optimizer_options: arguments of every optimizer, by their names in torch, such as `betas`.
        generator_lr: learning rate of the generator, per optimizer step.
        discriminator_lr: learning rate of the discriminator, per optimizer step.
        loss_lr: learning rate of the loss's own networks, per optimizer step; None: the generator's.
        generator_optimizer: optimizer of the generator; None: `optimizer`.
        discriminator_optimizer: optimizer of the discriminator; None: `optimizer`.
        loss_optimizer: optimizer of the loss's own networks; None: `optimizer`.
        generator_optimizer_options: arguments of the generator's optimizer, over `optimizer_options`.
        discriminator_optimizer_options: arguments of the discriminator's optimizer, over `optimizer_options`.
        loss_optimizer_options: arguments of the optimizer of the loss's networks, over `optimizer_options`.
        batch_size: images of the whole batch, over all processes and micro-batches.
        accumulate: micro-batches per batch (gradient accumulation).
        steps: training steps.
        ema: decay per step of the moving average of the generator's weights; None: no average.
        ema_start: step at which the moving average starts.
        ema_images: half-life of the moving average in images, instead of `ema`: a step counts as `batch_size` images.
        ema_ramp: most of the images so far that the half-life may be, as a share (0.05 in StyleGAN2-ADA).
        mirror: whether half of the real images are flipped horizontally, paired fields together.
        load_ratio: how many times larger than samples images are kept, to be cropped at random; None: no crops.
        schedules: values that change while training, by the name of the setting, such as `generator_lr`.

    In pix2pix and CycleGAN, `load_ratio` is 286 / 256; paired fields are cropped together. Schedules are of
    `generator_lr`, `discriminator_lr`, `loss_lr`, `beta2`, `momentum`, `ema`, `ema_half_life` (as a fraction of all
    steps, so that it scales with the length of the run), or a numeric attribute of a part (`generator.<name>`,
    `discriminator.<name>`, `loss.<name>`, `augmentation.<name>`, `regularizers.<part>.<name>`).
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
    ema_images: float | None = None
    ema_ramp: float | None = None
    mirror: bool = False
    load_ratio: float | None = None
    schedules: Mapping[str, Schedule] = field(default_factory=dict)

    @property
    def averages(self) -> bool:
        """True if a moving average of the generator is kept."""
        return self.ema is not None or self.ema_images is not None


def _check_location(what: str, package_file: str | None, repo: str | None, revision: str | None) -> None:
    """ValueError unless exactly one place is given, and that of the Hub at a commit."""
    if (package_file is None) == (repo is None):
        raise ValueError(f"{what} need exactly one of package_file and repo")
    if repo is not None and not re.fullmatch(r"[0-9a-f]{40}", revision or ""):
        raise ValueError(f"the revision of {repo} must be a commit of 40 hex digits, got {revision!r}")


@dataclass(frozen=True, kw_only=True)
class Asset:
    """Location and hash of a pretrained network that a part needs while it trains, such as a perceptual loss's.

    Give exactly one of `package_file` ("package:path/inside"), `repo` and `path`; `revision` is a commit (40 hex
    digits) and `file` a safetensors file there. `sha256` is the hash of that file, with `license` required unless a
    user named the file: `path`, whose hash the run records.
    """

    sha256: str = ""
    license: str = ""
    package_file: str | None = None
    repo: str | None = None
    revision: str | None = None
    file: str = "model.safetensors"
    path: str | None = None

    def __post_init__(self) -> None:
        if self.path is None:
            _check_location("assets", self.package_file, self.repo, self.revision)
        elif self.package_file is not None or self.repo is not None:
            raise ValueError("assets need exactly one of package_file, repo and path")
        if self.path is None and not (self.sha256 and self.license):
            raise ValueError("assets of a package or the Hub need sha256 and license")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Location and hash of a pretrained generator: a file in the plugin's package, or a Hub repository at a commit.

    Give exactly one of `package_file` ("package:path/inside") and `repo`; `revision` is a commit (40 hex digits), never
    a branch. `sha256` is the hash of `model.safetensors`.
    """

    image: SampleSpec
    sha256: str
    license: str
    package_file: str | None = None
    repo: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        _check_location("weights", self.package_file, self.repo, self.revision)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The card of one variant: its parts by name, supported image sizes and the paper's training settings.

    `sizes` are in pixels, the default first, or a rule (`Sizes`). `labels` is "unused", "optional" or "required".
    `discriminator` is None for variants without one. `weights` maps a tag that begins with the variant's name
    ("dcgan.fashion-mnist") to pretrained weights. `task` is for lists and cards: "generation", "translation" and the
    like. `inputs` are the fields besides label and output that training needs: a Part names a condition that computes
    the field from the output, None states that it comes with the data. `pairing` is "paired" if a source belongs to
    each output, "independent" if the two are separate sets. `kind` is that of the output: "image" or "points".
    """

    name: str
    summary: str
    paper: str
    year: int
    generator: Part
    discriminator: Part | None
    loss: Part
    sizes: tuple[int, ...] | Sizes
    labels: str = "unused"
    task: str = "generation"
    kind: str = "image"
    inputs: Mapping[str, Part | None] = field(default_factory=dict)
    pairing: str = "paired"
    tags: tuple[str, ...] = ()
    regularizers: tuple[Part, ...] = ()
    augmentation: Part | None = None
    training: Training = Training()
    weights: Mapping[str, Weights] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.labels not in LABELS:
            raise ValueError(f"labels of variant '{self.name}' is {self.labels!r}; known: {', '.join(LABELS)}")
        if self.pairing not in PAIRINGS:
            raise ValueError(f"pairing of variant '{self.name}' is {self.pairing!r}; known: {', '.join(PAIRINGS)}")
        if not self.sizes and self.kind == "image":
            raise ValueError(f"variant '{self.name}' supports no image size")
        for tag in self.weights:  # names of variants are unique, so tags that begin with them are too
            if not tag.startswith(f"{self.name}.") or not NAME.fullmatch(tag):
                raise ValueError(f"weights of variant '{self.name}' must be tagged '{self.name}.<what>', not {tag!r}")

    @property
    def size_rule(self) -> Sizes:
        """The supported image sizes as a rule, which a tuple of sizes is too."""
        return self.sizes if isinstance(self.sizes, Sizes) else Sizes(tuple(self.sizes))

    def supports(self, height: int, width: int) -> bool:
        """True if images of this height and width are among the supported sizes."""
        rule = self.size_rule
        return height in rule and width in rule and (height == width or not rule.square)


RegisterVariant = Callable[[Variant], None]  # the argument of the hook register_variants
Register = Callable[[str, Callable[..., Any]], None]  # of every other hook: a name and a factory
