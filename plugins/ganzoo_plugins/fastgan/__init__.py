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
            discriminator=Part("fastgan", {"head": 16}),
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
    register(
        Variant(
            name="lightweight-gan",
            summary="FastGAN as lucidrains rebuilt it: global context, linear attention, a gradient penalty.",
            paper="https://arxiv.org/abs/2101.04775",
            year=2021,
            generator=Part("lightweight-gan"),
            discriminator=Part("lightweight-gan"),
            loss=Part("lightweight-gan"),
            sizes=Sizes((256,), powers=True, least=32, most=1024),
            tags=("unconditional", "few-images", "hinge", "patches", "attention", "gradient-penalty", "augmentation"),
            augmentation=Part("diffaugment", {"policy": "translation,cutout"}),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.5, 0.9)},
                generator_lr=2e-4,
                discriminator_lr=2e-4,
                batch_size=40,
                accumulate=4,
                steps=150_000,
                ema=0.9995,  # 0.995 every ten steps there
                ema_start=20_000,
                mirror=True,
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .generator import FastGANGenerator
    from .lightweight import LightweightGenerator

    register("fastgan", FastGANGenerator)
    register("lightweight-gan", LightweightGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .discriminator import FastGANDiscriminator
    from .lightweight import LightweightDiscriminator

    register("fastgan", FastGANDiscriminator)
    register("lightweight-gan", LightweightDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .lightweight import Lightweight
    from .loss import FastGAN

    register("fastgan", FastGAN)
    register("lightweight-gan", Lightweight)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import LightweightGAN
    from .port_layouts import ProjectedGAN

    register("lightweight-gan", LightweightGAN)
    register("projected-gan", ProjectedGAN)
