"""The networks and the loss of InfoGAN.

Followed: openai/InfoGAN, `models/regularized_gan.py`, `algos/infogan_trainer.py`, `misc/distributions.py` and
`launchers/run_mnist_exp.py`, 28 px. Other sizes are ganzoo's adaptation: 32 px start at 8×8 pixels, each larger power
of two has one stage more, twice as wide. Linear features are ordered channel first, there channel last. The paper's
leak is 0.1; the default follows the code with 0.01.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.errors import PluginError, UsageError
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Code, Generator, Reshape

TINY = 1e-8
HIDDEN, CODE_HIDDEN = 1024, 128
SMALLEST = 7


def stages(image: SampleSpec) -> int:
    """Returns how often an image is halved until less than 14 pixels remain; ValueError if less than twice."""
    count, size = 0, image.size
    while size % 2 == 0 and size >= 2 * SMALLEST:
        count, size = count + 1, size // 2
    if count < 2 or size >= 2 * SMALLEST:
        raise ValueError(
            f"InfoGAN generates squares of 28, 32, 64 ... pixels, whose repeated halves end below 14, not {image.size}"
        )
    return count


def initialize(module: nn.Module) -> None:
    """Initializes convolutions from N(0, 0.02) truncated at two standard deviations, other layers from N(0, 0.02).

    Biases are 0, norm scales N(1, 0.02).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, 0.0, 0.02, -0.04, 0.04)
        elif isinstance(layer, (nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        bias = getattr(layer, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)


def check_codes(categories: int, continuous: int) -> None:
    """Raises ValueError unless there are at least two categories and no negative number of continuous codes."""
    if categories < 2 or continuous < 0:
        raise ValueError(
            f"InfoGAN needs at least 2 categories and 0 continuous codes, not {categories} and {continuous}"
        )


class InfoGANGenerator(Generator):
    """Latents (N, noise + categories + continuous) to images: two linear layers, then 4×4 transposed convolutions.

    A latent is noise, uniform in [-1, 1), a one-hot category, and continuous codes, uniform in [-1, 1), in this order.
    The last layer is a sigmoid, rescaled from the original's [0, 1] to [-1, 1].

    Options:
        noise: numbers of the latent without a meaning.
        categories: values of the categorical code.
        continuous: continuous codes.
        width: channels of the last hidden layer.
    """

    def __init__(self, image: SampleSpec, noise: int = 62, categories: int = 10, continuous: int = 2, width: int = 64):
        super().__init__()
        check_codes(categories, continuous)
        self.noise, self.categories, self.continuous = noise, categories, continuous
        self.latent_dim = noise + categories + continuous
        self.codes = (Code("category", noise, categories, "categorical"),)
        if continuous:
            self.codes += (Code("continuous", noise + categories, continuous, "continuous", -1.0, 1.0),)
        count = stages(image)
        widths, start = [width * 2**i for i in reversed(range(count))], image.size // 2**count
        features = widths[0] * start**2
        layers: list[nn.Module] = [nn.Linear(self.latent_dim, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU()]
        layers += [nn.Linear(HIDDEN, features), nn.BatchNorm1d(features), nn.ReLU(), Reshape(widths[0], start, start)]
        for wide, narrow in zip(widths, widths[1:], strict=False):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), nn.BatchNorm2d(narrow), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, image.channels, 4, 2, 1), nn.Sigmoid())
        initialize(self)

    def latent(self, n: int, random: torch.Generator) -> Tensor:
        plain = (
            torch.rand(n, self.noise + self.continuous, generator=random, device=random.device, dtype=torch.float32) * 2
            - 1
        )
        category = torch.randint(self.categories, (n,), generator=random, device=random.device)
        one_hot = functional.one_hot(category, self.categories).to(plain.dtype)
        return torch.cat([plain[:, : self.noise], one_hot, plain[:, self.noise :]], 1)

    def truncate(self, latent: Tensor, truncation: float) -> Tensor:
        noise = latent[:, : self.noise] * min(truncation, 1.0)  # a uniform distribution cut off is a narrower one
        return torch.cat([noise, latent[:, self.noise :]], 1)

    def interpolate(self, start: Tensor, end: Tensor, t: float) -> Tensor:
        return torch.lerp(start, end, t)  # uniform numbers and one-hot codes lie on no sphere

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent) * 2 - 1


