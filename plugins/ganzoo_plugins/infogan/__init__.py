"""InfoGAN (Chen et al. 2016): the MNIST experiment of openai/InfoGAN."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Sizes, Training, Variant, Weights, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="infogan",
            summary="Part of the latent is a code that images must reveal, so it learns factors of variation.",
            paper="https://arxiv.org/abs/1606.03657",
            year=2016,
            generator=Part("infogan"),
            discriminator=Part("infogan"),
            loss=Part("infogan"),
            sizes=Sizes((28, 32, 64), powers=True, least=32, most=256),
            tags=("unconditional", "convolutional", "disentangled"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.5, 0.999)},
                generator_lr=1e-3,
                discriminator_lr=2e-4,
                batch_size=128,
                steps=50 * 100,
            ),
            weights={
                "infogan.fashion-mnist": Weights(
                    image=ImageSpec(28, 1),
                    sha256="968de969f6adb035e27765a54eb59c68d656775ccb2b02a82635d5000b3cc35f",
                    license="MIT",
                    package_file="ganzoo_plugins.infogan:files/fashion-mnist",
                )
            },
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import InfoGANGenerator

    register("infogan", InfoGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import InfoGANDiscriminator

    register("infogan", InfoGANDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import InfoGAN

    register("infogan", InfoGAN)
