"""LSGAN (Mao et al. 2016): the nets of xudonmao/LSGAN for scenes and, conditional, for characters."""

from ganzoo import ImageSpec, Part, Training, Variant, Weights, hookimpl

PAPER = "https://arxiv.org/abs/1611.04076"


def adam(rate: float) -> Training:
    """The settings that both official scripts share."""
    return Training(
        optimizer="adam",
        optimizer_options={"betas": (0.5, 0.999)},
        generator_lr=rate,
        discriminator_lr=rate,
        batch_size=64,
        steps=1_000_000,
    )


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="lsgan",
            summary="Least squares instead of cross-entropy: fakes far on the right side of the boundary are pulled back too.",
            paper=PAPER,
            year=2016,
            generator=Part("lsgan"),
            discriminator=Part("lsgan"),
            loss=Part("least-squares"),
            sizes=(112, 64, 32, 28),
            tags=("unconditional", "convolutional", "least-squares"),
            training=adam(1e-3),
            weights={
                "lsgan.fashion-mnist": Weights(
                    image=ImageSpec(32, 1),
                    sha256="0a727af38b99390083825be71ef3775077e567117209f46a50666eb1492823fc",
                    licence="MIT",
                    package_file="ganzoo_plugins.lsgan:files/fashion-mnist",
                )
            },
        )
    )
    register(
        Variant(
            name="lsgan-conditional",
            summary="LSGAN that is told the class in every layer, made for thousands of written characters.",
            paper=PAPER,
            year=2016,
            generator=Part("lsgan-conditional"),
            discriminator=Part("lsgan-conditional"),
            loss=Part("least-squares"),
            sizes=(28, 32),
            labels="required",
            tags=("conditional", "convolutional", "least-squares"),
            training=adam(2e-4),
        )
    )


@hookimpl
def register_generators(register):
    from .model import ConditionalGenerator, LSGANGenerator

    register("lsgan", LSGANGenerator)
    register("lsgan-conditional", ConditionalGenerator)


@hookimpl
def register_discriminators(register):
    from .model import ConditionalDiscriminator, LSGANDiscriminator

    register("lsgan", LSGANDiscriminator)
    register("lsgan-conditional", ConditionalDiscriminator)


@hookimpl
def register_losses(register):
    from .model import LeastSquares

    register("least-squares", LeastSquares)
