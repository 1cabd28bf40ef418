"""Geometric GAN (Lim and Ye 2017), the first GAN with the hinge loss, after lim0606/pytorch-geometric-gan."""

from ganzoo import Part, Register, RegisterVariant, Sizes, Training, Variant, hookimpl


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="geometric-gan",
            summary="The hinge loss: a support vector machine as discriminator; fakes move straight across it.",
            paper="https://arxiv.org/abs/1705.02894",
            year=2017,
            generator=Part("dcgan"),
            discriminator=Part("dcgan"),
            loss=Part("geometric"),
            sizes=Sizes((64, 32), multiple=16, least=16, most=256, square=False),
            tags=("unconditional", "convolutional", "hinge"),
            training=Training(
                optimizer="rmsprop", generator_lr=2e-4, discriminator_lr=2e-4, batch_size=64, steps=50 * 3166
            ),
        )
    )


@hookimpl
def register_losses(register: Register) -> None:
    from .model import Geometric

    register("geometric", Geometric)
