"""The schema of a run's config.json, and the checks of every value that comes from outside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ganzoo.config.parts import conditions_of, parts_of
from ganzoo.errors import CheckpointError, did_you_mean
from ganzoo.files.strict_json import read_json
from ganzoo.files.text import in_path, one_line, quoted
from ganzoo.variant import KINDS, OPTIMIZERS, SHAPES, Field, ImageSpec, Part, SampleSpec, Sizes, Training, Variant

SCHEDULE_KEYS = {"start": "from_value", "end": "to_value", "begin": "from_fraction", "finish": "to_fraction"}
BOUNDS = {
    "batch_size": (1, None),
    "accumulate": (1, None),
    "steps": (1, None),
    "generator_lr": (0, None),
    "discriminator_lr": (0, None),
    "loss_lr": (0, None),
    "ema": (0, 1),
    "ema_start": (0, None),
    "ema_images": (0, None),
    "ema_ramp": (0, None),
    "load_ratio": (1, 9),
}
FORMAT = 1
CONFIG_BYTES = 2**20
LARGEST_SIZE = 4096
LARGEST_CLASSES = 1_000_000
LARGEST_OPTION = 2**20
LARGEST_INPUTS = 16
LEFT_OUT = ("options", "origin", "freeze", "assets", "in_process")  # of a config.json, where they say nothing
ROLES = ("generator", "discriminator", "loss", "augmentation")


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """The sources of a run: where they were read and how they belong to its images, or which images were stored.

    Attributes:
        source: of `--source`; None for pairs in one place, and for sources that conditions compute.
        side_by_side: whether `--pairs` holds both sides in one picture.
        direction: "AtoB" if A is the source.
        unpaired: whether the sources are a set of their own, of which `images` and `fingerprint` say more.
        size: [height, width] of the sources.
        channels: of the stored outputs, before conditions, as they were requested; `source_channels` of the sources.
        conditions: fingerprints of what conditions read, by the name of the input.
    """

    source: str | None = None
    side_by_side: bool = False
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    unpaired: bool = False
    size: tuple[int, int] | None = None
    channels: int | None = None
    source_channels: int | None = None
    images: int | None = None
    fingerprint: str | None = None
    conditions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The images of a run: where they were read, and what identifies them; `sources` if the variant has inputs."""

    source: str
    name: str
    fingerprint: str
    revision: str | None
    images: int
    classes: tuple[str, ...]
    sources: SourceFacts | None = None


@dataclass(frozen=True, kw_only=True)
class PluginFacts:
    """The plugin that provides a variant, with the distribution to install where it is missing."""

    name: str = ""
    distribution: str = ""
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of `ganzoo train` that a resumed run takes over, and that may change: they decide no weight.

    Only "rollback" changes a training, and only after a collapse.
    """

    sample_every: int = 500
    checkpoint_every: int = 1000
    keep: int = 3
    on_collapse: Literal["warn", "stop", "rollback"] = "warn"
    tensorboard: bool = False
    track: tuple[str, ...] = ()
    on_bad_image: Literal["error", "skip"] = "error"
    data_root: str | None = None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The weights that a run started from, with the sha256 of each file of weights by role.

    `source` is where they were read, `revision` the commit on the Hub, if it was there.
    """

    source: str
    variant: str
    sha256: dict[str, str]
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The config.json of a run: all that decides its result (variant to processes), and the circumstances.

    `variant` is resolved: with mix-ins and settings, and without pretrained weights. `origin` is None of a run that
    started from random weights, `freeze` the number of frozen layers by role. `assets` holds the sha256 of pretrained
    networks that parts had, by their place in the settings ("loss.perceptual"). `in_process` names what was registered
    in the Python process of the run alone, as "losses.mine", with the sha256 of its source text or "".
    """

    format: int = FORMAT
    variant: Variant
    plugin: PluginFacts
    image: SampleSpec
    data: DataFacts
    seed: int
    precision: Literal["fp32", "bf16"]
    processes: int
    device: str
    threads: int
    versions: dict[str, str]
    options: RunOptions | None = None  # runs of before this field have none
    origin: Origin | None = None
    freeze: dict[str, int] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)
    in_process: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, in the order of the fields."""
        plain = {**asdict(self), "variant": as_json(self.variant), "image": spec_as_json(self.image)}
        if self.data.sources is None:
            del plain["data"]["sources"]
        return {key: value for key, value in plain.items() if value or key not in LEFT_OUT}


