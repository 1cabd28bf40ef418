"""Makes images of source images of any size: converts, pads, cuts into tiles, and gives back the kind that came."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from ganzoo.errors import UsageError
from ganzoo.files.pictures import to_pillow, to_uint8
from ganzoo.files.text import one_line, quoted
from ganzoo.models.geometry import Geometry
from ganzoo.variant import SampleSpec

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from ganzoo.models.config import ModelConfig

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow converts RGB to L
LISTED = 30  # classes in a message
Made = Callable[..., Tensor]


class Translator(Protocol):
    """The parts of a `Model` that are used here."""

    variant: str
    image: SampleSpec
    config: ModelConfig

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

    UsageError for what the generator cannot do, before any image is read.
    """

    def __init__(
        self,
        model: Translator,
        *,
        batch_size: int = 8,
        tile: int | None = None,
        seed: int = 0,
        label: int | str | None = None,
        keep_alpha: bool = False,
    ):
        if batch_size < 1 or (tile is not None and tile < 1):
            raise UsageError(f"Batches and tiles have a size of 1 or more, got {batch_size} and {tile}.")
        self.model, self.geometry, self.channels = model, model.geometry, model.geometry.source.shape[0]
        self.masked = self.channels in (2, 4) and model.config.inputs.get(self.geometry.name) is not None
        self.batch_size, self.seed, self.label, self.keep_alpha = batch_size, seed, label, keep_alpha
        if model.image.classes and label is None:
            known = ", ".join(model.class_names[:LISTED])
            raise UsageError(f"This {model.variant} generator makes images of a class: choose one with label; {known}.")
        model.labels(1, label)  # refuses an unknown one
        self.tile = tile and _rounded_up(tile, self.geometry.multiple)
        self.extent = self.tile and self.tile + 2 * self.geometry.overlap

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

    def each(
        self, sizes: Sequence[tuple[int, int]], read: Callable[[int], PillowImage]
    ) -> Iterator[tuple[int, PillowImage, PillowImage]]:
        """Yields (number, source, output) of the Pillow images that `read` returns, each upright and of its size.

        Those of one size (height, width) go through the generator together, so the numbers come in another order.
        """
        latent = self.model.latent(len(sizes), self.seed)
        groups: dict[tuple[int, int], list[int]] = {}
        for number, size in enumerate(sizes):
            groups.setdefault(size, []).append(number)
        for size, numbers in groups.items():
            for part in self._batches(len(numbers), size):
                chosen = numbers[part]
                sources = [read(number) for number in chosen]
                batch = torch.cat([as_tensor(source, self.channels) for source in sources])
                output = to_uint8(self._made(batch, latent[chosen]))
                for number, source, pixels in zip(chosen, sources, output, strict=True):
                    result = to_pillow(pixels)
                    yield number, source, with_alpha_of(source, result) if self.keep_alpha else result

    def _of_pictures(self, pictures: list[PillowImage]) -> list[PillowImage]:
        from PIL import ImageOps

        upright = [ImageOps.exif_transpose(picture) or picture for picture in pictures]
        sizes = [(picture.height, picture.width) for picture in upright]
        made = {number: result for number, _, result in self.each(sizes, upright.__getitem__)}
        return [made[number] for number in range(len(pictures))]

    def _of_tensor(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or not images.is_floating_point() or not 1 <= images.shape[1] <= 4 or 0 in images.shape:
            kind = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
            raise UsageError(f"apply takes a float tensor (N, C, H, W) in [-1, 1] with 1 to 4 channels, not {kind}.")
        if not bool((images.detach().abs() <= 1 + 1e-3).all()):  # NaN is none of them
            raise UsageError(
                "apply takes numbers in [-1, 1], and the tensor holds others: scale bytes by v / 127.5 - 1."
            )
        latent, parts = self.model.latent(len(images), self.seed), []
        for part in self._batches(len(images), tuple(images.shape[2:])):
            given = images[part].detach().float().cpu()
            made = self._made(with_channels(given, self.channels), latent[part])
            if self.keep_alpha and given.shape[1] in (2, 4) and made.shape[1] in (1, 3):
                alpha = given[:, -1:]
                if alpha.shape[2:] != made.shape[2:]:
                    alpha = functional.interpolate(alpha, made.shape[2:], mode="bilinear", antialias=True)
                made = torch.cat([made, alpha.clamp(-1, 1)], 1)
            parts.append(made)
        return torch.cat(parts)

    def _batches(self, count: int, size: tuple[int, ...]) -> Iterator[slice]:
        """Yields slices of at most `batch_size` images of a size, fewer if they have many pixels."""
        sides = size if self.extent is None else tuple(min(side, self.extent) for side in size)
        each = self.model.pixels_of(
            self.batch_size, math.ceil(math.prod(sides) * max(1.0, float(self.geometry.scale) ** 2))
        )
        yield from (slice(start, start + each) for start in range(0, count, each))

    def _made(self, source: Tensor, latent: Tensor) -> Tensor:
        """Returns the outputs (n, C, H, W) of sources (n, C, h, w) of any size, within [-1, 1]."""
        height, width = source.shape[2:]
        if self.masked:
            source = with_mask(source)
        source = padded(source, self.geometry.multiple)
        labels = self.model.labels(len(source), self.label)
        name, size = self.geometry.name, tuple(source.shape[2:])

        def generate(part: Tensor) -> Tensor:
            found = self._generated(latent, labels, {name: part})
            wanted = self._outer(part.shape[2:])
            if tuple(found.shape[2:]) != wanted:
                shape = "x".join(map(str, found.shape[2:]))
                raise UsageError(
                    f"This {self.model.variant} generator made {shape} pixels of {part.shape[2]}x{part.shape[3]}, "
                    f"not {wanted[0]}x{wanted[1]}: it cannot be applied to this size."
                )
            return found.clamp(-1, 1)

        if self.tile is None or max(size) <= self.tile:
            whole = generate(source)
        else:
            whole = self._tiled(generate, source)
        height, width = self._outer((height, width))
        return whole[:, :, :height, :width]

    def _generated(self, latent: Tensor, labels: Tensor | None, inputs: dict[str, Tensor]) -> Tensor:
        try:
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

    def _tiled(self, generate: Made, source: Tensor) -> Tensor:
        """Generates tile by tile, each with so much of its surroundings that no pixel of it can differ."""
        assert self.tile is not None
        whole = None
        height, width = source.shape[2:]
        for top in range(0, height, self.tile):
            for left in range(0, width, self.tile):
                rows, rows_inside = _span(top, self.tile, self.geometry.overlap, height)
                columns, columns_inside = _span(left, self.tile, self.geometry.overlap, width)
                made = generate(source[:, :, rows, columns])
                made = made[:, :, self._scaled(rows_inside), self._scaled(columns_inside)]
                if whole is None:
                    whole = torch.empty(*made.shape[:2], *self._outer((height, width)))
                (y, x) = self._outer((top, left))
                whole[:, :, y : y + made.shape[2], x : x + made.shape[3]] = made
        assert whole is not None
        return whole

    def _scaled(self, part: slice) -> slice:
        return slice(int(part.start * self.geometry.scale), int(part.stop * self.geometry.scale))


def _span(start: int, tile: int, overlap: int, end: int) -> tuple[slice, slice]:
    """The part of an axis that is read for a tile, and the tile within that part."""
    first, last = max(0, start - overlap), min(end, start + tile + overlap)
    return slice(first, last), slice(start - first, min(start + tile, end) - first)


def _rounded_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def padded(images: Tensor, multiple: int) -> Tensor:
    """Extends images (N, C, H, W) below and to the right until the sides are multiples, by reflection at the edges."""
    for axis in (2, 3):
        side = images.shape[axis]
        if (wanted := _rounded_up(side, multiple)) != side:
            place = torch.arange(wanted) % max(1, 2 * side - 2)
            images = images.index_select(axis, torch.minimum(place, (2 * side - 2 - place).abs()))
    return images


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Converts images (N, C, H, W) in [-1, 1] to 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels.

    Images with alpha are put on white where the result has none.
    """
    if images.shape[1] == channels:
        return images
    alpha = images[:, -1:] if images.shape[1] in (2, 4) else None
    colours = images if alpha is None else images[:, :-1]
    if channels in (1, 3) and alpha is not None:
        colours = torch.lerp(torch.ones_like(colours), colours, alpha / 2 + 0.5)
    if colours.shape[1] == 3 and channels <= 2:
        weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
        colours = (colours * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
    elif colours.shape[1] == 1 and channels >= 3:
        colours = colours.expand(-1, 3, -1, -1)
    if channels in (1, 3):
        return colours
    return torch.cat([colours, torch.ones_like(colours[:, :1]) if alpha is None else alpha], 1)


def with_mask(images: Tensor) -> Tensor:
    """Makes sources as conditions with a mask make them: the last channel is 1 where a pixel is seen, -1 where hidden.

    More than half transparent pixels are hidden, and their colours are 0.
    """
    hidden = images[:, -1:] < 0
    mask = torch.where(hidden, -torch.ones_like(images[:, -1:]), torch.ones_like(images[:, -1:]))
    return torch.cat([images[:, :-1].masked_fill(hidden, 0.0), mask], 1)


def as_tensor(picture: PillowImage, channels: int) -> Tensor:
    """Converts a Pillow image to (1, channels, H, W) in [-1, 1] as the images of a training are converted.

    Transparency is put on white unless there is a channel for it.
    """
    import numpy

    from ganzoo.data.decode import as_bad_image, fit, with_alpha

    try:
        if channels == 2:
            pixels = numpy.asarray(with_alpha(picture).convert("LA"), dtype=numpy.uint8)
        else:
            pixels = fit(picture, (picture.height, picture.width), channels)
    except Exception as error:  # Pillow's decoders raise nearly every type there is on damaged files
        raise UsageError(f"An image of mode {quoted(picture.mode)} cannot be used: {as_bad_image(error)}.") from None
    return torch.tensor(pixels).permute(2, 0, 1)[None].float().div_(127.5).sub_(1)


def with_alpha_of(source: PillowImage, picture: PillowImage) -> PillowImage:
    """Returns a picture without alpha with that of its source, resized to it; as it is if there is none to give."""
    from PIL import Image

    from ganzoo.data.decode import with_alpha

    has_alpha = source.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in source.info
    if not has_alpha or picture.mode not in ("L", "RGB"):
        return picture
    alpha = with_alpha(source).getchannel("A")
    if alpha.size != picture.size:
        alpha = alpha.resize(picture.size, Image.Resampling.LANCZOS)
    picture = picture.copy()
    picture.putalpha(alpha)
    return picture
