"""EBGAN (Zhao, Mathieu and LeCun 2016): the discriminator is an energy, an autoencoder's error. There is no official code."""

from ganzoo import Part, Training, Variant, hookimpl


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="ebgan",
            summary="An autoencoder's error as an energy, low for real images and raised to a margin for fakes; codes pulled apart.",
            paper="https://arxiv.org/abs/1609.03126",
            year=2016,
            generator=Part("dcgan"),
            discriminator=Part("ebgan"),
            loss=Part("ebgan"),
            sizes=(32, 64),
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
def register_discriminators(register):
    from .model import EnergyAutoencoder

    register("ebgan", EnergyAutoencoder)


@hookimpl
def register_losses(register):
    from .model import Energy

    register("ebgan", Energy)
