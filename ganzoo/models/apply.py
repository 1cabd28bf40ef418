"""Makes images of source images of any size: converts, pads, cuts into tiles, and gives back the kind that came."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.data.memory import available_bytes
from ganzoo.errors import UsageError
from ganzoo.files.text import one_line
from ganzoo.models.geometry import LEAST, Geometry
from ganzoo.models.rasters import (
    Floats,
    Levels,
    Raster,
    alpha_of,
    as_raster,
    as_tensor,
    extended,
    has_alpha,
    is_grey,
    resized,
    resized_levels,
    resized_tensor,
    size_of,
    with_channels,
)
from ganzoo.networks.inputs import placement
from ganzoo.networks.latents import whole_seed
from ganzoo.variant import SampleSpec

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image as PillowImage

    from ganzoo.models.config import ModelConfig

log = logging.getLogger(__name__)

LISTED = 30  # classes in a message
MEMORY = (
    3 * 2**29
)  # bytes of activations at once, as estimated: larger images are cut into tiles unless that is refused
SMALL = 256**2  # pixels of a source that is never cut
NARROW = 16  # pixels: narrower sources are extended to so many, since layers that reflect edges take no single pixel
Canvas = Levels | Floats


class Translator(Protocol):
    """The parts of a `Model` that are used here."""

    variant: str
    image: SampleSpec
    config: ModelConfig
    generator: Any

    @property
    def class_names(self) -> list[str]: ...
    @property
    def geometry(self) -> Geometry: ...
    def latent(self, n: int, seed: int = 0) -> Tensor: ...
    def labels(self, n: int, label: int | str | None = None) -> Tensor | None: ...
    def pixels_of(self, batch_size: int, pixels: int) -> int: ...
    def generate(self, latent: Tensor, label: Tensor | None = None, **inputs: Tensor) -> Tensor: ...


class Application:
    """A generator with the options of `Model.apply`, which documents them; call it with images.

    `on_tile` is called with the number of each tile and that of all tiles of the image. UsageError for what the
    generator cannot do, before any image is read.
    """

    def __init__(
        self,
        model: Translator,
        *,
        batch_size: int = 8,
        tile: int | None = None,
        overlap: int | None = None,
        scale: float | None = None,
        seed: int = 0,
        label: int | str | None = None,
        keep_alpha: bool | None = None,
        precision: str = "fp32",
        on_tile: Callable[[int, int], None] = lambda number, count: None,
    ):
        if batch_size < 1 or (tile is not None and tile < 1):
            raise UsageError(f"Batches and tiles have a size of 1 or more, got {batch_size} and {tile}.")
        if overlap is not None and overlap < 0:
            raise UsageError(f"The overlap of tiles is 0 or more pixels, not {overlap}.")
        if scale is not None and not (math.isfinite(scale) and scale > 0):
            raise UsageError(f"The scale is a number above 0, such as 2 or 0.5, not {scale}.")
        if precision not in ("fp32", "bf16"):
            raise UsageError(f"The precision is fp32 or bf16, not '{precision}'.")
        seed = whole_seed(seed)
        self.model, self.geometry, self.channels = model, model.geometry, model.geometry.source.shape[0]
        self.masked = self.channels in (2, 4) and model.config.inputs.get(self.geometry.name) is not None
        self.enlarges = model.config.task == "super-resolution"
        self.keep_alpha = self.enlarges if keep_alpha is None else keep_alpha
        self.batch_size, self.seed, self.label = batch_size, seed, label
        self.scale, self.precision, self.on_tile = scale, precision, on_tile
        if model.image.classes and label is None:
            known = ", ".join(model.class_names[:LISTED])
            raise UsageError(f"This {model.variant} generator makes images of a class: choose one with label; {known}.")
        model.labels(1, label)  # refuses an unknown one
        self._tile = tile and _rounded_up(tile, self.geometry.multiple)
        self._overlap = None if overlap is None else _rounded_up(overlap, self.geometry.multiple)
        self._automatic: int | None = None
        self._warm = False
        if self._tile and self._overlap is None:
            self._overlap = self.geometry.felt  # UsageError if no overlap is enough

    def __call__(self, images: Any) -> Any:
        """Returns the outputs of a Pillow image, a list of them, or a tensor: the same kind."""
        if isinstance(images, Tensor):
            return self._of_tensor(images)
        single = not isinstance(images, Sequence)
        given = cast("list[PillowImage]", [images] if single else list(images))
        if wrong := [type(one).__name__ for one in given if not hasattr(one, "getexif")]:
            kinds = ", ".join(sorted(set(wrong)))
            raise UsageError(f"apply takes Pillow images or a float tensor (N, C, H, W) in [-1, 1], not {kinds}.")
        made = self._of_pictures(given) if given else []
        return made[0] if single else made

    def outputs(self, sources: Sequence[Raster], latent: Tensor) -> list[Raster]:
        """Returns the outputs of upright rasters with the latents (n, latent_dim), each with the bits of its source.

        Those of one size go through the generator together.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for number, source in enumerate(sources):
            groups.setdefault(size_of(source), []).append(number)
        found: dict[int, Raster] = {}
        for size, numbers in groups.items():
            self._refuse_too_large(size)
            for part in self._batches(len(numbers), size):
                chosen = numbers[part]
                made = self._of_rasters([sources[number] for number in chosen], latent[chosen])
                found.update(zip(chosen, made, strict=True))
        return [found[number] for number in range(len(sources))]

    def _of_pictures(self, pictures: list[PillowImage]) -> list[Raster]:
        from PIL import ImageOps

        upright = [ImageOps.exif_transpose(picture) or picture for picture in pictures]
        return self.outputs(upright, self.model.latent(len(pictures), self.seed))

    def _of_rasters(self, sources: list[Raster], latent: Tensor) -> list[Raster]:
        """Returns the outputs of rasters of one size."""
        size = size_of(sources[0])
        given = [self._planes(source) for source in sources]
        canvas = self._levels(sources, [self.enlarges and is_grey(source) for source in sources])
        self._make(torch.cat([colours for colours, _ in given]), latent, canvas)
        made = []
        for number, (source, pixels) in enumerate(zip(sources, canvas.pixels, strict=True)):
            alpha = None
            if self.keep_alpha and has_alpha(source) and pixels.shape[2] in (1, 3):
                alpha = self._alpha(source, given[number][1], latent[number : number + 1])
            made.append(resized(as_raster(pixels, alpha), self.final_size(size)))
        return made

    def _planes(self, source: Raster) -> tuple[Tensor, Tensor | None]:
        """Returns the source of the generator, and its alpha (1, 1, H, W) if the generator is to enlarge it apart."""
        if not (self.enlarges and self.keep_alpha and has_alpha(source) and self.channels in (1, 3)):
            return as_tensor(source, self.channels), None
        whole = as_tensor(source, 4)
        alpha = whole[:, 3:]
        return with_channels(extended(whole[:, :3], alpha), self.channels), alpha

    def _alpha(self, source: Raster, seen: Tensor | None, latent: Tensor) -> numpy.ndarray:
        """Returns the alpha (H, W) of the output of a source.

        A super-resolution network enlarges it as a grey image, so that its edges are as sharp as those of the colours;
        beside other generators, and where nothing is transparent, it is resized.
        """
        if seen is None or bool((seen == 1).all()):
            return resized_levels(alpha_of(source), self._outer(size_of(source)))
        canvas = self._levels([source], [True])
        self._make(with_channels(seen, self.channels), latent, canvas)
        return canvas.pixels[0][:, :, 0]

    def _levels(self, sources: list[Raster], grey: list[bool]) -> Levels:
        deep = [not hasattr(source, "getexif") for source in sources]
        return Levels(self._outer(size_of(sources[0])), deep, grey)

    def _of_tensor(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or not images.is_floating_point() or not 1 <= images.shape[1] <= 4 or 0 in images.shape:
            kind = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
            raise UsageError(f"apply takes a float tensor (N, C, H, W) in [-1, 1] with 1 to 4 channels, not {kind}.")
        if not bool((images.detach().abs() <= 1 + 1e-3).all()):  # NaN is none of them
            raise UsageError(
                "apply takes numbers in [-1, 1], and the tensor holds others: scale bytes by v / 127.5 - 1."
            )
        size = (images.shape[2], images.shape[3])
        latent, parts = self.model.latent(len(images), self.seed), []
        for part in self._batches(len(images), size):
            given = images[part].detach().float().cpu()
            made = self._of_floats(given, latent[part])
            if self.keep_alpha and given.shape[1] in (2, 4) and made.shape[1] in (1, 3):
                alpha = given[:, -1:].clamp(-1, 1)
                if self.enlarges:
                    alpha = with_channels(self._of_floats(alpha, latent[part]), 1)
                elif alpha.shape[2:] != made.shape[2:]:
                    alpha = functional.interpolate(alpha, made.shape[2:], mode="bilinear", antialias=True)
                made = torch.cat([made, alpha], 1)
            parts.append(resized_tensor(made, self.final_size(size)))
        return torch.cat(parts)

    def _of_floats(self, given: Tensor, latent: Tensor) -> Tensor:
        """Returns the outputs (n, C, H, W) of sources (n, c, h, w), without the alpha that is enlarged apart."""
        if self.enlarges and self.keep_alpha and given.shape[1] in (2, 4) and self.channels in (1, 3):
            given = extended(given[:, :-1], given[:, -1:])
        canvas = Floats(self._outer((given.shape[2], given.shape[3])))
        self._make(with_channels(given, self.channels), latent, canvas)
        return cast(Tensor, canvas.images)

    def _batches(self, count: int, size: tuple[int, int]) -> Iterator[slice]:
        """Yields slices of at most `batch_size` images of a size, fewer if they have many pixels."""
        tile, overlap = self._tiling(size)
        pixels = math.prod(size if tile is None else (min(side, tile + 2 * overlap) for side in size))
        each = self.model.pixels_of(self.batch_size, math.ceil(pixels * max(1.0, float(self.geometry.scale) ** 2)))
        if min(each, count) * pixels > SMALL:
            each = max(1, min(each, MEMORY // (self.geometry.bytes_per_pixel * pixels)))
        yield from (slice(start, start + each) for start in range(0, count, each))

    def _tiling(self, size: tuple[int, int]) -> tuple[int | None, int]:
        """The size of the tiles, None for the whole image, and of their surroundings."""
        if self._tile:
            return self._tile, self._overlap or 0
        if math.prod(size) <= SMALL or math.prod(size) <= self._pixels_at_once():
            return None, 0
        if self._automatic is None:
            self._automatic = self._chosen_tile()
        return self._automatic or None, self._overlap or 0

    def _pixels_at_once(self) -> int:
        return MEMORY // self.geometry.bytes_per_pixel

    def _chosen_tile(self) -> int:
        """The size of tiles for large images, which bounds their memory; 0 if this generator cannot be cut."""
        multiple = self.geometry.multiple
        if self._overlap is None:
            try:
                self._overlap = self.geometry.felt
            except UsageError:
                log.warning("the image is large, and this generator cannot work on tiles: memory grows with the image")
                return 0
        fitting = math.isqrt(self._pixels_at_once()) - 2 * self._overlap
        tile = max(fitting // multiple * multiple, _rounded_up(max(2 * self._overlap, LEAST), multiple))
        log.info(
            f"large images are cut into tiles of {tile} pixels, with {self._overlap} around each: "
            "--tile and --overlap choose others, and a tile that is larger than the image takes it whole"
        )
        return tile

    def _refuse_too_large(self, size: tuple[int, int]) -> None:
        """UsageError for an output that does not fit into the free memory."""
        sides = [max(pair) for pair in zip(self.final_size(size), self._outer(size), strict=True)]
        needed, free = 2 * self.model.image.output.shape[0] * math.prod(sides), available_bytes()
        if needed > free:
            raise UsageError(
                f"An output of {sides[1]} x {sides[0]} pixels takes {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} "
                "GiB are free: apply the model to parts of the image, or choose a smaller --scale."
            )

    def _make(self, source: Tensor, latent: Tensor, canvas: Canvas) -> None:
        """Writes the outputs of sources (n, C, h, w) of any size, within [-1, 1]."""
        tile, overlap = self._tiling((source.shape[2], source.shape[3]))
        if self.masked:
            source = with_mask(source)
        source = padded(source, self.geometry.multiple, least=NARROW)
        labels = self.model.labels(len(source), self.label)
        self._warm_up(source, latent, labels)
        height, width = source.shape[2:]
        if tile is None or max(height, width) <= tile:
            tile = max(height, width)
        corners = [(top, left) for top in range(0, height, tile) for left in range(0, width, tile)]
        for number, (top, left) in enumerate(corners):
            rows, rows_inside = _span(top, tile, overlap, height)
            columns, columns_inside = _span(left, tile, overlap, width)
            made = self._sized(source[:, :, rows, columns], latent, labels)
            y, x = self._outer((top, left))
            canvas.put(y, x, made[:, :, self._scaled(rows_inside), self._scaled(columns_inside)])
            self.on_tile(number + 1, len(corners))

    def _sized(self, source: Tensor, latent: Tensor, labels: Tensor | None) -> Tensor:
        """Returns the outputs of sources whose sides are multiples; UsageError if they have another size."""
        found = self._generated(latent, labels, {self.geometry.name: source})
        wanted = self._outer((source.shape[2], source.shape[3]))
        if tuple(found.shape[2:]) != wanted:
            shape = "x".join(map(str, found.shape[2:]))
            raise UsageError(
                f"This {self.model.variant} generator made {shape} pixels of {source.shape[2]}x{source.shape[3]}, "
                f"not {wanted[0]}x{wanted[1]}: it cannot be applied to this size."
            )
        return found.clamp(-1, 1)

    def _warm_up(self, source: Tensor, latent: Tensor, labels: Tensor | None) -> None:
        """Lets the model compare its faster copy with the generator on a part of the first source, in float32.

        That takes three passes, which would cost more than a single large image itself.
        """
        if self._warm:
            return
        self._warm = True
        height, width = (
            min(have, own) for have, own in zip(source.shape[2:], self.geometry.source.shape[1:], strict=True)
        )
        part = source[:1, :, :height, :width]
        try:
            self.model.generate(latent[:1], None if labels is None else labels[:1], **{self.geometry.name: part})
        except RuntimeError:  # which the whole image will meet again
            return

    def _generated(self, latent: Tensor, labels: Tensor | None, inputs: dict[str, Tensor]) -> Tensor:
        try:
            with torch.autocast(
                placement(self.model.generator).device.type, torch.bfloat16, enabled=self.precision == "bf16"
            ):
                return self.model.generate(latent, labels, **inputs)
        except RuntimeError as error:
            own, found = self.geometry.source.shape[1:], next(iter(inputs.values())).shape[2:]
            if own == tuple(found):
                raise
            raise UsageError(
                f"This {self.model.variant} generator cannot be applied to {found[0]}x{found[1]} pixels, it was "
                f"trained at {own[0]}x{own[1]}: {one_line(error)}"
            ) from None

    def _outer(self, size: Sequence[int]) -> tuple[int, int]:
        """The size of the output of a source of this size, rounded up."""
        return math.ceil(size[0] * self.geometry.scale), math.ceil(size[1] * self.geometry.scale)

    def final_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of the output after it is resized to `scale`."""
        if self.scale is None:
            return self._outer(size)
        return max(1, round(size[0] * self.scale)), max(1, round(size[1] * self.scale))

    def _scaled(self, part: slice) -> slice:
        return slice(int(part.start * self.geometry.scale), int(part.stop * self.geometry.scale))


def _span(start: int, tile: int, overlap: int, end: int) -> tuple[slice, slice]:
    """The part of an axis that is read for a tile, and the tile within that part."""
    first, last = max(0, start - overlap), min(end, start + tile + overlap)
    return slice(first, last), slice(start - first, min(start + tile, end) - first)


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def padded(images: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Extends images (N, C, H, W) below and to the right, by reflection at the edges.

    Sides become multiples, of at least `least` pixels.
    """
    for axis in (2, 3):
        side = images.shape[axis]
        if (wanted := _rounded_up(max(side, least), multiple)) != side:
            place = torch.arange(wanted) % max(1, 2 * side - 2)
            images = images.index_select(axis, torch.minimum(place, (2 * side - 2 - place).abs()))
    return images


def with_mask(images: Tensor) -> Tensor:
    """Makes sources as conditions with a mask make them: the last channel is 1 where a pixel is seen, -1 where hidden.

    More than half transparent pixels are hidden, and their colours are 0.
    """
    hidden = images[:, -1:] < 0
    mask = torch.where(hidden, -torch.ones_like(images[:, -1:]), torch.ones_like(images[:, -1:]))
    return torch.cat([images[:, :-1].masked_fill(hidden, 0.0), mask], 1)
