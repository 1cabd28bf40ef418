"""WGAN-GP (Gulrajani et al. 2017): igul222/improved_wgan_training for CIFAR-10, MNIST and 64×64 ImageNet."""

from typing import Any

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, Weights, hookimpl

PAPER = "https://arxiv.org/abs/1704.00028"


def adam(rate: float, beta1: float, batch_size: int, steps: int, **more: Any) -> Training:
    """The same Adam for both networks, as in all official scripts; β2 is always 0.9."""
    return Training(
        optimizer="adam",
        optimizer_options={"betas": (beta1, 0.9)},
        generator_lr=rate,
        discriminator_lr=rate,
        batch_size=batch_size,
        steps=steps,
        **more,
    )


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="wgan-gp",
            summary="A gradient penalty keeps the critic's slope at one; five critic steps per generator step.",
            paper=PAPER,
            year=2017,
            generator=Part("wgan-gp"),
            discriminator=Part("wgan-gp"),
            loss=Part("wasserstein-gp"),
            sizes=Sizes((32, 64), powers=True, least=16, most=256),
            tags=("unconditional", "convolutional", "wasserstein", "gradient-penalty"),
            training=adam(1e-4, 0.5, batch_size=64, steps=200_000),
            weights={
                "wgan-gp.fashion-mnist": Weights(
                    image=ImageSpec(32, 1),
                    sha256="6fa2fc8ad32f3da0374b110b8da7fba9e784808baef83e59244aabb4de2044eb",
                    license="MIT",
                    package_file="ganzoo_plugins.wgan_gp:files/fashion-mnist",
                )
            },
        )
    )
    unit_range = {"unit_range": True}
    register(
        Variant(
            name="wgan-gp-mnist",
            summary="WGAN-GP for 28×28 digits: half as wide, no batch norm, pixels in [0, 1] inside.",
            paper=PAPER,
            year=2017,
            generator=Part("wgan-gp", {"width": 64, "normalize": False, **unit_range}),
            discriminator=Part("wgan-gp", {"width": 64, **unit_range}),
            loss=Part("wasserstein-gp", unit_range),
            sizes=(28,),
            tags=("unconditional", "convolutional", "wasserstein", "gradient-penalty"),
            training=adam(1e-4, 0.5, batch_size=50, steps=200_000),
        )
    )
    register(
        Variant(
            name="wgan-gp-resnet",
            summary="WGAN-GP with residual networks; with labels, conditional batch norm and an auxiliary classifier.",
            paper=PAPER,
            year=2017,
            generator=Part("wgan-gp-resnet"),
            discriminator=Part("wgan-gp-resnet"),
            loss=Part(
                "wasserstein-gp",
                {"generator_batch": 2, "dequantize": True, "class_weight": 1.0, "generator_class_weight": 0.1},
            ),
            sizes=Sizes((32,), powers=True, least=16, most=32),
            labels="optional",
            tags=("conditional", "unconditional", "residual", "wasserstein", "gradient-penalty"),
            training=adam(
                2e-4,
                0.0,
                batch_size=64,
                steps=100_000,
                schedules={"generator_lr": Schedule(to_value=0.0), "discriminator_lr": Schedule(to_value=0.0)},
            ),
        )
    )
    register(
        Variant(
            name="wgan-gp-resnet-64",
            summary="WGAN-GP with residual networks for 64×64 pixels, layer norm in the critic.",
            paper=PAPER,
            year=2017,
            generator=Part("wgan-gp-resnet-64"),
            discriminator=Part("wgan-gp-resnet-64"),
            loss=Part("wasserstein-gp"),
            sizes=Sizes((64,), powers=True, least=64, most=256),
            tags=("unconditional", "residual", "wasserstein", "gradient-penalty"),
            training=adam(1e-4, 0.0, batch_size=64, steps=200_000),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import ConvolutionalGenerator
    from .resnet import resnet_generator, resnet_generator_64

    register("wgan-gp", ConvolutionalGenerator)
    register("wgan-gp-resnet", resnet_generator)
    register("wgan-gp-resnet-64", resnet_generator_64)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import ConvolutionalCritic
    from .resnet import ResNetCritic, ResNetCritic64

    register("wgan-gp", ConvolutionalCritic)
    register("wgan-gp-resnet", ResNetCritic)
    register("wgan-gp-resnet-64", ResNetCritic64)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import WassersteinGP

    register("wasserstein-gp", WassersteinGP)
