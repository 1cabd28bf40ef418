"""CGAN (Mirza and Osindero 2014): the paper's MNIST experiment; no official code was published."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, Weights, hookimpl

STEPS = 250 * 500  # epochs of 50,000 images in batches of 100


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    decayed = Schedule(to_value=0.1 / 1.00004**STEPS, shape="exponential")
    register(
        Variant(
            name="cgan",
            summary="The first conditional GAN: both perceptrons receive the class beside latents or pixels.",
            paper="https://arxiv.org/abs/1411.1784",
            year=2014,
            generator=Part("cgan"),
            discriminator=Part("cgan"),
            loss=Part("gan"),
            sizes=Sizes((28, 32), multiple=4, least=16, most=128, square=False),
            labels="required",
            tags=("conditional", "mlp"),
            training=Training(
                optimizer="sgd",
                optimizer_options={"momentum": 0.5},
                generator_lr=0.1,
                discriminator_lr=0.1,
                batch_size=100,
                steps=STEPS,
                schedules={"generator_lr": decayed, "discriminator_lr": decayed, "momentum": Schedule(to_value=0.7)},
            ),
            weights={
                "cgan.fashion-mnist": Weights(
                    image=ImageSpec(28, 1, 10),
                    sha256="252ce83fb034a4ae4d7dd4873f181d03ade08721ce4b06fd107eabc387513e74",
                    license="MIT",
                    package_file="ganzoo_plugins.cgan:files/fashion-mnist",
                )
            },
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import CGANGenerator

    register("cgan", CGANGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import CGANDiscriminator

    register("cgan", CGANDiscriminator)