def training_mistakes(training: Training) -> list[str]:
    """Lists mistakes in training settings: values out of range, unknown optimizers, unknown options of optimizers."""
    mistakes = []
    for name, (low, high) in BOUNDS.items():
        value = getattr(training, name)
        if value is not None and not (math.isfinite(value) and value >= low and (high is None or value < high)):
            limit = f"at least {low}" + (f" and below {high}" if high is not None else "")
            mistakes.append(f"training.{name}: must be {limit}, got {quoted(value)}")
    for key, schedule in training.schedules.items():
        name = in_path(key)
        if schedule.shape not in SHAPES:
            known = f"{', '.join(SHAPES[:-1])} or {SHAPES[-1]}"
            mistakes.append(f"training.schedules.{name}.shape: must be {known}, got {quoted(schedule.shape)}")
        if not all(
            math.isfinite(value)
            for value in (schedule.to_value, schedule.from_value or 0, schedule.from_fraction, schedule.to_fraction)
        ):
            mistakes.append(f"training.schedules.{name}: its numbers must be finite")
        if (schedule.shape == "steps") != bool(schedule.milestones):
            mistakes.append(f"training.schedules.{name}: milestones and the shape steps belong together")
        if not all(0 <= milestone <= 1 for milestone in schedule.milestones):
            mistakes.append(f"training.schedules.{name}.milestones: must be fractions of the training, from 0 to 1")
    if training.ema is not None and training.ema_images is not None:
        mistakes.append("training.ema_images: the moving average has a decay already (training.ema): leave one out")
    if training.ema_ramp is not None and training.ema_images is None:
        mistakes.append("training.ema_ramp: needs training.ema_images, the half-life that it limits")
    return mistakes + _optimizer_mistakes(training)


def _optimizer_mistakes(training: Training) -> list[str]:
    mistakes = []
    for role in ("", "generator_", "discriminator_", "loss_"):
        own = getattr(training, f"{role}optimizer")
        name = own or training.optimizer
        if name not in OPTIMIZERS:
            if role and not own:  # the mistake is that of `optimizer`, which is listed already
                continue
            mistakes.append(
                f"training.{role}optimizer: no optimizer is called {quoted(name)}.{did_you_mean(name, OPTIMIZERS)}"
            )
            continue
        known = _optimizer_options(name)
        for option in getattr(training, f"{role}optimizer_options"):
            if option not in known:
                where = f"training.{role}optimizer_options.{in_path(option)}"
                mistakes.append(f"{where}: unknown option of {name}.{did_you_mean(option, known)}")
    return list(dict.fromkeys(mistakes))


@cache
def _optimizer_options(name: str) -> tuple[str, ...]:
    """The options of an optimizer besides parameters and learning rate."""
    from inspect import signature

    from torch import optim

    return tuple(
        option for option in signature(getattr(optim, OPTIMIZERS[name])).parameters if option not in ("params", "lr")
    )


def option_bounds(variant: Variant) -> list[str]:
    """Lists numbers in the options of a variant's parts that are far out of range."""
    return option_bounds_of({**parts_of(variant), **conditions_of(variant)})


def option_bounds_of(parts: Mapping[str, Part]) -> list[str]:
    """Lists numbers in the options of parts that are far out of range: such networks would fit in no memory."""
    return [
        f"{path}.{in_path(option)}: {quoted(value)} is out of range (numbers up to {LARGEST_OPTION})"
        for path, part in parts.items()
        for option, value in part.options.items()
        if not _bounded(value)
    ]


