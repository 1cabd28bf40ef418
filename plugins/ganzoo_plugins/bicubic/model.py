"""A generator without parameters, and a loss without a phase."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss
from ganzoo.networks import Upscaler


class Bicubic(Upscaler):
    """Enlarges images by bicubic interpolation with a = -1/2, as Pillow's BICUBIC and MATLAB's imresize."""

    def __init__(self, image: SampleSpec):
        super().__init__(image)
        self.same_channels()

    def enlarge(self, source: Tensor) -> Tensor:
        size = [self.scale * side for side in source.shape[2:]]
        return functional.interpolate(source.float(), size, mode="bicubic", antialias=True)


class Nothing(Loss):
    """Trains no network."""

    phases = ()

    def __init__(self, image: SampleSpec):
        super().__init__()
