"""FastGAN (Liu et al. 2021, 2101.04775): images of few examples on one GPU, or small ones on a CPU."""

from ganzoo import Part, Register, RegisterVariant, Sizes, Training, Variant, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="fastgan",
            summary="For few images: skip-layer excitation, and a discriminator that must also redraw real images.",
            paper="https://arxiv.org/abs/2101.04775",
            year=2021,
            generator=Part("fastgan"),
            discriminator=Part("fastgan"),
            loss=Part("fastgan"),
            sizes=Sizes((256, 28), powers=True, least=32, most=1024),
            tags=("unconditional", "few-images", "hinge", "patches", "spectral-norm", "batch-norm", "augmentation"),
            augmentation=Part("diffaugment", {"policy": "color,translation"}),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.5, 0.999)},
                generator_lr=2e-4,
                discriminator_lr=2e-4,
                batch_size=8,
                steps=50_000,
                ema=0.999,
                mirror=True,
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .generator import FastGANGenerator

    register("fastgan", FastGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .discriminator import FastGANDiscriminator

    register("fastgan", FastGANDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .loss import FastGAN

    register("fastgan", FastGAN)