class InfoGANDiscriminator(nn.Module):
    """Images to logits (N,), and with `codes=True` to (logits, code parameters (N, categories + 2·continuous)).

    Code parameters are the logits of the categories, then mean and standard deviation of each continuous code in turn.
    The loss fixes the standard deviation at 1, so that column only keeps the official shape. The heads share all layers
    but their own; pixels are rescaled to [0, 1].

    Options:
        categories: values of the categorical code.
        continuous: continuous codes.
        width: channels of the first layer; later ones have multiples of it.
        leak: slope of the leaky ReLUs below 0.
    """

    def __init__(
        self, image: SampleSpec, categories: int = 10, continuous: int = 2, width: int = 64, leak: float = 0.01
    ):
        super().__init__()
        check_codes(categories, continuous)
        count = stages(image)
        widths = [width * 2**i for i in range(count)]
        layers: list[nn.Module] = [nn.Conv2d(image.channels, width, 4, 2, 1), nn.LeakyReLU(leak)]
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.BatchNorm2d(wide), nn.LeakyReLU(leak)]
        features = widths[-1] * (image.size // 2**count) ** 2
        layers += [nn.Flatten(), nn.Linear(features, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.LeakyReLU(leak)]
        self.shared = nn.Sequential(*layers)
        self.output = nn.Linear(HIDDEN, 1)
        hidden = [nn.Linear(HIDDEN, CODE_HIDDEN), nn.BatchNorm1d(CODE_HIDDEN), nn.LeakyReLU(leak)]
        self.codes = nn.Sequential(*hidden, nn.Linear(CODE_HIDDEN, categories + 2 * continuous))
        initialize(self)

    def forward(
        self, images: Tensor, label: Tensor | None = None, codes: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        features = self.shared((images + 1) / 2)
        logits = self.output(features).flatten()
        return (logits, self.codes(features)) if codes else logits


def category_log_likelihood(one_hot: Tensor, logits: Tensor) -> Tensor:
    """Returns log q(c|x) (N,) of categories (N, K) with logits (N, K): `Categorical.logli`."""
    return ((logits.softmax(1) + TINY).log() * one_hot).sum(1)


def continuous_log_likelihood(codes: Tensor, means: Tensor) -> Tensor:
    """Returns log q(c|x) (N,) of codes (N, K) under normals of variance 1: `Gaussian.logli` with `fix_std`."""
    return -(math.log(2 * math.pi) / 2 + (codes - means).square() / 2).sum(1)


def mutual_information(codes: Tensor, parameters: Tensor, categories: int) -> Tensor:
    """Estimates I(c; G(z, c)), Chen et al. 2016, equation 5: H(c) plus the mean log-likelihood, a scalar.

    `codes` (N, categories + continuous) are those of the fakes, `parameters` the discriminator's prediction. H(c) has
    no gradient; as in the official code it is taken under a uniform category and a standard normal prior.
    """
    category, continuous = codes[:, :categories], codes[:, categories:]
    logits, means = parameters[:, :categories], parameters[:, categories::2]
    prior = category_log_likelihood(category, torch.zeros_like(logits)) + continuous_log_likelihood(
        continuous, torch.zeros_like(means)
    )
    posterior = category_log_likelihood(category, logits) + continuous_log_likelihood(continuous, means)
    return (posterior - prior).mean()


class InfoGAN(Loss):
    """Chen et al. 2016, equation 6: a cross-entropy GAN plus λ times a mutual information.

    Both networks maximize the mutual information of code and image; the discriminator's phase trains the head that
    predicts the code. The discriminator steps first, then the generator with fresh latents.

    Options:
        information: factor λ of the mutual information.
    """

    boundary = 0.0
    heads = ("codes",)

    def __init__(self, image: SampleSpec, information: float = 1.0):
        super().__init__()
        self.information = information
        self.phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",)))

    def judge_fakes(self, turn: Turn) -> tuple[Tensor, Tensor]:
        """Returns the logits of the fakes, and minus λ times the mutual information of their codes."""
        noise, categories, continuous = _layout(turn.generator)
        logits, parameters = turn.logits(turn.fake, codes=True)
        if parameters.shape[1] != categories + 2 * continuous:
            raise UsageError(
                f"The generator has {categories} categories and {continuous} continuous codes, for which "
                f"the discriminator needs {categories + 2 * continuous} outputs, not {parameters.shape[1]}: "
                "set both to the same categories and continuous."
            )
        return logits, -self.information * mutual_information(turn.latent[:, noise:], parameters, categories)

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real = turn.logits(turn.real)
        fake, information = self.judge_fakes(turn)
        return {"real": -log_sigmoid(real).mean(), "fake": -log_sigmoid(-fake).mean(), "information": information}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fake, information = self.judge_fakes(turn)
        return {"fake": -log_sigmoid(fake).mean(), "information": information}


def log_sigmoid(logits: Tensor) -> Tensor:
    """Returns log(σ(logits) + 1e-8), the official guard against log 0: at least -18.4, where the gradient vanishes."""
    return (logits.sigmoid() + TINY).log()


def _layout(generator: Any) -> tuple[int, int, int]:
    try:
        return generator.noise, generator.categories, generator.continuous
    except AttributeError:
        raise PluginError(
            "The loss 'infogan' needs a generator with noise, categories and continuous codes; "
            f"{type(generator).__name__} has none."
        ) from None
