"""ProGAN: the networks grow while they train; a schedule says how far, in a buffer of each."""

from ganzoo import Part, Schedule, Training, Variant, hookimpl

STAGE = 2  # steps
STEPS = 10


def still(phase: str, step: int) -> set[str]:
    """Layers of a resolution that has not begun, of the one below once that has faded out."""
    from contract.growing import growth

    level = growth(step / STAGE, 2)
    idle = {index for index in range(3) if index > -(-level // 1)}
    hidden = {index for index in range(3) if index < level // 1 or index > -(-level // 1)}
    layers = {
        f"{role}.{kind}.{index}"
        for index in idle
        for role, kind in (("generator", "blocks"), ("discriminator", "blocks"))
    }
    layers |= {f"generator.to_image.{index}" for index in hidden} | {
        f"discriminator.from_image.{index}" for index in hidden
    }
    return {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


@hookimpl
def register_variants(register):
    register(
        Variant(
            name="progan",
            summary="Networks that grow from four pixels.",
            paper="https://arxiv.org/abs/1710.10196",
            year=2017,
            generator=Part("growing"),
            discriminator=Part("growing"),
            loss=Part("growing"),
            sizes=(16,),
            tags=("unconditional",),
            training=Training(
                optimizer_options={"betas": (0.0, 0.99)},
                generator_lr=1e-3,
                discriminator_lr=1e-3,
                batch_size=4,
                steps=STEPS,
                ema=0.9,
                schedules={
                    f"{network}.stages": Schedule(from_value=0.0, to_value=STEPS / STAGE)
                    for network in ("generator", "discriminator")
                },
            ),
        )
    )


@hookimpl
def register_generators(register):
    from contract.growing import GrowingGenerator

    register("growing", GrowingGenerator)


@hookimpl
def register_discriminators(register):
    from contract.growing import GrowingDiscriminator

    register("growing", GrowingDiscriminator)


@hookimpl
def register_losses(register):
    from contract.growing import Growing

    register("growing", Growing)
