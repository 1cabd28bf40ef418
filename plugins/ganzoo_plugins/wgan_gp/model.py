"""The convolutional networks, the initialization and the loss of WGAN-GP.

Followed: igul222/improved_wgan_training, `gan_cifar.py` (width 128, 32 px) and `gan_mnist.py` (width 64, 28 px, no
batch norm, pixels in [0, 1]). Their batch norm always uses batch statistics; here evaluation uses running averages, so
that an image does not depend on the others of its batch. Other sizes are ganzoo's adaptation: at 64 px one stage more,
twice as wide, beyond it further stages as wide as that one.
"""

from __future__ import annotations

import math
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from ganzoo import SampleSpec
from ganzoo.losses import Loss, Phase, Turn, gradient_penalty
from ganzoo.networks import Generator, LeakyReLU, Reshape, dequantized, halvings

KERNEL = 5
WIDEST = 8  # times the width, as 64 px have; further stages stay as wide


def uniform_weight(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, deviation: float) -> None:
    """Initializes weights from U(-σ√3, σ√3), of standard deviation σ, and biases with 0: every layer of `tflib/ops`."""
    nn.init.uniform_(layer.weight, -deviation * math.sqrt(3), deviation * math.sqrt(3))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def initialize_convolution(layer: nn.Conv2d | nn.ConvTranspose2d, he: bool = True) -> None:
    """Uses σ² = 4 / (fan in + fan out), or 2 if not `he`; a stride divides the larger side's fan.

    These are `conv2d.py` and `deconv2d.py`.
    """
    area, stride = math.prod(layer.kernel_size), math.prod(layer.stride)
    fans: list[float] = [layer.in_channels * area, layer.out_channels * area]
    fans[0 if isinstance(layer, nn.ConvTranspose2d) else 1] /= stride
    uniform_weight(layer, math.sqrt((4 if he else 2) / sum(fans)))


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Returns a linear layer with σ² = 2 / (inputs + outputs), the default of `linear.py`."""
    layer = nn.Linear(inputs, outputs)
    uniform_weight(layer, math.sqrt(2 / (inputs + outputs)))
    return layer


class HalvingConvolution(nn.Module):
    """A 5×5 convolution of stride 2 from n to ⌈n/2⌉ pixels, padded like TensorFlow's SAME (more at the end)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, KERNEL, stride=2)
        initialize_convolution(self.convolution)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(functional.pad(x, (2, 2, 2, 2) if x.shape[-1] % 2 else (1, 2, 1, 2)))


class DoublingConvolution(nn.Module):
    """A 5×5 transposed convolution of stride 2 from n to 2n pixels, the transpose of SAME; crops to `size`."""

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.convolution, self.size = nn.ConvTranspose2d(inputs, outputs, KERNEL, stride=2, padding=1), size
        initialize_convolution(self.convolution)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x)[:, :, : self.size, : self.size]


class ConvolutionalGenerator(Generator):
    """Latents (N, latent_dim) to images: 5×5 transposed convolutions; the first batch norm is over single features.

    Options:
        latent_dim: numbers in a latent.
        width: channels of the last hidden layer; earlier ones have multiples of it.
        normalize: whether batch norm follows each layer but the last.
        unit_range: whether the last layer is a sigmoid, rescaled from [0, 1] to [-1, 1], instead of tanh.
    """

    def __init__(
        self,
        image: SampleSpec,
        latent_dim: int = 128,
        width: int = 128,
        normalize: bool = True,
        unit_range: bool = False,
    ):
        super().__init__()
        self.latent_dim, self.unit_range = latent_dim, unit_range
        sizes = halvings(image.size)
        widths = [width * min(2**i, WIDEST) for i in reversed(range(len(sizes) - 1))]
        features = widths[0] * sizes[0] ** 2
        layers: list[nn.Module] = [linear(latent_dim, features)]
        layers += [nn.BatchNorm1d(features)] if normalize else []
        layers += [nn.ReLU(), Reshape(widths[0], sizes[0], sizes[0])]
        for wide, narrow, size in zip(widths, widths[1:], sizes[1:], strict=False):
            layers += [DoublingConvolution(wide, narrow, size)]
            layers += [nn.BatchNorm2d(narrow)] if normalize else []
            layers += [nn.ReLU()]
        layers += [DoublingConvolution(width, image.channels, image.size)]
        self.main = nn.Sequential(*layers)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.main(latent)
        return x.sigmoid() * 2 - 1 if self.unit_range else x.tanh()


