"""The networks and the loss of AC-GAN.

Followed: the paper, appendix (CIFAR-10, 32 px); for what it leaves open, clvrai/ACGAN-PyTorch, whose discriminator is
the same: no bias in convolutions, padding of one pixel on every side. 28 and 64 px are ganzoo's adaptation: the same
layers with the odd pixel cropped, or one stage more, twice as wide; 128 and 256 px have further stages as wide as that
one, 16 px one stage less.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Generator, Reshape, halvings

GENERATOR_WIDEST, DISCRIMINATOR_WIDEST = 8, 128  # times the width, as 64 px have: more would be billions of weights


def require_labels(image: SampleSpec) -> None:
    """Raises ValueError unless the images have labels."""
    if image.classes == 0:
        raise ValueError("AC-GAN needs labelled images, not 0 classes")


def initialize(module: nn.Module) -> None:
    """Initializes weights from N(0, 0.02) and biases with 0 (paper, appendix); batch norm starts as the identity."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Doubling(nn.Module):
    """A 5×5 transposed convolution of stride 2 to 2n pixels, the transpose of TensorFlow's SAME; crops to `size`."""

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.convolution, self.size = nn.ConvTranspose2d(inputs, outputs, 5, stride=2, padding=1, bias=False), size

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x)[:, :, : self.size, : self.size]


class Noise(nn.Module):
    """Adds normal noise of a fixed standard deviation to activations in training."""

    def __init__(self, deviation: float):
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        return x + self.deviation * torch.randn_like(x) if self.training and self.deviation else x


class ACGANGenerator(Generator):
    """Latents (N, latent_dim), normal, and labels to images: 5×5 transposed convolutions, batch norm, ReLU, tanh.

    The one-hot label is concatenated to the latent.

    Options:
        latent_dim: numbers in a latent.
        width: channels of the last hidden layer.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 100, width: int = 96):
        super().__init__()
        require_labels(image)
        sizes = halvings(image.size)
        self.latent_dim, self.classes = latent_dim, image.classes
        widths = [width * min(2**i, GENERATOR_WIDEST) for i in reversed(range(len(sizes) - 1))]
        layers: list[nn.Module] = [
            nn.Linear(latent_dim + image.classes, widths[0] * 16),
            nn.ReLU(),
            Reshape(widths[0], 4, 4),
        ]
        for wide, narrow, size in zip(widths, widths[1:], sizes[1:], strict=False):
            layers += [Doubling(wide, narrow, size), nn.BatchNorm2d(narrow), nn.ReLU()]
        self.main = nn.Sequential(*layers, Doubling(width, image.channels, image.size), nn.Tanh())
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None, "AC-GAN needs labels"
        return self.main(torch.cat([latent, functional.one_hot(label, self.classes).to(latent.dtype)], 1))


class ACGANDiscriminator(nn.Module):
    """Images to logits (N,), and with `classes=True` to (logits, class logits (N, classes)).

    3×3 convolutions of stride 2 and 1 in turn, each twice as wide as the one before; batch norm from the second on,
    leaky ReLU 0.2, dropout. It does not receive the label.

    Options:
        width: channels of the first layer; later ones have multiples of it.
        dropout: share of the hidden units that is dropped in training.
        noise: standard deviation of the noise on activations; the paper tried 0, 0.1 and 0.2.
    """

    def __init__(self, image: SampleSpec, width: int = 16, dropout: float = 0.5, noise: float = 0.0):
        super().__init__()
        require_labels(image)
        stages = len(halvings(image.size)) - 1
        widths = [image.channels] + [width * min(2**i, DISCRIMINATOR_WIDEST) for i in range(2 * stages)]
        layers: list[nn.Module] = []
        for number, (narrow, wide) in enumerate(zip(widths, widths[1:], strict=False)):
            layers += [nn.Conv2d(narrow, wide, 3, 1 if number % 2 else 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(wide)] if number else []
            layers += [nn.LeakyReLU(0.2), nn.Dropout(dropout), Noise(noise)]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.source, self.classes = nn.Linear(widths[-1] * 16, 1), nn.Linear(widths[-1] * 16, image.classes)
        initialize(self)

    def forward(
        self, images: Tensor, label: Tensor | None = None, classes: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        features = self.features(images)
        logits = self.source(features).flatten()
        return (logits, self.classes(features)) if classes else logits


class AuxiliaryClassifier(Loss):
    """Odena et al. 2016, equations 2 and 3: the discriminator maximizes L_S + L_C, the generator L_C − L_S.

    −L_S of the generator is taken as log D(G(z)). L_S is the log-likelihood of the right source, L_C of the right
    class, over real images and fakes in both phases; fakes share the labels of the real images. With
    `classify_fakes=False` the discriminator learns classes from real images alone, as some other code does. The
    generator is scored by the updated discriminator on the same fakes.

    Options:
        class_weight: factor of L_C.
        classify_fakes: whether the discriminator also learns the classes of fakes.
    """

    boundary = 0.0
    heads = ("classes",)
    phases = (Phase("discriminator", ("discriminator",)), Phase("generator", ("generator",), fresh=False))

    def __init__(self, image: SampleSpec, class_weight: float = 1.0, classify_fakes: bool = True):
        super().__init__()
        self.class_weight, self.classify_fakes = class_weight, classify_fakes

    def judged(self, turn: Turn, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the logits of the source, and the weighted cross-entropy of the classes."""
        logits, classes = turn.logits(images, classes=True)
        return logits, self.class_weight * functional.cross_entropy(classes, cast(Tensor, turn.label))

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        (real, real_class), (fake, fake_class) = self.judged(turn, turn.real), self.judged(turn, turn.fake)
        terms = {
            "real": functional.softplus(-real).mean(),
            "fake": functional.softplus(fake).mean(),
            "real-class": real_class,
        }
        return {**terms, "fake-class": fake_class} if self.classify_fakes else terms

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        fake, fake_class = self.judged(turn, turn.fake)
        return {"fake": functional.softplus(-fake).mean(), "fake-class": fake_class}
