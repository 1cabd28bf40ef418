"""WGAN (Arjovsky, Chintala and Bottou 2017), after martinarjovsky/WassersteinGAN: DCGAN's networks, and perceptrons."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Sizes, Training, Variant, Weights, hookimpl

PAPER = "https://arxiv.org/abs/1701.07875"
TRAINING = Training(optimizer="rmsprop", generator_lr=5e-5, discriminator_lr=5e-5, batch_size=64, steps=100_000)


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="wgan",
            summary="The Wasserstein distance instead of a classifier: a critic with weights clipped to a small box.",
            paper=PAPER,
            year=2017,
            generator=Part("dcgan"),
            discriminator=Part("dcgan"),
            loss=Part("wasserstein-clipped"),
            sizes=Sizes((64, 32), multiple=16, least=16, most=256, square=False),
            tags=("unconditional", "convolutional", "wasserstein"),
            training=TRAINING,
            weights={
                "wgan.fashion-mnist": Weights(
                    image=ImageSpec(32, 1),
                    sha256="8e7519ddee101717a32e1610704cf411f86e24da28d567bfebdc091b0fb75eba",
                    license="MIT",
                    package_file="ganzoo_plugins.wgan:files/fashion-mnist",
                )
            },
        )
    )
    register(
        Variant(
            name="wgan-mlp",
            summary="WGAN without convolutions or normalization: the paper's test of a poor architecture.",
            paper=PAPER,
            year=2017,
            generator=Part("wgan-mlp"),
            discriminator=Part("wgan-mlp"),
            loss=Part("wasserstein-clipped"),
            sizes=Sizes((64, 32, 28), multiple=4, least=16, most=128, square=False),
            tags=("unconditional", "mlp", "wasserstein"),
            training=TRAINING,
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import PerceptronGenerator

    register("wgan-mlp", PerceptronGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import PerceptronCritic

    register("wgan-mlp", PerceptronCritic)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import WassersteinClipped

    register("wasserstein-clipped", WassersteinClipped)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import WassersteinGAN, WassersteinGANPerceptron

    register("wassersteingan", WassersteinGAN)
    register("wassersteingan-mlp", WassersteinGANPerceptron)