class ConvolutionalCritic(nn.Module):
    """Images to scores (N,): 5×5 convolutions of stride 2, leaky ReLU 0.2, no normalization across samples.

    Options:
        width: channels of the first layer; later ones have multiples of it.
        unit_range: whether pixels are rescaled to [0, 1] before the first layer.
    """

    def __init__(self, image: SampleSpec, width: int = 128, unit_range: bool = False):
        super().__init__()
        self.unit_range = unit_range
        sizes = halvings(image.size)
        widths = [image.channels] + [width * min(2**i, WIDEST) for i in range(len(sizes) - 1)]
        layers: list[nn.Module] = []
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += [HalvingConvolution(narrow, wide), LeakyReLU(0.2)]
        self.main = nn.Sequential(*layers, nn.Flatten(), linear(widths[-1] * sizes[0] ** 2, 1))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        return self.main((images + 1) / 2 if self.unit_range else images).flatten()


def after_the_first(step: int) -> int:
    """Returns 1 in every step but the first, else 0: `if iteration > 0` in the official loops."""
    return min(step, 1)


class WassersteinGP(Loss):
    """Gulrajani et al. 2017, equation 3 and algorithm 1: f̄ − r̄ + λ·mean((‖∇‖₂ − 1)²), and −f̄ for the generator.

    As in the official scripts the generator steps first, but not in the first step; then the critic steps, each time
    with fresh images. The gradient with respect to pixels in [0, 1], as in `gan_mnist.py`, is twice the one with
    respect to pixels in [-1, 1]. With labelled images and a class weight above 0, the critic must answer `classes=True`
    with a tuple (scores, class logits (N, classes)), and cross-entropies are added: of real images for the critic, of
    fakes for the generator.

    Options:
        penalty: factor λ of the gradient penalty.
        critic_steps: steps of the critic for each of the generator.
        unit_range: whether the penalty's gradient is with respect to pixels in [0, 1].
        generator_batch: the generator's batch, in batches of the critic.
        dequantize: whether real pixels are spread over their grey level (`dequantized`).
        class_weight: factor of the critic's cross-entropy of classes; 0: none.
        generator_class_weight: factor of the generator's cross-entropy of classes; 0: none.
    """

    needs_per_sample_gradients = True

    def __init__(
        self,
        image: SampleSpec,
        penalty: float = 10.0,
        critic_steps: int = 5,
        unit_range: bool = False,
        generator_batch: int = 1,
        dequantize: bool = False,
        class_weight: float = 0.0,
        generator_class_weight: float = 0.0,
    ):
        super().__init__()
        if critic_steps < 1 or generator_batch < 1:
            raise ValueError(
                f"critic_steps and generator_batch must be at least 1, not {critic_steps} and {generator_batch}"
            )
        self.penalty, self.class_weight, self.generator_class_weight = penalty, class_weight, generator_class_weight
        self.dequantize, self.gradient_scale = dequantize, 2.0 if unit_range else 1.0
        self.classify = image.classes > 0 and max(class_weight, generator_class_weight) > 0
        self.phases = (
            Phase("generator", ("generator",), repeats=after_the_first, batch=generator_batch),
            Phase("discriminator", ("discriminator",), repeats=critic_steps),
        )

    def generator(self, turn: Turn) -> dict[str, Tensor]:
        if not self.classify:
            return {"fake": -turn.logits(turn.fake).mean()}
        scores, classes = turn.logits(turn.fake, classes=True)
        return {
            "fake": -scores.mean(),
            "classes": self.generator_class_weight * functional.cross_entropy(classes, cast(Tensor, turn.label)),
        }

    def discriminator(self, turn: Turn) -> dict[str, Tensor]:
        real = dequantized(turn.real, turn.uniform(*turn.real.shape[1:])) if self.dequantize else turn.real
        heads: dict[str, Any] = {"classes": True} if self.classify else {}
        judged = turn.logits(real, stands_for="real", **heads)
        scores, classes = judged if self.classify else (judged, None)
        terms = {"real": -scores.mean(), "fake": turn.logits(turn.fake).mean()}
        slope = gradient_penalty(
            lambda images: self.gradient_scale * turn.logits(images), real, turn.fake, turn.uniform(1, 1, 1)
        )
        terms["penalty"] = self.penalty * slope
        if classes is not None:
            terms["classes"] = self.class_weight * functional.cross_entropy(classes, cast(Tensor, turn.label))
        return terms
