"""The compact network of Real-ESRGAN, and its discriminator: a U-Net with spectral normalization.

Followed: XPixelGroup/BasicSR `basicsr/archs/srvgg_arch.py` and `discriminator_arch.py`, as in xinntao/Real-ESRGAN;
tensors of the compact network have the same names. With 3 channels and a scale of 4 it has 621,424 parameters of 16
convolutions and 1,213,296 of 32; the discriminator has 4,376,897.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.networks import LeakyReLU, Upscaler
from ganzoo.networks.normalization import SpectralConv2d
from ganzoo.networks.residual import doubled


class CompactUpscaler(Upscaler):
    """Enlarges images: 3 × 3 convolutions on the source's pixels, a pixel shuffle, and the nearest pixels are added.

    It is SRVGGNetCompact.

    Options:
        width: channels of every convolution but the last.
        convolutions: convolutions between the first and the last.
    """

    def __init__(self, image: SampleSpec, width: int = 64, convolutions: int = 16):
        super().__init__(image)
        self.same_channels()
        layers: list[nn.Module] = [nn.Conv2d(self.source_channels, width, 3, 1, 1), nn.PReLU(width)]
        for _ in range(convolutions):
            layers += [nn.Conv2d(width, width, 3, 1, 1), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, self.channels * self.scale**2, 3, 1, 1))

    def enlarge(self, source: Tensor) -> Tensor:
        base = functional.interpolate(source, scale_factor=self.scale, mode="nearest")
        return functional.pixel_shuffle(self.body(source), self.scale) + base


class UNetDiscriminator(nn.Module):
    """Images (N, C, H, W), whose sides are multiples of 8, to a logit of each pixel (N, 1, H, W).

    Three convolutions halve the size, and three double it bilinearly, each result beside one of the way down added to
    it. All but the first and last are spectrally normalized.

    Options:
        width: channels at full size.
        skips: whether results of the way down are added on the way up.
    """

    def __init__(self, image: SampleSpec, width: int = 64, skips: bool = True):
        super().__init__()
        if image.height % 8 or image.width % 8:
            raise ValueError(f"it halves images three times: sides must be multiples of 8, not {image.extent}")
        self.skips, self.activation = skips, LeakyReLU(0.2)
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.conv0 = nn.Conv2d(image.channels, width, 3, 1, 1)
        self.conv1, self.conv2, self.conv3 = (
            SpectralConv2d(narrow, wide, 4, 2, 1, bias=False) for narrow, wide in zip(widths, widths[1:], strict=False)
        )
        self.conv4, self.conv5, self.conv6 = (
            SpectralConv2d(wide, narrow, 3, 1, 1, bias=False)
            for wide, narrow in zip(widths[::-1], widths[-2::-1], strict=False)
        )
        self.conv7, self.conv8 = (SpectralConv2d(width, width, 3, 1, 1, bias=False) for _ in range(2))
        self.conv9 = nn.Conv2d(width, 1, 3, 1, 1)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        x, down = (images + 1) / 2, []
        for convolution in (self.conv0, self.conv1, self.conv2, self.conv3):
            x = self.activation(convolution(x))
            down.append(x)
        for convolution, beside in zip((self.conv4, self.conv5, self.conv6), down[-2::-1], strict=True):
            x = self.activation(convolution(doubled(x, "bilinear")))
            x = x + beside if self.skips else x
        return self.conv9(self.activation(self.conv8(self.activation(self.conv7(x)))))