def _bounded(value: Any) -> bool:
    """True if a number, or every number in a list or table, is in the range of an option."""
    if isinstance(value, dict | list | tuple):
        return len(value) <= 1000 and all(map(_bounded, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int | float) or abs(value) <= LARGEST_OPTION


def as_json(variant: Variant) -> dict[str, Any]:
    """A variant as plain JSON values, without its pretrained weights, which are not settings."""
    plain = asdict(variant)
    del plain["weights"]
    return plain


def from_json(data: Any, model_type: type, where: str) -> Any:
    """Converts plain JSON values to a dataclass; CheckpointError names an unknown key or a value of the wrong type."""
    import msgspec

    try:
        found: Any = msgspec.convert(data, model_type)
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{where}: {one_line(error)}") from None
    if is_dataclass(found) and not isinstance(found, type):
        _refuse_unknown(data, asdict(found), where)
    return found


def _refuse_unknown(data: Any, known: Any, where: str) -> None:
    """CheckpointError for a key that the dataclass does not have, which msgspec ignores."""
    if isinstance(data, dict) and isinstance(known, dict):
        for key, value in data.items():
            if key not in known:
                raise CheckpointError(f"{where}: unknown key {quoted(key)}.{did_you_mean(key, known)}")
            _refuse_unknown(value, known[key], f"{where}.{key}")
    elif isinstance(data, list):
        for number, (value, item) in enumerate(zip(data, known, strict=True)):
            _refuse_unknown(value, item, f"{where}[{number}]")


def _with_present_names(variant: Any) -> Any:
    """Replaces the first names of a schedule's fields (`SCHEDULE_KEYS`) in a variant of a config.json."""
    match variant:
        case {"training": {"schedules": dict(schedules)} as training}:
            present = {name: _renamed(schedule) for name, schedule in schedules.items()}
            return {**variant, "training": {**training, "schedules": present}}
    return variant


def _renamed(schedule: Any) -> Any:
    if not isinstance(schedule, dict):
        return schedule
    renamed = {SCHEDULE_KEYS.get(key, key): value for key, value in schedule.items()}
    return renamed if len(renamed) == len(schedule) else schedule  # both names of one field: an unknown key


@dataclass(frozen=True)
class _Square:
    """The short form of a specification in a config.json: square images, with or without labels."""

    size: int
    channels: int
    classes: int = 0


def spec_as_json(spec: SampleSpec) -> dict[str, Any]:
    """Plain JSON values of a specification: {size, channels, classes} wherever these say all there is."""
    shape = spec.output.shape
    short = spec.output.kind == "image" and len(shape) == 3 and shape[1] == shape[2]
    if short and spec == ImageSpec(shape[1], shape[0], spec.classes):
        return {"size": shape[1], "channels": shape[0], "classes": spec.classes}
    return asdict(spec)


def general_spec(data: Any, where: str) -> Any:
    """Plain JSON values of a specification in its general form; CheckpointError for a wrong short one."""
    if not isinstance(data, dict) or "output" in data:
        return data
    square: _Square = from_json(data, _Square, where)
    return asdict(ImageSpec(square.size, square.channels, square.classes))


def spec_mistakes(spec: SampleSpec) -> list[str]:
    """Lists numbers of a specification that are out of range: a file could ask for a huge network."""
    if len(spec.inputs) > LARGEST_INPUTS:
        return [f"image: {len(spec.inputs)} inputs are too many ({LARGEST_INPUTS})"]
    mistakes = []
    for name, one in {"output": spec.output, **spec.inputs}.items():
        if one.kind not in KINDS or (one.kind == "class") != (name == "label"):
            mistakes.append(f"image: {in_path(name)} cannot be of kind {quoted(one.kind)}")
        elif not _has_sound_shape(one):
            mistakes.append(
                f"image: {in_path(name)} of shape {one.shape} with {one.classes} classes is out of range "
                f"(sizes 1-{LARGEST_SIZE}, channels 1-4, classes 0-{LARGEST_CLASSES})"
            )
    return mistakes


def _has_sound_shape(one: Field) -> bool:
    if one.kind == "class":
        return one.shape == () and 1 <= one.classes <= LARGEST_CLASSES
    if one.classes or not 1 <= len(one.shape) <= 4 or not all(1 <= size <= LARGEST_SIZE for size in one.shape):
        return False
    return one.kind != "image" or (len(one.shape) == 3 and one.shape[0] <= 4)


def read_run_config(path: Path) -> RunConfig:
    """Reads the config.json of a run and checks every value; CheckpointError names the file and the value."""
    data = read_json(path, limit=CONFIG_BYTES, depth=16)
    if not isinstance(data, dict) or type(data.get("format")) is not int:
        raise CheckpointError(f"{path} is not the configuration of a run.")
    if isinstance(data.get("variant"), str) and "generator" in data:
        raise CheckpointError(
            f"{path.parent} is a model and no run: it holds a generator alone, as `ganzoo sample` and ganzoo.load take."
        )
    if data["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: format {quoted(data['format'])} is not one that this ganzoo reads ({FORMAT}); update ganzoo."
        )
    if "variant" in data:
        data["variant"] = _with_present_names(data["variant"])
    if "image" in data:
        data["image"] = general_spec(data["image"], f"{path}: image")
    config: RunConfig = from_json(data, RunConfig, str(path))
    for mistake in _run_mistakes(config):
        raise CheckpointError(f"{path}: {mistake}")
    return config


def is_run_config(path: Path) -> bool:
    """True if the config.json at `path` is that of a run, and not of a model; CheckpointError if it is damaged."""
    data = read_json(path, limit=CONFIG_BYTES, depth=16)
    return isinstance(data, dict) and isinstance(data.get("variant"), dict)


def _run_mistakes(config: RunConfig) -> list[str]:
    """Values that no type can rule out; numbers are bounded, so that a hostile file cannot ask for huge networks."""
    variant = config.variant
    found: list[str] = []
    if not (0 <= config.seed < 2**63 and 1 <= config.threads <= 4096 and config.processes >= 1):
        found.append("seed, threads or processes is out of range.")
    options = config.options or RunOptions()
    if options.sample_every < 1 or options.checkpoint_every < 1 or options.keep < 2:
        found.append("options: sample_every, checkpoint_every or keep is out of range.")
    if variant.weights:
        found.append("variant.weights: a run has none")
    if not all(role in ROLES and 1 <= layers <= LARGEST_OPTION for role, layers in config.freeze.items()):
        found.append(f"freeze: {quoted(config.freeze)} is no number of layers by role")
    rule = (variant.sizes.least, variant.sizes.most) if isinstance(variant.sizes, Sizes) else ()
    if any(not 1 <= size <= LARGEST_SIZE for size in (*variant.sizes, *rule)):
        found.append(f"variant.sizes: must be 1 to {LARGEST_SIZE}")
    mistakes = training_mistakes(variant.training) + option_bounds(variant)
    return found + [f"variant.{mistake}" for mistake in mistakes] + spec_mistakes(config.image)
