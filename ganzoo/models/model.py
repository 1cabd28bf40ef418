"""`Model`: a trained generator, ready to sample from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor

from ganzoo.data.memory import available_bytes
from ganzoo.errors import PluginError, UsageError
from ganzoo.files.output_checks import path_of
from ganzoo.files.text import one_line, quoted
from ganzoo.models.arguments import check_count, check_inputs, check_labels, check_numbers, check_truncation
from ganzoo.models.inference import FastSampler
from ganzoo.models.truncation import Truncation, truncated
from ganzoo.networks import Generator
from ganzoo.networks.inputs import placement
from ganzoo.networks.latents import sample_latents
from ganzoo.networks.precision import float32_by_default

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from ganzoo.models.config import ModelConfig
    from ganzoo.models.geometry import Geometry

BATCH_PIXELS = 64 * 256**2  # at once: activations of a generator grow with them
LISTED = 30  # classes in a message

Images = TypeVar("Images", Tensor, "PillowImage", "list[PillowImage]")


class Mover(Protocol):
    """Makes images of latents (n, latent_dim) and labels (n,) that it moves first."""

    def sampled(self, latent: Tensor, label: Tensor | None, truncation: Truncation | None) -> Tensor: ...


class Model:
    """Samples images from a generator in evaluation mode.

    `variant` is the name of its variant, `image` the shape of its images, `classes` the names of its labels, `config`
    the content of its config.json. Sampling runs through a faster copy of `generator`, which follows its changes (see
    `FastSampler`), and with `compile` through torch.compile.
    """

    def __init__(self, generator: Generator, config: ModelConfig, *, compile: bool = False):
        self.generator = generator.eval().requires_grad_(False)
        self.config = config
        self.variant, self.image = config.variant, config.image
        self._compile = compile
        self._sampler = FastSampler(compile=compile)

    def __repr__(self) -> str:
        made = f"makes {self.image.extent}"
        if self.image.output.kind == "image":
            made += f" of {self.image.channels} channel{'s' * (self.image.channels > 1)}"
        takes = [name for name in self.image.sources] + [f"latents of {self.config.latent_dim}"] * bool(
            self.config.latent_dim
        )
        labels = f", {self.image.classes} classes" if self.image.classes else ""
        return f"<Model {self.variant}: {made} from {' and '.join(takes)}{labels}>"

    def _repr_png_(self) -> bytes | None:
        """The picture that a notebook shows: a row of samples. None without Pillow, and where samples are slow."""
        from ganzoo.models.notebook import samples_png

        return None if self._compile else samples_png(self.image, self.generator, self.sample)

    def _repr_html_(self) -> str | None:
        """The picture below the text of `repr`; None where there is no picture."""
        from ganzoo.models.notebook import with_text

        return with_text(repr(self), self._repr_png_())

    @property
    def classes(self) -> list[str]:
        """The names of the labels of `sample(label=...)`, by number; empty if the generator is unconditional."""
        return list(self.config.classes) if self.image.classes else []

    @property
    def class_names(self) -> list[str]:
        """As `classes`, with numbers where the classes of a conditional generator have no names."""
        return self.classes or [str(number) for number in range(self.image.classes)]

    def save(self, folder: str | Path, *, dtype: str = "float32") -> None:
        """Writes the generator as a new model folder, which `ganzoo.load` reads.

        `dtype` is that of the stored numbers: "float32", "float16" or "bfloat16". UsageError if `folder` has content.
        """
        from ganzoo.models.folder import write_model

        self.config = write_model(path_of("folder", folder), self.config, self.generator.state_dict(), dtype=dtype)

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Model:
        """Moves the generator to a device, or its numbers to a type, and returns the model itself.

        UsageError for a device that is not here. Samples still come back on the CPU in float32.
        """
        from ganzoo.engine.device import choose_device

        place = None if device is None else choose_device(str(device))
        self.generator.to(device=place, dtype=dtype)
        self._sampler = FastSampler(compile=self._compile)
        return self

    def latent(self, n: int, seed: int = 0, truncation: Truncation | None = None) -> Tensor:
        """Returns the first `n` latents (n, latent_dim) of a seed; the first 16 of 64 are those of 16.

        `truncation` cuts the prior off at that distance from 0, for less variety; generators may refine it (BigGAN).
        """
        latent = sample_latents(self.generator, n, seed)
        if truncation is None or self.generator.has_mapping:  # which truncates styles, not latents
            return latent
        check_truncation(truncation)
        if isinstance(truncation, tuple):
            raise UsageError(f"The generator of '{self.variant}' has no layers with styles: give the truncation alone.")
        if not truncation > 0:
            raise UsageError(f"Truncation is a number above 0, such as 0.7, not {truncation!r}.")
        return self.generator.truncate(latent, truncation)

    def refuse_sources(self) -> None:
        """UsageError if the generator needs an image to start from."""
        if self.image.sources:
            raise UsageError(
                f"This {self.variant} generator makes its images of a {' and '.join(self.image.sources)} image: "
                "use `ganzoo apply MODEL IMAGES... --out FOLDER` (Model.apply)."
            )

    def refuse_numbers(self, doing: str) -> None:
        """UsageError if samples are numbers such as points; `doing` says what is done with images."""
        if (kind := self.image.output.kind) != "image":
            raise UsageError(f"{doing}, and the samples of '{self.variant}' are {kind}.")

    def sample(
        self,
        n: int,
        seed: int = 0,
        *,
        label: int | str | None = None,
        truncation: Truncation | None = None,
        moves: Mover | None = None,
        batch_size: int = 64,
    ) -> Tensor:
        """Samples `n` images (n, C, H, W) in [-1, 1], on the CPU; a seed gives the same images at any batch size.

        `label` is a class number or name; None takes all classes in turn if the generator is conditional. `moves` moves
        every sample along codes or directions, as `ganzoo.models.moves.Moves(model, {"1": 2.0})`. UsageError if the
        images do not fit into the free memory.
        """
        check_count(n, batch_size)
        self._refuse_too_many(n)
        return torch.cat(
            list(self.stream(n, seed, label=label, truncation=truncation, moves=moves, batch_size=batch_size))
        )

    def _refuse_too_many(self, n: int) -> None:
        """UsageError if `n` images, and a copy of them, take more memory than is free."""
        needed, free = 2 * 4 * n * math.prod(self.image.output.shape), available_bytes()
        if needed > free:
            raise UsageError(
                f"{n:,} images of {self.image.extent} take {needed / 2**30:.1f} GiB at once, "
                f"{free / 2**30:.1f} GiB are free: ask for fewer, or stream them (`ganzoo sample --out folder/`)."
            )

    def batch_of(self, batch_size: int) -> int:
        """Returns the samples that are generated at once: `batch_size`, but no more pixels than 64 images of 256."""
        return self.pixels_of(batch_size, math.prod(self.image.output.shape[1:]))

    def pixels_of(self, batch_size: int, pixels: int) -> int:
        """Returns `batch_size`, or how many samples of so many pixels are as large as 64 images of 256, at least 1."""
        return max(1, min(batch_size, BATCH_PIXELS // pixels))

    @cached_property
    def geometry(self) -> Geometry:
        """The sizes of source images that the generator takes; UsageError if it makes its images of latents alone."""
        from ganzoo.models.geometry import Geometry

        return Geometry(self.generator, self.image, self.variant)

    def apply(
        self,
        images: Images,
        *,
        batch_size: int = 8,
        tile: int | None = None,
        overlap: int | None = None,
        scale: float | None = None,
        seed: int = 0,
        label: int | str | None = None,
        keep_alpha: bool | None = None,
        precision: str = "fp32",
    ) -> Images:
        """Makes images of source images of any size: a Pillow image, a list of them, or a tensor (N, C, H, W).

        The same kind comes back; tensors are float in [-1, 1]. Images become grey, RGB or RGBA as the generator takes
        them. Transparent ones are put on white, as in training, and come back opaque, or with `keep_alpha` with the
        transparency of their source; a generator with four channels gets it and makes its own. Super-resolution
        networks keep it by default and enlarge it apart, and grey images stay grey. `scale` is the size of outputs in
        sizes of their sources, by Lanczos after the network; None is the network's.

        Sides are extended by reflection to the multiple that the generator needs, and cut off after. `tile` works on
        squares of that many pixels and `overlap` pixels around them, for less memory and the same images; None chooses
        both so that large images take about 1 GiB. UsageError if `tile` is given and a pixel depends on all others,
        as with instance norm or attention. "bf16" as `precision` runs the network under bfloat16 autocast.

        The i-th image gets the i-th latent of `seed`, if the generator takes one, and the class `label`, a name or
        position, which a conditional generator needs. UsageError for a generator without a source, or an output that
        does not fit into memory.
        """
        from ganzoo.models.apply import Application

        application = Application(
            self,
            batch_size=batch_size,
            tile=tile,
            overlap=overlap,
            scale=scale,
            seed=seed,
            label=label,
            keep_alpha=keep_alpha,
            precision=precision,
        )
        return application(images)

    def sample_pil(
        self,
        n: int,
        seed: int = 0,
        *,
        label: int | str | None = None,
        truncation: Truncation | None = None,
        moves: Mover | None = None,
        batch_size: int = 64,
    ) -> list[PillowImage]:
        """Samples `n` Pillow images, of mode "L" if the generator is grey, "RGB" or "RGBA"; options as of `sample`."""
        from ganzoo.files.pictures import to_pillow, to_uint8

        self.refuse_numbers("sample_pil draws images")
        batches = self.stream(n, seed, label=label, truncation=truncation, moves=moves, batch_size=batch_size)
        return [to_pillow(image) for images in batches for image in to_uint8(images)]

    def stream(
        self,
        n: int,
        seed: int = 0,
        *,
        label: int | str | None = None,
        truncation: Truncation | None = None,
        moves: Mover | None = None,
        batch_size: int = 64,
    ) -> Iterator[Tensor]:
        """Yields the images of `sample` batch by batch; a batch has no more pixels than 64 images of 256 x 256."""
        check_count(n, batch_size)
        self.refuse_sources()
        latent, labels = self.latent(n, seed, truncation), self.labels(n, label)
        batch_size, sampled = self.batch_of(batch_size), self._sampled if moves is None else moves.sampled
        for start in range(0, n, batch_size):
            part = slice(start, start + batch_size)
            yield sampled(latent[part], None if labels is None else labels[part], truncation)

    def _sampled(self, latent: Tensor, label: Tensor | None, truncation: Truncation | None) -> Tensor:
        """Generates images of latents, whose styles are truncated if the generator has a mapping."""
        if truncation is None or not self.generator.has_mapping:
            return self.generate(latent, label)
        return self.render(self.style(latent, label, truncation), label)

    def each_class(
        self, n: int, seed: int = 0, *, truncation: Truncation | None = None, batch_size: int = 64
    ) -> Tensor:
        """Samples every class from the first `n` latents of a seed: images (classes·n, C, H, W), class by class.

        UsageError if the generator is unconditional.
        """
        if self.image.classes == 0:
            raise UsageError(f"This {self.variant} generator is unconditional: it has no classes.")
        self.refuse_sources()
        check_count(n, batch_size)
        self._refuse_too_many(n * self.image.classes)
        latent, labels = (
            self.latent(n, seed, truncation).repeat(self.image.classes, 1),
            torch.arange(self.image.classes).repeat_interleave(n),
        )
        batch_size = self.batch_of(batch_size)
        parts = zip(latent.split(batch_size), labels.split(batch_size), strict=True)
        return torch.cat([self._sampled(*part, truncation) for part in parts])

    def labels(self, n: int, label: int | str | None = None) -> Tensor | None:
        """Returns labels (n,): all `label`, or every class in turn; None if the generator is unconditional.

        A text is the name of a class, or "#3" for the fourth one; a number is a position.
        """
        if self.image.classes == 0:
            if label is not None:
                raise UsageError(
                    f"This {self.variant} generator is unconditional: it takes no label, got {quoted(label)}."
                )
            return None
        if label is None:
            return torch.arange(n) % self.image.classes
        return torch.full((n,), self._class_number(label))

    def _class_number(self, label: int | str) -> int:
        """Returns the number of a class; UsageError names the known ones."""
        names, text = self.class_names, str(label)
        number = label if isinstance(label, int) else -1
        if isinstance(label, str) and label in names:
            number = names.index(label)
        elif isinstance(label, str) and text.startswith("#") and text[1:].isascii() and text[1:].isdigit():
            number = int(text[1:])
        if not 0 <= number < self.image.classes:
            listed = ", ".join([*names[:LISTED], *(["..."] if len(names) > LISTED else [])])
            raise UsageError(
                f"No class is called {quoted(label)}; known: {listed} (by position: '#0' to '#{len(names) - 1}')."
            )
        return number

    def categories(self, n: int, seed: int = 0) -> Tensor | None:
        """Returns the values (n, K), int64, of the K categorical codes in the first `n` latents of a seed.

        None if the generator has no categorical code.
        """
        codes = [code for code in self.generator.codes if code.kind == "categorical"]
        if not codes:
            return None
        latent = self.latent(n, seed)
        wrong = next((code for code in codes if not 0 <= code.start < code.start + code.size <= latent.shape[1]), None)
        if wrong:
            raise PluginError(
                f"The generator of '{self.variant}' has a code '{wrong.name}' of {wrong.size} numbers "
                f"from {wrong.start}, its latents have {latent.shape[1]} numbers."
            )
        return torch.stack([latent[:, code.start : code.start + code.size].argmax(1) for code in codes], 1)

    def generate(self, latent: Tensor, label: Tensor | None = None, **inputs: Tensor) -> Tensor:
        """Generates the samples of latents (n, latent_dim), labels (n,) and inputs, on the CPU in float32.

        The inputs are those of `image.sources`, such as `source` (n, C, H, W) in [-1, 1].
        """
        check_numbers(latent, "latents", (self.generator.latent_dim,), self.variant, self.generator)
        return self._computed(self._sampler, latent, label, inputs)

    @cached_property
    def _style_shape(self) -> tuple[int, ...]:
        return tuple(self.style(self.latent(1), self.labels(1)).shape[1:])

    def style(self, latent: Tensor, label: Tensor | None = None, truncation: Truncation | None = None) -> Tensor:
        """Returns the styles of latents (n, latent_dim): what `mapping` makes of them, truncated if that is given.

        A truncation of (0.7, 8) is that of the first 8 layers alone. Without a mapping the styles are the latents.
        """

        def styles(generator: Generator, latent: Tensor, label: Tensor | None) -> Tensor:
            style = generator.mapping(latent, label)
            return style if truncation is None else truncated(generator, style, truncation, label)

        check_numbers(latent, "latents", (self.generator.latent_dim,), self.variant, self.generator)
        return self._computed(styles, latent, label, {})

    def render(self, style: Tensor, label: Tensor | None = None, noise: Sequence[Tensor] = ()) -> Tensor:
        """Generates the images (n, C, H, W) of styles, as `style` returns them.

        `noise` are maps (n, 1, H, W) for the layers that add noise, in their order, instead of the generator's own.
        """

        def rendered(generator: Generator, style: Tensor, label: Tensor | None, **maps: Tensor) -> Tensor:
            left = iter(maps.values())
            own = {"noise": lambda *shape: next(left)} if maps else {}
            return generator.synthesis(style, label, **own)

        kind = "styles" if self.generator.has_mapping else "latents"
        check_numbers(style, kind, self._style_shape, self.variant, self.generator)
        return self._computed(rendered, style, label, {str(number): one for number, one in enumerate(noise)})

    def _computed(self, function: Any, latent: Tensor, label: Tensor | None, inputs: Mapping[str, Tensor]) -> Tensor:
        """Calls a function of the generator without gradients; UsageError if memory does not suffice."""
        check_labels(label, len(latent), self.image.classes)
        check_inputs(inputs, len(latent))
        weight = placement(self.generator)
        latent, label = latent.to(weight), None if label is None else label.to(weight.device)
        given = {name: value.to(weight) for name, value in inputs.items()}
        try:
            with torch.inference_mode(), float32_by_default():
                return function(self.generator, latent, label, **given).float().cpu().contiguous()
        except RuntimeError as error:
            if "allocate" not in str(error) or "memory" not in str(error):
                raise
            remedy = "--tile, --batch-size" if inputs else "--batch-size"
            raise UsageError(
                f"{len(latent)} image(s) of {self.image.extent} at once do not fit into memory ({remedy}): "
                f"{one_line(error)[:120]}"
            ) from None

    def interpolate(
        self,
        stops: int | Sequence[int] | Tensor = 8,
        frames: int = 12,
        seed: int = 0,
        label: int | str | None = None,
        *,
        truncation: Truncation | None = None,
        closed: bool = True,
    ) -> Iterator[Tensor]:
        """Yields images (1, C, H, W) between latents: `frames` from each stop to the next, and back if `closed`.

        `stops` is a number of latents of `seed`, several seeds ([3, 8]: the first latent of each), or latents
        (stops, latent_dim). A walk that is not closed ends with the image of the last stop.
        """
        given: Any = stops  # callers may pass anything
        listed = isinstance(given, Tensor | Sequence) and not isinstance(given, str)
        if not (isinstance(frames, int) and (listed or isinstance(given, int))):
            raise UsageError(
                f"A walk takes stops and frames as whole numbers, or stops as seeds or latents, got {quoted(stops)} "
                f"and {quoted(frames)}."
            )
        if isinstance(stops, int):
            anchors = self.latent(stops, seed, truncation)
        elif isinstance(stops, Tensor):
            check_numbers(stops, "latents", (self.generator.latent_dim,), self.variant, self.generator)
            anchors = stops
        else:
            anchors = torch.cat([self.latent(1, one, truncation) for one in stops] or [torch.empty(0)])
        self.refuse_sources()
        if len(anchors) < 2 or frames < 1:
            raise UsageError(
                f"A walk needs at least two stops and one frame a stretch, got {len(anchors)} and {frames}."
            )
        labels = self.labels(1, label if label is not None or not self.image.classes else 0)
        if self.generator.has_mapping:
            each = None if labels is None else labels.expand(len(anchors))
            anchors = self.style(anchors, each, truncation)
        for start, end in zip(anchors, anchors[1:], strict=False):
            yield from self._stretch(start, end, frames, labels)
        if closed:
            yield from self._stretch(anchors[-1], anchors[0], frames, labels)
        else:
            yield self._of_style(anchors[-1:], labels)

    def _of_style(self, style: Tensor, label: Tensor | None) -> Tensor:
        return self.render(style, label) if self.generator.has_mapping else self.generate(style, label)

    def _stretch(self, start: Tensor, end: Tensor, frames: int, labels: Tensor | None) -> Iterator[Tensor]:
        for frame in range(frames):
            yield self._of_style(self.generator.interpolate(start[None], end[None], frame / frames), labels)
