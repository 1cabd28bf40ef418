"""ProGAN, progressive growing (Karras et al. 2018, 1710.10196), written from the paper and the official settings."""

from ganzoo import Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, hookimpl

GROWN = 0.8  # of a run: 9.6 of 12 million images, of which each doubling takes 1.2
BATCH = 16


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    growth = Schedule(from_value=0.0, to_value=1.0, to_fraction=GROWN)
    register(
        Variant(
            name="progan",
            summary="Both networks start at 4×4 pixels and grow while they train; each new layer fades in.",
            paper="https://arxiv.org/abs/1710.10196",
            year=2017,
            generator=Part("progan"),
            discriminator=Part("progan"),
            loss=Part("wasserstein-drift"),
            sizes=Sizes((64, 28), powers=True, least=16, most=1024),
            labels="optional",
            tags=("conditional", "unconditional", "convolutional", "wasserstein", "gradient-penalty", "growing"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.0, 0.99), "eps": 1e-8},
                generator_lr=1e-3,
                discriminator_lr=1e-3,
                batch_size=BATCH,
                steps=12_000_000 // BATCH,
                ema=0.999,
                schedules={"generator.growth": growth, "discriminator.growth": growth},
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import ProGANGenerator

    register("progan", ProGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import ProGANDiscriminator

    register("progan", ProGANDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .loss import WassersteinDrift

    register("wasserstein-drift", WassersteinDrift)
