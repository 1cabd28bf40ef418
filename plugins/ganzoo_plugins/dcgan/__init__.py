"""DCGAN (Radford, Metz and Chintala 2015), after pytorch/examples `dcgan/main.py`, and the authors' own generator."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Sizes, Training, Variant, Weights, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="dcgan",
            summary="Strided convolutions, batch normalization and Adam: the recipe that made GANs trainable.",
            paper="https://arxiv.org/abs/1511.06434",
            year=2015,
            generator=Part("dcgan"),
            discriminator=Part("dcgan"),
            loss=Part("non-saturating"),
            sizes=Sizes((64, 32), multiple=16, least=16, most=256, square=False),
            tags=("unconditional", "convolutional"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.5, 0.999)},
                generator_lr=2e-4,
                discriminator_lr=2e-4,
                batch_size=64,
                steps=25 * 2000,
            ),
            weights={
                "dcgan.fashion-mnist": Weights(
                    image=ImageSpec(32, 1),
                    sha256="45d066dd4ca4b15fb51a24fd84b1905d37ee7d9222cb6e0d55e083d85e3e2083",
                    license="MIT",
                    package_file="ganzoo_plugins.dcgan:files/fashion-mnist",
                )
            },
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import DCGANGenerator
    from .newmu import NewmuGenerator

    register("dcgan", DCGANGenerator)
    register("dcgan-newmu", NewmuGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import DCGANDiscriminator

    register("dcgan", DCGANDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import NonSaturating

    register("non-saturating", NonSaturating)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import Newmu, PytorchExamples

    register("pytorch-examples", PytorchExamples)
    register("newmu", Newmu)
