"""The networks and the loss of LSGAN.

Followed: xudonmao/LSGAN, `vgg.py` with `train_lsun.py` (112 px) and `mcgan.py` with `train_chn.py` (28 px,
conditional). Other sizes are ganzoo's adaptation: `vgg.py` starts at 7×7 pixels and doubles four times; here 28 px
leave out the first two doublings, 64 px start at 4×4, 32 px leave out the first doubling too and 16 px the first two,
128 px start at 8×8 and 256 px double once more. Linear features are ordered channel first, there channel last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn
from ganzoo.networks import Reshape, UniformGenerator

STAGES = {16: 2, 28: 2, 32: 3, 64: 4, 112: 4, 128: 4, 256: 5}


def stages(image: SampleSpec) -> int:
    """Returns how many times an image of this size is halved; ValueError for sizes without networks."""
    if image.size not in STAGES:
        raise ValueError(f"LSGAN generates squares of {', '.join(map(str, STAGES))} pixels, not {image.size}")
    return STAGES[image.size]


def initialize(module: nn.Module) -> None:
    """Initializes convolutions from N(0, 0.02) truncated at two standard deviations, other layers from N(0, 0.02).

    Biases are 0 (`ops.py`).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, 0.0, 0.02, -0.04, 0.04)
        elif isinstance(layer, (nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Halving(nn.Module):
    """A 5×5 convolution of stride 2 on an even number of pixels, padded like TensorFlow's SAME: more at the end."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 5, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(functional.pad(x, (1, 2, 1, 2)))


class Doubling(nn.Module):
    """A transposed convolution of stride 2 from n to 2n pixels, the transpose of SAME for an odd `kernel` from 3."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.convolution = nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=(kernel - 3) // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x)[:, :, :-1, :-1]


class LSGANGenerator(UniformGenerator):
    """Latents (N, latent_dim), uniform in [-1, 1), to images: 3×3 transposed convolutions, batch norm, ReLU, tanh.

    A convolution that keeps the size follows each doubling but the last two.

    Options:
        latent_dim: numbers in a latent.
        width: channels of the last doubling.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 1024, width: int = 64):
        super().__init__()
        self.latent_dim = latent_dim
        start = image.size // 2 ** stages(image)
        wide = [(4 * width, True)] * max(2, stages(image) - 2)
        doublings = [*wide, (2 * width, False), (width, False)][-stages(image) :]
        layers = [
            nn.Linear(latent_dim, 4 * width * start**2),
            Reshape(4 * width, start, start),
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
        ]
        inputs = 4 * width
        for outputs, keeps in doublings:
            layers += [Doubling(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.ReLU()]
            if keeps:
                layers += [nn.ConvTranspose2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(inputs, image.channels, 3, padding=1), nn.Tanh())
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(latent)


class LSGANDiscriminator(nn.Module):
    """Images to scores (N,): 5×5 convolutions of stride 2, leaky ReLU 0.2, one linear layer.

    Batch norm follows from the second convolution on.

    Options:
        width: channels of the first layer; later ones have multiples of it.
    """

    def __init__(self, image: SampleSpec, width: int = 64):
        super().__init__()
        widths = [width * 2**i for i in range(stages(image))]
        layers: list[nn.Module] = [Halving(image.channels, width), nn.LeakyReLU(0.2)]
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += [Halving(narrow, wide), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        end = image.size // 2 ** len(widths)
        self.main = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * end**2, 1))
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(images).flatten()


def check_conditional(image: SampleSpec) -> None:
    """Raises ValueError unless the images have labels and a size that can be halved twice."""
    if image.classes == 0 or image.size % 4:
        raise ValueError(
            "the conditional LSGAN needs labelled images whose size is a multiple of 4, "
            f"not {image.classes} classes and {image.size} pixels"
        )


class ClassVector(nn.Module):
    """Labels (N,) to vectors (N, size): a linear layer of the one-hot label."""

    def __init__(self, image: SampleSpec, size: int):
        super().__init__()
        self.classes, self.linear = image.classes, nn.Linear(image.classes, size)

    def forward(self, label: Tensor) -> Tensor:
        return self.linear(functional.one_hot(label, self.classes).to(self.linear.weight.dtype))


class ConditionalGenerator(UniformGenerator):
    """Latents (N, latent_dim), uniform in [-1, 1), and labels to images: `generator` of mcgan.py.

    Two 5×5 transposed convolutions; the last layer is a sigmoid, rescaled from the original's [0, 1] to [-1, 1].

    Options:
        latent_dim: numbers in a latent.
        width: channels between the two transposed convolutions.
        label_size: numbers in the vector of a class.
    """

    def __init__(self, image: SampleSpec, latent_dim: int = 1024, width: int = 128, label_size: int = 256):
        super().__init__()
        check_conditional(image)
        self.latent_dim = latent_dim
        self.label = ClassVector(image, label_size)
        start = image.size // 4
        features = width * start**2
        self.main = nn.Sequential(
            *[
                nn.Linear(latent_dim + label_size, features),
                nn.BatchNorm1d(features),
                nn.ReLU(),
                Reshape(width, start, start),
            ],
            *[Doubling(width, width, 5), nn.BatchNorm2d(width), nn.ReLU()],
            *[Doubling(width, image.channels, 5), nn.Sigmoid()],
        )
        initialize(self)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main(torch.cat([latent, self.label(label)], 1)) * 2 - 1


class ConditionalDiscriminator(nn.Module):
    """Images and labels to scores (N,): `discriminator` of mcgan.py.

    The label's vector is concatenated to every layer's input but the first. Pixels are rescaled to [0, 1].

    Options:
        width: channels of the second convolution, without the label's share.
        label_size: numbers in the vector of a class.
        hidden: units of the hidden linear layer.
    """

    def __init__(self, image: SampleSpec, width: int = 64, label_size: int = 256, hidden: int = 1024):
        super().__init__()
        check_conditional(image)
        self.label = ClassVector(image, label_size)
        first, second = image.channels + label_size, width + label_size
        self.convolution1 = nn.Sequential(Halving(image.channels, first), nn.LeakyReLU(0.2))
        self.convolution2 = nn.Sequential(
            Halving(first + label_size, second), nn.BatchNorm2d(second), nn.LeakyReLU(0.2), nn.Flatten()
        )
        features = second * (image.size // 4) ** 2
        self.hidden = nn.Sequential(nn.Linear(features + label_size, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2))
        self.output = nn.Linear(hidden + label_size, 1)
        initialize(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        vector = self.label(label)
        x = self.convolution1((images + 1) / 2)
        x = torch.cat([x, vector[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)
        x = self.hidden(torch.cat([self.convolution2(x), vector], 1))
        return self.output(torch.cat([x, vector], 1)).flatten()


class LeastSquares(Loss):
    """Mao et al. 2016, equation 2: ½(r − b)² + ½(f − a)² for the discriminator, ½(f − c)² for the generator.

    The codes a=0, b=c=1 are the official code's; the paper also has a=-1, b=1, c=0. The paper has an expectation, the
    code a sum over the (micro-)batch (`tf.nn.l2_loss`). The generator is scored by the updated discriminator on the
    same fakes, as in `train_lsun.py`.

    Options:
        a: target of fakes for the discriminator.
        b: target of real images for the discriminator.
        c: target of fakes for the generator.
        reduction: "mean" of the batch as in the paper, or "sum" as in the code.
    """

    def __init__(self, image: SampleSpec, a: float = 0.0, b: float = 1.0, c: float = 1.0, reduction: str = "mean"):
        super().__init__()
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction of the least-squares loss is {reduction!r}; known: mean, sum")
        self.a, self.b, self.c, self.reduction = a, b, c, reduction
        self.real_is_low, self.boundary = b < a, (a + b) / 2
        self.phases = (
            Phase("discriminator", ("discriminator",)),
            Phase("generator", ("generator",), fresh=False),
        )

    def distance(self, scores: Tensor, code: float) -> Tensor:
        """Returns half the squared distance of scores (N,) from a code, averaged or summed."""
        squares = (scores - code).square() / 2
        return squares.mean() if self.reduction == "mean" else squares.sum()

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real, fake = turn.logits(turn.real), turn.logits(turn.fake)
        return {"real": self.distance(real, self.b), "fake": self.distance(fake, self.a)}

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        return {"fake": self.distance(turn.logits(turn.fake), self.c)}
