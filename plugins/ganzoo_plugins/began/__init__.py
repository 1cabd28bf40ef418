"""BEGAN (Berthelot, Schumm and Metz 2017), after carpedm20/BEGAN-tensorflow; the authors published no code."""

from ganzoo import Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, hookimpl

HALVINGS = Schedule(to_value=2e-5, to_fraction=0.4, shape="exponential")


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="began",
            summary="An autoencoder as discriminator; a controller balances the losses on real and generated images.",
            paper="https://arxiv.org/abs/1703.10717",
            year=2017,
            generator=Part("began"),
            discriminator=Part("began"),
            loss=Part("began"),
            sizes=Sizes((64, 32, 28), powers=True, least=16, most=256),
            tags=("unconditional", "convolutional", "autoencoder", "energy"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.9, 0.999)},
                generator_lr=8e-5,
                discriminator_lr=8e-5,
                batch_size=16,
                steps=500_000,
                schedules={"generator_lr": HALVINGS, "discriminator_lr": HALVINGS},
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import BEGANGenerator

    register("began", BEGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import Autoencoder

    register("began", Autoencoder)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import Equilibrium

    register("began", Equilibrium)
