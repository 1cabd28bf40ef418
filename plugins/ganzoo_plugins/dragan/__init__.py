"""DRAGAN (Kodali et al. 2017): the notebook of kodalinaveen3/DRAGAN, and its loss on DCGAN's networks."""

from ganzoo import Part, Register, RegisterVariant, Sizes, Training, Variant, hookimpl

PAPER = "https://arxiv.org/abs/1705.07215"


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    training = Training(
        optimizer="adam",
        optimizer_options={"betas": (0.5, 0.9)},
        generator_lr=1e-4,
        discriminator_lr=1e-4,
        batch_size=128,
        steps=200_000,
    )
    register(
        Variant(
            name="dragan",
            summary="A gradient penalty around the real images avoids the sharp gradients that go with mode collapse.",
            paper=PAPER,
            year=2017,
            generator=Part("dragan"),
            discriminator=Part("dragan"),
            loss=Part("dragan", {"unit_range": True}),
            sizes=Sizes((28, 32), multiple=4, least=16, most=128, square=False),
            tags=("unconditional", "mlp", "gradient-penalty"),
            training=training,
        )
    )
    register(
        Variant(
            name="dragan-dcgan",
            summary="DRAGAN's penalty on DCGAN's generator and a discriminator without batch norm.",
            paper=PAPER,
            year=2017,
            generator=Part("dcgan"),
            discriminator=Part("dragan-dcgan"),
            loss=Part("dragan"),
            sizes=Sizes((64, 32), multiple=16, least=16, most=256, square=False),
            tags=("unconditional", "convolutional", "gradient-penalty"),
            training=training,
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import DRAGANGenerator

    register("dragan", DRAGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import ConvolutionalDiscriminator, DRAGANDiscriminator

    register("dragan", DRAGANDiscriminator)
    register("dragan-dcgan", ConvolutionalDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import DRAGAN

    register("dragan", DRAGAN)
