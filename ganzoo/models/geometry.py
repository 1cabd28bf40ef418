"""Which sizes a generator with a source image takes, and how far a source pixel reaches, both found by trying it."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from ganzoo.engine.randomness import process_randomness
from ganzoo.errors import UsageError
from ganzoo.networks import Generator
from ganzoo.networks.inputs import placement
from ganzoo.networks.precision import float32_by_default
from ganzoo.variant import Field, SampleSpec

NEAR, FARTHEST = 64, 1024  # pixels: a reach up to the first is cheap; one beyond the second gains nothing from tiles
MEASURED = 128  # pixels in which the influence of far pixels is measured
UNSEEN = 1 / 255  # half a grey level of images in [-1, 1]: roundings then differ by one level at most
MARGIN = 1.25  # of a measured distance: other images may differ
LEAST = 64  # pixels of the images of which sizes are tried
NARROW = 16  # pixels across the strips in which influence is followed


class Geometry:
    """The geometry of a generator that makes images of source images, whatever its layers are.

    `scale` is the size of an output in sizes of its source. UsageError unless the generator has one source and both are
    images of the same proportions.
    """

    def __init__(self, generator: Generator, spec: SampleSpec, variant: str):
        self.generator, self.variant = generator, variant
        if not spec.sources:
            raise UsageError(
                f"This {variant} generator makes its images of latents alone, not of other images: "
                "use `ganzoo sample` (Model.sample)."
            )
        images = [name for name, one in spec.sources.items() if one.kind == "image"]
        if len(spec.sources) != 1 or not images or spec.output.kind != "image":
            names = ", ".join(spec.sources)
            raise UsageError(f"This {variant} generator maps {names} to {spec.output.kind}: call Model.generate.")
        self.name, self.classes = images[0], spec.classes
        self.source: Field = spec.sources[self.name]
        scales = [Fraction(after, before) for after, before in zip(spec.output.shape, self.source.shape, strict=True)]
        if scales[1] != scales[2]:
            raise UsageError(f"This {variant} generator changes the proportions of its source: call Model.generate.")
        self.scale = scales[1]

    @cached_property
    def multiple(self) -> int:
        """The number of which sides of sources must be multiples: the generator's attribute of that name, or found.

        It is the smallest power of two that divides the sides of the generator's own sources and whose odd multiples
        give outputs of the right size.
        """
        if known := getattr(self.generator, "multiple", 0):
            return int(known)
        own = math.gcd(*self.source.shape[1:])
        powers = [1 << power for power in range((own & -own).bit_length())]
        return next((power for power in powers[:-1] if self._takes(power)), powers[-1])

    def _takes(self, multiple: int) -> bool:
        """True if sides that are multiples of this number, and of no greater power of two, work."""
        side = multiple * (max(1, -(-LEAST // multiple)) | 1)
        found = self._output(torch.zeros(self.source.shape[0], side, side))
        return found is not None and found.shape[1:] == torch.Size([math.ceil(side * self.scale)] * 2)

    @cached_property
    def overlap(self) -> int:
        """The pixels of a source around a tile that the output of the tile depends on, a multiple of `multiple`.

        The generator's attribute `reach`, if it has one, or found. UsageError if there is no end to them, as with
        instance norm or attention.
        """
        if known := getattr(self.generator, "reach", 0):
            return -(-int(known) // self.multiple) * self.multiple
        return max(self._reach(axis) for axis in (1, 2))

    @cached_property
    def felt(self) -> int:
        """The pixels around a tile that change its output by a grey level; at most `overlap`, a multiple of `multiple`.

        Deep residual networks reach hundreds of pixels far and feel little of them. Images of noise are cut, and the
        distance from the cut is measured at which outputs differ by less than half a grey level; `MARGIN` is added.
        That is an observation, no bound. Photographs are felt less far than noise in the networks of Real-ESRGAN.
        """
        step, exact = self.multiple, self.overlap
        far = min(exact, -(-MEASURED // step) * step)
        if exact <= NEAR:
            return exact
        random = torch.Generator().manual_seed(0)
        size = (self.source.shape[0], -(-NARROW // step) * step, 2 * far)
        changes = [self._change(_noise(size, grain, random), far) for grain in (1, 4)]
        if changes[0] is None or changes[1] is None:
            return exact
        beyond = (torch.maximum(changes[0], changes[1]) > UNSEEN).nonzero().flatten()
        distance = math.ceil((int(beyond[-1]) + 1) / self.scale) if len(beyond) else 0
        wanted = -(-math.ceil(MARGIN * distance) // step) * step
        return exact if wanted >= far else wanted

    def _change(self, image: Tensor, far: int) -> Tensor | None:
        """Returns how much each output column (W,) changes when the first `far` columns of a source are cut off."""
        whole, part = self._output(image), self._output(image[:, :, far:])
        if whole is None or part is None:
            return None
        return (whole[:, :, int(far * self.scale) :] - part).abs().amax((0, 1))

    @cached_property
    def bytes_per_pixel(self) -> int:
        """The memory that the generator needs for each pixel of a source, as four times its largest tensor."""
        side = -(-LEAST // self.multiple) * self.multiple
        sizes = _TensorSizes()
        with sizes:
            self._output(torch.zeros(self.source.shape[0], side, side))
        return 4 * math.ceil(sizes.largest / side**2)

    def _reach(self, axis: int) -> int:
        """The pixels to either side of a band of a source, `multiple` wide, that change with it along an axis."""
        for distance in (NEAR, FARTHEST):
            far = -(-distance // self.multiple) * self.multiple
            if (reach := self._reach_within(axis, far)) < far:
                return reach
        raise UsageError(
            f"This {self.variant} generator cannot work on tiles: each pixel depends on others that are {far} "
            "pixels away or farther, as with instance norm or attention. Leave out the tiles (--tile)."
        )

    def _reach_within(self, axis: int, far: int) -> int:
        """As `_reach`, looked for within `far` pixels; that number or more if there is no end to it there."""
        step = self.multiple
        narrow = -(-NARROW // step) * step
        output = self._marked(axis, far, narrow)
        if output is None:  # too narrow for the padding of inner layers
            output = self._marked(axis, far, 4 * narrow)
        if output is None:
            own = " x ".join(map(str, self.source.shape[1:]))
            raise UsageError(f"This {self.variant} generator takes images of {own} pixels alone: leave out --tile.")
        touched = output.any(1 if axis == 1 else 0).nonzero().flatten()
        first, last = (int(touched[0]), int(touched[-1])) if len(touched) else (far, far)
        before, after = far - math.floor(first / self.scale), math.ceil((last + 1) / self.scale) - far - step
        return step * max(0, -(-before // step), -(-after // step))

    def _marked(self, axis: int, far: int, narrow: int) -> Tensor | None:
        """Returns which output pixels (H, W) depend on a band across a source, `multiple` wide, `far` from both ends.

        The band is NaN, and so is every output that depends on it, through any layer and whatever the weights are.
        None if the generator takes no such source.
        """
        sides = [narrow, narrow]
        sides[axis - 1] = 2 * far + self.multiple
        source = torch.zeros(self.source.shape[0], *sides)
        source.narrow(axis, far, self.multiple).fill_(math.nan)
        found = self._output(source)
        return None if found is None else found.isnan().any(0)

    def _output(self, image: Tensor) -> Tensor | None:
        """Returns the output (C, H, W) of the generator for one source (C, H, W), None if it fails on this size."""
        weight = placement(self.generator)
        label = torch.zeros(1, dtype=torch.int64, device=weight.device) if self.classes else None
        latent = torch.zeros(1, self.generator.latent_dim, device=weight.device, dtype=weight.dtype)
        with torch.inference_mode(), process_randomness(weight.device), float32_by_default():
            try:
                return self.generator(latent, label, **{self.name: image[None].to(weight)})[0]
            except (RuntimeError, ValueError, IndexError):
                return None


class _TensorSizes(TorchDispatchMode):
    """Notes the bytes of the largest tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, list | tuple) else [found]:
            if isinstance(one, Tensor):
                self.largest = max(self.largest, one.numel() * one.element_size())
        return found


def _noise(size: tuple[int, int, int], grain: int, random: torch.Generator) -> Tensor:
    """Returns a random image (C, H, W) in [-1, 1] whose blocks of `grain` pixels have one colour each."""
    channels, height, width = size
    coarse = torch.rand(1, channels, -(-height // grain), -(-width // grain), generator=random) * 2 - 1
    return functional.interpolate(coarse, scale_factor=grain, mode="nearest")[0, :, :height, :width]
