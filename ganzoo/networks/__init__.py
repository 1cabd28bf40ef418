"""Networks that variants share: the generator's base class, layers, normalization and residual blocks."""

from ganzoo.networks.generator import Code, Generator, UniformGenerator
from ganzoo.networks.layers import LeakyReLU, Maxout, Reshape, logits_of_mean, second_order

__all__ = ["Code", "Generator", "LeakyReLU", "Maxout", "Reshape", "UniformGenerator", "logits_of_mean", "second_order"]
