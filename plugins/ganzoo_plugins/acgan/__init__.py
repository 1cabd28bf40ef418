"""AC-GAN (Odena, Olah and Shlens 2016): the paper's CIFAR-10 networks; no official code was published."""

from ganzoo import Part, Register, RegisterVariant, Sizes, Training, Variant, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="acgan",
            summary="The discriminator also predicts the class, and both networks are rewarded when it is right.",
            paper="https://arxiv.org/abs/1610.09585",
            year=2016,
            generator=Part("acgan"),
            discriminator=Part("acgan"),
            loss=Part("auxiliary-classifier"),
            sizes=Sizes((32, 28, 64), powers=True, least=16, most=256),
            labels="required",
            tags=("conditional", "convolutional"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.5, 0.999)},
                generator_lr=2e-4,
                discriminator_lr=2e-4,
                batch_size=100,
                steps=50_000,
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import ACGANGenerator

    register("acgan", ACGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import ACGANDiscriminator

    register("acgan", ACGANDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import AuxiliaryClassifier

    register("auxiliary-classifier", AuxiliaryClassifier)
