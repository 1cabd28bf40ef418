"""StyleGAN2 (Karras et al. 2020, 1912.04958) and StyleGAN2-ADA (2006.06676), written from the papers."""

from typing import Any

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Sizes, Training, Variant, Weights, hookimpl

STYLEGAN2 = "https://arxiv.org/abs/1912.04958"
ADA = "https://arxiv.org/abs/2006.06676"
R1_EVERY, PATH_EVERY = 16, 4
TAGS = ("conditional", "unconditional", "style", "gradient-penalty", "lazy-regularization")


def rescaled(rate: float, every: int) -> tuple[float, dict[str, Any]]:
    """Returns Adam's learning rate and options for a network that takes one more step every `every` steps.

    Rate and betas are moved to the power or share c = every / (every + 1), so that a training step moves as much as
    without the lazy step (Karras et al. 2020, appendix B).
    """
    share = every / (every + 1)
    return rate * share, {"betas": (0.0, 0.99**share), "eps": 1e-8}


def training(
    *, batch_size: int, rate: float, ema_images: float, ema_ramp: float | None = None, images: int = 25_000_000
) -> Training:
    """Settings of a preset of the official `train.py`, with Adam rescaled for the lazy steps."""
    (generator_lr, generator), (discriminator_lr, discriminator) = (rescaled(rate, k) for k in (PATH_EVERY, R1_EVERY))
    return Training(
        optimizer="adam",
        generator_lr=generator_lr,
        discriminator_lr=discriminator_lr,
        generator_optimizer_options=generator,
        discriminator_optimizer_options=discriminator,
        batch_size=batch_size,
        steps=images // batch_size,
        ema_images=ema_images,
        ema_ramp=ema_ramp,
    )


def preset(
    name: str,
    summary: str,
    sizes: tuple[int, ...],
    settings: Training,
    *,
    adaptive: bool = True,
    networks: dict[str, Any] | None = None,
    generator: dict[str, Any] | None = None,
    discriminator: dict[str, Any] | None = None,
    loss: dict[str, Any] | None = None,
    weights: dict[str, Weights] | None = None,
) -> Variant:
    """Returns the card of one official preset; `networks` are options of both networks."""
    return Variant(
        name=name,
        summary=summary,
        paper=ADA if adaptive else STYLEGAN2,
        year=2020 if adaptive else 2019,
        generator=Part("stylegan2", {**(networks or {}), **(generator or {})}),
        discriminator=Part("stylegan2", {**(networks or {}), **(discriminator or {})}),
        loss=Part("lazy-logistic", loss or {}),
        sizes=Sizes(sizes, powers=True, least=16, most=1024),
        labels="optional",
        tags=(*TAGS, "augmentation") if adaptive else TAGS,
        augmentation=Part("ada") if adaptive else None,
        training=settings,
        weights=weights or {},
    )


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        preset(
            "stylegan2",
            "Styles scale the channels of every convolution; R1 and path length now and then.",
            (64, 28),
            training(batch_size=32, rate=0.002, ema_images=10_000),
            adaptive=False,
            networks={"channel_base": 32768},
            loss={"gamma": 10.0},
        )
    )
    register(
        preset(
            "stylegan2-ada",
            "StyleGAN2 with adaptive augmentation for few images, and settings that follow from the image size.",
            (64, 28),
            training(batch_size=32, rate=0.0025, ema_images=10_000, ema_ramp=0.05),
            generator={"mapping_layers": 2},
            weights={
                "stylegan2-ada.fashion-mnist": Weights(
                    image=ImageSpec(32, 1),
                    sha256="1f0624632a467450457139cd2938e4f8984eb80748f12eb8e5538d6b66133116",
                    license="MIT",
                    package_file="ganzoo_plugins.stylegan2:files/fashion-mnist",
                )
            },
        )
    )
    register(
        preset(
            "stylegan2-ada-cifar",
            "StyleGAN2-ADA as tuned for CIFAR-10: no path length, no mixing, a plain discriminator.",
            (32,),
            training(batch_size=64, rate=0.0025, ema_images=500_000, ema_ramp=0.05, images=100_000_000),
            networks={"channel_base": 32768},
            generator={"mapping_layers": 2},
            discriminator={"architecture": "plain", "group": 32},
            loss={"gamma": 0.01, "path_weight": 0.0, "mixing": 0.0},
        )
    )
    register(
        preset(
            "stylegan2-ada-256",
            "StyleGAN2-ADA with its paper's settings for 256 pixels.",
            (256,),
            training(batch_size=64, rate=0.0025, ema_images=20_000),
            networks={"channel_base": 16384},
            discriminator={"group": 8},
            loss={"gamma": 1.0},
        )
    )
    register(
        preset(
            "stylegan2-ada-512",
            "StyleGAN2-ADA with its paper's settings for 512 pixels.",
            (512,),
            training(batch_size=64, rate=0.0025, ema_images=20_000),
            networks={"channel_base": 32768},
            discriminator={"group": 8},
            loss={"gamma": 0.5},
        )
    )
    register(
        preset(
            "stylegan2-ada-1024",
            "StyleGAN2-ADA with its paper's settings for 1024 pixels.",
            (1024,),
            training(batch_size=32, rate=0.002, ema_images=10_000),
            networks={"channel_base": 32768},
            loss={"gamma": 2.0},
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .generator import StyleGAN2Generator

    register("stylegan2", StyleGAN2Generator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .discriminator import StyleGAN2Discriminator

    register("stylegan2", StyleGAN2Discriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .loss import LazyLogistic

    register("lazy-logistic", LazyLogistic)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import NVlabs, NVlabsDiscriminator, Rosinality

    register("rosinality", Rosinality)
    register("nvlabs-stylegan2", NVlabs)
    register("nvlabs-stylegan3-d", NVlabsDiscriminator)
