"""SRGAN (Ledig et al. 2017): four times as many pixels, whose details a discriminator judges, after BasicSR."""

from ganzoo import Part, Register, RegisterVariant, Schedule, Sizes, Training, Variant, hookimpl

RATE = 1e-4
HALVINGS = Schedule(to_value=RATE / 16, shape="steps", milestones=(1 / 8, 1 / 4, 1 / 2, 3 / 4))


@hookimpl
def register_variants(register: RegisterVariant) -> None:
    register(
        Variant(
            name="srgan",
            summary="Enlarges photographs: a residual network and a discriminator that asks for detail.",
            paper="https://arxiv.org/abs/1609.04802",
            year=2017,
            generator=Part("sr-resnet"),
            discriminator=Part("vgg-style"),
            loss=Part("super-resolution"),
            sizes=Sizes(own=(128,), multiple=4, least=32, most=1024, square=False),
            task="super-resolution",
            inputs={"source": Part("downscale", {"factor": 4})},
            pairing="paired",
            tags=("super-resolution", "convolutional", "residual"),
            training=Training(
                optimizer="adam",
                optimizer_options={"betas": (0.9, 0.99)},
                generator_lr=RATE,
                discriminator_lr=RATE,
                batch_size=16,
                steps=400_000,
                ema=0.999,
                mirror=True,
                schedules={"generator_lr": HALVINGS, "discriminator_lr": HALVINGS},
            ),
        )
    )


@hookimpl
def register_generators(register: Register) -> None:
    from .model import SRResNet

    register("sr-resnet", SRResNet)


@hookimpl
def register_discriminators(register: Register) -> None:
    from .model import VGGStyleDiscriminator

    register("vgg-style", VGGStyleDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    from .loss import SuperResolution

    register("super-resolution", SuperResolution)


@hookimpl
def register_layouts(register: Register) -> None:
    from .layouts import MSRResNet

    register("basicsr-msrresnet", MSRResNet)
