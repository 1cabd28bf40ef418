"""LSGAN (Mao et al. 2016): the networks of xudonmao/LSGAN for scenes and, conditional, for characters."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Sizes, Training, Variant, Weights, hookimpl

PAPER = "https://arxiv.org/abs/1611.04076"


def adam(rate: float) -> Training:
    """Settings that both official scripts share."""
    return Training(
        optimizer="adam",
        optimizer_options={"betas": (0.5, 0.999)},
        generator_lr=rate,
        discriminator_lr=rate,
        batch_size=64,
        steps=1_000_000,
    )


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="lsgan",
            summary="Least squares instead of cross-entropy: fakes far beyond the boundary still get a gradient.",
            paper=PAPER,
            year=2016,
            generator=Part("lsgan"),
            discriminator=Part("lsgan"),
            loss=Part("least-squares"),
            sizes=Sizes((112, 64, 32, 28), powers=True, least=16, most=256),
            tags=("unconditional", "convolutional", "least-squares"),
            training=adam(1e-3),
            weights={
                "lsgan.fashion-mnist": Weights(
                    image=ImageSpec(32, 1),
                    sha256="0a727af38b99390083825be71ef3775077e567117209f46a50666eb1492823fc",
                    license="MIT",
                    package_file="ganzoo_plugins.lsgan:files/fashion-mnist",
                )
            },
        )
    )
    register(
        Variant(
            name="lsgan-conditional",
            summary="LSGAN with the class in every layer, made for thousands of handwritten characters.",
            paper=PAPER,
            year=2016,
            generator=Part("lsgan-conditional"),
            discriminator=Part("lsgan-conditional"),
            loss=Part("least-squares"),
            sizes=Sizes((28, 32), multiple=4, least=16, most=64),
            labels="required",
            tags=("conditional", "convolutional", "least-squares"),
            training=adam(2e-4),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import ConditionalGenerator, LSGANGenerator

    register("lsgan", LSGANGenerator)
    register("lsgan-conditional", ConditionalGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import ConditionalDiscriminator, LSGANDiscriminator

    register("lsgan", LSGANDiscriminator)
    register("lsgan-conditional", ConditionalDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import LeastSquares

    register("least-squares", LeastSquares)
