"""StyleGAN3 (Karras et al. 2021, 2106.12423), written from the paper: generators without aliasing."""

from typing import Any

from ganzoo import Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, hookimpl

PAPER = "https://arxiv.org/abs/2106.12423"
R1_EVERY = 16
BATCH = 32
IMAGES = 25_000_000
BLURRED_IMAGES = 200_000


def card(name: str, summary: str, generator: dict[str, Any], loss: dict[str, Any], **training: Any) -> Variant:
    """Returns the card of one configuration of the official `train.py`, with Adam rescaled for the lazy R1."""
    share = R1_EVERY / (R1_EVERY + 1)
    return Variant(
        name=name,
        summary=summary,
        paper=PAPER,
        year=2021,
        generator=Part("stylegan3", generator),
        discriminator=Part("stylegan2", {"channel_base": 32768}),
        loss=Part("blurred-logistic", loss),
        sizes=Sizes((64, 32), powers=True, least=16, most=1024),
        labels="optional",
        tags=("conditional", "unconditional", "style", "gradient-penalty", "lazy-regularization", "augmentation"),
        augmentation=Part("ada"),
        training=Training(
            optimizer="adam",
            generator_lr=0.0025,
            discriminator_lr=0.002 * share,
            generator_optimizer_options={"betas": (0.0, 0.99), "eps": 1e-8},
            discriminator_optimizer_options={"betas": (0.0, 0.99**share), "eps": 1e-8},
            batch_size=BATCH,
            steps=IMAGES // BATCH,
            ema_images=10_000,
            ema_ramp=0.05,
            **training,
        ),
    )


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        card(
            "stylegan3-t",
            "Details move with objects: signals without aliasing make a generator of styles shift as the image does.",
            {"channel_base": 32768, "width": 512},
            {},
        )
    )
    fading = Schedule(from_value=10.0, to_value=0.0, to_fraction=BLURRED_IMAGES / IMAGES)
    register(
        card(
            "stylegan3-r",
            "As stylegan3-t, and turns as the image does: pointwise convolutions, radial filters, blur at first.",
            {"channel_base": 65536, "width": 1024, "kernel": 1, "radial": True},
            {"blur": 10.0},
            schedules={"loss.blur": fading},
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .generator import StyleGAN3Generator

    register("stylegan3", StyleGAN3Generator)


@hookimpl
def register_losses(register: Register) -> None:
    from .loss import BlurredLogistic

    register("blurred-logistic", BlurredLogistic)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import NVlabs3
    from .xl_layouts import StyleGANXL

    register("nvlabs-stylegan3", NVlabs3)
    register("stylegan-xl", StyleGANXL)
