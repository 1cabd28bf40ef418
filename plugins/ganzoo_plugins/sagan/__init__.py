"""SAGAN (Zhang et al. 2018), after brain-research/self-attention-gan, at 64 and 32 pixels."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Sizes, Training, Variant, Weights, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="sagan",
            summary="Self-attention in both networks, spectral norm in the generator too, two learning rates.",
            paper="https://arxiv.org/abs/1805.08318",
            year=2018,
            generator=Part("sagan"),
            discriminator=Part("sagan"),
            loss=Part(
                "sngan", {"critic_steps": 1, "generator_first": False, "generator_batch": 1, "dequantize": False}
            ),
            sizes=Sizes((64, 32), powers=True, least=16, most=256),
            labels="optional",
            tags=(
                "conditional",
                "unconditional",
                "resnet",
                "residual",
                "hinge",
                "spectral-norm",
                "projection",
                "attention",
            ),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.0, 0.999)},
                generator_lr=1e-4,
                discriminator_lr=4e-4,
                batch_size=256,
                steps=1_000_000,
            ),
            weights={
                "sagan.fashion-mnist": Weights(
                    image=ImageSpec(32, 1, 10),
                    sha256="30bf5b375cd7a6b9acd6179ad63c6fc0993abe28f48756463ee85a5644c8da8b",
                    license="MIT",
                    package_file="ganzoo_plugins.sagan:files/fashion-mnist",
                )
            },
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import SAGANGenerator

    register("sagan", SAGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import SAGANDiscriminator

    register("sagan", SAGANDiscriminator)
