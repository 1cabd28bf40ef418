"""GAN (Goodfellow et al. 2014): the MNIST experiment of goodfeli/adversarial, and present-day perceptrons."""

from ganzoo import ImageSpec, Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, Weights, hookimpl

PAPER = "https://arxiv.org/abs/1406.2661"
EPOCHS, UPDATES = 250, 500  # of 50,000 images in batches of 100


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    decayed = Schedule(to_value=0.1 / 1.000004 ** (EPOCHS * UPDATES), shape="exponential")
    register(
        Variant(
            name="gan",
            summary="The first GAN: two perceptrons, maxout and dropout in the discriminator, momentum SGD.",
            paper=PAPER,
            year=2014,
            generator=Part("gan"),
            discriminator=Part("gan"),
            loss=Part("gan"),
            sizes=Sizes((28, 32), multiple=4, least=16, most=128, square=False),
            tags=("unconditional", "mlp"),
            training=Training(
                optimizer="sgd",
                optimizer_options={"momentum": 0.5},
                generator_lr=0.1,
                discriminator_lr=0.1,
                batch_size=100,
                steps=EPOCHS * UPDATES,
                schedules={
                    "generator_lr": decayed,
                    "discriminator_lr": decayed,
                    "momentum": Schedule(to_value=0.7, from_fraction=1 / EPOCHS),
                },
            ),
            weights={
                "gan.fashion-mnist": Weights(
                    image=ImageSpec(28, 1),
                    sha256="fd448fae54e20e68ff8b08436fe2a124053fbe1f6bd5bb21bf981db7d8052260",
                    license="MIT",
                    package_file="ganzoo_plugins.gan:files/fashion-mnist",
                )
            },
        )
    )
    register(
        Variant(
            name="gan-mlp-modern",
            summary="The first GAN's loss on modern perceptrons: batch norm, leaky ReLU, tanh, Adam. Not the paper's.",
            paper=PAPER,
            year=2014,
            generator=Part("mlp"),
            discriminator=Part("mlp"),
            loss=Part("non-saturating"),
            sizes=Sizes((28, 32), multiple=4, least=16, most=128, square=False),
            tags=("unconditional", "mlp", "modern"),
            training=Training(
                optimizer="adam", optimizer_options={"betas": (0.5, 0.999)}, batch_size=64, steps=100_000
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import GANGenerator, PerceptronGenerator

    register("gan", GANGenerator)
    register("mlp", PerceptronGenerator)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import GANDiscriminator, PerceptronDiscriminator

    register("gan", GANDiscriminator)
    register("mlp", PerceptronDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .model import Adversarial

    register("gan", Adversarial)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import Perceptrons

    register("perceptrons", Perceptrons)
