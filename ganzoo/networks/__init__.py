"""Networks that variants share: the generator's base class, layers, image sizes and functions of images."""

from ganzoo.networks.filters import filtered, sharpened
from ganzoo.networks.frozen import FrozenNetwork
from ganzoo.networks.generator import Code, Generator, UniformGenerator
from ganzoo.networks.images import dequantized, enlarged, shifted
from ganzoo.networks.layers import LeakyReLU, Maxout, Reshape, logits_of_mean, second_order
from ganzoo.networks.sizes import doublings, halvings, rectangle_doublings, source_channels
from ganzoo.networks.upscaling import Upscaler

__all__ = ["Code", "FrozenNetwork", "Generator", "LeakyReLU", "Maxout", "Reshape", "UniformGenerator", "Upscaler"]
__all__ += ["dequantized", "doublings", "enlarged", "filtered", "halvings", "logits_of_mean", "rectangle_doublings"]
__all__ += ["second_order", "sharpened", "shifted", "source_channels"]
