"""EBGAN (Zhao, Mathieu and LeCun 2016): an autoencoder's error as energy. There is no official code."""

from ganzoo import Part, Register, RegisterVariant, Sizes, Training, Variant, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="ebgan",
            summary="An autoencoder's error as energy: low for real images, up to a margin for fakes.",
            paper="https://arxiv.org/abs/1609.03126",
            year=2016,
            generator=Part("dcgan"),
            discriminator=Part("ebgan"),
            loss=Part("ebgan"),
            sizes=Sizes((32, 64), multiple=16, least=16, most=256, square=False),
            tags=("unconditional", "convolutional", "autoencoder", "energy"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.5, 0.999)},
                generator_lr=1e-3,
                discriminator_lr=2e-4,
                batch_size=64,
                steps=50_000,
            ),
        )
    )


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import EnergyAutoencoder

    register("ebgan", EnergyAutoencoder)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import Energy

    register("ebgan", Energy)
