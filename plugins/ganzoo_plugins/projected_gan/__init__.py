"""Projected GAN (Sauer et al. 2021, 2111.01007): discriminators on the features of a frozen network."""

from typing import Any

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Sizes, Training, Variant, Weights, hookimpl

PAPER = "https://arxiv.org/abs/2111.01007"
TAGS = ("few-images", "pretrained-features", "hinge", "spectral-norm", "augmentation")
BATCH = 64


def card(
    name: str,
    summary: str,
    labels: str,
    rates: tuple[float, float],
    generator: Part,
    weights: dict[str, Weights] | None = None,
    **discriminator: Any,
) -> Variant:
    """One configuration of the official train.py: a generator, its learning rate and the discriminator's."""
    return Variant(
        name=name,
        summary=summary,
        paper=PAPER,
        year=2021,
        generator=generator,
        discriminator=Part("projected", discriminator),
        loss=Part("sngan", {"critic_steps": 1, "generator_batch": 1, "dequantize": False}),
        sizes=Sizes((256, 32), powers=True, least=32, most=1024),
        labels=labels,
        weights=weights or {},
        tags=(*(("conditional",) if labels != "unused" else ()), "unconditional", *TAGS),
        augmentation=Part("diffaugment", {"policy": "color,translation,cutout"}),
        training=Training(
            optimizer="adam",
            optimizer_options={"betas": (0.0, 0.99), "eps": 1e-8},
            generator_lr=rates[0],
            discriminator_lr=rates[1],
            batch_size=BATCH,
            steps=25_000_000 // BATCH,
            ema_images=BATCH * 10_000 / 32,
            ema_ramp=0.05,
        ),
    )


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        card(
            "projected-gan",
            "FastGAN's generator against four small discriminators on the features of a frozen network.",
            "unused",
            (2e-4, 2e-4),
            Part("fastgan", {"width": 128, "blocks": "heavy", "spherical": True}),
            {
                "projected-gan.emoji-people": Weights(
                    image=ImageSpec(64, 3),
                    sha256="5a4524e6c5884fbc9d51fc719371204662c256859797d7529565c8907f247b58",
                    license="Apache-2.0",
                    package_file="ganzoo_plugins.projected_gan:files/emoji-people",
                )
            },
        )
    )
    stylegan2 = {"latent_dim": 64, "style_dim": 128, "mapping_layers": 2, "channel_base": 32768}
    register(
        card(
            "projected-gan-stylegan2",
            "Projected GAN with StyleGAN2's generator and separable discriminators; with labels by projection.",
            "optional",
            (0.002, 0.002),
            Part("stylegan2", stylegan2),
            separable=True,
        )
    )


@hookimpl
def register_discriminators(register: Register) -> None:
    from .discriminator import ProjectedDiscriminator

    register("projected", ProjectedDiscriminator)
